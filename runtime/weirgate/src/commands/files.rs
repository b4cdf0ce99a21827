//! Files that users name: one that cannot be read is wrong usage, said in the system's words.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, Result};

use crate::failure::{system, usage};

/// Maximum size of a manifest, a module, a configuration: that of a module, as the server has it.
const FILE_BYTES_MAX: usize = 32 << 20;
/// Maximum size of a file of events.
const EVENTS_BYTES_MAX: usize = 1 << 30;

/// The bytes of a file, which `what` names, for instance `the manifest`.
pub fn read(what: &str, path: &Path) -> Result<Vec<u8>> {
    readable(what, path, bounded(path))
}

/// The same for events; `-` is standard input.
pub fn read_or_stdin(what: &str, path: &Path) -> Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return readable(what, path, File::open(path).and_then(|file| up_to(EVENTS_BYTES_MAX, file)));
    }
    up_to(EVENTS_BYTES_MAX, io::stdin()).context("standard input cannot be read")
}

fn readable(what: &str, path: &Path, read: io::Result<Vec<u8>>) -> Result<Vec<u8>> {
    read.map_err(|error| usage(format!("cannot read {what} {}: {}", path.display(), system(&error))))
}

/// The bytes of a file of at most 32 MiB. No more are read: a file may have no end, as `/dev/zero` has none.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    up_to(FILE_BYTES_MAX, File::open(path)?)
}

fn up_to(bytes_max: usize, source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        let text = format!("it is larger than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// The bytes as text.
pub fn utf8(what: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        usage(format!("{what} is not UTF-8 at byte {at}; save it as UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let refused = bounded(Path::new("/dev/zero")).expect_err("it is too large");
        assert_eq!(refused.to_string(), "it is larger than 33554432 bytes");
        assert_eq!(up_to(3, &b"abc"[..]).expect("it fits"), b"abc");
        assert!(up_to(2, &b"abc"[..]).is_err());
    }
}
