//! The status of a subject, as browsers see it, versioned by the position that last changed it.
//!
//! A document is a map of parts, one per handler. Each part has the version that last changed it, so the delta from any
//! earlier version is computed from the document alone: no history is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Position;

/// The public status of a subject.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct StatusDocument {
    /// The position of the last change; 0 if there was none yet.
    pub version: Position,
    /// By handler name.
    pub parts: BTreeMap<String, StatusPart>,
}

/// One handler's status of the subject, and the phase of its delivery.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusPart {
    pub version: Position,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Empty when the handler has not set a status yet.
    pub state: String,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<serde_json::Value>))]
    pub data: Option<Box<RawValue>>,
    /// Present while a delivery of this subject is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<PartDelivery>,
}

/// The runtime's status of the delivery of the event at `event`, which is not completed.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PartDelivery {
    Retrying {
        event: Position,
        attempt: u32,
        next_attempt_at_ms: u64,
        message: String,
    },
    /// It awaits a correction. Views on disk may have the phase's earlier name.
    #[serde(alias = "waiting")]
    AwaitingCorrection {
        event: Position,
        attempt: u32,
        message: String,
        what_is_wrong: String,
    },
    DeadLettered {
        event: Position,
        attempt: u32,
        message: String,
    },
}

impl PartDelivery {
    /// The event of the delivery.
    #[must_use]
    pub fn event(&self) -> Position {
        let (Self::Retrying { event, .. } | Self::AwaitingCorrection { event, .. } | Self::DeadLettered { event, .. }) =
            self;
        *event
    }

    /// The number of attempts begun.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        match self {
            Self::Retrying { attempt, .. }
            | Self::AwaitingCorrection { attempt, .. }
            | Self::DeadLettered { attempt, .. } => *attempt,
        }
    }

    /// Whether this status takes precedence over `other`, of another delivery of the key. A delivery that waits for an
    /// operator or a correction comes first; otherwise the earlier one, because others wait for it.
    #[must_use]
    pub fn outlasts(&self, other: &Self) -> bool {
        let may = match self {
            Self::AwaitingCorrection { .. } => true,
            Self::Retrying { .. } => !matches!(other, Self::AwaitingCorrection { .. }),
            Self::DeadLettered { .. } => false,
        };
        may && self.event() != other.event()
    }

    /// What remains when the delivery of `settled` is completed: the status of another one stays.
    #[must_use]
    pub fn after(self, settled: Position) -> Option<Self> {
        (self.event() != settled).then_some(self)
    }
}

/// The parts that changed after version `previous`. Applied to a document of that version or a later one it gives the
/// document of `version`: a part replaces the part with the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusDelta {
    pub version: Position,
    pub previous: Position,
    pub parts: BTreeMap<String, StatusPart>,
}

impl StatusDocument {
    /// Sets a part; the document takes the part's version.
    pub fn set(&mut self, name: &str, part: StatusPart) {
        self.version = self.version.max(part.version);
        self.parts.insert(name.to_owned(), part);
    }

    /// The changes after `previous`.
    #[must_use]
    pub fn since(&self, previous: Position) -> StatusDelta {
        let parts = self.parts.iter().filter(|(_, part)| part.version > previous);
        StatusDelta {
            version: self.version,
            previous,
            parts: parts.map(|(name, part)| (name.clone(), part.clone())).collect(),
        }
    }
}
