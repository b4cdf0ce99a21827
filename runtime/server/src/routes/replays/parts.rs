//! Parts of answers about replays: lists that are cut, statuses, events, timers and calls.

use serde::Serialize;
use utoipa::ToSchema;
use weirgate_engine::replay::{AnsweredCall, Listed, UnansweredCall, UnmadeCall};
use weirgate_types::{Event, Position, StatusWrite, StepRequest, TimerSetting};

use super::super::{shown::Shown, times::rfc3339};

/// Maximum number of entries of a list; the others are counted.
pub const LIST_MAX: usize = 100;
/// Maximum number of characters that are shown of data or of a value.
const CHARS_MAX: usize = 2_000;

/// A list that may be cut.
#[derive(Serialize, ToSchema)]
pub struct Cut<T> {
    pub first: Vec<T>,
    /// Number of entries that were left out.
    pub more: u64,
}

impl<T> Cut<T> {
    pub fn of(items: impl ExactSizeIterator<Item = T>) -> Self {
        let count = items.len() as u64;
        Self::of_many(items, count)
    }

    /// The first of `count` items.
    pub fn of_many(items: impl Iterator<Item = T>, count: u64) -> Self {
        let first: Vec<T> = items.take(LIST_MAX).collect();
        Self { more: count.saturating_sub(first.len() as u64), first }
    }

    pub fn listed<U>(listed: &Listed<U>, item: impl Fn(&U) -> T) -> Self {
        Self { first: listed.first.iter().map(item).collect(), more: listed.more }
    }
}

#[derive(Serialize, ToSchema)]
pub struct StatusShown {
    pub state: String,
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Shown>,
}

impl StatusShown {
    pub fn of(write: &StatusWrite) -> Self {
        let data = write.data.as_ref().map(|data| value(data.as_bytes()));
        Self { state: write.state.clone(), text: write.text.clone(), data }
    }
}

/// An emitted event.
#[derive(Serialize, ToSchema)]
pub struct EmittedShown {
    /// The event whose delivery emitted it.
    pub event: u64,
    /// Its own position, if the log holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    pub r#type: String,
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    pub data: Shown,
}

impl EmittedShown {
    pub fn of(delivery: Position, position: Option<Position>, event: &Event) -> Self {
        Self {
            event: delivery.0,
            position: position.map(|position| position.0),
            r#type: event.r#type.clone(),
            key: event.key().to_owned(),
            subject: event.subject.clone(),
            datacontenttype: event.data_content_type.clone(),
            dataschema: event.data_schema.clone(),
            data: value(&event.data),
        }
    }
}

/// A timer.
#[derive(Serialize, ToSchema)]
pub struct TimerShown {
    pub name: String,
    /// When it is due: RFC 3339, and in Unix milliseconds. Absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at_ms: Option<u64>,
}

impl TimerShown {
    pub fn of(name: &str, set: Option<&TimerSetting>) -> Self {
        let due_at_ms = set.map(|setting| setting.due_ms);
        Self { name: name.to_owned(), due_at: due_at_ms.map(rfc3339), due_at_ms }
    }
}

/// An outbound call.
#[derive(Serialize, ToSchema)]
pub struct CallShown {
    /// The event whose delivery makes it.
    pub event: u64,
    pub step: String,
    pub method: String,
    pub url: String,
    /// The status of the recorded answer, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl CallShown {
    fn new(event: Position, step: &str, request: &StepRequest, status: Option<u16>) -> Self {
        let (method, url) = (request.method.clone(), request.url.clone());
        Self { event: event.0, step: step.to_owned(), method, url, status }
    }

    pub fn answered((event, call): &(Position, AnsweredCall)) -> Self {
        Self::new(*event, &call.step, &call.request, Some(call.answer.status))
    }

    pub fn unmade((event, call): &(Position, UnmadeCall)) -> Self {
        Self::new(*event, &call.step, &call.request, call.answer.as_ref().map(|answer| answer.status))
    }

    pub fn unanswered((event, call): &(Position, UnansweredCall)) -> Self {
        Self::new(*event, &call.step, &call.request, None)
    }
}

/// Data or a value, shortened.
pub fn value(bytes: &[u8]) -> Shown {
    Shown::of(bytes, CHARS_MAX)
}
