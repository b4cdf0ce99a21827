//! The crash oracle: puts load on a real server, remembers its acknowledgements, and checks from outside whether all of them
//! still hold after a crash. Knows the log's format only from its document.
// A test that cannot continue panics with the reason.
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
