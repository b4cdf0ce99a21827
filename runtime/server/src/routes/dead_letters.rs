//! `/v1/dead-letters`: what could not be delivered, and opening it again.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::DeadLetter;
use weirgate_types::{DeliveryId, FailureClass, FailureKind, LogLevel};

use super::query::{Path, Query, limit};
use crate::{Problem, serve::App};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLettersQuery {
    handler: Option<String>,
    /// Only those after this delivery's id.
    after: Option<String>,
    /// How many at the most (100; up to 1,000).
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct DeadLetterList {
    dead_letters: Vec<DeadLetterItem>,
}

/// A delivery that used up its attempts, or failed for good.
#[derive(Serialize, ToSchema)]
pub struct DeadLetterItem {
    /// `<handler>@<position of the event>`.
    id: String,
    handler: String,
    /// The event's position: `GET /v1/events/{position}` shows it.
    position: u64,
    key: String,
    /// How many attempts were made.
    attempt: u32,
    at_ms: u64,
    /// `transient`, `correctable` or `permanent`.
    #[schema(value_type = String)]
    class: FailureClass,
    /// `handler`, `trap`, `timeout`, `memory`, `effect-limit`, `contract` or `interrupted`.
    #[schema(value_type = String)]
    kind: FailureKind,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_is_wrong: Option<String>,
    /// What the last attempt logged.
    log: Vec<LogItem>,
}

#[derive(Serialize, ToSchema)]
pub struct LogItem {
    #[schema(value_type = String)]
    level: LogLevel,
    message: String,
}

#[derive(Serialize, ToSchema)]
pub struct Resubmitted {
    id: String,
}

/// List dead letters, in order of handler and position.
#[utoipa::path(
    get, path = "/v1/dead-letters", operation_id = "list_dead_letters", tag = "deliveries", params(DeadLettersQuery),
    responses((status = 200, description = "Dead letters", body = DeadLetterList)),
)]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<DeadLettersQuery>,
) -> Result<axum::Json<DeadLetterList>, Problem> {
    let handler = query.handler.map(|name| name.parse()).transpose()?;
    let after = query.after.map(|id| id.parse()).transpose()?;
    let letters = app.engine.dead_letters(handler, after, limit(query.limit)).await?;
    Ok(axum::Json(DeadLetterList { dead_letters: letters.into_iter().map(DeadLetterItem::from).collect() }))
}

/// Read one dead letter.
#[utoipa::path(
    get, path = "/v1/dead-letters/{id}", operation_id = "read_dead_letter", tag = "deliveries", params(("id" = String, Path)),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterItem),
        (status = 404, description = "Not a dead letter", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<axum::Json<DeadLetterItem>, Problem> {
    Ok(axum::Json(app.engine.dead_letter(delivery_id(&id)?).await?.into()))
}

/// Open a dead letter again, with its attempts counted from zero.
#[utoipa::path(
    post, path = "/v1/dead-letters/{id}/resubmit", operation_id = "resubmit_dead_letter", tag = "deliveries", params(("id" = String, Path)),
    responses(
        (status = 202, description = "Durable; it will be tried", body = Resubmitted),
        (status = 404, description = "Not a dead letter (any more)", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn resubmit(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<Resubmitted>), Problem> {
    let delivery = app.engine.resubmit(delivery_id(&id)?).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(Resubmitted { id: delivery.to_string() })))
}

fn delivery_id(id: &str) -> Result<DeliveryId, Problem> {
    Ok(id.parse()?)
}

impl From<DeadLetter> for DeadLetterItem {
    fn from(letter: DeadLetter) -> Self {
        let log = letter.log.into_iter().map(|line| LogItem { level: line.level, message: line.message });
        Self {
            id: letter.delivery.to_string(),
            handler: letter.delivery.handler.to_string(),
            position: letter.delivery.position.0,
            key: letter.key,
            attempt: letter.attempt,
            at_ms: letter.at_ms,
            class: letter.failure.class,
            kind: letter.failure.kind,
            message: letter.failure.message,
            what_is_wrong: letter.failure.what_is_wrong,
            log: log.collect(),
        }
    }
}
