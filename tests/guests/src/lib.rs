//! Hostile and odd components for tests: one that is built from Rust and does what an event tells it to, and small ones
//! written as text.
//!
//! Knows nothing of the host; so every crate's tests can use it.

mod build;
mod text;

#[path = "../hostile/src/table.rs"]
mod hostile;

pub use build::build;
pub use text::{component, core_module, heavy, in_handler, odd};
