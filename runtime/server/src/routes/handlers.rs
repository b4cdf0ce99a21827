//! `/v1/handlers`: reading the state of handlers.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::{Audit, HandlerItem as Item, schedule};
use weirgate_types::{Digest, HandlerName, Manifest, Mode, Schedule};

use super::{
    answers::answer,
    lists::{ListSlot, page},
    problems::{NoSuchHandler, TooManyLists, TooManyReads},
    query::{LIST_ITEMS_MAX, Named, Query, limit},
    times::rfc3339,
};
use crate::{Problem, app::App};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HandlersQuery {
    /// Only handlers behind this one: the `next` of the previous page.
    #[param(value_type = Option<HandlerName>, inline)]
    after: Option<String>,
    /// Maximum number of handlers (default and at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct HandlerList {
    handlers: Vec<HandlerItem>,
    /// The value of `after` for the next page; absent at the end. A page ends early when its manifests are large.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<HandlerName>)]
    next: Option<String>,
}

/// A handler and its state.
#[derive(Serialize, ToSchema)]
pub struct HandlerItem {
    #[schema(value_type = HandlerName)]
    name: String,
    /// `running`, `draining`, `drained` (draining, with nothing open), `paused`, or `waiting-for-module`.
    state: &'static str,
    #[schema(value_type = Digest)]
    digest: String,
    /// The number of the version in force: 1 for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[schema(value_type = Manifest)]
    manifest: Arc<Manifest>,
    /// RFC 3339.
    #[schema(format = DateTime)]
    deployed_at: String,
    deployed_at_ms: u64,
    /// The reason of the last pause, drain or resume, and when that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    changed_at: Option<String>,
    /// The position up to which no delivery is open.
    checkpoint: u64,
    /// Number of events that the handler has not looked at yet. A delivery that keeps failing does not add to it.
    lag: u64,
    /// When the event of the oldest open delivery was accepted (RFC 3339); absent if none is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    oldest_open_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_open_at_ms: Option<u64>,
    /// How long ago that was, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_open_age_ms: Option<u64>,
    /// Open deliveries: running or waiting in a lane.
    open: usize,
    running: usize,
    /// Deliveries in memory that wait for their next attempt.
    retrying: usize,
    /// Spilled deliveries: on disk only, until they are due or an operator decides them.
    spilled: usize,
    /// If its breaker is open: until this time (RFC 3339, and in Unix milliseconds); then one probe delivery passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    breaker_open_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker_open_until_ms: Option<u64>,
    /// The next times of the manifest's schedules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schedules: Vec<ScheduleItem>,
    /// With `retry_waiting`: the bulk job that retries the waiting deliveries.
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk_job: Option<u64>,
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

/// List handlers.
#[utoipa::path(
    get, path = "/v1/handlers", operation_id = "list_handlers", tag = "handlers", params(HandlersQuery),
    responses(
        (status = 200, description = "In order of name", body = HandlerList),
        TooManyLists,
    ),
)]
pub async fn list(State(app): State<App>, Query(query): Query<HandlersQuery>) -> Result<Response, Problem> {
    let after = query.after.map(|name| name.parse::<HandlerName>()).transpose()?;
    let limit = limit(query.limit.or(Some(LIST_ITEMS_MAX)))?;
    let slot = ListSlot::take(&app).await?;
    let now_ms = app.clock.now_ms();
    let mut handlers = app.engine.handlers().await?;
    handlers.retain(|item| after.as_ref().is_none_or(|after| item.name > *after));
    let has_more = handlers.len() > limit;
    handlers.truncate(limit);
    let handlers = app.engine.described(handlers).await?;
    slot.make(move || {
        let (handlers, is_cut) = page(handlers.into_iter().map(|item| Ok(HandlerItem::of(item, now_ms))))?;
        let next = handlers.last().map(|last| last.name.clone()).filter(|_| has_more || is_cut);
        Ok(HandlerList { handlers, next })
    })
    .await
}

/// One handler.
#[utoipa::path(
    get, path = "/v1/handlers/{name}", operation_id = "read_handler", tag = "handlers", params(("name" = inline(HandlerName), Path)),
    responses(
        (status = 200, description = "The handler", body = HandlerItem),
        NoSuchHandler, TooManyReads,
    ),
)]
pub async fn read(State(app): State<App>, Named(name): Named<HandlerName>) -> Result<Response, Problem> {
    let item = app.engine.handler(name).await?;
    answer(&app, &HandlerItem::described(&app, item).await?)
}

impl HandlerItem {
    /// The item of one handler, with its times and reasons.
    pub async fn described(app: &App, item: Item) -> Result<Self, Problem> {
        let name = item.name.clone();
        let described = app.engine.described(vec![item]).await?.pop();
        let item = described.ok_or(weirgate_engine::Refusal::UnknownHandler(name))?;
        Ok(Self::of(item, app.clock.now_ms()))
    }

    /// The item of a handler that was just deployed. With `retry_waiting`, a bulk job retries what waits.
    pub async fn deployed(app: &App, item: Item, retry_waiting: Option<Audit>) -> Result<Self, Problem> {
        let bulk_job = match retry_waiting {
            Some(audit) => {
                // Refused, it is begun by the same request again, which deploys nothing more.
                let (id, work) = app.engine.begin_retry_of_waiting(item.name.clone(), audit, app.clock.now_ms())?;
                app.tasks.start(work);
                Some(id)
            }
            None => None,
        };
        Ok(Self { bulk_job, ..Self::described(app, item).await? })
    }

    fn of(item: Item, now_ms: u64) -> Self {
        let (reason, changed_at) = item.changed.map(|last| (last.reason, rfc3339(last.at_ms))).unzip();
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
            version: item.version_number,
            bulk_job: None,
            schedules: item.manifest.schedules.iter().map(|one| ScheduleItem::of(one, now_ms)).collect(),
            manifest: item.manifest,
            deployed_at: rfc3339(item.deployed_at_ms),
            deployed_at_ms: item.deployed_at_ms,
            reason: reason.filter(|reason| !reason.is_empty()),
            changed_at,
            checkpoint: item.checkpoint.0,
            lag: item.lag,
            oldest_open_at: item.oldest_open_at_ms.map(rfc3339),
            oldest_open_at_ms: item.oldest_open_at_ms,
            oldest_open_age_ms: item.oldest_open_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
            open: item.open,
            running: item.running,
            retrying: item.retrying,
            spilled: item.spilled,
            breaker_open_until: item.breaker_open_until_ms.map(rfc3339),
            breaker_open_until_ms: item.breaker_open_until_ms,
        }
    }
}
