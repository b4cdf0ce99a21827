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
use weirgate_types::{Epoch, Position, StatusDocument};

use super::{
    answers::answer,
    preconditions::{self, Conditions, Verdict},
    problems::{SubjectRefused, UnknownSubject, VersionDiffers},
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
    /// The epoch of that version, as an answer named it. In another epoch the versions are others: the answer is the whole
    /// document, at once.
    #[param(pattern = "^[0-9a-fA-F]{32}$")]
    epoch: Option<String>,
    /// Wait this long for that: `30s`, `500ms` (up to 60s).
    #[param(pattern = "^[0-9]{1,9}(ms|s)?$")]
    wait: Option<String>,
}

/// The public status of a subject.
#[derive(Serialize, ToSchema)]
pub struct Status {
    subject: String,
    /// The epoch of the version.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    epoch: String,
    /// The position of the last change. It only increases.
    version: u64,
    /// By handler: `state`, `text`, `data`, `version`, `at_ms`, `delivery` if one has failed, and `corrected`.
    parts: std::collections::BTreeMap<String, weirgate_types::StatusPart>,
}

/// Read a subject's status. With `after` and `wait`, answers when there is a newer version.
#[utoipa::path(
    get, path = "/v1/status/{*subject}", operation_id = "read_status", tag = "status",
    params(("subject" = String, Path, min_length = 1, max_length = 1024, description = "For instance order/o-1"), StatusQuery, Conditions),
    responses(
        (status = 200, description = "The document", body = Status),
        (status = 304, description = "Nothing newer than `after`, or the version that `If-None-Match` names"),
        SubjectRefused, UnknownSubject, VersionDiffers,
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
    let epoch = app.engine.epoch();
    let named = query.epoch.as_deref().map(epoch_of).transpose()?;
    let after = query.after.map_or(Position::ZERO, Position);
    let mut document = app.engine.status(subject.clone()).await?;
    // Versions of another log cannot be compared; nor can one that its log has not reached, if the client names the log.
    let is_comparable = named.is_none_or(|named| named == epoch && after <= document.version);
    if is_comparable && document.version <= after && !wait.is_zero() {
        document = wait_for_news(&app, &subject, after, wait.min(WAIT_MAX)).await?;
    }
    let is_seen = is_comparable && query.after.is_some() && document.version <= after;
    if document.version == Position::ZERO {
        return Err(Problem::not_found(format!("nothing is known of {subject}")));
    }
    let tag = format!("{epoch}-{}", document.version);
    let verdict = match preconditions::judge(&headers, &tag) {
        Verdict::Respond if is_seen => Verdict::NotModified,
        verdict => verdict,
    };
    let fields = [(header::ETAG, format!("\"{tag}\"")), (header::CACHE_CONTROL, "no-cache".into())];
    Ok(match verdict {
        Verdict::NotModified => (StatusCode::NOT_MODIFIED, fields).into_response(),
        Verdict::Failed => (fields, version_differs(&tag)).into_response(),
        Verdict::Respond => {
            let (epoch, version) = (epoch.to_string(), document.version.0);
            let status = Status { subject, epoch, version, parts: document.shown().parts };
            (fields, answer(&app, &status)?).into_response()
        }
    })
}

fn version_differs(tag: &str) -> Problem {
    let detail = format!("the present version is \"{tag}\", which `If-Match` does not name");
    Problem::new(StatusCode::PRECONDITION_FAILED, "version-differs", detail)
}

/// 32 hexadecimal digits.
fn epoch_of(text: &str) -> Result<Epoch, Problem> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
    number.map(|number| Epoch(number.to_be_bytes())).ok_or_else(|| {
        Problem::bad_request(
            "bad-query",
            format!("epoch={text:?} is not 32 hexadecimal digits; send that of an answer"),
        )
    })
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
