//! Where the log tells of a key, what a handler's state was at a position, and which identities were accepted: an index beside the
//! log's segments, snapshots of the state, and the index of identities. All are made from the log, and can be deleted while the
//! server is stopped.
//!
//! Knows the records of the log and their keys; no delivery rules, no clock and no threads.

mod absent;
mod build;
mod error;
mod files;
mod gather;
mod history;
mod identities;
mod look;
mod make;
mod merge;
mod part;
mod row;
mod state;
mod table;
mod tail;
mod terms;

pub use error::HistoryError;
pub use history::History;
pub use identities::{Answer, Identities, IdentityHash, Progress, Sizes};
pub use look::Look;
pub use make::Made;
pub use state::{KeyState, StateAsOf};
