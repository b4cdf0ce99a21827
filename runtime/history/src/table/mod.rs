//! A table: sorted rows in a file that is written once and looked up by pages. `docs/formats/history.md` describes it. Knows no
//! records and no names of files.

mod filter;
mod footer;
mod guide;
mod page;
mod reader;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use std::io;

pub use footer::{Kind, Origin};
pub use guide::Guide;
pub use reader::{Rows, Table};
pub use source::Source;
pub use writer::write;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It has to be made again.
    #[error("the table is damaged: {0}")]
    Damaged(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl TableError {
    /// Whether it is about the disk, and no table.
    pub fn is_lack_of_space(&self) -> bool {
        matches!(self, Self::Io(error) if weirgate_types::is_out_of_space(error))
    }
}
