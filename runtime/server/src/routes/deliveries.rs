//! `GET /v1/deliveries`: open deliveries, and what each waits for. Commands for one are in `decisions`.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use weirgate_engine::{Corrected, DeadLetter, DeliveryFilter, DeliveryItem as Item, DeliveryState, Refusal, StateName};
use weirgate_types::{
    DeliveryId, FailureClass, HandlerName, RawEvent,
    json::{self, DEPTH_MAX},
};

use super::{
    dead_letters::DeadLetterItem,
    events::event_of,
    failures::FailedAttempt,
    lists::ListSlot,
    problems::{DeliveryClosed, NoSuchHandler, TooManyLists, TooManyQueries},
    query::{Named, Query, limit},
    suspected::hint,
    times::rfc3339,
};
use crate::{Problem, app::App};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    #[param(value_type = Option<HandlerName>, inline)]
    handler: Option<String>,
    key: Option<String>,
    /// `ready`, `running`, `retrying`, `blocked`, `awaiting-correction`, `held` or `out-of-order`.
    #[param(value_type = Option<DeliveryStateName>, inline)]
    state: Option<String>,
    /// Only deliveries after this id.
    #[param(value_type = Option<DeliveryId>, inline)]
    after: Option<String>,
    /// Maximum number of items (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The states in the filter, for the OpenAPI document.
struct DeliveryStateName;

impl PartialSchema for DeliveryStateName {
    fn schema() -> RefOr<Schema> {
        let names = StateName::ALL.map(StateName::as_str);
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).into()
    }
}

impl ToSchema for DeliveryStateName {}

#[derive(Serialize, ToSchema)]
pub struct DeliveryList {
    deliveries: Vec<DeliveryItem>,
    /// The value of `after` for the next page; absent at the end. A page may be shorter than `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeliveryId>)]
    next: Option<String>,
}

/// An open delivery.
#[derive(Serialize, ToSchema)]
pub struct DeliveryItem {
    /// `<handler>@<position of the event>`.
    #[schema(value_type = DeliveryId)]
    id: String,
    #[schema(value_type = HandlerName)]
    handler: String,
    /// The event's position: `GET /v1/events/{position}` shows it.
    position: u64,
    key: String,
    /// The event's type.
    r#type: String,
    /// `ready` (waits for a free slot), `running`, `retrying`, `blocked` (by an earlier event of its key; or completed, with
    /// emissions that wait for earlier deliveries), `awaiting-correction` (waits for corrected data), `held` (a dead letter
    /// that its key waits for) or `out-of-order` (earlier numbers of its sequence are missing); for a dead letter that no
    /// delivery waits for, `dead-lettered`.
    state: &'static str,
    /// Number of attempts begun.
    attempt: u32,
    /// When the event was accepted: RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    accepted_at: String,
    accepted_at_ms: u64,
    /// The last failed attempt: its class, and its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    class: Option<FailureClass>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Retrying: when the next attempt may begin (RFC 3339, and in Unix milliseconds). Out of order: the end of the gap's
    /// timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at_ms: Option<u64>,
    /// Blocked: the position of the event of the same key that it waits behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<u64>,
}

/// List open deliveries, in order of handler and position. Examines up to 10,000 per page.
#[utoipa::path(
    get, path = "/v1/deliveries", operation_id = "list_deliveries", tag = "deliveries", params(DeliveriesQuery),
    responses(
        (status = 200, description = "Open deliveries", body = DeliveryList),
        NoSuchHandler, TooManyQueries, TooManyLists,
    ),
)]
pub async fn list(State(app): State<App>, Query(query): Query<DeliveriesQuery>) -> Result<Response, Problem> {
    let handler = query.handler.map(|name| name.parse()).transpose()?;
    let state = query.state.map(|name| StateName::parse(&name).ok_or_else(|| unknown_state(&name))).transpose()?;
    let after = query.after.map(|id| id.parse()).transpose()?;
    let filter = DeliveryFilter { handler, key: query.key, state, after, limit: limit(query.limit)? };
    let slot = ListSlot::take(&app).await?;
    let page = app.engine.deliveries(filter).await?;
    let deliveries = page.deliveries.into_iter().map(DeliveryItem::from).collect();
    slot.answer(DeliveryList { deliveries, next: page.next.map(|id| id.to_string()) }).await
}

fn unknown_state(name: &str) -> Problem {
    let names = StateName::ALL.map(StateName::as_str).join(", ");
    Problem::bad_request("bad-query", format!("state={name:?} is unknown; use one of {names}"))
}

