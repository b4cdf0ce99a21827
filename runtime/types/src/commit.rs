//! The commit: a delivery's outcome and all its effects, in one record.

use serde::{Deserialize, Serialize};

use crate::{AttemptFailure, Digest, Event, HandlerName, Position};

/// The one record that ends an attempt. Its emitted events take the positions that follow its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub handler: HandlerName,
    /// The event that was delivered.
    pub event: Position,
    /// The event's key, so that views can be derived from the commit alone.
    pub key: String,
    pub attempt: u32,
    /// The version that was called.
    pub digest: Digest,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub outcome: Outcome,
    /// How many handlers' emissions lead to the events that this one emits, its own included: one more than to the event that
    /// was delivered.
    pub depth: u32,
    /// Empty unless the outcome is `Completed` or `Withheld`; but what the runtime itself tells of the attempt is emitted
    /// with every outcome.
    pub effects: Effects,
    pub log: Vec<LogLine>,
}

impl Commit {
    /// How many bytes the commit takes in a record.
    #[must_use]
    pub fn encoded_size(&self) -> usize {
        // Only a type that refuses to be encoded has no size, and this one is derived.
        postcard::experimental::serialized_size(self).unwrap_or(usize::MAX)
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Completed,
    /// It will be tried again after `delay_ms`, not earlier.
    Retry {
        delay_ms: u64,
        /// When that is over by the wall clock, for people.
        due_ms: u64,
        /// Which of the manifest's retry stages the wait belongs to, from 0.
        stage: u8,
        /// Whether the attempt counts; one that met an open circuit does not.
        spent: bool,
        /// The attempt before it that failed: the failures of a delivery are a chain, from the newest back.
        previous: Option<Position>,
        failure: AttemptFailure,
    },
    /// It waits until somebody corrects its data.
    AwaitingCorrection {
        previous: Option<Position>,
        failure: AttemptFailure,
    },
    DeadLettered {
        /// Whether its key waits until somebody has decided about it.
        held: bool,
        /// What a later attempt at it takes up.
        carried: Carried,
        /// What the handler knew of the key, for whoever looks into it; not all of it where that is much.
        state: Vec<StateWrite>,
        failure: AttemptFailure,
    },
    /// It is done, but earlier deliveries of its key are not, and what it emits must not overtake what they emit:
    /// `effects.withheld` leaves with a later `Released`.
    Withheld,
}

/// What an attempt takes up from those before it: places in the log.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The newest answer to one of its outbound calls: a `Stepped`, which names the one before.
    pub step: Option<Position>,
    /// How many answers that chain holds.
    pub steps: u32,
    /// The data that it gets in place of its event's: an `DeliveryDecided` with a correction.
    pub correction: Option<Position>,
    /// The newest attempt that failed.
    pub failure: Option<Position>,
}

/// What a completed attempt changes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    pub state: Vec<StateWrite>,
    pub status: Vec<StatusWrite>,
    pub emitted: Vec<Event>,
    /// Timers started and cancelled, by name.
    pub timers: Vec<TimerWrite>,
    /// Events that have no position yet; see [`Outcome::Withheld`].
    pub withheld: Vec<Event>,
}

/// A named timer of the handler and the delivery's key; `None` cancels it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerWrite {
    pub name: String,
    pub set: Option<TimerSetting>,
}

/// When a timer is due, and the event that the handler then gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerSetting {
    /// Unix time in milliseconds; it fires then or later, never before.
    pub due_ms: u64,
    pub r#type: String,
    pub data_content_type: Option<String>,
    pub data: Vec<u8>,
}

/// A named value of the handler's state for the delivery's key; `None` removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

/// The handler's part of a subject's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusWrite {
    pub subject: String,
    pub state: String,
    pub text: String,
    /// A JSON document.
    pub data: Option<String>,
}

/// A line the handler logged during the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
