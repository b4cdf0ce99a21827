//! `/v1/dead-letters`: failed deliveries, and commands for one. Commands for many are in `bulk_jobs`.

use axum::{extract::State, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use weirgate_engine::{CommandRequest, DeadLetter};
use weirgate_types::{
    DeliveryId, Digest, FailureClass, FailureKind, HandlerName, RawEvent, StateWrite,
    json::{self, DEPTH_MAX},
};

use super::{
    audit::{AuditBody, audit},
    corrected::CorrectedBody,
    dead_letter_filter::DeadLettersQuery,
    decisions::{Answer, Commanded, command},
    events::event_of,
    failures::{FailedAttempt, LogItem},
    lists::ListSlot,
    problems::{
        AmbiguousDigest, AuditRefused, DataRefused, DataTooLarge, DeliveryRunning, NoSuchHandler, NotADeadLetter,
        TooManyLists,
    },
    query::{Body, Named, Query, limit},
    times::rfc3339,
};
use crate::{Problem, app::App};

#[derive(Serialize, ToSchema)]
pub struct DeadLetterList {
    dead_letters: Vec<DeadLetterItem>,
    /// The value of `after` for the next page; absent at the end. A page may be shorter than `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeliveryId>)]
    next: Option<String>,
    /// The position of the log that was applied before the page was read. As `through` of a filter, also a bulk job's, it
    /// leaves out what became a dead letter later.
    through: u64,
}

/// A delivery that used up its attempts or failed permanently.
#[derive(Serialize, ToSchema)]
pub struct DeadLetterItem {
    /// `<handler>@<position of the event>`.
    #[schema(value_type = DeliveryId)]
    id: String,
    #[schema(value_type = HandlerName)]
    handler: String,
    /// The version that failed last; absent if an operator gave the delivery up before any attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Digest>)]
    digest: Option<String>,
    /// The event's position: `GET /v1/events/{position}` shows it.
    position: u64,
    key: String,
    /// The event's type.
    r#type: String,
    /// Number of attempts.
    attempt: u32,
    /// When it became a dead letter: RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    at: String,
    at_ms: u64,
    /// `transient`, `correctable` or `permanent`.
    class: FailureClass,
    /// `handler`, `trap`, `timeout`, `memory`, `effect-limit`, `contract`, `interrupted`, `circuit-open`, `not-reached`
    /// or `migration`.
    kind: FailureKind,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_is_wrong: Option<String>,
    /// Log lines of the last attempt.
    log: Vec<LogItem>,
    /// Whether its key is held until it is decided.
    held: bool,
    /// Whether the failed attempt had corrected data.
    corrected: bool,
    /// Number of finished steps: a retry gets their journaled answers.
    steps: u32,
}

/// A dead letter with its event, failed attempts and state.
#[derive(Serialize, ToSchema)]
pub struct DeadLetterDetail {
    #[serde(flatten)]
    dead_letter: DeadLetterItem,
    /// The accepted event, a `CloudEvent` in structured mode.
    event: RawEvent,
    /// The failed attempts, in order.
    failures: Vec<FailedAttempt>,
    /// The handler's state of the key at the last attempt, without larger values.
    state: Vec<StateItem>,
}

/// A value of a handler's state.
#[derive(Serialize, ToSchema)]
pub struct StateItem {
    name: String,
    /// The value, if it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Box<RawValue>>,
    /// The value, if it is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl StateItem {
    /// Absent if the name has no value.
    fn of(write: StateWrite) -> Option<Self> {
        let StateWrite { name, value } = write;
        let bytes = value?;
        let value = json::raw(&bytes, DEPTH_MAX).ok();
        let value_base64 = value.is_none().then(|| STANDARD.encode(&bytes));
        Some(Self { name, value, value_base64 })
    }
}

/// List dead letters, in order of handler and position.
#[utoipa::path(
    get, path = "/v1/dead-letters", operation_id = "list_dead_letters", tag = "deliveries", params(DeadLettersQuery),
    responses(
        (status = 200, description = "Dead letters", body = DeadLetterList),
        NoSuchHandler, AmbiguousDigest, TooManyLists,
    ),
)]
pub async fn list(State(app): State<App>, Query(query): Query<DeadLettersQuery>) -> Result<Response, Problem> {
    let after = query.after.as_ref().map(|id| id.parse()).transpose()?;
    let limit = limit(query.limit)?;
    let filter = query.into_filter().checked(&app.engine).await?;
    let slot = ListSlot::take(&app).await?;
    let page = app.engine.dead_letters(filter, after, limit).await?;
    let dead_letters = page.dead_letters.into_iter().map(DeadLetterItem::from).collect();
    slot.answer(DeadLetterList { dead_letters, next: page.next.map(|id| id.to_string()), through: page.through.0 })
        .await
}

