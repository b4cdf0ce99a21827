//! The writer's commands and their replies. A closed list.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weirgate_core::{DeliveryState, HoldId, StateName};
use weirgate_host::{Grant, Module};
use weirgate_types::{
    AttemptFailure, BreakerId, Carried, DeliveryCommand, DeliveryId, Deployed, Digest, Event, HandlerName, HostCall,
    KeyHash, LogLine, Manifest, Mode, Position, Repaired, StateWrite, Stepped,
};

use crate::{
    Refusal, WorkerFault,
    identities::Identified,
    job::{CallResult, StoredRecord},
    replays::ReplayStep,
};

/// A permit for events on their way into the log, and the bytes that they hold. Released when the events are in the log,
/// however long the producer waits.
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

/// A command. Replies are sent when what they report is durable.
#[derive(Debug)]
pub enum Command {
    Ingest {
        events: Vec<Identified>,
        /// The addressed handler; `None`: every handler that subscribes.
        to: Option<HandlerName>,
        permit: Permit,
        reply: Reply<Vec<Ingested>>,
    },
    CallResult(Box<CallResult>),
    Deploy {
        deployed: Box<Deployed>,
        module: Module,
        /// The version that it replaces; refused if another is in force by now.
        replaces: Option<Position>,
        reply: Reply<HandlerItem>,
    },
    /// Removes a handler that has nothing open.
    Remove {
        handler: HandlerName,
        audit: Audit,
        reply: Reply<Position>,
    },
    /// A module that was loaded at the start, or `None` if that failed.
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
    Decide {
        command: Box<PreparedCommand>,
        reply: Reply<Position>,
    },
    SetBreaker {
        breaker: BreakerId,
        open: bool,
        audit: Audit,
        reply: Reply<BreakerItem>,
    },
    /// The breakers after one, at most `limit`.
    Breakers {
        after: Option<BreakerId>,
        limit: usize,
        reply: Reply<BreakerPage>,
    },
    /// An outbound call ended; the writer adds time and previous answer. If the answer is final, the caller waits until it is
    /// durable.
    Step {
        stepped: Box<Stepped>,
        reply: Option<crossbeam_channel::Sender<Result<(), Refusal>>>,
    },
    /// A replay has called hosts for a handler.
    Called {
        handler: HandlerName,
        calls: Vec<HostCall>,
    },
    Handlers {
        /// Only this one, where one is named.
        name: Option<HandlerName>,
        reply: Reply<Vec<HandlerItem>>,
    },
    /// Query the phases of some deliveries, each given with its lane.
    KnownStates {
        deliveries: Vec<(DeliveryId, KeyHash)>,
        reply: Reply<Vec<KnownState>>,
    },
    /// A step of a replay is to be recorded.
    StepReplay {
        step: Box<ReplayStep>,
        audit: Audit,
        reply: Reply<Position>,
    },
    /// No attempt of the key is to begin, for at most a second. Replied to when none is running.
    HoldKey {
        handler: HandlerName,
        key: String,
        reply: Reply<HoldToken>,
    },
    EndHold {
        hold: HoldId,
    },
    /// A key on hold is repaired; that ends the hold, unless the repair has more parts.
    Repair {
        token: HoldToken,
        repaired: Box<Repaired>,
        has_more: bool,
        reply: Reply<Position>,
    },
    /// Stop once all taken commands are durable.
    Stop {
        reply: oneshot::Sender<()>,
    },
    /// A worker could not make a call: the engine ends.
    WorkerFailed(WorkerFault),
}

/// A hold that is in force.
#[derive(Debug, Clone)]
pub struct HoldToken {
    pub hold: HoldId,
    pub handler: HandlerName,
    pub key: String,
    /// The wall clock's time when it was known that no attempt runs.
    pub wall_ms: u64,
    /// Up to where the parts of statuses were looked at that the repair writes; `None`: the caller has made sure of them.
    pub parts_through: Option<Position>,
}

/// The actor of a command and the reason, recorded with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub actor: String,
    pub reason: String,
}

