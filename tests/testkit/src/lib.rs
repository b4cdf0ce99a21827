//! What tests of several crates have in common: a simulated disk, and records of each kind.

mod disk;
pub mod records;

pub use disk::{Crash, Fault, SimStorage};
