//! The commit: a delivery's outcome and all its effects, in one record.

use serde::{Deserialize, Serialize};

use crate::{AttemptFailure, DeliveryId, Digest, Event, HandlerName, Position, Written, json};

/// The record that ends an attempt. Its emitted events take the positions that follow its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub handler: HandlerName,
    /// The delivered event.
    pub event: Position,
    /// The event's key, so that views can be derived from the commit alone.
    pub key: String,
    pub attempt: u32,
    /// The deployment that the attempt began under: a `Deployed`.
    pub version: Position,
    /// Its module.
    pub digest: Digest,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub outcome: Outcome,
    /// Causation depth of the emitted events: one more than that of the delivered event.
    pub depth: u32,
    /// Empty unless the outcome is `Completed` or `Withheld`; but the runtime's notice of the attempt is emitted with every
    /// outcome.
    pub effects: Effects,
    pub log: Vec<LogLine>,
    /// The CPU time of the call, in microseconds; its part of that of a batch.
    pub cpu_us: u32,
    /// Whether the same inputs give the same result. Not where the attempt was ended by CPU or wall time, by a stop of the
    /// runtime or by a lack of memory on this machine.
    pub reproducible: bool,
    /// What its reads of the state saw, in order. Empty where each read saw what earlier deliveries of the key had committed
    /// before the attempt began: always, unless deliveries of a key overlap.
    pub reads: Vec<StateReads>,
    /// The form of its state writes: the `state_version` of its deployment. 0 where no call returned, so that there are none.
    pub state_version: u32,
    /// The version that the key's state had, if the attempt began with a migration of it to `state_version`.
    pub migrated_from: Option<u32>,
}

/// Consecutive reads of the state that saw all commits up to one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReads {
    pub count: u32,
    pub as_of: Position,
}

impl Commit {
    /// The delivery whose attempt it ends.
    #[must_use]
    pub fn delivery(&self) -> DeliveryId {
        DeliveryId { handler: self.handler.clone(), position: self.event }
    }

    #[must_use]
    pub fn written(&self) -> Written<'_> {
        Written { handler: &self.handler, key: &self.key, effects: &self.effects, version: Some(self.version) }
    }

    /// Whether it leaves its key's state in its version: it may have found nothing to rewrite.
    #[must_use]
    pub fn sets_state_version(&self) -> bool {
        let is_kept = matches!(self.outcome, Outcome::Completed | Outcome::Withheld);
        is_kept && (!self.effects.state.is_empty() || self.migrated_from.is_some())
    }

    /// Size of the commit in a record, in bytes.
    #[must_use]
    pub fn encoded_size(&self) -> usize {
        // Only a type that cannot be encoded has no size, and this one is derived.
        postcard::experimental::serialized_size(self).unwrap_or(usize::MAX)
    }
}

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Completed,
    /// It is tried again after at least `delay_ms`.
    Retry {
        delay_ms: u64,
        /// When the delay ends by the wall clock, for people.
        due_ms: u64,
        /// The index of the manifest's retry stage, from 0.
        stage: u8,
        /// Whether the attempt counts; one that met an open circuit does not.
        spent: bool,
        /// The previous failed attempt: the failures of a delivery are a linked list, the newest first.
        previous: Option<Position>,
        failure: AttemptFailure,
    },
    /// It waits for a correction.
    AwaitingCorrection {
        previous: Option<Position>,
        failure: AttemptFailure,
    },
    DeadLettered {
        /// Whether its key waits for an operator's command on it.
        held: bool,
        /// What a later attempt at it needs.
        carried: Carried,
        /// The key's state, for operators; large values are left out.
        state: Vec<StateWrite>,
        failure: AttemptFailure,
    },
    /// It is completed, but earlier deliveries of its key are not, and its emissions must not overtake theirs:
    /// `effects.withheld` is released by a later `Released`.
    Withheld,
}

/// Data of earlier attempts that an attempt needs, as positions in the log.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The newest answer to one of its outbound calls: a `Stepped`, which names the previous one.
    pub step: Option<Position>,
    /// Number of answers in that list.
    pub steps: u32,
    /// Its corrected data: a `DeliveryDecided` with a correction.
    pub correction: Option<Position>,
    /// The newest failed attempt.
    pub failure: Option<Position>,
}

/// The effects of a completed attempt.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    pub state: Vec<StateWrite>,
    pub status: Vec<StatusWrite>,
    pub emitted: Vec<Event>,
    /// Timers started and cancelled, by name.
    pub timers: Vec<TimerWrite>,
    /// Emitted events without a position yet; see [`Outcome::Withheld`].
    pub withheld: Vec<Event>,
}

/// A named timer of the handler and the delivery's key; `None` cancels it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerWrite {
    pub name: String,
    pub set: Option<TimerSetting>,
}

/// When a timer is due, and the event that the handler gets then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerSetting {
    /// Unix time in milliseconds; it never fires earlier.
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

impl StatusWrite {
    /// Whether both say the same: JSON in another order does.
    #[must_use]
    pub fn says(&self, other: &Self) -> bool {
        let canonical = |data: &Option<String>| json::canonical(data.as_deref()?, json::DEPTH_MAX).ok();
        let is_same_json = || canonical(&self.data).is_some_and(|data| canonical(&other.data) == Some(data));
        let is_of_same = (&self.subject, &self.state, &self.text) == (&other.subject, &other.state, &other.text);
        is_of_same && (self.data == other.data || is_same_json())
    }
}

/// A line that the handler logged during the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}

#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
