//! A file that one owner at a time can have.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::Path,
};

/// A locked file. The lock ends with this value, and with the process however that ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Lock the file, creating it where there is none; `None` while it is locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough at once: a child process that is just being started has it open until it runs.
        // If unlocking fails, closing still does it.
        let _ = self.0.unlock();
    }
}
