//! Inputs: what the engine reports to the machine.

use weirgate_types::{
    AttemptFailure, BreakerId, DeliveryId, Digest, HandlerName, HostCall, KeyHash, KeyHasher, Position, Record,
};

use crate::{DeliveryRow, HoldId, PerWait};

/// One input.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A record was staged at a position. It is not durable yet, so nothing that follows from it is published before it is.
    Staged { position: Position, record: &'a Record },
    /// All records up to here are durable and readable, and so are all rows that were written.
    Durable { position: Position },
    /// The result of an [`crate::Action::Scan`]: all events after the handler's scanned position, up to `through`.
    Scanned { handler: &'a HandlerName, events: &'a [EventHead], through: Position },
    /// The result of an [`crate::Action::Reload`]; with what is due next where due lanes were requested.
    Reloaded { handler: &'a HandlerName, lanes: &'a [ReloadedLane], due: PerWait<Option<NextDue>> },
    /// The results of the attempts of one call: one, or those of a batch.
    AttemptResults { handler: &'a HandlerName, results: &'a [AttemptResult<'a>] },
    /// A handler's calls to hosts ended.
    Called { handler: &'a HandlerName, calls: &'a [HostCall] },
    /// Before [`Input::Staged`] or [`Input::Scanned`], for a handler of [`Machine::finishing`]: keys of its events, each with the
    /// earliest version that it has something under way with. Deliveries in memory can be left out.
    ///
    /// [`Machine::finishing`]: crate::Machine::finishing
    UnderWay { handler: &'a HandlerName, keys: &'a [(KeyHash, Position)] },
    /// A module of the handler is loaded and can be called.
    Ready { handler: &'a HandlerName, digest: Digest },
    /// The handler's module cannot be called at present; deliveries wait and spend no attempts.
    Unready { handler: &'a HandlerName, digest: Digest },
    /// Timers were fired; the first remaining timer is due then.
    TimersRead { next_due_ms: Option<u64> },
    /// An operator opens or closes a breaker.
    SetBreaker { breaker: &'a BreakerId, open: bool, actor: &'a str, reason: &'a str },
    /// No attempt of the key begins at the handler, for at most [`crate::HOLD_MS_MAX`]. Answered by
    /// [`crate::Action::ReportQuiet`] or [`crate::Action::ReportHoldOver`].
    Hold { hold: HoldId, handler: &'a HandlerName, key: KeyHash },
    /// The hold is not needed any more.
    EndHold { hold: HoldId },
    /// All waiting commands were taken and time has passed: attempts begin now, so that ready deliveries share calls.
    Tick,
    /// Whether the disk has room for writes of handlers and timers. Without it no attempt begins and no timer fires.
    Space { has_space: bool },
    /// The runtime is stopping: running attempts may end, and none begins.
    Stopping,
    /// The log has been replayed: attempts that were running when the runtime stopped are interrupted.
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

/// The first deliveries of a lane that were on disk, in the order of [`crate::Rank`]; empty if only the lane's next number
/// was requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadedLane {
    pub lane: KeyHash,
    pub rows: Vec<(Position, DeliveryRow)>,
    /// Whether the lane has more on disk.
    pub more: bool,
    /// The lane's next number, if one is stored.
    pub next: Option<u64>,
}

/// When the next delivery that remains on disk is due, if one waits for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextDue(pub Option<u64>);

/// The fields of an event that matching and ordering need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    pub position: Position,
    pub r#type: String,
    pub source: String,
    pub key: KeyHash,
    /// The only handler that the event is for, if it names one.
    pub to: Option<HandlerName>,
    /// Its sequence number.
    pub sequence: Option<u64>,
    /// The time of its record.
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
            to: record.addressee().filter(|_| position == first).cloned(),
            sequence: event.sequence(),
            at_ms: record.at_ms(),
        })
    }
}

/// The deliveries that a record names, besides those that its events open.
#[must_use]
pub fn deliveries_of(record: &Record) -> Vec<DeliveryId> {
    let id = |(handler, position): (&HandlerName, Position)| DeliveryId { handler: handler.clone(), position };
    named_deliveries(record).map(id).collect()
}

/// The same, without copies of their names.
pub fn named_deliveries(record: &Record) -> impl Iterator<Item = (&HandlerName, Position)> {
    let named = match record {
        Record::Attempted { delivery, .. } | Record::Released { delivery, .. } => Some(delivery),
        Record::Stepped(stepped) => Some(&stepped.delivery),
        Record::DeliveryDecided(decided) => Some(&decided.delivery),
        Record::CorrectionRefused(refused) => Some(&refused.delivery),
        _ => None,
    };
    let ended = record.commits().iter().map(|commit| (&commit.handler, commit.event));
    named.map(|delivery| (&delivery.handler, delivery.position)).into_iter().chain(ended)
}