/// An open delivery or a dead letter, with its event and failed attempts.
#[derive(Serialize, ToSchema)]
pub struct DeliveryDetail {
    #[serde(flatten)]
    delivery: DeliveryItem,
    /// The accepted event, a `CloudEvent` in structured mode.
    event: RawEvent,
    /// The corrected data, if there is a correction.
    #[serde(skip_serializing_if = "Option::is_none")]
    correction: Option<CorrectionItem>,
    /// The failed attempts, in order.
    failures: Vec<FailedAttempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<DeadLetterItem>,
    /// Present if it may be waiting for itself, that is, for an event that waits behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A correction with its actor.
#[derive(Serialize, ToSchema)]
struct CorrectionItem {
    /// The position of its record.
    position: u64,
    actor: String,
    reason: String,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    at: String,
    at_ms: u64,
    /// JSON, or text if it is not JSON.
    #[schema(value_type = serde_json::Value)]
    data: Option<Box<RawValue>>,
    /// The difference to the event's data, a JSON patch (RFC 6902).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    diff: Option<Box<RawValue>>,
}

impl From<Corrected> for CorrectionItem {
    fn from(corrected: Corrected) -> Self {
        let Corrected { position, actor, reason, at_ms, data, difference } = corrected;
        let data = json::raw(&data, DEPTH_MAX).or_else(|_| to_raw_value(&String::from_utf8_lossy(&data))).ok();
        Self { position: position.0, actor, reason, at: rfc3339(at_ms), at_ms, data, diff: difference }
    }
}

/// Read one delivery: its event, correction and failed attempts.
#[utoipa::path(
    get, path = "/v1/deliveries/{id}", operation_id = "read_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path, description = "For instance payment@42")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryDetail),
        DeliveryClosed, TooManyLists,
    ),
)]
pub async fn read(State(app): State<App>, Named(id): Named<DeliveryId>) -> Result<Response, Problem> {
    let slot = ListSlot::take(&app).await?;
    let open = find(&app, &id).await?;
    let hint = match open {
        Some(_) => app.engine.suspected(id.clone()).await?.as_ref().map(hint),
        None => None,
    };
    let dead_letter = match app.engine.dead_letter(id.clone()).await {
        Ok(dead_letter) => Some(dead_letter),
        Err(Refusal::NotADeadLetter(_)) => None,
        Err(refusal) => return Err(refusal.into()),
    };
    if open.is_none() && dead_letter.is_none() {
        return Err(Refusal::NotOpen(id).into());
    }
    let (event, accepted_at_ms) = event_of(&app, &id).await?;
    let delivery = match (open, &dead_letter) {
        (Some(open), _) => open.into(),
        (None, Some(dead_letter)) => DeliveryItem::of_dead(dead_letter, accepted_at_ms),
        (None, None) => return Err(Refusal::NotOpen(id).into()),
    };
    let failures = app.engine.failures(id.clone()).await?.into_iter().map(FailedAttempt::from).collect();
    let correction = app.engine.corrected(id.clone()).await?.map(CorrectionItem::from);
    let dead_letter = dead_letter.map(DeadLetterItem::from);
    slot.answer(DeliveryDetail { delivery, event, correction, failures, dead_letter, hint }).await
}

/// A delivery, if it is open: the first one after its predecessor.
async fn find(app: &App, id: &DeliveryId) -> Result<Option<Item>, Problem> {
    let before = DeliveryId { position: id.position.before(), ..id.clone() };
    let filter = DeliveryFilter {
        handler: Some(id.handler.clone()),
        after: Some(before),
        limit: 1,
        ..DeliveryFilter::default()
    };
    let found = app.engine.deliveries(filter).await?;
    Ok(found.deliveries.into_iter().find(|item| item.delivery == *id))
}

impl DeliveryItem {
    fn of_dead(dead_letter: &DeadLetter, accepted_at_ms: u64) -> Self {
        Self {
            id: dead_letter.delivery.to_string(),
            handler: dead_letter.delivery.handler.to_string(),
            position: dead_letter.delivery.position.0,
            key: dead_letter.key.clone(),
            r#type: dead_letter.r#type.clone(),
            state: "dead-lettered",
            attempt: dead_letter.attempt,
            accepted_at: rfc3339(accepted_at_ms),
            accepted_at_ms,
            class: Some(dead_letter.failure.class),
            message: Some(dead_letter.failure.message.clone()),
            next_attempt_at: None,
            next_attempt_at_ms: None,
            behind: None,
        }
    }
}

impl From<Item> for DeliveryItem {
    fn from(item: Item) -> Self {
        let (next_attempt_at_ms, behind) = match item.state {
            DeliveryState::Retrying { due_ms } | DeliveryState::OutOfOrder { due_ms } => (Some(due_ms), None),
            DeliveryState::Blocked(position) => (None, Some(position.0)),
            DeliveryState::Ready
            | DeliveryState::Running
            | DeliveryState::AwaitingCorrection
            | DeliveryState::Held
            | DeliveryState::Withheld => (None, None),
        };
        Self {
            id: item.delivery.to_string(),
            handler: item.delivery.handler.to_string(),
            position: item.delivery.position.0,
            key: item.key,
            r#type: item.r#type,
            state: item.state.name().as_str(),
            attempt: item.attempt,
            accepted_at: rfc3339(item.accepted_at_ms),
            accepted_at_ms: item.accepted_at_ms,
            class: item.failure.as_ref().map(|failure| failure.class),
            message: item.failure.map(|failure| failure.message),
            next_attempt_at: next_attempt_at_ms.map(rfc3339),
            next_attempt_at_ms,
            behind,
        }
    }
}
