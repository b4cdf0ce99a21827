//! Replay: attempts of the log are executed again, on what the log holds of their inputs. No effect is kept and no host is
//! called.
//!
//! An attempt that is recorded as reproducible comes to the same result, bit for bit: the same failure, or the same state,
//! status, events and timers, and the same log lines.

mod attempts;
mod bundle;
mod check;
mod compare;
mod execute;
mod find;
mod fixture;
mod inputs;
mod mask;
mod memory;
mod pace;
mod past;
mod recorded;
mod recorded_state;
mod recordings;
mod verify;
mod walk;
mod what_if;

use weirgate_history::HistoryError;
use weirgate_host::{CallError, ModuleError, StateError};
use weirgate_types::{DeliveryId, Digest, Position};

use crate::{Refusal, StorageError};
#[cfg(feature = "sim")]
pub use attempts::{Attempts, Begun, EndedCall};
pub use bundle::{Bundle, BundleError, Ran, collect};
pub(crate) use check::check;
pub use check::{Checked, LeftOut};
pub use compare::{Differs, Part};
#[cfg(feature = "sim")]
pub use execute::Services;
pub use execute::{Executable, Load};
#[cfg(feature = "sim")]
pub use find::{Finder, Found};
pub use fixture::Fixture;
pub use mask::{BadMask, Mask};
pub use pace::Pace;
pub(crate) use pace::cancellable;
pub use recordings::{Recorded, Recording, Recordings};
pub use verify::{Difference, Verified, verify, verify_range};
pub(crate) use what_if::in_force;
pub use what_if::{
    AnsweredCall, Bound, Bounds, Candidate, Changes, Closed, Deployments, Emission, Emissions, Examination, Examined,
    Fails, Filter, Folding, Index, KeptFold, KeyIsRepaired, KeyPlan, KeyStatuses, Lane, LaneId, Listed, MayCall,
    MissingAnswers, NoOutside, Notes, OutcomeChange, Outside, Pairs, PartWrite, PartWrites, Parts, PathStep, Planned,
    Progress, Repairs, ReplayAnswer, Runs, Selection, Side, Sources, Stands, StatusSides, Stays, UnansweredCall,
    UnmadeCall, WhatIf, plan_digest,
};
#[cfg(test)]
pub use what_if::{Both, Stood};

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the deployment at position {0} is not in the log")]
    NoDeployment(Position),
    #[error("the manifest of the deployment at position {position} cannot be read: {reason}")]
    Manifest { position: Position, reason: String },
    #[error("module {digest} cannot be loaded")]
    Module { digest: Digest, source: ModuleError },
    #[error("{delivery} cannot be executed")]
    Call { delivery: DeliveryId, source: CallError },
    #[error("the call has no item {0}")]
    NoItem(usize),
    #[error("{0}, attempt {1}, comes to another result than the recorded one (`weirgate replays verify` shows it)")]
    Differs(DeliveryId, u32),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the inputs of an attempt cannot be read")]
    State(#[from] StateError),
    #[error("the module of the deployment at position {0} is not there any more")]
    NoModule(Position),
    #[error("it was cancelled")]
    Cancelled,
    #[error("the limit `{0}` is reached")]
    Bound(&'static str),
    #[error("it ended by a defect of this program: {0}")]
    Panicked(String),
    #[error("it is not computed")]
    NotComputed,
    #[error("a thread cannot wait")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Refused(Box<Refusal>),
}

impl From<Refusal> for ReplayError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}
