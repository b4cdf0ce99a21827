//! Attacks on one real server: what a client or a guest may do that costs the server more than it costs them. Each runs
//! alone or beside all others; a load and a probe run beside them and must go on.
//!
//! Knows of the server what a client sees, and the memory and state of its process.
// A test that cannot go on panics, and says why.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::indexing_slicing, clippy::unwrap_used)]

mod attacks;
mod field;
mod memory;
mod probe;

pub use attacks::{ATTACKS, Attack};
pub use field::Field;
pub use memory::{memory, raise_descriptor_limit};
pub use probe::{Latencies, Probe};
