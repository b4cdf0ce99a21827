//! What the machine is told, and what it asks for.

use weirgate_types::{AttemptFailure, DeliveryId, Digest, Event, HandlerName, KeyHash, Outcome, Position, Record};

use crate::DeliveryRow;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A record got its place in the log. It is not durable yet: what follows from it is told to nobody before it is.
    Appended { position: Position, record: &'a Record },
    /// Everything up to here is durable and can be read back.
    Durable { position: Position },
    /// What an [`Action::Scan`] found: all events after the handler's scanned position, up to `through`.
    Scanned { handler: &'a HandlerName, events: &'a [EventHead], through: Position },
    /// An attempt ended; `Ok` when its effects are to be committed.
    Finished { delivery: &'a DeliveryId, attempt: u32, result: Result<(), &'a AttemptFailure> },
    /// The handler's module is loaded and can be called.
    Ready { handler: &'a HandlerName, digest: Digest },
    /// The handler's module cannot be called at present; deliveries wait without spending attempts.
    Unready { handler: &'a HandlerName },
    /// Time has passed.
    Tick,
    /// The runtime is about to stop: what runs may end, and nothing new begins.
    Stopping,
    /// The log has been replayed: attempts that were under way when the runtime stopped are over.
    Recovered,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Append this record, and tell the machine so by [`Input::Appended`] before anything else.
    Append(Record),
    /// Append a commit with this outcome; the shell adds key, effects and log lines.
    Commit { delivery: DeliveryId, attempt: u32, outcome: Outcome },
    /// Call the handler, once all that has been appended so far is durable.
    Deliver { delivery: DeliveryId, attempt: u32, at_ms: u64 },
    /// Read on for a handler that has fallen behind: events after `after` and up to `until`, or as far as suits, answered by
    /// [`Input::Scanned`].
    Scan { handler: HandlerName, after: Position, until: Position },
    /// Keep this row of the view of open deliveries; `None` removes it.
    Keep { delivery: DeliveryId, row: Option<DeliveryRow>, is_new: bool },
}

/// As much of an event as matching and ordering need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    pub position: Position,
    pub r#type: String,
    pub source: String,
    pub key: KeyHash,
}

impl EventHead {
    #[must_use]
    pub fn of(position: Position, event: &Event) -> Self {
        Self { position, r#type: event.r#type.clone(), source: event.source.clone(), key: KeyHash::of(event.key()) }
    }
}

/// Whether an operator's wish can be granted; asked before its record is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    /// There is nothing to do: it is so already.
    AlreadySo,
    UnknownHandler,
}

/// How an open delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryState {
    /// First of its key, waiting for a free place.
    Ready,
    Running,
    Retrying {
        due_ms: u64,
    },
    /// An earlier delivery of its key, the one at this position, is open.
    ParkedBehind(Position),
}

impl DeliveryState {
    /// All the words there are for states.
    pub const WORDS: [&str; 4] = ["ready", "running", "retrying", "parked-behind"];

    /// The state's word, the same wherever it is named.
    #[must_use]
    pub fn word(self) -> &'static str {
        let [ready, running, retrying, parked_behind] = Self::WORDS;
        match self {
            Self::Ready => ready,
            Self::Running => running,
            Self::Retrying { .. } => retrying,
            Self::ParkedBehind(_) => parked_behind,
        }
    }
}

/// An open delivery, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryView {
    pub delivery: DeliveryId,
    pub key: KeyHash,
    /// How many attempts have begun.
    pub attempt: u32,
    pub state: DeliveryState,
}
