//! The views' errors, grouped by what the caller does about them.

use std::{io, path::PathBuf};

use weirgate_types::{Known, Position};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    // A bug of the caller; nothing was written.
    #[error("the key is {bytes} bytes long or begins with a zero byte; allowed are 1 to {max} bytes")]
    Key { bytes: usize, max: usize },
    /// Keep the value in the log, and its position here.
    #[error("the value is {bytes} bytes long; the maximum is {max}")]
    ValueTooLarge { bytes: usize, max: usize },
    #[error("a key begins with byte {name}, and no table of that name is declared")]
    Table { name: u8 },
    #[error("changes up to position {applied} came after those up to {written}")]
    Backwards { applied: Position, written: Position },

    // Stop. The next start rebuilds the views from the log.
    /// Reads and writes are refused from here on, so that no result is stale.
    #[error("the views failed: {0}")]
    Failed(String),
    /// As `Failed`, for lack of space; that is no damage, so nothing is kept for inspection.
    #[error("the views failed on a full disk: {0}")]
    Full(String),

    // The process is about to end.
    #[error("the views are closed")]
    Closed,

    // Continue: the changes wait in memory, and are written when there is space.
    #[error("the disk has no room for the views at the moment")]
    NoSpace,

    // Stop, and tell the operator.
    /// Nothing was changed: the views know acknowledged records that the log has lost.
    #[error("the views have applied position {}, which the log does not have", .0.position)]
    Ahead(Known),
    #[error("{} is in use by another process", .dir.display())]
    Locked { dir: PathBuf },
    #[error("{doing} {} failed: {problem}", .path.display())]
    Io { doing: &'static str, path: PathBuf, problem: String },
}

impl ViewError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { doing, path, problem: error.to_string() }
    }
}
