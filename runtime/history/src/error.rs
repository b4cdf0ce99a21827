//! Why the history gives no answer.

use weirgate_log::LogError;

use crate::table::TableError;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Try again later.
    #[error("the index of the log is being made: {missing} of {segments} parts are not indexed yet")]
    NotReady { missing: usize, segments: usize },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the index of the log cannot be read")]
    Io(#[from] std::io::Error),
    /// An internal error: a table that was made a moment ago.
    #[error("{0}")]
    Damaged(&'static str),
}

impl From<TableError> for HistoryError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Damaged(what) => Self::Damaged(what),
            TableError::Io(error) => Self::Io(error),
        }
    }
}
