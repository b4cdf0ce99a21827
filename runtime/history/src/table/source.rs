//! Where a table's bytes are: in a file, or in memory while there is no file.

use std::{io, sync::Arc};

use weirgate_log::StorageFile;

use super::page::PAGE_BYTES;

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

    pub fn page(&self, number: u64) -> io::Result<[u8; PAGE_BYTES]> {
        let mut page = [0; PAGE_BYTES];
        let offset = number.saturating_mul(PAGE_BYTES as u64);
        match self {
            Self::File(file) => file.read_at(&mut page, offset)?,
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let found = bytes.get(start..start.saturating_add(PAGE_BYTES));
                page.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            }
        }
        Ok(page)
    }
}
