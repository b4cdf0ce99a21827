//! Embeds the SDK's sources: nothing of it is published, so `weirgate new` writes them into each project.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What a handler needs of the SDK, relative to the workspace's root; folders with everything in them.
const OF_THE_SDK: [&str; 8] = [
    "sdk/rust/Cargo.toml",
    "sdk/rust/README.md",
    "sdk/rust/src",
    "sdk/rust-macros/Cargo.toml",
    "sdk/rust-macros/src",
    "sdk/wit",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

fn main() {
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let mut files = Vec::new();
    for path in OF_THE_SDK {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
        collect(&root, Path::new(path), &mut files);
    }
    println!("cargo::rerun-if-changed=build.rs");
    files.sort();
    let entries = files.iter().map(|path| {
        let source = root.join(path).canonicalize().expect("a file");
        format!("({:?}, include_str!({:?})),\n", path.to_str().expect("UTF-8"), source.to_str().expect("UTF-8"))
    });
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("sdk.rs");
    fs::write(out, format!("&[\n{}]\n", entries.collect::<String>())).expect("written");
}

/// The files of the kinds that the SDK consists of: an editor's leftovers stay out.
fn collect(root: &Path, path: &Path, files: &mut Vec<PathBuf>) {
    if root.join(path).is_dir() {
        for entry in fs::read_dir(root.join(path)).expect("a folder") {
            collect(root, &path.join(entry.expect("an entry").file_name()), files);
        }
    } else if path.parent() == Some(Path::new("")) || ["rs", "toml", "wit", "md"].map(Some).contains(&extension(path)) {
        files.push(path.to_owned());
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}
