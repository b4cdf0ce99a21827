//! The files of a new project: the template's, with the handler's name filled in, and the SDK's.

use weirgate_types::HandlerName;

use super::lock;

/// A file to write; the path is relative to the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub path: String,
    pub text: String,
}

macro_rules! template {
    ($($path:literal from $source:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/template/", $source)))),*]
    };
}

const PROJECT: &[(&str, &str)] = template![
    "Cargo.toml" from "Cargo.toml",
    "handler.toml" from "handler.toml",
    "src/lib.rs" from "src/lib.rs",
    "tests/load.rs" from "tests/load.rs",
    "events/parcel.json" from "events/parcel.json",
    "events/unloaded.json" from "events/unloaded.json",
    ".gitignore" from "gitignore",
    "README.md" from "readme",
    "sdk/Cargo.toml" from "sdk.toml",
];
const SDK: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));

/// All files of a project for a handler of this name.
pub fn files(name: &HandlerName) -> Vec<File> {
    // So that no name is a keyword of Rust or that of a dependency.
    let package = format!("{name}-handler");
    let fill = |text: &str| {
        let text = text.replace("{{name}}", name.as_str()).replace("{{package}}", &package);
        text.replace("{{crate}}", &package.replace('-', "_"))
    };
    let project = PROJECT.iter().map(|(path, text)| File { path: (*path).to_owned(), text: fill(text) });
    let sdk = SDK.iter().map(|(path, text)| {
        let path = if path.starts_with("sdk/") { (*path).to_owned() } else { format!("sdk/{path}") };
        File { path, text: (*text).to_owned() }
    });
    let lock = File { path: "Cargo.lock".to_owned(), text: lock::of(LOCK, &["serde", "weirgate-sdk"]) };
    project.chain(sdk).chain([lock]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_everything_once_and_nothing_to_fill_in() {
        let files = files(&"fn".parse().expect("a name"));
        let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        for path in [
            "src/lib.rs",
            "sdk/rust/src/lib.rs",
            "sdk/rust-macros/src/lib.rs",
            "sdk/wit/handler.wit",
            "sdk/LICENSE-MIT",
        ] {
            assert!(paths.contains(&path), "{path} is missing in {paths:?}");
        }
        for file in &files {
            let open = ["{{name}}", "{{package}}", "{{crate}}"].into_iter().find(|place| file.text.contains(place));
            assert_eq!(open, None, "{} has a place to fill in", file.path);
            assert!(!file.path.starts_with('/') && !file.path.contains(".."), "{}", file.path);
        }
        let count = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }

    #[test]
    fn the_sdk_gets_the_versions_that_it_is_tested_with() {
        let ours = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
        let (_, sdk) = PROJECT.iter().find(|(path, _)| *path == "sdk/Cargo.toml").expect("its manifest");
        let settings = sdk.lines().skip_while(|line| *line != "[workspace.package]");
        for line in settings.filter(|line| line.contains(" = ") && !line.contains("path = ")) {
            assert!(ours.lines().any(|own| own == line), "{line} is not in the workspace's Cargo.toml");
        }
    }

    #[test]
    fn the_sdk_reads_nothing_outside_of_itself() {
        for (path, text) in SDK {
            assert!(!text.contains("../../../"), "{path} names a file that a project does not have");
        }
    }
}
