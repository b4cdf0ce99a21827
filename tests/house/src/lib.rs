//! What the house rules read: the files of the tree.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The workspace's root.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

/// The files with these extensions that git knows or would add, as paths from the root, with their text.
///
/// # Panics
/// Git does not list them, or there are none.
#[must_use]
pub fn sources(extensions: &[&str]) -> Vec<(String, String)> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let listed = String::from_utf8(listed.expect("git ls-files").stdout).expect("UTF-8 paths");
    let wanted = listed.lines().filter(|path| extensions.iter().any(|extension| path.ends_with(extension)));
    let files = wanted.filter_map(|path| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?)));
    let files: Vec<_> = files.collect();
    assert!(!files.is_empty(), "there is nothing to check");
    files
}
