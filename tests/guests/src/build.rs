//! Builds the guests that are written in Rust, with the same cargo that builds the tests.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "handler";

/// The component of the workspace's package `name`, built when needed. With `WEIRGATE_GUESTS_DIR` set, its file
/// `<name>.wasm` is used instead and nothing is built.
///
/// # Panics
/// It cannot be built or read; the test cannot continue then.
#[must_use]
#[track_caller]
pub fn build(name: &str) -> Vec<u8> {
    // One build for all tests of a process.
    static BUILT: Mutex<Option<HashMap<String, Vec<u8>>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(bytes) = built.get(name) {
        return bytes.clone();
    }
    let path = match std::env::var_os("WEIRGATE_GUESTS_DIR") {
        Some(dir) => Path::new(&dir).join(format!("{name}.wasm")),
        None => build_with_cargo(name),
    };
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("the guest {} cannot be read: {error}", path.display()));
    built.insert(name.to_owned(), bytes.clone());
    bytes
}

fn build_with_cargo(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--profile", PROFILE, "--target", TARGET, "--package", name])
        .current_dir(&root)
        .output()
        .unwrap_or_else(|error| panic!("cargo cannot be run: {error}"));
    assert!(
        output.status.success(),
        "the guest {name} does not build (is the target there? rustup target add {TARGET}):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    root.join(target).join(TARGET).join(PROFILE).join(format!("{}.wasm", name.replace('-', "_")))
}
