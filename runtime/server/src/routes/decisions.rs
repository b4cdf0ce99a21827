//! `POST /v1/deliveries/{id}/<command>`: commands for one delivery, open or a dead letter.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use weirgate_engine::{Audit, CommandRequest};
use weirgate_types::{DeliveryId, Event, EventLimits, RawEvent};

use super::{
    audit::{Actor, AuditBody, Reason, audit},
    corrected::CorrectedBody,
    problems::{
        AuditRefused, DataRefused, DataTooLarge, DeliveryClosed, DeliveryRunning, EventsRefused, NotADeadLetter,
        NotOpen,
    },
    query::{Body, Json, Named},
};
use crate::{Problem, app::App};

/// Maximum number of events that resolve a delivery.
const RESOLVED_EVENTS_MAX: usize = 64;

/// The durable record of the command.
#[derive(Serialize, ToSchema)]
pub struct Commanded {
    /// The delivery's id.
    #[schema(value_type = DeliveryId)]
    id: String,
    /// The position of its record.
    position: u64,
    /// Corrected data: its difference from the delivery's previous data, as a JSON patch (RFC 6902). Absent if one of them
    /// is not JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>)]
    diff: Option<Box<RawValue>>,
}

pub type Answer = Result<(StatusCode, axum::Json<Commanded>), Problem>;

pub async fn command(app: &App, delivery: DeliveryId, request: CommandRequest, audit: Audit) -> Answer {
    let (position, diff) = app.engine.command_delivery(delivery.clone(), request, audit).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(Commanded { id: delivery.to_string(), position: position.0, diff })))
}

/// Retry a delivery now, with attempts counted from zero. A dead letter is reopened.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/retry", operation_id = "retry_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 202, description = "Durable; the delivery is ready", body = Commanded),
        DeliveryClosed, DeliveryRunning, AuditRefused,
    ),
)]
pub async fn retry(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<AuditBody>) -> Answer {
    command(&app, id, CommandRequest::Retry, body.checked()?).await
}

/// Skip a delivery: close it without effects. Deliveries blocked by it continue.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/skip", operation_id = "skip_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 202, description = "Durable", body = Commanded),
        DeliveryClosed, DeliveryRunning, AuditRefused,
    ),
)]
pub async fn skip(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<AuditBody>) -> Answer {
    command(&app, id, CommandRequest::Skip, body.checked()?).await
}

/// Make an open delivery a dead letter.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/dead-letter", operation_id = "dead_letter_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 202, description = "Durable", body = Commanded),
        NotOpen, DeliveryRunning, AuditRefused,
    ),
)]
pub async fn dead_letter(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<AuditBody>) -> Answer {
    command(&app, id, CommandRequest::DeadLetter, body.checked()?).await
}

/// Discard a dead letter. Its event and failed attempts stay in the log.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/discard", operation_id = "discard_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 202, description = "Durable", body = Commanded),
        NotADeadLetter, DeliveryRunning, AuditRefused,
    ),
)]
pub async fn discard(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<AuditBody>) -> Answer {
    command(&app, id, CommandRequest::Discard, body.checked()?).await
}

/// Retry a delivery with corrected data, with attempts counted from zero. The event does not change.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/correct", operation_id = "correct_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path)), request_body = CorrectedBody,
    responses(
        (status = 202, description = "Durable; the delivery is ready. `diff` is the change of the data", body = Commanded),
        DeliveryClosed, DeliveryRunning, DataTooLarge, DataRefused,
    ),
)]
pub async fn correct(State(app): State<App>, Named(id): Named<DeliveryId>, Json(body): Json<CorrectedBody>) -> Answer {
    let (brought, actor, reason) = body.into_parts();
    let data = brought.required(&app.options.event_limits)?;
    command(&app, id, CommandRequest::Correct(data), audit(actor, reason)?).await
}

/// Events that resolve a delivery.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolvedBody {
    /// CloudEvents in structured mode, at most 64; none if the work was done elsewhere.
    #[serde(default)]
    events: Vec<RawEvent>,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// Resolve a delivery: close it and emit these events.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/resolve", operation_id = "resolve_delivery", tag = "deliveries", params(("id" = inline(DeliveryId), Path)),
    request_body(content = Option<ResolvedBody>),
    responses(
        (status = 202, description = "Durable", body = Commanded),
        DeliveryClosed, DeliveryRunning, EventsRefused,
    ),
)]
pub async fn resolve(State(app): State<App>, Named(id): Named<DeliveryId>, Body(body): Body<ResolvedBody>) -> Answer {
    let ResolvedBody { events, actor, reason } = body;
    let events = checked(events, &app.options.event_limits)?;
    command(&app, id, CommandRequest::Resolve(events), audit(actor, reason)?).await
}

/// The rules are those of `POST /v1/events`.
fn checked(events: Vec<RawEvent>, limits: &EventLimits) -> Result<Vec<Event>, Problem> {
    if events.len() > RESOLVED_EVENTS_MAX {
        let detail = format!("the body has {} events; the maximum is {RESOLVED_EVENTS_MAX}", events.len());
        return Err(Problem::bad_command(detail));
    }
    let checked = events.into_iter().enumerate().map(|(index, raw)| {
        raw.check(limits).map_err(|error| {
            let problem = Problem::from(error);
            Problem { detail: format!("event {index}: {}; nothing was changed", problem.detail), ..problem }
        })
    });
    checked.collect()
}
