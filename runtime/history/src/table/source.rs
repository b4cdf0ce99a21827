//! Where a table's bytes are: in a file, or in memory while there is no file.

use std::{io, sync::Arc};

use weirgate_log::StorageFile;

use super::{TableError, page::PAGE_BYTES};

#[derive(Clone)]
pub enum Source {
    File(Arc<dyn StorageFile>),
    Memory(Arc<[u8]>),
}

impl Source {
    /// Number of whole pages.
    pub fn pages(&self) -> io::Result<u64> {
        let bytes = match self {
            Self::File(file) => file.size()?,
            Self::Memory(bytes) => bytes.len() as u64,
        };
        Ok(bytes / PAGE_BYTES as u64)
    }

    /// # Errors
    /// [`TableError::Damaged`]: it has become shorter; it cannot be read.
    pub fn page(&self, number: u64) -> Result<[u8; PAGE_BYTES], TableError> {
        const SHORTER: TableError = TableError::Damaged("it is shorter than it was");
        let mut page = [0; PAGE_BYTES];
        let offset = number.saturating_mul(PAGE_BYTES as u64);
        match self {
            Self::File(file) => match file.read_at(&mut page, offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(SHORTER),
                read => read?,
            },
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let found = bytes.get(start..start.saturating_add(PAGE_BYTES));
                page.copy_from_slice(found.ok_or(SHORTER)?);
            }
        }
        Ok(page)
    }
}
