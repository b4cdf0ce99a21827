//! `GET /v1/blocked`: which keys are blocked, and by which delivery.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{Blocked, DeliveryState};
use weirgate_types::{DeliveryId, HandlerName};

use super::{
    lists::ListSlot,
    problems::{NoSuchHandler, TooManyLists},
    query::{Query, known_handler, limit},
    suspected::hint,
    times::rfc3339,
};
use crate::{Problem, app::App};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BlockedQuery {
    #[param(value_type = Option<HandlerName>, inline)]
    handler: Option<String>,
    /// Without this many of the first: the `next` of the previous page.
    after: Option<usize>,
    /// Maximum number of items (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct BlockedList {
    blocked: Vec<BlockedItem>,
    /// The value of `after` for the next page; absent at the end. The order may change between pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
    /// Number of open deliveries examined, at most 100,000.
    examined: usize,
    /// Whether these are all. Otherwise more may wait than `behind` says, and blocking deliveries may be missing; those of one
    /// `handler` are fewer.
    complete: bool,
}

/// A delivery that blocks others.
#[derive(Serialize, ToSchema)]
pub struct BlockedItem {
    /// The blocking delivery.
    #[schema(value_type = DeliveryId)]
    id: String,
    #[schema(value_type = HandlerName)]
    handler: String,
    key: String,
    /// `ready`, `running`, `retrying`, `awaiting-correction` or `held`.
    state: &'static str,
    /// When its event was accepted: RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    accepted_at: String,
    accepted_at_ms: u64,
    /// The message of its last failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Retrying: when the next attempt may begin (RFC 3339, and in Unix milliseconds).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at_ms: Option<u64>,
    /// Number of deliveries blocked by it.
    behind: usize,
    /// The lowest of their positions.
    positions: Vec<u64>,
    /// Present if it may be waiting for itself, that is, for an event that waits behind it; for the first 50 of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Deliveries that block others, by the number of blocked deliveries. Examines the first 100,000 open deliveries; `complete` says whether that is all.
#[utoipa::path(
    get, path = "/v1/blocked", operation_id = "list_blocked", tag = "deliveries", params(BlockedQuery),
    responses(
        (status = 200, description = "The blocking deliveries", body = BlockedList),
        NoSuchHandler, TooManyLists,
    ),
)]
pub async fn list(State(app): State<App>, Query(query): Query<BlockedQuery>) -> Result<Response, Problem> {
    let handler = known_handler(&app.engine, query.handler.as_deref()).await?;
    let slot = ListSlot::take(&app).await?;
    let (skip, limit) = (query.after.unwrap_or(0), limit(query.limit)?);
    let page = app.engine.blocked(handler, (skip, limit)).await?;
    slot.answer(BlockedList {
        blocked: page.blocked.into_iter().map(BlockedItem::from).collect(),
        next: page.has_more.then(|| skip.saturating_add(limit)),
        examined: page.examined,
        complete: page.is_complete,
    })
    .await
}

impl From<Blocked> for BlockedItem {
    fn from(blocked: Blocked) -> Self {
        let next_attempt_at_ms = match blocked.state {
            DeliveryState::Retrying { due_ms } | DeliveryState::OutOfOrder { due_ms } => Some(due_ms),
            _ => None,
        };
        Self {
            id: blocked.first.to_string(),
            handler: blocked.first.handler.to_string(),
            key: blocked.key,
            state: blocked.state.name().as_str(),
            accepted_at: rfc3339(blocked.accepted_at_ms),
            accepted_at_ms: blocked.accepted_at_ms,
            message: blocked.failure.map(|failure| failure.message),
            next_attempt_at: next_attempt_at_ms.map(rfc3339),
            next_attempt_at_ms,
            behind: blocked.behind,
            hint: blocked.suspected.as_ref().map(hint),
            positions: blocked.positions.into_iter().map(|position| position.0).collect(),
        }
    }
}
