//! The durable log: segment files that are the truth.
//!
//! Owns the bytes on disk, their recovery, and the in-memory index to find them. Knows records only as data with a width: no
//! handlers, no delivery rules, no clock. `docs/formats/log.md` describes the format.

mod batch;
mod catalog;
mod error;
mod format;
mod identity;
mod log;
mod note;
mod opening;
mod reader;
mod recovery;
mod repair;
mod salvage;
mod scan;
mod seal;
mod segment;
mod sources;
mod storage;
mod survey;
mod tail;
mod walk;

#[cfg(test)]
mod document;

pub use error::{Corruption, LogError, Loss, Witness};
pub use identity::{Identity, Salt, random_epoch};
pub use log::{Log, LogOptions};
pub use opening::Opening;
pub use reader::LogReader;
pub use repair::{Repair, Repaired, repair};
pub use salvage::LostRange;
pub use scan::Scan;
pub use segment::Sealed;
pub use storage::{DirStorage, Storage, StorageFile};
pub use survey::{Finding, Survey};
pub use weirgate_types::{Epoch, Epochs, Known};
