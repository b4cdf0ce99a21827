//! A module that is being uploaded: its bytes are written to a file as they arrive, so that they do not wait in memory.

use std::io::Write;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use weirgate_types::Digest;

use crate::{ModuleError, check};

/// Number of first bytes that identify a file.
const PREAMBLE_BYTES: usize = 8;

/// Dropping it deletes the file.
#[derive(Debug)]
pub struct Upload {
    file: NamedTempFile,
    hash: Sha256,
    preamble: Vec<u8>,
    bytes: u64,
    bytes_max: u64,
}

impl Upload {
    pub(crate) fn new(file: NamedTempFile, bytes_max: usize) -> Self {
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        Self { file, hash: Sha256::new(), preamble: Vec::with_capacity(PREAMBLE_BYTES), bytes: 0, bytes_max }
    }

    /// Appends the next bytes. Writes to the disk.
    ///
    /// # Errors
    /// [`ModuleError::TooLarge`]; [`ModuleError::NotWasm`] and [`ModuleError::CoreModule`] as soon as the first bytes show
    /// it; [`ModuleError::Storage`] if it cannot be written.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ModuleError> {
        let bytes = self.bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if bytes > self.bytes_max {
            return Err(ModuleError::TooLarge { bytes, max: self.bytes_max });
        }
        let missing = PREAMBLE_BYTES.saturating_sub(self.preamble.len());
        if missing > 0 {
            self.preamble.extend(chunk.iter().take(missing));
            if self.preamble.len() == PREAMBLE_BYTES {
                check::preamble(&self.preamble)?;
            }
        }
        self.hash.update(chunk);
        self.bytes = bytes;
        let path = self.file.path().to_owned();
        self.file.write_all(chunk).map_err(|source| ModuleError::Storage { doing: "writing", path, source })
    }

    /// Number of bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of the bytes so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }

    /// The complete module: its digest and its file.
    pub(crate) fn finish(self) -> Result<(Digest, NamedTempFile), ModuleError> {
        check::preamble(&self.preamble)?;
        Ok((self.digest(), self.file))
    }
}
