//! What tests of several crates have in common: a simulated disk, clocks, and records of each kind.

#[cfg(feature = "clock")]
mod clock;
mod disk;
pub mod records;

#[cfg(feature = "clock")]
pub use clock::ManualClock;
pub use disk::{Crash, Fault, SimStorage};
