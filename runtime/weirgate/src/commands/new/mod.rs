//! `weirgate new`: a folder with a handler to begin with. The SDK's sources come with it, since nothing is published.

mod lock;
mod template;

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use weirgate_types::HandlerName;

use super::{arguments::Output, toolchain};
use crate::{failure, output};
use template::File;

#[derive(Debug, Args)]
pub struct New {
    /// The handler's name: lower-case letters, digits and hyphens
    pub name: HandlerName,
    /// The project's folder; by default the name
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

pub fn run(new: &New, output: Output) -> Result<()> {
    let dir = new.path.clone().unwrap_or_else(|| new.name.as_str().into());
    let is_new = take(&dir)?;
    if let Err(error) = write_all(&dir, &template::files(&new.name)) {
        if is_new {
            // What is left of it would be in the way of the next try.
            let _ = fs::remove_dir_all(&dir);
        }
        return Err(error.context(format!("the project cannot be written to {}", dir.display())));
    }
    if output == Output::Json {
        let created = json!({ "name": new.name.as_str(), "path": dir.canonicalize()? });
        return output::json(&created.to_string());
    }
    let shown = dir.display();
    for line in [
        &format!("created {shown}: a handler, its test, events to try, and the SDK"),
        "",
        &format!("  cd {shown}"),
        "  cargo test       # runs the handler natively",
        "  weirgate dev     # builds, deploys on every change, and shows what happens",
    ] {
        output::line(line)?;
    }
    if let Some(hint) = toolchain::missing() {
        output::note(&format!("hint: {hint}"));
    }
    Ok(())
}

/// Takes the folder for the project: it has to be empty, or not there yet. Returns whether it was created.
fn take(dir: &Path) -> Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => {
                let hint = "choose another name, or another folder with --path";
                Err(failure::usage(format!("{} is not empty; {hint}", dir.display())))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let created = fs::create_dir_all(dir);
            created.map_err(|error| {
                failure::usage(format!("cannot create {}: {}", dir.display(), failure::system(&error)))
            })?;
            Ok(true)
        }
        Err(error) => {
            let why = failure::system(&error);
            Err(failure::usage(format!("{} cannot be the project's folder: {why}", dir.display())))
        }
    }
}

fn write_all(dir: &Path, files: &[File]) -> Result<()> {
    for File { path, text } in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        // Never over a file that came meanwhile.
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.with_context(|| path.display().to_string())?;
    }
    // As in the SDK's own repository: the contract is beside the crates that read it.
    std::os::unix::fs::symlink("../wit", dir.join("sdk/rust/wit"))?;
    Ok(())
}
