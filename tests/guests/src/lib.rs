//! Hostile and unusual components for tests: two that are built from Rust and whose events select their behaviour, one of
//! them a batch handler, and small ones written as text.
//!
//! Knows nothing of the host, so every crate's tests can use it.

mod build;
mod text;

#[path = "../hostile/src/table.rs"]
mod hostile;
#[path = "../batch/src/table.rs"]
mod hostile_batch;

pub use build::build;
pub use text::{component, core_module, heavy, in_handler, migrating, odd};
