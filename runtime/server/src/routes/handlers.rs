//! `/v1/handlers`: deploying handlers, and reading their state.

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weirgate_engine::{HandlerItem as Item, schedule};
use weirgate_types::{Digest, HandlerName, Manifest, Mode, Schedule};

use super::{
    lists::ListSlot,
    problems::{ManifestRefused, NoSuchHandler, NoSuchModule, TooManyLists},
    query::{Json, Path},
};
use crate::{Problem, app::App};

#[derive(Serialize, ToSchema)]
pub struct HandlerList {
    handlers: Vec<HandlerItem>,
}

/// A handler and its state.
#[derive(Serialize, ToSchema)]
pub struct HandlerItem {
    name: String,
    /// `running`, `draining`, `drained` (draining, with nothing open), `paused`, or `waiting-for-module`.
    state: &'static str,
    digest: String,
    manifest: Manifest,
    deployed_at_ms: u64,
    /// The position up to which no delivery is open.
    checkpoint: u64,
    /// Number of positions between the checkpoint and the log's head.
    lag: u64,
    /// Open deliveries: running or waiting in a lane.
    open: usize,
    running: usize,
    /// Deliveries in memory that wait for their next attempt.
    retrying: usize,
    /// Spilled deliveries: on disk only, until they are due or an operator decides them.
    spilled: usize,
    /// If its breaker is open: until this time, in Unix milliseconds; then one probe delivery passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker_open_until_ms: Option<u64>,
    /// The next times of the manifest's schedules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<ScheduleItem>,
}

/// A schedule of the manifest, and the next three times at which it is due.
#[derive(Serialize, ToSchema)]
pub struct ScheduleItem {
    name: String,
    cron: String,
    /// The time zone of `cron` and of `next_due`: always `UTC`.
    time_zone: &'static str,
    /// RFC 3339.
    next_due: Vec<String>,
    /// The same in Unix milliseconds.
    next_due_ms: Vec<u64>,
}

impl ScheduleItem {
    fn of(declared: &Schedule, now_ms: u64) -> Self {
        let next_due_ms = schedule::next_times(&declared.cron, now_ms);
        let next_due = next_due_ms.iter().map(|due_ms| schedule::rfc3339(*due_ms)).collect();
        let Schedule { name, cron, .. } = declared.clone();
        Self { name, cron, time_zone: "UTC", next_due, next_due_ms }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The digest from `PUT /v1/modules`.
    digest: Digest,
    manifest: Manifest,
}

/// All handlers.
#[utoipa::path(
    get, path = "/v1/handlers", operation_id = "list_handlers", tag = "handlers",
    responses(
        (status = 200, description = "In order of name", body = HandlerList),
        TooManyLists,
    ),
)]
pub async fn list(State(app): State<App>) -> Result<Response, Problem> {
    let slot = ListSlot::take(&app).await?;
    let now_ms = app.clock.now_ms();
    let handlers = app.engine.handlers().await?.into_iter().map(|item| HandlerItem::of(item, now_ms)).collect();
    slot.answer(&HandlerList { handlers })
}

/// One handler.
#[utoipa::path(
    get, path = "/v1/handlers/{name}", operation_id = "read_handler", tag = "handlers", params(("name" = inline(HandlerName), Path)),
    responses(
        (status = 200, description = "The handler", body = HandlerItem),
        NoSuchHandler,
    ),
)]
pub async fn read(State(app): State<App>, Path(name): Path<String>) -> Result<axum::Json<HandlerItem>, Problem> {
    let item = app.engine.handler(handler_name(&name)?).await?;
    Ok(axum::Json(HandlerItem::of(item, app.clock.now_ms())))
}

/// Create a handler, or deploy another version or other settings. Takes effect at a position of the log.
#[utoipa::path(
    put, path = "/v1/handlers/{name}", operation_id = "deploy_handler", tag = "handlers", params(("name" = inline(HandlerName), Path)), request_body = Deployment,
    responses(
        (status = 200, description = "Durable; the handler, with the next three times of each schedule", body = HandlerItem),
        NoSuchModule, ManifestRefused,
    ),
)]
pub async fn put(
    State(app): State<App>,
    Path(name): Path<String>,
    Json(deployment): Json<Deployment>,
) -> Result<axum::Json<HandlerItem>, Problem> {
    let Deployment { digest, manifest } = deployment;
    if handler_name(&name)? != manifest.name {
        let detail = format!("the manifest is named {}, but the path has {name}", manifest.name);
        return Err(Problem::bad_request("name-mismatch", detail));
    }
    let now_ms = app.clock.now_ms();
    Ok(axum::Json(HandlerItem::of(app.engine.deploy(manifest, digest).await?, now_ms)))
}

fn handler_name(name: &str) -> Result<HandlerName, Problem> {
    Ok(name.parse()?)
}

impl HandlerItem {
    pub fn of(item: Item, now_ms: u64) -> Self {
        let state = match item.mode {
            Mode::Paused => "paused",
            Mode::Draining if item.open == 0 => "drained",
            Mode::Draining => "draining",
            Mode::Running if item.ready => "running",
            Mode::Running => "waiting-for-module",
        };
        Self {
            name: item.name.to_string(),
            state,
            digest: item.digest.to_string(),
            schedules: item.manifest.schedules.iter().map(|one| ScheduleItem::of(one, now_ms)).collect(),
            manifest: item.manifest,
            deployed_at_ms: item.deployed_at_ms,
            checkpoint: item.checkpoint.0,
            lag: item.lag,
            open: item.open,
            running: item.running,
            retrying: item.retrying,
            spilled: item.spilled,
            breaker_open_until_ms: item.breaker_open_until_ms,
        }
    }
}
