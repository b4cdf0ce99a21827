//! `/v1/dead-letters/bulk-jobs` and `/v1/bulk-jobs`: one command for all dead letters that match a filter.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use weirgate_engine::{BulkJob, CommandRequest};

use super::{
    audit::{Actor, Reason, audit},
    corrected::{Brought, present},
    dead_letter_filter::DeadLetterFilterBody,
    lists::ListSlot,
    problems::{AmbiguousDigest, CommandRefused, DataTooLarge, NoSuchBulkJob, NoSuchHandler, TooManyLists},
    query::{Json, Path},
    times::rfc3339,
};
use crate::{Problem, app::App};

const PER_SECOND_DEFAULT: u32 = 100;
const PER_SECOND_MAX: u32 = 10_000;

/// A command for the dead letters that match a filter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkJobBody {
    /// The filter; `{}` matches all.
    filter: DeadLetterFilterBody,
    command: BulkCommand,
    /// With `correct`: JSON that replaces each event's data.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<Box<RawValue>>,
    /// With `correct`: bytes that replace each event's data, in base64.
    data_base64: Option<String>,
    /// Content type of `data` (default `application/json`) or `data_base64`.
    data_content_type: Option<String>,
    /// With `correct`: a merge patch (RFC 7396) on each delivery's present data.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    patch: Option<Box<RawValue>>,
    /// The maximum per second (100; up to 10,000).
    per_second: Option<u32>,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// Commands for many dead letters. An event that replaces one delivery cannot replace another, so `resolve` has no events
/// here: it states that the work has been done elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BulkCommand {
    Retry,
    Correct,
    Skip,
    Resolve,
    Discard,
}

/// A bulk job and its progress. Bulk jobs end with the server; commands that were recorded by then are in the log.
#[derive(Serialize, ToSchema)]
pub struct BulkJobItem {
    id: u64,
    command: &'static str,
    actor: String,
    reason: String,
    /// `running`, `done`, `cancelled` or `failed`.
    state: &'static str,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    started_at: String,
    started_at_ms: u64,
    /// Number of deliveries handled.
    done: u64,
    /// Number of these that were refused: already decided, running, or the correction did not fit.
    refused: u64,
    /// The error that stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct BulkJobList {
    bulk_jobs: Vec<BulkJobItem>,
}

/// Start a bulk job: one command for all dead letters that match a filter. Answers at once; the job passes through the list once.
#[utoipa::path(
    post, path = "/v1/dead-letters/bulk-jobs", operation_id = "begin_bulk_job", tag = "deliveries", request_body = BulkJobBody,
    responses(
        (status = 202, description = "Started; read its progress by its id", body = BulkJobItem),
        NoSuchHandler, AmbiguousDigest, DataTooLarge, CommandRefused,
    ),
)]
pub async fn begin(
    State(app): State<App>,
    Json(body): Json<BulkJobBody>,
) -> Result<(StatusCode, axum::Json<BulkJobItem>), Problem> {
    let BulkJobBody { filter, command, data, data_base64, data_content_type, patch, per_second, actor, reason } = body;
    let request = command_request(command, Brought { data, data_base64, data_content_type, patch }, &app)?;
    let per_second = per_second.unwrap_or(PER_SECOND_DEFAULT);
    if !(1..=PER_SECOND_MAX).contains(&per_second) {
        let detail = format!("`per_second` is {per_second}; allowed are 1 to {PER_SECOND_MAX}");
        return Err(Problem::bad_command(detail));
    }
    let audit = audit(actor, reason)?;
    let filter = filter.checked(&app.engine).await?;
    let (id, work) = app.engine.begin_bulk_job(filter, request, audit, (per_second, app.clock.now_ms()))?;
    app.tasks.start(work);
    Ok((StatusCode::ACCEPTED, axum::Json(app.engine.bulk_job(id)?.into())))
}

fn command_request(command: BulkCommand, brought: Brought, app: &App) -> Result<CommandRequest, Problem> {
    let limits = &app.options.event_limits;
    if command == BulkCommand::Correct {
        return Ok(CommandRequest::Correct(brought.required(limits)?));
    }
    if brought.checked(limits)?.is_some() {
        return Err(Problem::bad_command("only `correct` takes data; omit the data or use `correct`"));
    }
    Ok(match command {
        BulkCommand::Retry | BulkCommand::Correct => CommandRequest::Retry,
        BulkCommand::Skip => CommandRequest::Skip,
        BulkCommand::Resolve => CommandRequest::Resolve(Vec::new()),
        BulkCommand::Discard => CommandRequest::Discard,
    })
}

/// The newest bulk jobs since the server started, oldest first.
#[utoipa::path(
    get, path = "/v1/bulk-jobs", operation_id = "list_bulk_jobs", tag = "deliveries",
    responses((status = 200, description = "BulkJobs", body = BulkJobList), TooManyLists),
)]
pub async fn list(State(app): State<App>) -> Result<Response, Problem> {
    let slot = ListSlot::take(&app).await?;
    slot.answer(BulkJobList { bulk_jobs: app.engine.bulk_jobs().into_iter().map(BulkJobItem::from).collect() }).await
}

/// The progress of a bulk job.
#[utoipa::path(
    get, path = "/v1/bulk-jobs/{id}", operation_id = "read_bulk_job", tag = "deliveries", params(("id" = u64, Path, maximum = 9_007_199_254_740_991_i64)),
    responses(
        (status = 200, description = "The bulk job", body = BulkJobItem),
        NoSuchBulkJob,
    ),
)]
pub async fn read(State(app): State<App>, Path(id): Path<u64>) -> Result<axum::Json<BulkJobItem>, Problem> {
    Ok(axum::Json(app.engine.bulk_job(id)?.into()))
}

/// Cancel a bulk job. Its completed commands remain in effect.
#[utoipa::path(
    post, path = "/v1/bulk-jobs/{id}/cancel", operation_id = "cancel_bulk_job", tag = "deliveries", params(("id" = u64, Path, maximum = 9_007_199_254_740_991_i64)),
    responses(
        (status = 200, description = "The bulk job", body = BulkJobItem),
        NoSuchBulkJob,
    ),
)]
pub async fn cancel(State(app): State<App>, Path(id): Path<u64>) -> Result<axum::Json<BulkJobItem>, Problem> {
    Ok(axum::Json(app.engine.cancel_bulk_job(id)?.into()))
}

impl From<BulkJob> for BulkJobItem {
    fn from(job: BulkJob) -> Self {
        Self {
            id: job.id,
            command: job.command,
            actor: job.actor,
            reason: job.reason,
            state: job.state.word(),
            started_at: rfc3339(job.started_at_ms),
            started_at_ms: job.started_at_ms,
            done: job.done,
            refused: job.refused,
            error: job.error,
        }
    }
}
