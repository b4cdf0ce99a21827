//! `GET /v1/deliveries`: what is open, and what each waits for.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{DeliveryFilter, DeliveryItem as Item, DeliveryState};

use super::query::{Query, limit};
use crate::{Problem, serve::App};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    handler: Option<String>,
    key: Option<String>,
    /// `ready`, `running`, `retrying` or `parked-behind`.
    state: Option<String>,
    /// How many at the most (100; up to 1,000).
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct DeliveryList {
    deliveries: Vec<DeliveryItem>,
}

/// A delivery that has not ended.
#[derive(Serialize, ToSchema)]
pub struct DeliveryItem {
    /// `<handler>@<position of the event>`.
    id: String,
    handler: String,
    position: u64,
    state: &'static str,
    /// How many attempts have begun.
    attempt: u32,
    /// Retrying: when the next attempt may begin, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at_ms: Option<u64>,
    /// Parked behind: the position of the event of the same key that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<u64>,
}

/// List open deliveries, in order of handler and position.
#[utoipa::path(
    get, path = "/v1/deliveries", operation_id = "list_deliveries", tag = "deliveries", params(DeliveriesQuery),
    responses(
        (status = 200, description = "Open deliveries", body = DeliveryList),
        (status = 404, description = "No such handler", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<axum::Json<DeliveryList>, Problem> {
    let handler = query.handler.map(|name| name.parse()).transpose()?;
    if let Some(state) = &query.state
        && !DeliveryState::WORDS.contains(&state.as_str())
    {
        let detail = format!("state={state:?}: it may be one of {}", DeliveryState::WORDS.join(", "));
        return Err(Problem::bad_request("bad-query", detail));
    }
    let filter = DeliveryFilter { handler, key: query.key, state: query.state, limit: limit(query.limit) };
    let deliveries = app.engine.deliveries(filter).await?.into_iter().map(DeliveryItem::from).collect();
    Ok(axum::Json(DeliveryList { deliveries }))
}

impl From<Item> for DeliveryItem {
    fn from(item: Item) -> Self {
        let (next_attempt_at_ms, behind) = match item.state {
            DeliveryState::Ready | DeliveryState::Running => (None, None),
            DeliveryState::Retrying { due_ms } => (Some(due_ms), None),
            DeliveryState::ParkedBehind(position) => (None, Some(position.0)),
        };
        Self {
            id: item.delivery.to_string(),
            handler: item.delivery.handler.to_string(),
            position: item.delivery.position.0,
            state: item.state.word(),
            attempt: item.attempt,
            next_attempt_at_ms,
            behind,
        }
    }
}
