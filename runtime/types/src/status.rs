//! The status of a subject: what the browsers see, versioned by the position that last changed it.
//!
//! A document is a map of parts, one a handler. Each part carries the version that last changed it, so the delta from
//! any earlier version is computed from the document alone: no history is kept for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Position;

/// The public status of a subject.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct StatusDocument {
    /// The position of the last change; 0 when there was none yet.
    pub version: Position,
    /// By handler name.
    pub parts: BTreeMap<String, StatusPart>,
}

/// What one handler says of the subject, and how its delivery stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusPart {
    pub version: Position,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Empty when the handler has not set a status yet.
    pub state: String,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// Present while a delivery of this subject has not gone through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<PartDelivery>,
}

/// What the runtime knows of a delivery that has not gone through: that of the event at `event`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PartDelivery {
    Retrying {
        event: Position,
        attempt: u32,
        next_attempt_at_ms: u64,
        message: String,
    },
    /// It waits for corrected data. Views that are on disk may have the state's earlier name.
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
    /// The event whose delivery this is about.
    #[must_use]
    pub fn event(&self) -> Position {
        let (Self::Retrying { event, .. } | Self::AwaitingCorrection { event, .. } | Self::DeadLettered { event, .. }) =
            self;
        *event
    }

    /// Whether this is said on when there is `other` to say, of another delivery of the key: of two that go on the one that
    /// failed first, which is what others wait for; but before all others one that waits for somebody.
    #[must_use]
    pub fn outlasts(&self, other: &Self) -> bool {
        let may = match self {
            Self::AwaitingCorrection { .. } => true,
            Self::Retrying { .. } => !matches!(other, Self::AwaitingCorrection { .. }),
            Self::DeadLettered { .. } => false,
        };
        may && self.event() != other.event()
    }

    /// What is left of this when the delivery of `settled` has gone through: what is said of another one stays.
    #[must_use]
    pub fn after(self, settled: Position) -> Option<Self> {
        (self.event() != settled).then_some(self)
    }
}

/// The parts that changed after version `previous`. Applied to a document of that version or a later one it gives the
/// document of `version`: a part replaces the part of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusDelta {
    pub version: Position,
    pub previous: Position,
    pub parts: BTreeMap<String, StatusPart>,
}

impl StatusDocument {
    /// Set a part; the document takes the part's version.
    pub fn set(&mut self, name: &str, part: StatusPart) {
        self.version = self.version.max(part.version);
        self.parts.insert(name.to_owned(), part);
    }

    /// What changed after `previous`.
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
