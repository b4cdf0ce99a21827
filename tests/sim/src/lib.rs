//! The simulator: the real engine, pass by pass, over the real log on a disk that fails, tears and loses data. One seed is one
//! history of some hundred records: events, failures, crashes, operators, clocks that jump; then everything heals, and nothing
//! may be left. `docs/simulation.md` lists the checks and their results.
//!
//! It knows the engine's commands, queries and records. It does not know how the engine decides: the rules are written here a
//! second time, from the records alone.

mod attempts;
mod calls;
mod chance;
mod checks;
mod clients;
mod clock;
pub mod engine;
mod figures;
mod handlers;
mod kinds;
pub mod limits;
mod plan;
mod schedules;
mod story;
mod trace;

pub use chance::Chance;
pub use checks::{Checked, Checks, Rule, Violation};
pub use figures::{Figures, Outcome};
pub use kinds::{KINDS, Kind, Order, Setting, Takes};
pub use plan::{NAMES, Plan};
