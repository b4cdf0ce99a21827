//! The entries of a timeline, as they are in the answer.

use serde::Serialize;
use utoipa::ToSchema;
use weirgate_types::{DeliveryId, Digest, HandlerName};

use super::super::{
    attempts::{FailureItem, StatusItem},
    failures::LogItem,
    shown::Shown,
};

/// Something that happened to the key, or to one of its handlers meanwhile.
#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    /// The position of the event or record. One record may have several entries.
    pub position: u64,
    /// RFC 3339, and in Unix milliseconds.
    pub at: String,
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// An event of the key: accepted, or emitted by a handler.
    Event(EventEntry),
    AttemptBegan(AttemptBegan),
    AttemptEnded(Box<AttemptEnded>),
    /// An outbound call of an attempt ended.
    Step(StepEntry),
    /// A timer fired: the handler gets this event.
    TimerFired(TimerFired),
    /// An operator, a correction event or a handler decided about a delivery.
    Decision(DecisionEntry),
    /// Emissions that waited for earlier deliveries were released.
    Released(ReleasedEntry),
    /// The wait for missing numbers of a sequence is over.
    GapPassed(GapEntry),
    /// A correction event was not applied.
    CorrectionRefused(RefusedEntry),
    /// A replay repaired the key: what its handler would have done stands in the place of what it did.
    Repaired(Box<RepairedEntry>),
    /// A replay that repaired the key was requested, approved, applied, undone or ended.
    Replay(ReplayEntry),
    /// Another version of a handler of the key.
    Deployed(DeployedEntry),
    /// A handler of the key was paused, drained, resumed or removed.
    ModeChanged(ModeEntry),
    /// The breaker of a handler of the key, or of a host that it calls, was opened or closed.
    BreakerChanged(BreakerEntry),
}

#[derive(Serialize, ToSchema)]
pub struct EventEntry {
    pub id: String,
    pub source: String,
    pub r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub data: Shown,
    /// The only handler that it is for, if it was posted to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The delivery that emitted it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emitted_by: Option<String>,
    /// Number of emissions that lead to it.
    pub depth: u32,
}

/// The delivery that an entry is about.
#[derive(Serialize, ToSchema)]
pub struct DeliveryOf {
    /// `<handler>@<position of the event>`.
    #[schema(value_type = DeliveryId)]
    pub delivery: String,
    #[schema(value_type = HandlerName)]
    pub handler: String,
}

impl DeliveryOf {
    pub fn new(delivery: &DeliveryId) -> Self {
        Self { delivery: delivery.to_string(), handler: delivery.handler.to_string() }
    }
}

#[derive(Serialize, ToSchema)]
pub struct AttemptBegan {
    #[serde(flatten)]
    pub of: DeliveryOf,
    pub attempt: u32,
    /// The handler's version: the position of its deployment.
    pub version: u64,
}

#[derive(Serialize, ToSchema)]
pub struct AttemptEnded {
    #[serde(flatten)]
    pub of: DeliveryOf,
    pub attempt: u32,
    /// The handler's version: the position of its deployment, and the module.
    pub version: u64,
    #[schema(value_type = Digest)]
    pub digest: String,
    /// The version of the key's state that was migrated before the handler was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrated_from: Option<u32>,
    /// `completed`, `withheld`, `retry`, `awaiting-correction` or `dead-lettered`.
    pub outcome: &'static str,
    /// Retry: when the next attempt is due: RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureItem>,
    pub log: Vec<LogItem>,
    /// What it changed in the handler's state for the key.
    pub state: Vec<StateChange>,
    pub statuses: Vec<StatusItem>,
    /// The events that it emitted, the runtime's own left out.
    pub emitted: Vec<EmittedItem>,
    pub timers: Vec<TimerItem>,
}

#[derive(Serialize, ToSchema)]
pub struct StateChange {
    pub name: String,
    /// Absent: there was no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Shown>,
    /// Absent: the value was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Shown>,
}

/// An emitted event: its own key's timeline has what it led to.
#[derive(Serialize, ToSchema)]
pub struct EmittedItem {
    /// Absent while it is withheld.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    pub id: String,
    pub r#type: String,
    pub key: String,
}

