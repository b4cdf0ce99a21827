//! What a replay decides: it is asked for, its plan is approved, and keys are repaired one by one. A replay is named by the
//! position of its `ReplayRequested`.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Digest, Effects, Event, HandlerName, Position, StepAnswer, StepRequest, Written};

/// The handler's recorded deliveries are to be looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRequested {
    pub handler: HandlerName,
    /// What was asked, as JSON, so that it can gain settings without a change of this format.
    pub request: String,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

/// The replay's plan is to be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayApproved {
    pub replay: Position,
    pub handler: HandlerName,
    /// The digest of the plan that was approved.
    pub plan: Digest,
    /// The plan was computed up to here.
    pub through: Position,
    /// What was chosen where the plan left a choice, as JSON.
    pub choices: String,
    /// Whether the plan takes back what the replay has applied.
    pub undoes: bool,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

/// What the replay has repaired up to here is to be taken back: the plan of that is computed, and nothing else begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRequested {
    pub replay: Position,
    pub handler: HandlerName,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

/// What was approved begins to be applied: each of the keys that the approval chose is repaired. It is not over until a
/// `ReplayEnded` follows, so it goes on after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyBegun {
    pub replay: Position,
    pub handler: HandlerName,
    /// The `ReplayApproved` that is applied.
    pub approved: Position,
    /// Whether it takes back what the replay has applied.
    pub undoes: bool,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

/// A key was repaired: these effects take the place of what earlier deliveries of the key had left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    pub replay: Position,
    pub handler: HandlerName,
    pub key: String,
    /// A repair that is too large for one record is split: the number of this part, from 0.
    pub part: u32,
    /// The deployment in force: a `Deployed`.
    pub version: Position,
    /// The event of the first delivery that was looked at again.
    pub from: Position,
    /// The repair takes the key's records up to here into account.
    pub through: Position,
    /// Causation depth of the emitted events.
    pub depth: u32,
    /// Nothing is withheld.
    pub effects: Effects,
    /// The version of the state that its writes leave: that of the deployment which came to it, or what the state had before.
    pub state_version: u32,
    /// The subjects whose status loses the handler's part.
    pub unset: Vec<String>,
    /// `weirgate.key.repaired`, for the handler alone: what it compensates itself.
    pub corrected: Option<Event>,
    /// Whether it takes back an earlier repair.
    pub is_undo: bool,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

impl Repaired {
    #[must_use]
    pub fn written(&self) -> Written<'_> {
        Written { handler: &self.handler, key: &self.key, effects: &self.effects, version: None }
    }
}

/// The answer to an outbound call that the replay made, because none was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayAnswered {
    pub replay: Position,
    /// The delivery that was looked at again.
    pub delivery: DeliveryId,
    pub step: String,
    pub request: StepRequest,
    pub answer: StepAnswer,
    pub at_ms: u64,
}

/// The replay is over, until its undo is approved; or, of an end in part, until it is applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayEnded {
    pub replay: Position,
    pub handler: HandlerName,
    pub end: ReplayEnd,
    /// Number of keys that were repaired, or whose repairs were undone.
    pub repaired: u64,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

/// What an application, or that of an undo, has not repaired. Its end follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairsRefused {
    pub replay: Position,
    pub handler: HandlerName,
    /// The first of them, by key; of receivers, by handler and key.
    pub first: Vec<RepairRefused>,
    /// Number of all of them.
    pub count: u64,
    pub at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairRefused {
    /// The key; of a receiver, its handler and the key.
    pub key: String,
    pub reason: String,
}

#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayEnd {
    /// All keys of the plan are repaired.
    Applied,
    /// No further key is repaired. Those that are stay so.
    Cancelled,
    /// All repairs are taken back.
    Undone,
    /// The application, or that of the undo, has ended, and keys of the plan are left: they were not approved, or could not be repaired.
    InPart,
    /// The undo that was asked for, and not approved, is withdrawn. The replay stays as it is.
    UndoCancelled,
}
