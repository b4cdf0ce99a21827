//! What the host does with its directory at the start: links, other users' directories, left-overs, files under wrong names.

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use support::{Memory, attempt, options};
use weirgate_guests::in_handler;
use weirgate_host::{Host, HostError, HostOptions};

fn start(dir: &Path) -> Result<Host, HostError> {
    Host::new(options(dir))
}

fn refusal(dir: &Path) -> String {
    let Err(error) = start(dir) else { panic!("it must not start") };
    assert!(matches!(error, HostError::DirNotOurs { .. } | HostError::Dir { .. }));
    error.to_string()
}

fn artefacts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("modules/cache")).expect("a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn the_directories_are_closed_to_other_users() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("modules")).expect("created");
    fs::set_permissions(dir.path().join("modules"), fs::Permissions::from_mode(0o777)).expect("set");
    start(dir.path()).expect("a host");
    for name in ["modules", "modules/cache"] {
        let mode = fs::metadata(dir.path().join(name)).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}

#[test]
fn a_directory_that_is_a_link_is_refused() {
    for name in ["modules", "modules/cache"] {
        let dir = tempfile::tempdir().expect("a directory");
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).expect("created");
        if name.contains('/') {
            fs::create_dir(dir.path().join("modules")).expect("created");
        }
        symlink(&elsewhere, dir.path().join(name)).expect("a link");
        let error = refusal(dir.path());
        assert!(error.contains(name) && error.contains("is a symbolic link"), "{error}");
    }
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("modules")).expect("created");
    // Only root can give a directory away or have one of another user.
    let given = std::os::unix::fs::chown(dir.path().join("modules"), Some(12_345), None).is_ok();
    let refused = if given { refusal(dir.path()) } else { root_owned() };
    assert!(refused.contains("belongs to another user"), "{refused}");
}

/// For any other user, a directory of root's that everyone may enter.
fn root_owned() -> String {
    let options = HostOptions { dir: "/tmp".into(), ..options(Path::new("/tmp")) };
    let Err(error) = Host::new(options) else { panic!("it must not start") };
    error.to_string()
}

#[test]
fn only_left_overs_are_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let digest = start(dir.path()).expect("a host").put_module(&in_handler("", "")).expect("a handler").digest;
    let modules = dir.path().join("modules");
    let kept = artefacts(dir.path());
    let other_engine = format!("cache/{}-0123456789abcdef.cwasm", digest.to_hex());
    for name in [".unfinished-abc", "cache/.unfinished-def", &other_engine] {
        fs::write(modules.join(name), "left over").expect("written");
    }
    fs::write(modules.join("notes.txt"), "another file").expect("written");
    let host = start(dir.path()).expect("a host");
    assert_eq!(artefacts(dir.path()), kept);
    assert!(!modules.join(".unfinished-abc").exists());
    assert!(modules.join("notes.txt").exists() && modules.join(format!("{}.wasm", digest.to_hex())).exists());
    host.load(digest).expect("still there");
}

#[test]
fn an_artefact_under_another_modules_name_is_not_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let host = start(dir.path()).expect("a host");
    let good = host.put_module(&in_handler("", "")).expect("a handler").digest;
    let good_artefact = artefacts(dir.path()).pop().expect("an artefact");
    let other = host.put_module(&in_handler("", "(func (nop) (nop))")).expect("a handler").digest;
    let other_artefact = artefacts(dir.path()).into_iter().find(|path| *path != good_artefact).expect("another");
    let whole = fs::read(&good_artefact).expect("read");
    assert_ne!((good, &whole), (other, &fs::read(&other_artefact).expect("read")));
    fs::copy(&other_artefact, &good_artefact).expect("copied");
    let module = host.load(good).expect("compiled again");
    assert!(attempt("plain").run_with(&module, Box::new(Memory::default())).result.is_ok());
    assert_eq!(fs::read(&good_artefact).expect("read"), whole, "and written again");
}
