//! The durable log: segment files that are the truth, sled views that can be deleted.
//!
//! Owns the bytes on disk, their recovery, and what is kept in memory to find them. Knows records only as data with a
//! width: no handlers, no rule of delivery, no clock. `docs/formats/log.md` describes the format.

mod batch;
mod catalog;
mod error;
mod format;
mod identity;
mod log;
mod reader;
mod recovery;
mod scan;
mod segment;
mod storage;
mod tail;
mod views;
mod walk;

#[cfg(test)]
mod tests;

pub use error::{Corruption, LogError};
pub use identity::{Epoch, Identity, Salt};
pub use log::{Log, LogOptions};
pub use reader::LogReader;
pub use scan::Scan;
#[cfg(any(test, feature = "sim"))]
pub use storage::sim::{Crash, Fault, SimStorage};
pub use storage::{DirStorage, Storage, StorageFile};
#[cfg(any(test, feature = "sim"))]
pub use views::SimRows;
pub use views::{Change, KEY_BYTES_MAX, VALUE_BYTES_MAX, ViewEntry, ViewError, ViewOptions, Views};
