//! Deliveries whose event was lost: the log was damaged there, and an operator accepted the loss. They end as dead letters
//! with that reason; no handler is called for an absent event.

use weirgate_types::{AttemptFailure, Event, FailureClass, FailureKind, Position, Record};

/// The type of the event that replaces a lost one. Producers cannot use it.
const TYPE: &str = "weirgate.event.lost";

/// A record that replaces the lost one at `position`: its event says only that one was lost.
pub fn stand_in(position: Position, at_ms: u64) -> Record {
    let event = Event {
        id: format!("lost/{position}"),
        source: crate::notices::SOURCE.to_owned(),
        r#type: TYPE.to_owned(),
        subject: Some(format!("lost/{position}")),
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: std::collections::BTreeMap::new(),
        implied_key: None,
        data: Vec::new(),
    };
    Record::Accepted { event, to: None, at_ms }
}

/// Whether the event replaces a lost one.
pub fn is_lost(event: &Event) -> bool {
    event.r#type == TYPE && event.source == crate::notices::SOURCE
}

/// The result of an attempt at a delivery of a lost event.
pub fn failure(position: Position) -> AttemptFailure {
    let message =
        format!("the event at position {position} was lost: the log was damaged there, and repaired without it");
    AttemptFailure { class: FailureClass::Permanent, ..AttemptFailure::found(FailureKind::Handler, message) }
}
