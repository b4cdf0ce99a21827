//! Each seeded bug of `tests/sim/mutations` still applies. Whether the simulator finds it, `make mutants` says.

use std::{fs, path::PathBuf, process::Command};

use weirgate_house::root;

/// There are not fewer bugs than this.
const PATCHES_MIN: usize = 49;

fn patches() -> Vec<PathBuf> {
    let listed = fs::read_dir(root().join("tests/sim/mutations")).expect("a folder of patches");
    let mut patches: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    patches.sort();
    assert!(patches.len() >= PATCHES_MIN, "there are {} patches", patches.len());
    patches
}

#[test]
fn every_mutation_applies() {
    let mut failed = Vec::new();
    for patch in patches() {
        let applied = Command::new("git").args(["apply", "--check"]).arg(&patch).current_dir(root()).output();
        let applied = applied.expect("git apply");
        if !applied.status.success() {
            failed.push(format!("{}: {}", patch.display(), String::from_utf8_lossy(&applied.stderr)));
        }
    }
    assert!(failed.is_empty(), "make these anew, for the code as it is now:\n{}", failed.join("\n"));
}

#[test]
fn every_mutation_says_what_is_wrong_in_it() {
    for patch in patches() {
        let text = fs::read_to_string(&patch).expect("a text");
        let first = text.lines().next().unwrap_or_default();
        assert!(first.ends_with('.') && !text.starts_with("---"), "{} begins with {first:?}", patch.display());
    }
}
