//! Attacks on one real server: requests of clients or actions of guests that cost the server more than the attacker. Each
//! runs alone or beside all others; a load and a probe run beside them and must not be disturbed.
//!
//! Knows of the server only what a client sees, and its process's memory and state.
// A test that cannot continue panics with the reason.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::indexing_slicing, clippy::unwrap_used)]

mod attacks;
mod field;
mod memory;
mod probe;

pub use attacks::{ATTACKS, Attack};
pub use field::Field;
pub use memory::{memory, raise_descriptor_limit};
pub use probe::{Latencies, Probe};
