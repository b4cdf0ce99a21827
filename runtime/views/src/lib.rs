//! The views: keys and values derived from the log, kept in sled behind their writers, and disposable.
//!
//! Memory holds what the store does not have yet, so reads see everything written. The store holds a prefix: all changes up to
//! one position, stored with them. Knows nothing of what the keys mean, nor of the records they come from.

mod about;
mod change;
mod directory;
mod error;
mod flusher;
mod free_space;
mod lock;
#[cfg(any(test, feature = "sim"))]
mod memory;
mod memtable;
mod merge;
mod opening;
mod options;
#[cfg(any(test, feature = "sim"))]
mod simulated;
mod sled_store;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod views;

pub use about::{About, Origin};
pub use change::{Change, KEY_BYTES_MAX, VALUE_BYTES_MAX, ViewEntry};
pub use error::ViewError;
#[cfg(any(test, feature = "sim"))]
pub use memory::MemoryStore;
pub use options::ViewOptions;
pub use sled_store::SledStore;
pub use store::{Batch, Entries, Prepared, Range, Row, Store};
pub use table::{Table, Tables};
pub use views::Views;
