//! Where the log tells of a key, and what a handler's state was at a position: an index beside the log's segments, and snapshots
//! of the state. Both are made from sealed segments, and can be deleted at any time.
//!
//! Knows the records of the log and their keys; no delivery rules, no clock and no threads.

mod absent;
mod build;
mod error;
mod files;
mod gather;
mod history;
mod look;
mod make;
mod part;
mod row;
mod state;
mod table;
mod tail;
mod terms;

pub use error::HistoryError;
pub use history::History;
pub use look::Look;
pub use make::Made;
pub use state::{KeyState, StateAsOf};