/// An operator's command for a delivery, with all its data.
#[derive(Debug, Clone)]
pub struct PreparedCommand {
    pub delivery: DeliveryId,
    /// The record that holds the event, read in advance so that the writer does not have to read it.
    pub stored: StoredRecord,
    pub command: DeliveryCommand,
    /// The events that resolve it.
    pub events: Vec<Event>,
    /// For a dead letter: what its next attempt needs.
    pub carried: Carried,
    pub audit: Audit,
    /// For a delivery that is given up: its last failure.
    pub last_failure: Option<LastFailure>,
}

/// A failed attempt as evidence: what failed, in which version.
#[derive(Debug, Clone)]
pub struct LastFailure {
    pub attempt: u32,
    pub digest: Digest,
    pub failure: AttemptFailure,
    pub log: Vec<LogLine>,
}

/// A circuit breaker and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerItem {
    pub breaker: BreakerId,
    /// When the open time ends, after which only the half-open probe passes; `None`: closed.
    pub open_until_ms: Option<u64>,
    /// Why it was opened or closed last; read by [`crate::Handle::described_breakers`].
    pub changed: Option<Changed>,
}

/// A page of breakers: those of handlers first, in order of name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerPage {
    pub breakers: Vec<BreakerItem>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<BreakerId>,
}

/// The last change of a handler's mode or of a breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub at_ms: u64,
    pub reason: String,
}

/// The result for an event that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    pub id: String,
    pub source: String,
    pub key: String,
    /// The event's position; for a duplicate, the position of its first copy.
    pub position: Position,
    pub duplicate: bool,
}

/// A handler, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct HandlerItem {
    pub name: HandlerName,
    pub digest: Digest,
    pub manifest: Arc<Manifest>,
    pub mode: Mode,
    /// Whether the module is loaded and can be called.
    pub ready: bool,
    /// All deliveries up to here are closed.
    pub checkpoint: Position,
    /// Number of events that the handler has not looked at yet.
    pub lag: u64,
    /// The position of the event of its oldest open delivery, and when that was accepted; the time is read by
    /// [`crate::Handle::described`].
    pub oldest_open: Option<Position>,
    pub oldest_open_at_ms: Option<u64>,
    /// Who changed its mode last, and why; read by [`crate::Handle::described`].
    pub changed: Option<Changed>,
    pub open: usize,
    pub running: usize,
    pub retrying: usize,
    /// Spilled deliveries: on disk only until they are due or a command names them.
    pub spilled: usize,
    /// When its breaker's open time ends.
    pub breaker_open_until_ms: Option<u64>,
    pub deployed_at_ms: u64,
    /// The position of the version in force.
    pub version: Position,
    /// Earlier versions that finish what was under way, with their modules.
    pub finishing: Vec<(Position, Digest)>,
    /// Its number; read by [`crate::Handle::described`].
    pub version_number: Option<u32>,
}

impl HandlerItem {
    /// The modules of all versions that its deliveries run under.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.finishing.iter().map(|(_, digest)| *digest).chain([self.digest])
    }
}

/// Which open deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub handler: Option<HandlerName>,
    pub key: Option<String>,
    pub state: Option<StateName>,
    /// Only entries after this id, in order of handler and position.
    pub after: Option<DeliveryId>,
    pub limit: usize,
}

/// The phase of a delivery, as far as memory knows.
#[derive(Debug, Clone, Copy)]
pub struct KnownState {
    /// Where the delivery is in memory.
    pub state: Option<DeliveryState>,
    /// Not in memory: the first delivery of its lane that is.
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
    /// When the event was accepted.
    pub accepted_at_ms: u64,
    /// The last failed attempt's.
    pub failure: Option<AttemptFailure>,
}

/// A delivery that used up its attempts or failed permanently.
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
    /// The key's state as the last attempt saw it, without the larger values.
    pub state: Vec<StateWrite>,
    /// Whether its key waits for an operator's command.
    pub held: bool,
    pub carried: Carried,
    /// The version of the handler that failed.
    pub digest: Option<Digest>,
    /// The event's type.
    pub r#type: String,
}