#[derive(Serialize, ToSchema)]
pub struct TimerItem {
    pub name: String,
    /// When it is due: RFC 3339, and in Unix milliseconds. Absent: it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at_ms: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub struct StepEntry {
    #[serde(flatten)]
    pub of: DeliveryOf,
    pub attempt: u32,
    pub step: String,
    pub method: String,
    pub url: String,
    /// The answer's status; absent if there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether later attempts get the same answer.
    pub is_final: bool,
}

#[derive(Serialize, ToSchema)]
pub struct TimerFired {
    #[schema(value_type = HandlerName)]
    pub handler: String,
    pub name: String,
    /// When it was due: RFC 3339, and in Unix milliseconds.
    pub due_at: String,
    pub due_at_ms: u64,
    pub r#type: String,
    pub data: Shown,
}

#[derive(Serialize, ToSchema)]
pub struct DecisionEntry {
    #[serde(flatten)]
    pub of: DeliveryOf,
    /// `retry`, `correct`, `skip`, `resolve`, `discard` or `dead-letter`.
    pub command: &'static str,
    pub actor: String,
    pub reason: String,
    /// The corrected data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Shown>,
    /// The position of the correction event, if it came as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<u64>,
    /// The events that resolve it.
    pub emitted: Vec<EmittedItem>,
}

#[derive(Serialize, ToSchema)]
pub struct ReleasedEntry {
    #[serde(flatten)]
    pub of: DeliveryOf,
    pub emitted: Vec<EmittedItem>,
}

#[derive(Serialize, ToSchema)]
pub struct GapEntry {
    #[serde(flatten)]
    pub of: DeliveryOf,
    /// The number that was expected, and the one that is next.
    pub expected: u64,
    pub found: u64,
}

#[derive(Serialize, ToSchema)]
pub struct RefusedEntry {
    #[serde(flatten)]
    pub of: DeliveryOf,
    /// The position of the correction event.
    pub correction: u64,
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct RepairedEntry {
    #[schema(value_type = HandlerName)]
    pub handler: String,
    /// The replay's number: the position of its request.
    pub replay: u64,
    /// A large repair has several parts, numbered from 0.
    pub part: u32,
    /// Whether it takes an earlier repair back.
    pub is_undo: bool,
    /// The first event that was looked at again, and the position up to which the key's records are taken into account.
    pub from: u64,
    pub through: u64,
    pub actor: String,
    pub reason: String,
    /// What it changed in the handler's state for the key.
    pub state: Vec<StateChange>,
    pub statuses: Vec<StatusItem>,
    /// The subjects whose status lost the handler's part.
    pub unset: Vec<String>,
    pub emitted: Vec<EmittedItem>,
    pub timers: Vec<TimerItem>,
    /// Whether the handler gets an event, to compensate what cannot be taken back.
    pub has_event: bool,
}

#[derive(Serialize, ToSchema)]
pub struct ReplayEntry {
    #[schema(value_type = HandlerName)]
    pub handler: String,
    /// The replay's number: the position of its request.
    pub replay: u64,
    /// `requested`, `approved`, `apply-begun`, `applied`, `undo-requested`, `undo-approved`, `undo-begun`, `undone`,
    /// `ended-in-part` (keys are left), `undo-cancelled` (it was not approved) or `cancelled`.
    pub step: &'static str,
    /// At its end: number of keys that were repaired, or whose repairs were undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<u64>,
    pub actor: String,
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct DeployedEntry {
    #[schema(value_type = HandlerName)]
    pub handler: String,
    #[schema(value_type = Digest)]
    pub digest: String,
    pub actor: String,
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct ModeEntry {
    #[schema(value_type = HandlerName)]
    pub handler: String,
    /// `running`, `draining`, `paused` or `removed`.
    pub mode: &'static str,
    pub actor: String,
    pub reason: String,
}

#[derive(Serialize, ToSchema)]
pub struct BreakerEntry {
    /// `handler/<name>` or `host/<handler>@<host>`.
    pub breaker: String,
    pub is_open: bool,
    /// Until when: RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_until_ms: Option<u64>,
    pub actor: String,
    pub reason: String,
}
