//! The crash oracle: puts load on a real server, remembers what it was told, and finds out from outside whether all of it
//! is true after whatever happened to the server. Knows the log's format only as the document describes it.
// A test that cannot go on panics, and says why.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::indexing_slicing, clippy::unwrap_used)]

mod chance;
mod files;
mod ledger;
mod load;
mod oracle;
mod watcher;

pub use chance::Chance;
pub use files::{Batch, Segment, copy_dir, fingerprint, newest_segment};
pub use ledger::{deploy_ledger, entry};
pub use load::{Load, accounts};
pub use oracle::{Book, Entry, verify};
pub use watcher::Watcher;
