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
    /// By handler name. Removed parts stay, marked as such, so that deltas tell of them; [`Self::shown`] leaves them out.
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
    /// Whether a replay corrected what the handler had set. Until the handler sets a status again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub corrected: bool,
    /// In a delta: the handler has no status of the subject any more, so the document loses the part. Documents do not hold
    /// such parts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
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
/// document of `version`: a part replaces the part with the same name, and one that is marked as removed removes it.
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

    /// The document without its removed parts, as readers see it.
    #[must_use]
    pub fn shown(mut self) -> Self {
        self.parts.retain(|_, part| !part.removed);
        self
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

#[cfg(test)]
mod tests {
    use super::*;

    fn part(version: u64, removed: bool) -> StatusPart {
        let (state, text) = (String::new(), String::new());
        let version = Position(version);
        StatusPart { version, at_ms: 0, state, text, data: None, delivery: None, corrected: false, removed }
    }

    #[test]
    fn a_removed_part_is_in_deltas_and_in_no_document() {
        let mut document = StatusDocument::default();
        document.set("order", part(3, false));
        document.set("invoice", part(5, false));
        document.set("invoice", part(8, true));
        let names = |parts: &BTreeMap<String, StatusPart>| parts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (document.version, names(&document.since(Position(5)).parts)),
            (Position(8), vec!["invoice".into()])
        );
        assert_eq!(names(&document.since(Position(8)).parts), Vec::<String>::new());
        let shown = document.clone().shown();
        assert_eq!((shown.version, names(&shown.parts)), (Position(8), vec!["order".into()]), "the version stays");
        document.set("invoice", part(9, false));
        assert_eq!(names(&document.shown().parts), ["invoice", "order"]);
    }
}
