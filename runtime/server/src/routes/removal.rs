//! `DELETE /v1/handlers/{name}`: removing a handler.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_types::HandlerName;

use super::{
    audit::{Actor, Reason, audit},
    bulk_jobs::BulkJobItem,
    problems::{AuditRefused, HandlerHasDeliveries, NoSuchHandler},
    query::{ForHandler, Query},
};
use crate::{Problem, app::App};

/// Dead letters are counted up to this number.
const COUNTED_MAX: usize = 10_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemovalQuery {
    /// Only say what would be removed (default: no).
    #[serde(default)]
    plan: bool,
    /// Drain the handler, skip its open deliveries and discard its dead letters, each with a recorded decision (default: no).
    #[serde(default)]
    skip_open: bool,
    /// The actor (default `operator`), at most 128 bytes.
    #[param(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[param(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// What is removed with a handler.
#[derive(Serialize, ToSchema)]
pub struct RemovalItem {
    name: String,
    /// Number of open deliveries that there were.
    open: usize,
    /// Number of dead letters that there were, counted up to 10,000.
    dead_letters: usize,
    /// The position of the record; absent for a plan, and while a bulk job decides what is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// With `skip_open`: the job that decides what is open, then removes the handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk_job: Option<BulkJobItem>,
}

/// Remove a handler, with its state, timers and schedules. What it has set in statuses stays. A later deployment of its name makes a
/// new handler.
#[utoipa::path(
    delete, path = "/v1/handlers/{name}", operation_id = "remove_handler", tag = "handlers",
    params(("name" = inline(HandlerName), Path), RemovalQuery),
    responses(
        (status = 200, description = "Durable; or the plan", body = RemovalItem),
        (status = 202, description = "Started; read the progress of the bulk job by its id", body = RemovalItem),
        NoSuchHandler, HandlerHasDeliveries, AuditRefused,
    ),
)]
pub async fn remove(
    State(app): State<App>,
    ForHandler(name): ForHandler,
    Query(query): Query<RemovalQuery>,
) -> Result<(StatusCode, axum::Json<RemovalItem>), Problem> {
    let RemovalQuery { plan, skip_open, actor, reason } = query;
    let audit = audit(actor, reason)?;
    let open = app.engine.handler(name.clone()).await?.open;
    let dead_letters = app.engine.count_dead_letters(name.clone(), COUNTED_MAX).await?;
    let item = RemovalItem { name: name.to_string(), open, dead_letters, position: None, bulk_job: None };
    if plan {
        return Ok((StatusCode::OK, axum::Json(item)));
    }
    if skip_open {
        let (id, work) = app.engine.begin_removal(name, audit, app.clock.now_ms())?;
        app.tasks.start(work);
        let bulk_job = Some(app.engine.bulk_job(id)?.into());
        return Ok((StatusCode::ACCEPTED, axum::Json(RemovalItem { bulk_job, ..item })));
    }
    let position = Some(app.engine.remove(name, audit).await?.0);
    Ok((StatusCode::OK, axum::Json(RemovalItem { position, ..item })))
}
