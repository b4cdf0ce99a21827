//! Accepting, refusing and storing modules, and loading them again after changes to the files.

mod support;

use std::{fs, path::PathBuf};

use support::{Memory, TestHost, attempt, host, host_with};
use weirgate_guests::{build, core_module, heavy, in_handler, odd};
use weirgate_host::{Host, HostError, HostOptions, ModuleError};
use weirgate_types::Digest;

/// The error's code; its text has to be one non-empty line.
#[track_caller]
fn refused(host: &Host, bytes: &[u8]) -> (String, ModuleError) {
    let error = host.put_module(bytes).expect_err("it has to be refused");
    let text = error.to_string();
    assert!(text.len() > 20 && !text.contains('\n'), "{text:?}");
    assert_eq!(host.modules().expect("a list"), [], "nothing of it is kept");
    (error.code().to_owned(), error)
}

#[test]
fn a_module_that_is_not_a_handler_is_refused_with_a_reason() {
    let host = host_with(|options| options.start.cpu_ms = 50);
    for (bytes, code, says) in [
        (b"GIF89a".to_vec(), "not-webassembly", "does not begin with `\\0asm`"),
        (Vec::new(), "not-webassembly", "not WebAssembly"),
        (core_module(), "core-module", "wasm32-wasip2"),
        (odd("another-world"), "other-world", "exports neither `handle` nor `handle-batch`; it exports no function"),
        (odd("handle-differs"), "other-world", "`handle` differs"),
        (odd("batch-differs"), "other-world", "`handle-batch` differs"),
        (odd("hook-differs"), "other-world", "`on-correctable` differs"),
        (odd("handle-and-batch"), "other-world", "exports both `handle` and `handle-batch`"),
        (odd("on-corrected-differs"), "other-world", "`on-corrected` differs"),
        (
            odd("on-corrected-alone"),
            "other-world",
            "exports neither `handle` nor `handle-batch`; it exports on-corrected",
        ),
        (odd("batch-and-hook"), "other-world", "exports `on-correctable`, which belongs to `handle` alone"),
        (odd("import-unknown"), "import-not-offered", "`wasi:sockets/tcp@0.2.0`, which is not available"),
        (odd("import-unversioned"), "import-not-offered", "weirgate:handler/state@0.1, "),
        (odd("import-differs"), "import-differs", "weirgate:handler/state@0.1.0"),
        (odd("function-unknown"), "import-differs", "steal"),
        (odd("traps-at-start"), "traps-at-start", "unreachable"),
        (odd("loops-at-start"), "start-limit-exceeded", "50 ms of CPU time"),
        (odd("memory-at-start"), "start-limit-exceeded", "memory"),
        (odd("grows-at-start"), "start-limit-exceeded", "limits.memory_bytes"),
        (odd("table-at-start"), "start-limit-exceeded", "table"),
        (odd("does-not-validate"), "compile-failed", "unexpected end"),
    ] {
        let (found, error) = refused(&host, &bytes);
        assert_eq!(found, code, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_module_that_is_too_large_is_refused_before_it_is_looked_at() {
    let host = host_with(|options| options.module_bytes_max = 1_000);
    assert_eq!(refused(&host, &[0; 1_001]).0, "module-too-large");
}

#[test]
fn a_module_that_compiles_too_long_is_refused() {
    let host = host_with(|options| options.compile_seconds_max = 1);
    let (code, error) = refused(&host, &heavy(1_500));
    assert_eq!(code, "compile-time-exceeded", "{error}");
}

#[test]
fn a_hanging_compiler_is_killed() {
    let host = host_with(|options| {
        options.compiler = vec!["/bin/sleep".into(), "3600".into()];
        options.compile_seconds_max = 1;
    });
    assert_eq!(refused(&host, &in_handler("", "")).0, "compile-time-exceeded");
}

#[test]
fn a_module_that_compiles_with_too_much_memory_is_refused() {
    let host = host_with(|options| options.compile_memory_bytes_max = 64 << 20);
    let (code, error) = refused(&host, &heavy(1_000));
    assert_eq!(code, "compile-memory-exceeded", "{error}");
}

#[test]
fn a_compiler_that_cannot_be_run_is_not_the_modules_fault() {
    for (command, says) in [("/does/not/exist", "No such file"), ("/bin/false", "exit status: 1")] {
        let host = host_with(|options| options.compiler = vec![command.into()]);
        let (code, error) = refused(&host, &in_handler("", ""));
        assert_eq!((code.as_str(), error.is_callers()), ("compiler-unavailable", false));
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_handler_is_taken_once_and_described() {
    let host = host();
    let bytes = in_handler(
        r#"(import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result u64)))))"#,
        "",
    );
    let info = host.put_module(&bytes).expect("a handler");
    assert_eq!(info.bytes, bytes.len() as u64);
    assert_eq!(info.imports, ["wasi:random/random@0.2.3", "weirgate:handler/types@0.1.0"]);
    assert_eq!(info.exports, ["handle"]);
    assert_eq!(host.put_module(&bytes).expect("again"), info);
    assert_eq!(host.modules().expect("a list"), [info.digest]);
    assert_eq!(host.info(info.digest).expect("known"), info);
    let report = attempt("plain").run_with(&host.load(info.digest).expect("there"), Box::new(Memory::default()));
    assert!(report.result.is_ok(), "{report:?}");
}

#[test]
fn a_newer_patch_of_the_contract_is_taken() {
    host().put_module(&odd("newer-patch")).expect("0.1.7 only adds to 0.1.0");
}

#[test]
fn a_module_that_was_never_stored_is_missing() {
    let host = host();
    let digest = Digest([7; 32]);
    assert!(matches!(host.load(digest), Err(ModuleError::Missing(missing)) if missing == digest));
    let info = host.put_module(&in_handler("", "")).expect("a handler");
    let module = host.load(info.digest).expect("there");
    fs::remove_file(wasm(&host, info.digest)).expect("it is there");
    assert!(matches!(host.load(info.digest), Err(ModuleError::Missing(_))), "also while it is loaded");
    assert!(attempt("plain").run_with(&module, Box::new(Memory::default())).result.is_ok(), "who holds it keeps it");
}

#[test]
fn a_damaged_module_is_named_and_can_be_uploaded_again() {
    let host = host();
    let bytes = in_handler("", "");
    let digest = host.put_module(&bytes).expect("a handler").digest;
    fs::write(wasm(&host, digest), b"\0asm\x0d\0\x01\0").expect("a write");
    fs::remove_file(artefact(&host)).expect("it is there");
    assert_eq!(host.load(digest).expect_err("damaged").code(), "module-damaged");
    host.put_module(&bytes).expect("written again");
    host.load(digest).expect("whole again");
}

#[test]
fn an_artefact_that_is_lost_or_damaged_is_compiled_again() {
    let host = host();
    let digest = host.put_module(&in_handler("", "")).expect("a handler").digest;
    let path = artefact(&host);
    let whole = fs::read(&path).expect("an artefact");
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let truncated = whole[..whole.len() - 1].to_vec();
    for damage in [Some(flipped), Some(truncated), Some(b"short".to_vec()), Some(Vec::new()), None] {
        match damage {
            Some(bytes) => fs::write(&path, bytes).expect("a write"),
            None => fs::remove_file(&path).expect("it is there"),
        }
        let report = attempt("plain").run_with(&host.load(digest).expect("loads"), Box::new(Memory::default()));
        assert!(report.result.is_ok(), "{report:?}");
        assert_eq!(fs::read(&path).expect("written again").len(), whole.len());
    }
}

#[test]
fn an_artefact_is_reused_by_the_next_process() {
    let first = host();
    let digest = first.put_module(&build("hostile")).expect("a handler").digest;
    // A second host on the same directory, which could not compile if it had to.
    let compiler = vec!["/does/not/exist".into()];
    let second = Host::new(HostOptions { compiler, ..support::options(first.dir.path()) }).expect("a host");
    let module = second.load(digest).expect("from the cache");
    assert!(attempt("plain").run_with(&module, Box::new(Memory::default())).result.is_ok());
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("modules"), "a file").expect("a write");
    let Err(error) = Host::new(support::options(dir.path())) else { panic!("there is a file in the way") };
    assert!(matches!(&error, HostError::Dir { .. }) && error.to_string().contains("modules"), "{error}");
}

fn wasm(host: &TestHost, digest: Digest) -> PathBuf {
    host.dir.path().join("modules").join(format!("{}.wasm", digest.to_hex()))
}

/// The only artefact in the cache.
fn artefact(host: &TestHost) -> PathBuf {
    let cache = fs::read_dir(host.dir.path().join("modules/cache")).expect("a directory");
    let paths: Vec<_> = cache.map(|entry| entry.expect("an entry").path()).collect();
    let [path] = paths.as_slice() else { panic!("{paths:?}") };
    path.clone()
}