/// Read one dead letter.
#[utoipa::path(
    get, path = "/v1/dead-letters/{id}", operation_id = "read_dead_letter", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterDetail),
        NotADeadLetter, TooManyLists,
    ),
)]
pub async fn read(State(app): State<App>, Named(id): Named<DeliveryId>) -> Result<Response, Problem> {
    let slot = ListSlot::take(&app).await?;
    let mut dead_letter = app.engine.dead_letter(id.clone()).await?;
    let state = std::mem::take(&mut dead_letter.state).into_iter().filter_map(StateItem::of).collect();
    let failures = app.engine.failures(id.clone()).await?.into_iter().map(FailedAttempt::from).collect();
    let (event, _) = event_of(&app, &id).await?;
    slot.answer(DeadLetterDetail { dead_letter: dead_letter.into(), event, failures, state }).await
}

/// Reopen a dead letter, with attempts counted from zero, and optionally with corrected data.
#[utoipa::path(
    post, path = "/v1/dead-letters/{id}/resubmit", operation_id = "resubmit_dead_letter", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<CorrectedBody>, description = "Without data it is tried as it is"),
    responses(
        (status = 202, description = "Durable; the delivery is ready. `diff` is the change of the data", body = Commanded),
        NotADeadLetter, DeliveryRunning, DataTooLarge, DataRefused,
    ),
)]
pub async fn resubmit(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<CorrectedBody>) -> Answer {
    let (brought, actor, reason) = body.into_parts();
    let request = brought.checked(&app.options.event_limits)?.map_or(CommandRequest::Retry, CommandRequest::Correct);
    app.engine.dead_letter(id.clone()).await?;
    command(&app, id, request, audit(actor, reason)?).await
}

/// Discard a dead letter. Its event and failed attempts stay in the log.
#[utoipa::path(
    post, path = "/v1/dead-letters/{id}/discard", operation_id = "discard_dead_letter", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 202, description = "Durable", body = Commanded),
        NotADeadLetter, DeliveryRunning, AuditRefused,
    ),
)]
pub async fn discard(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<AuditBody>) -> Answer {
    command(&app, id, CommandRequest::Discard, body.checked()?).await
}

impl From<DeadLetter> for DeadLetterItem {
    fn from(dead_letter: DeadLetter) -> Self {
        Self {
            id: dead_letter.delivery.to_string(),
            handler: dead_letter.delivery.handler.to_string(),
            digest: dead_letter.digest.map(|digest| digest.to_string()),
            position: dead_letter.delivery.position.0,
            key: dead_letter.key,
            r#type: dead_letter.r#type,
            attempt: dead_letter.attempt,
            at: rfc3339(dead_letter.at_ms),
            at_ms: dead_letter.at_ms,
            class: dead_letter.failure.class,
            kind: dead_letter.failure.kind,
            message: dead_letter.failure.message,
            what_is_wrong: dead_letter.failure.what_is_wrong,
            log: dead_letter.log.into_iter().map(LogItem::from).collect(),
            held: dead_letter.held,
            corrected: dead_letter.carried.correction.is_some(),
            steps: dead_letter.carried.steps,
        }
    }
}
