//! What-if: what a candidate would have done with recorded deliveries, in a fork of the state. No effect is kept and no host is called.

mod emissions;
mod examine;
mod execute;
mod filter;
mod lane;
mod notes;
mod plan;
mod request;
mod run;
mod services;
mod substitutes;
mod walk;

use weirgate_types::Position;

use super::ReplayError;
pub use emissions::{Emission, Emissions, Pairs, pair};
pub use examine::{Bound, Examination, Sources};
pub use filter::Filter;
pub use lane::{Lane, Side, StatusSides};
pub use notes::{Examined, Fails, Listed, Notes, OutcomeChange, PathStep};
pub use plan::{KeyPlan, Planned, Stands, Stays, digest as plan_digest};
pub use request::{Bounds, Candidate, Closed, Runs, Selection, WhatIf};
pub use run::LaneId;
pub use services::{AnsweredCall, MissingAnswers, UnansweredCall};

/// Who follows a what-if.
pub trait Progress {
    /// Called often, with the position that the walk is at and the number of deliveries that were executed.
    ///
    /// # Errors
    /// It is to end: it was cancelled, or has used its time.
    fn go_on(&self, at: Position, executed: u64) -> Result<(), ReplayError>;
}

#[cfg(test)]
mod tests;
