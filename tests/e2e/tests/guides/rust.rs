//! The Rust blocks of the documents, compiled together as the handlers that they are.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use weirgate_tests::binary;

use crate::{
    blocks::{Block, Kind},
    page::build_dir,
};

/// Compiles the Rust blocks of all pages as modules of a new project.
pub fn compile(pages: &[(String, Vec<Block>)]) {
    let dir = tempfile::tempdir().expect("a directory");
    let made =
        Command::new(binary()).args(["new", "documents"]).current_dir(dir.path()).output().expect("weirgate new");
    assert!(made.status.success(), "{made:?}");
    let project = dir.path().join("documents");
    fs::remove_dir_all(project.join("tests")).expect("removed");
    let mut library = String::from("//! The documents.\n#![allow(unused)]\n");
    let mut count = 0;
    for (page, blocks) in pages {
        for block in blocks {
            if let Ok(Kind::Rust { parameters }) = block.kind() {
                add(&mut library, &project, page, block, parameters.as_deref());
                count += 1;
            }
        }
    }
    assert!(count > 3, "{count} blocks of Rust were found");
    fs::write(project.join("src/lib.rs"), library).expect("written");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // As `cargo test` in a guide does, so that both use what the other has compiled.
    cargo.args(["test", "--no-run", "--quiet"]).current_dir(&project);
    let built = cargo.env("CARGO_BUILD_BUILD_DIR", build_dir()).env_remove("CARGO_TARGET_DIR").output().expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// A module of its own for the block. Errors name it, and with it the page and the line.
fn add(library: &mut String, project: &Path, page: &str, block: &Block, parameters: Option<&str>) {
    let page: String =
        page.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let name = format!("{page}_line_{}", block.line);
    let _ = writeln!(library, "mod {name};");
    let text = match parameters {
        None => block.text.clone(),
        Some(parameters) => format!(
            "use std::time::Duration;\nuse weirgate_sdk::prelude::*;\n\
             fn example({parameters}) -> Result<(), Failure> {{\n{}Ok(())\n}}\n",
            block.text
        ),
    };
    fs::write(project.join("src").join(format!("{name}.rs")), text).expect("written");
}
