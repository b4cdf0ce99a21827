//! A file that one owner at a time can lock.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

/// A locked file. The lock ends with this value, and with the process however it ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks the file, and creates it if it does not exist; `None` while it is locked.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file may not unlock it at once: a child process that is just being started has it open until its
        // `exec`. If unlocking fails, closing still unlocks it.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
