//! The seam to the disk: the few operations that the log needs, so that a simulator can stand in and fail them.
//! Knows names and bytes, nothing of what they mean.

mod dir;
mod lock;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod spare;

use std::{io, sync::Arc};

pub use dir::DirStorage;
pub use lock::Lock;

/// A flat directory of files.
pub trait Storage: Send + Sync {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Create an empty file, for reading and writing. Its name is durable only after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// It exists already, or cannot be created.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Open an existing file, for reading and writing.
    ///
    /// # Errors
    /// There is no such file, or it cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Remove a file. Durable only after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// There is no such file, or it cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Give a file another name, in place of the file that had it. Durable, and one or the other after a power cut, only
    /// after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// There is no such file, or it cannot be renamed.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Keep a few bytes in place of those noted before. Never synced: after a power cut, older ones may be found.
    ///
    /// # Errors
    /// They may not be kept.
    fn note(&self, bytes: &[u8]) -> io::Result<()>;

    /// What was noted; empty where nothing was.
    ///
    /// # Errors
    /// It cannot be read.
    fn noted(&self) -> io::Result<Vec<u8>>;

    /// Make the names of all files durable.
    ///
    /// # Errors
    /// They may not be.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Reads and writes may run at once, as long as they touch different bytes.
pub trait StorageFile: Send + Sync {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// The system does not say.
    fn size(&self) -> io::Result<u64>;

    /// Fill `buffer` from `offset` on.
    ///
    /// # Errors
    /// The bytes cannot be read, or the file ends before (`UnexpectedEof`).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Write all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Any part of the bytes, or none, may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fill the range with zeros and take space for it, so that writing there later needs neither space nor a change
    /// of the file's size.
    ///
    /// # Errors
    /// `StorageFull`, or another error; the file may have grown by a part of it.
    fn reserve(&self, from: u64, to: u64) -> io::Result<()>;

    /// Cut the file to `size` bytes.
    ///
    /// # Errors
    /// It may or may not have been cut.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Make all that was written, and the file's size, durable. After an error nobody knows what is: never try again.
    ///
    /// # Errors
    /// They may not be durable.
    fn sync_data(&self) -> io::Result<()>;
}
