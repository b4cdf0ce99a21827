//! What the writer is asked to do, and the answers. A closed list.

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weirgate_core::DeliveryState;
use weirgate_host::{Grant, Module};
use weirgate_types::{
    AttemptFailure, BreakerId, Carried, DeliveryCommand, DeliveryId, Deployed, Digest, Event, HandlerName, KeyHash,
    LogLine, Manifest, Mode, Position, StateWrite, StepAnswer,
};

use crate::{
    Refusal, WorkerFault,
    identities::Identified,
    job::{CallResult, StoredRecord},
};

/// A place among the events that may be on their way into the log at once, and the bytes they hold. Given back when they
/// are in it, however long the producer waits.
#[derive(Debug)]
pub struct Permit {
    _events: OwnedSemaphorePermit,
    _bytes: Option<Grant>,
}

impl Permit {
    pub fn new(events: OwnedSemaphorePermit, bytes: Option<Grant>) -> Self {
        Self { _events: events, _bytes: bytes }
    }
}

pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// One thing to do. Replies are sent when what they say is durable.
#[derive(Debug)]
pub enum Command {
    Ingest {
        events: Vec<Identified>,
        /// The one handler they are for; absent: for all that subscribe.
        to: Option<HandlerName>,
        permit: Permit,
        reply: Reply<Vec<Ingested>>,
    },
    CallResult(Box<CallResult>),
    Deploy {
        deployed: Box<Deployed>,
        module: Module,
        reply: Reply<HandlerItem>,
    },
    /// A module that was loaded at the start, or `None` where that failed.
    Loaded {
        handler: HandlerName,
        digest: Digest,
        module: Option<Module>,
    },
    ChangeMode {
        handler: HandlerName,
        mode: Mode,
        audit: Audit,
        reply: Reply<HandlerItem>,
    },
    /// An operator's command for a delivery.
    CommandDelivery {
        command: Box<PreparedCommand>,
        reply: Reply<Position>,
    },
    SetBreaker {
        breaker: BreakerId,
        open: bool,
        audit: Audit,
        reply: Reply<Vec<BreakerItem>>,
    },
    Breakers {
        reply: Reply<Vec<BreakerItem>>,
    },
    /// An outbound call was answered; whoever made it waits until that is durable.
    Step {
        delivery: DeliveryId,
        attempt: u32,
        step: String,
        answer: StepAnswer,
        reply: crossbeam_channel::Sender<Result<(), Refusal>>,
    },
    Handlers {
        /// Only this one, where one is named.
        name: Option<HandlerName>,
        reply: Reply<Vec<HandlerItem>>,
    },
    /// How some deliveries phase, each given with its lane.
    KnownStates {
        deliveries: Vec<(DeliveryId, KeyHash)>,
        reply: Reply<Vec<KnownState>>,
    },
    /// Stop after what has been taken is durable.
    Stop {
        reply: oneshot::Sender<()>,
    },
    /// A worker could not make a call: the engine ends.
    WorkerFailed(WorkerFault),
}

/// Who gives a command, and why: kept with the record of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub actor: String,
    pub reason: String,
}

/// An operator's command for a delivery, with all that it needs.
#[derive(Debug, Clone)]
pub struct PreparedCommand {
    pub delivery: DeliveryId,
    /// Holds the event: read before, so that the writer need not.
    pub stored: StoredRecord,
    pub command: DeliveryCommand,
    /// What resolves it.
    pub events: Vec<Event>,
    /// Of a dead letter: what the next attempt takes up.
    pub carried: Carried,
    pub audit: Audit,
}

/// A circuit breaker and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerItem {
    pub breaker: BreakerId,
    /// Until when nothing passes but the one call that finds out; `None`: it is closed.
    pub open_until_ms: Option<u64>,
}

/// What became of an event that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    pub id: String,
    pub source: String,
    pub key: String,
    /// Where the event stands in the log; for a duplicate, where its first copy does.
    pub position: Position,
    pub duplicate: bool,
}

/// A handler, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct HandlerItem {
    pub name: HandlerName,
    pub digest: Digest,
    pub manifest: Manifest,
    pub mode: Mode,
    /// Whether the module is loaded and can be called.
    pub ready: bool,
    /// Everything up to here is done with.
    pub checkpoint: Position,
    /// Number of positions between the checkpoint and the log's head.
    pub lag: u64,
    pub open: usize,
    pub running: usize,
    pub retrying: usize,
    /// Deliveries that wait on disk only, until their time comes or somebody acts.
    pub spilled: usize,
    /// Until when its breaker is open.
    pub breaker_open_until_ms: Option<u64>,
    pub deployed_at_ms: u64,
}

/// Which open deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub handler: Option<HandlerName>,
    pub key: Option<String>,
    /// One of [`DeliveryState::WORDS`].
    pub state: Option<String>,
    /// Only entries after this id, in order of handler and position.
    pub after: Option<DeliveryId>,
    pub limit: usize,
}

/// The state of a delivery, as far as memory knows.
#[derive(Debug, Clone, Copy)]
pub struct KnownState {
    /// Where the delivery is in memory.
    pub state: Option<DeliveryState>,
    /// Where it is not: the first of its lane that is.
    pub first_of_lane: Option<Position>,
}

/// An open delivery.
#[derive(Debug, Clone)]
pub struct DeliveryItem {
    pub delivery: DeliveryId,
    pub attempt: u32,
    pub state: DeliveryState,
    pub key: String,
    /// The event's type.
    pub r#type: String,
}

/// A delivery that used up its attempts or failed for good.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub delivery: DeliveryId,
    pub key: String,
    pub attempt: u32,
    pub at_ms: u64,
    pub failure: AttemptFailure,
    /// The position of its record.
    pub position: Position,
    /// Log lines of the last attempt.
    pub log: Vec<LogLine>,
    /// What the last attempt's handler knew of the key, the larger values left out.
    pub state: Vec<StateWrite>,
    /// Whether its key is held until it is decided.
    pub held: bool,
    pub carried: Carried,
    /// The version of the handler that failed.
    pub digest: Option<Digest>,
    /// The event's type.
    pub r#type: String,
}
