//! `GET /v1/status/{subject}`: the status document, at once or when it has changed.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::Watch;
use weirgate_types::{Position, StatusDocument};

use super::{
    problems::{SubjectRefused, UnknownSubject},
    query::{Path, Query},
};
use crate::{Problem, admission::hold, app::App, live::check_subject};

/// The longest wait for a change.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatusQuery {
    /// Answer 304 unless the document's version is greater than this.
    #[param(value_type = Option<Position>, inline)]
    after: Option<u64>,
    /// Wait this long for that: `30s`, `500ms` (up to 60s).
    #[param(pattern = "^[0-9]{1,9}(ms|s)?$")]
    wait: Option<String>,
}

/// The public status of a subject.
#[derive(Serialize, ToSchema)]
pub struct Status {
    subject: String,
    /// The epoch of the version.
    epoch: String,
    /// The position of the last change. It only increases.
    version: u64,
    /// By handler: `state`, `text`, `data`, `version`, `at_ms`, and `delivery` if one has failed.
    parts: std::collections::BTreeMap<String, weirgate_types::StatusPart>,
}

/// Read a subject's status. With `after` and `wait`, answers when there is a newer version.
#[utoipa::path(
    get, path = "/v1/status/{*subject}", operation_id = "read_status", tag = "status",
    params(("subject" = String, Path, min_length = 1, max_length = 1024, description = "For instance order/o-1"), StatusQuery),
    responses(
        (status = 200, description = "The document", body = Status),
        (status = 304, description = "Nothing newer than `after`"),
        SubjectRefused, UnknownSubject,
    ),
)]
pub async fn read(
    State(app): State<App>,
    Path(subject): Path<String>,
    Query(query): Query<StatusQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_subject(&subject)?;
    let wait = query.wait.as_deref().map_or(Ok(Duration::ZERO), duration)?;
    let after = Position(query.after.unwrap_or(0));
    let mut document = app.engine.status(subject.clone()).await?;
    if document.version <= after && !wait.is_zero() {
        document = wait_for_news(&app, &subject, after, wait.min(WAIT_MAX)).await?;
    }
    if document.version == Position::ZERO {
        return Err(Problem::not_found(format!("nothing is known of {subject}")));
    }
    if query.after.is_some() && document.version <= after {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let epoch = app.engine.epoch().to_string();
    let tag = format!("\"{epoch}-{}\"", document.version);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let status = Status { subject, epoch, version: document.version.0, parts: document.parts };
    Ok(([(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".into())], axum::Json(status)).into_response())
}

async fn wait_for_news(app: &App, subject: &str, after: Position, wait: Duration) -> Result<StatusDocument, Problem> {
    let over_budget = || {
        let detail = "the budget for watched subjects is used up; try again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(1)
    };
    let _held = hold(&app.engine, subject).ok_or_else(over_budget)?;
    let mut watch = Watch::new(Arc::clone(app.engine.hub()));
    let deadline = tokio::time::Instant::now() + wait;
    let mut document = watch.add(subject).await?;
    while document.version <= after {
        tokio::select! {
            _ = watch.changed() => document = app.engine.hub().document(subject).await?,
            () = tokio::time::sleep_until(deadline) => break,
            () = app.stopped() => break,
        }
    }
    Ok(document)
}

/// `30s`, `500ms`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, Problem> {
    let parsed = match text.strip_suffix("ms") {
        Some(number) => number.parse().map(Duration::from_millis),
        None => text.strip_suffix('s').unwrap_or(text).parse().map(Duration::from_secs),
    };
    parsed.map_err(|_| {
        Problem::bad_request("bad-query", format!("wait={text:?} is not a duration; write for instance wait=30s"))
    })
}
