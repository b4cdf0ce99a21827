//! Deliveries whose event was lost: the log was damaged there, and an operator gave it up. They end as dead letters that say
//! so; no handler is called with what is not there.

use weirgate_types::{AttemptFailure, Event, FailureClass, FailureKind, Position, Record};

/// The type of the event that stands in for a lost one. No producer can use it.
const TYPE: &str = "weirgate.event.lost";

/// A record that stands in for the lost one at `position`: with an event that only says so.
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
        data: Vec::new(),
    };
    Record::Accepted { event, to: None, at_ms }
}

/// Whether the event stands in for a lost one.
pub fn is_lost(event: &Event) -> bool {
    event.r#type == TYPE && event.source == crate::notices::SOURCE
}

/// How an attempt at a delivery of a lost event ends.
pub fn failure(position: Position) -> AttemptFailure {
    let message =
        format!("the event at position {position} was lost: the log was damaged there, and repaired without it");
    AttemptFailure { class: FailureClass::Permanent, ..AttemptFailure::found(FailureKind::Handler, message) }
}
