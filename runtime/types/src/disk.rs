//! What an error of the operating system says about the disk. Pure.

use std::io;

/// Whether a write found no space: the disk is full, or a quota or the limit on a file's size is reached.
#[must_use]
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
