//! What can go wrong with the log, grouped by what the caller does about it.

use std::{io, path::PathBuf};

use weirgate_types::{Position, RecordError};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    // Wait, then try again: nothing is lost, the log goes on.
    /// Nothing of the pending batch is on disk. It is kept: `sync` again, or `discard` it.
    #[error("the disk is full; nothing was written, and what is pending waits for space")]
    Full(#[source] io::Error),
    /// The record was not taken.
    #[error("{bytes} bytes are pending; at most {max} go into one batch: sync first")]
    BatchFull { bytes: usize, max: usize },

    // This record will never do.
    #[error("the record takes {bytes} bytes; at most {max} are allowed")]
    RecordTooLarge { bytes: usize, max: usize },

    // Stop, and tell the operator.
    #[error("{} is in use by another process", .dir.display())]
    Locked { dir: PathBuf },
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    #[error("{file} has format version {version}; this program knows version 1")]
    Version { file: String, version: u32 },
    /// From the writer: what was being written may or may not be on disk, and the log takes nothing more.
    #[error("{doing} {file} failed")]
    Io {
        doing: &'static str,
        file: String,
        #[source]
        source: io::Error,
    },
    /// An earlier write failed. Opening the log anew finds out what is durable.
    #[error("the log was stopped by an earlier failure")]
    Poisoned,

    // A bug.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Durable data that is not what was written. Nothing was changed, nothing skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log is damaged: {file}, byte {offset}, position {position}: {what}")]
pub struct Corruption {
    pub file: String,
    /// Where in the file the damaged part begins, in bytes.
    pub offset: u64,
    /// The first position that cannot be read.
    pub position: Position,
    pub what: &'static str,
}

impl LogError {
    pub(crate) fn io<'a>(doing: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { doing, file: file.to_owned(), source }
    }
}

/// Whether the error says that there is no space, which passes.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
