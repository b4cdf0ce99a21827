//! What-if: what a candidate would have done with recorded deliveries, in a fork of the state. No effect is kept. Calls are answered from the
//! record; only with consent is a host called, and its answer recorded.

mod added;
mod asked;
mod behind;
mod call;
mod calls;
mod delivered;
mod deployments;
mod earlier;
mod emissions;
mod examine;
mod execute;
mod filter;
mod for_later;
mod held;
mod index;
mod kept_fold;
mod key_records;
mod lane;
mod lane_past;
mod late;
mod notes;
mod outcome;
mod outside;
mod parts;
mod plan;
mod repaired;
mod request;
mod run;
mod state;
mod substitutes;
mod walk;
mod written;

use std::sync::Arc;

use weirgate_host::{OwnProcessor, Processor};
use weirgate_types::Position;

use super::ReplayError;
pub use asked::Repairs;
pub use calls::{AnsweredCall, MissingAnswers, UnansweredCall, UnmadeCall};
pub use deployments::Deployments;
pub(crate) use deployments::in_force;
pub use emissions::{Changes, Emission, Emissions, Pairs};
pub use examine::{Bound, Examination, Sources};
pub use filter::Filter;
pub use index::Index;
pub use kept_fold::{Folding, KeptFold};
#[cfg(test)]
pub use lane::{Both, Stood};
pub use lane::{Lane, Side, StatusSides};
pub use notes::{Examined, Fails, Listed, Notes, OutcomeChange, PathStep};
pub use outside::{MayCall, NoOutside, Outside, ReplayAnswer};
pub use parts::{KeyIsRepaired, KeyStatuses, PartWrite, Parts, Stands};
pub use plan::{KeyPlan, Planned, Stays, digest as plan_digest};
pub use request::{Bounds, Candidate, Closed, Runs, Selection, WhatIf};
pub use run::LaneId;
pub use written::PartWrites;

/// Who follows a what-if.
pub trait Progress {
    /// Called often, with the position that the walk is at and the number of deliveries that were executed.
    ///
    /// # Errors
    /// It is to end: it was cancelled, or has used its time.
    fn go_on(&self, at: Position, executed: u64) -> Result<(), ReplayError>;

    /// For the calls: those of a replay that is to end are discarded at their next tick.
    fn processor(&self) -> Arc<dyn Processor> {
        Arc::new(OwnProcessor)
    }
}

#[cfg(test)]
mod tests;
