//! Files that users name: one that cannot be read is wrong usage, said in the system's words.

use std::{io::Read, path::Path};

use anyhow::{Context, Result};

use crate::failure::{system, usage};

/// The bytes of a file, which `what` names, for instance `the manifest`.
pub fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| usage(format!("cannot read {what} {}: {}", path.display(), system(&error))))
}

/// The same; `-` is standard input.
pub fn read_or_stdin(what: &str, path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return read(what, path);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
    Ok(bytes)
}

/// The bytes as text.
pub fn utf8(what: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        usage(format!("{what} is not UTF-8 at byte {at}; save it as UTF-8"))
    })
}
