//! Files of a history whose directory cannot be used: there are none, and none can be made.

use std::{io, sync::Arc};

use weirgate_log::{Storage, StorageFile};

pub struct Absent;

fn unusable() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the history's directory could not be used when the server started")
}

impl Storage for Absent {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        Err(unusable())
    }

    fn open(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        Err(unusable())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(unusable())
    }

    fn replace(&self, _: &str, _: &str) -> io::Result<()> {
        Err(unusable())
    }

    fn note(&self, _: &[u8]) -> io::Result<()> {
        Err(unusable())
    }

    fn noted(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Err(unusable())
    }
}
