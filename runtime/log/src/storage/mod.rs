//! The interface to the disk: the few operations that the log needs, so that a simulator can replace the disk and inject
//! failures. Knows names and bytes only.

mod dir;
mod lock;
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

    /// Creates an empty file, for reading and writing. Its name is durable only after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// It exists already, or cannot be created.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens an existing file, for reading and writing.
    ///
    /// # Errors
    /// There is no such file, or it cannot be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Removes a file. Durable only after [`Storage::sync_dir`].
    ///
    /// # Errors
    /// There is no such file, or it cannot be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, replacing a file of that name. Durable only after [`Storage::sync_dir`]; after a power cut it is one
    /// or the other.
    ///
    /// # Errors
    /// There is no such file, or it cannot be renamed.
    fn replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Replaces the note, a few bytes. Never synced: after a power cut an older note may be found.
    ///
    /// # Errors
    /// The note may not be stored.
    fn note(&self, bytes: &[u8]) -> io::Result<()>;

    /// The note; empty if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    fn noted(&self) -> io::Result<Vec<u8>>;

    /// Makes the names of all files durable.
    ///
    /// # Errors
    /// They may not be durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Reads and writes may run concurrently if they touch different bytes.
pub trait StorageFile: Send + Sync {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// The system does not report it.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// The bytes cannot be read, or the file ends before (`UnexpectedEof`).
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// Any part of the bytes, or none, may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills the range with zeros and allocates its space, so that later writes there need neither space nor a change of the
    /// file's size.
    ///
    /// # Errors
    /// `StorageFull`, or another error; the file may have grown by a part of it.
    fn reserve(&self, from: u64, to: u64) -> io::Result<()>;

    /// Truncates the file to `size` bytes.
    ///
    /// # Errors
    /// It may or may not have been truncated.
    fn truncate(&self, size: u64) -> io::Result<()>;

    /// Makes all written bytes and the file's size durable. After an error it is unknown what is durable: never retry.
    ///
    /// # Errors
    /// They may not be durable.
    fn sync_data(&self) -> io::Result<()>;
}
