//! What the machine is told.

use weirgate_types::{
    AttemptFailure, BreakerId, DeliveryId, Digest, HandlerName, KeyHash, KeyHasher, Position, Record,
};

use crate::DeliveryRow;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A record got its place in the log. It is not durable yet: what follows from it is told to nobody before it is.
    Staged { position: Position, record: &'a Record },
    /// Everything up to here is durable and can be read back, and all rows that were to be kept can be.
    Durable { position: Position },
    /// What an [`crate::Action::Scan`] found: all events after the handler's scanned position, up to `through`.
    Scanned { handler: &'a HandlerName, events: &'a [EventHead], through: Position },
    /// What an [`crate::Action::Reload`] found; with `due` where it was asked for what is due.
    Reloaded { handler: &'a HandlerName, lanes: &'a [ReloadedLane], due: Option<NextDue> },
    /// The results of the attempts of one call: one, or those of a batch.
    AttemptResults { handler: &'a HandlerName, results: &'a [AttemptResult<'a>] },
    /// Calls of a handler to hosts ended, and whether each answered well.
    Called { handler: &'a HandlerName, hosts: &'a [(String, bool)] },
    /// The handler's module is loaded and can be called.
    Ready { handler: &'a HandlerName, digest: Digest },
    /// The handler's module cannot be called at present; deliveries wait without spending attempts.
    Unready { handler: &'a HandlerName },
    /// The first timer that is left is due then.
    TimersRead { next_due_ms: Option<u64> },
    /// An operator opens or closes a breaker.
    SetBreaker { breaker: &'a BreakerId, open: bool, actor: &'a str, reason: &'a str },
    /// All that came at once has been taken, and time has passed: attempts begin, so that what is ready shares calls.
    Tick,
    /// Whether the disk has room for what handlers and timers write. Without it no attempt begins and no timer goes off.
    Space { has_space: bool },
    /// The runtime is about to stop: what runs may end, and nothing new begins.
    Stopping,
    /// The log has been replayed: attempts that were under way when the runtime stopped are over.
    Recovered,
}

/// What a call returned for one attempt.
#[derive(Debug, Clone, Copy)]
pub struct AttemptResult<'a> {
    pub position: Position,
    pub attempt: u32,
    /// `Ok` when its effects are to be committed.
    pub result: Result<(), &'a AttemptFailure>,
    /// Whether the handler's hook has corrected the data of a correctable failure.
    pub corrected: bool,
}

/// Deliveries of a lane that were on disk, the first ones, in the order of [`crate::Rank`]; none where only the lane's
/// number was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadedLane {
    pub lane: KeyHash,
    pub rows: Vec<(Position, DeliveryRow)>,
    /// Whether there are more.
    pub more: bool,
    /// The number that is next in the lane, as far as one was kept.
    pub next: Option<u64>,
}

/// When the next of those that were left on disk is due, if one of them is waiting for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDue(pub Option<u64>);

/// As much of an event as matching and ordering need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    pub position: Position,
    pub r#type: String,
    pub source: String,
    pub key: KeyHash,
    /// The one handler that it is for, where it is for one only.
    pub to: Option<HandlerName>,
    /// The number that it carries.
    pub sequence: Option<u64>,
    /// When it came: the record's time.
    pub at_ms: u64,
}

impl EventHead {
    /// The events of a record.
    pub fn of(first: Position, record: &Record, keys: KeyHasher) -> impl Iterator<Item = Self> {
        record.events(first).map(move |(position, event)| Self {
            position,
            r#type: event.r#type.clone(),
            source: event.source.clone(),
            key: keys.hash(event.key()),
            to: record.addressee().cloned(),
            sequence: event.sequence(),
            at_ms: record.at_ms(),
        })
    }
}

/// The delivery that a record says something of, besides the event that opens it.
#[must_use]
pub fn deliveries_of(record: &Record) -> Vec<DeliveryId> {
    match record {
        Record::Attempted { delivery, .. } | Record::Stepped { delivery, .. } | Record::Released { delivery, .. } => {
            vec![delivery.clone()]
        }
        Record::DeliveryDecided(decided) => vec![decided.delivery.clone()],
        Record::CorrectionRefused(refused) => vec![refused.delivery.clone()],
        other => {
            let ids = other.commits().iter();
            ids.map(|commit| DeliveryId { handler: commit.handler.clone(), position: commit.event }).collect()
        }
    }
}
