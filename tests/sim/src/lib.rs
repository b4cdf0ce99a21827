//! The simulator: the real delivery machine, driven as the engine drives it, over the real log on a disk that fails, tears
//! and loses data. One seed is one history of some hundred records: events, failures, crashes, operators, clocks that jump;
//! then everything heals, and nothing may be left. `docs/simulation.md` lists the checks and their results.
//!
//! It knows the machine's inputs, actions and queries, and records. It does not know how the machine decides: the rules are
//! written here a second time, from the records alone.

mod chance;
mod checks;
mod clients;
mod clock;
pub mod engine;
mod heal;
mod history;
mod kinds;
pub mod limits;
mod operators;
mod plan;
mod rebuild;
mod schedules;
mod shell;
mod story;
mod trace;
mod views;

pub use chance::Chance;
pub use checks::{Checked, Checks, Rule, Violation};
pub use history::{Figures, Outcome, run, run_caught, tell};
pub use kinds::{KINDS, Kind, Order, Setting, Takes};
pub use plan::{NAMES, Plan};
