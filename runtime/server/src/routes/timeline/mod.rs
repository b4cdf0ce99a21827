//! `GET /v1/keys/{key}/timeline` and `GET /v1/timeline?key=...`: the story of a key.

mod entries;
mod telling;

use std::ops::ControlFlow;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::Moment;
use weirgate_types::Position;

use super::{
    lists::{ListSlot, PAGE_BYTES_MAX},
    problems::{HistoryNotReady, KeyRefused, UnknownKey},
    query::{Path, Query, check_length, limit},
};
use crate::{Problem, app::App};
use entries::TimelineEntry;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Only entries after this position.
    #[param(value_type = Option<Position>, inline)]
    after: Option<u64>,
    /// Maximum number of entries (default 100, at most 1,000). Those of one record are listed together, beyond it if need be.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// For instance order/o-1.
    #[param(min_length = 1, max_length = 1024)]
    key: String,
    /// Only entries after this position.
    #[param(value_type = Option<Position>, inline)]
    after: Option<u64>,
    /// Maximum number of entries (default 100, at most 1,000). Those of one record are listed together, beyond it if need be.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// A page of a key's story.
#[derive(Serialize, ToSchema)]
pub struct Timeline {
    key: String,
    /// In order of position.
    #[schema(value_type = Vec<TimelineEntry>)]
    entries: Vec<Box<RawValue>>,
    /// The value of `after` for the next page; absent at the end. A page may have fewer entries than asked for although more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// The log's last position.
    head: u64,
}

/// Read the story of a key: its events, attempts, failures, state, statuses, timers, steps and decisions, and what happened to its
/// handlers meanwhile.
#[utoipa::path(
    get, path = "/v1/keys/{key}/timeline", operation_id = "read_timeline", tag = "events",
    params(("key" = String, Path, min_length = 1, max_length = 1024, description = "For instance order%2Fo-1: a slash is escaped"), PageQuery),
    responses((status = 200, description = "Entries in order of position", body = Timeline), KeyRefused, UnknownKey, HistoryNotReady),
)]
pub async fn read(
    State(app): State<App>,
    Path(key): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    page_of(&app, key, page).await
}

/// Read the story of any key: also of one that clients and proxies would change in a path.
#[utoipa::path(
    get, path = "/v1/timeline", operation_id = "read_timeline_of_key", tag = "events", params(KeyQuery),
    responses((status = 200, description = "Entries in order of position", body = Timeline), KeyRefused, UnknownKey, HistoryNotReady),
)]
pub async fn read_of_key(State(app): State<App>, Query(query): Query<KeyQuery>) -> Result<Response, Problem> {
    let KeyQuery { key, after, limit } = query;
    page_of(&app, key, PageQuery { after, limit }).await
}

async fn page_of(app: &App, key: String, page: PageQuery) -> Result<Response, Problem> {
    check_length("key", &key)?;
    let limit = limit(page.limit)?;
    let slot = ListSlot::take(app).await?;
    let (sender, mut found) = tokio::sync::mpsc::unbounded_channel();
    let (mut count, mut bytes, of_key) = (0, 0, key.clone());
    let look = move |moment: &Moment<'_>| {
        // The one that is too many tells that there is a next page.
        if count >= limit || bytes >= PAGE_BYTES_MAX {
            return ControlFlow::Break(());
        }
        for entry in telling::entries(&of_key, moment) {
            let entry = serde_json::value::to_raw_value(&entry);
            (count, bytes) = (count + 1, bytes + entry.as_ref().map_or(0, |entry| entry.get().len()));
            // The receiver outlives the scan.
            let _ = sender.send(entry);
        }
        ControlFlow::Continue(())
    };
    let after = Position(page.after.unwrap_or(0));
    let (through, has_more, look) = app.engine.timeline(key.clone(), after, look).await?;
    drop(look);
    let mut entries = Vec::new();
    while let Some(entry) = found.recv().await {
        entries.push(entry.map_err(|error| Problem::internal("storage", &error))?);
    }
    if entries.is_empty() && after == Position::ZERO && !has_more {
        return Err(Problem::not_found(format!("nothing is known of the key {key}")));
    }
    let next = has_more.then_some(through.0);
    slot.answer(Timeline { key, entries, next, head: app.engine.head().0 }).await
}
