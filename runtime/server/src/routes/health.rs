//! Health and metrics.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{Problem, app::App};

/// The process answers.
pub async fn live() -> &'static str {
    "ok\n"
}

/// The log is open, recovered, accepts commands, and has room for events.
pub async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.engine.handlers().await?;
    if !app.engine.has_space() {
        let detail = "the disk is nearly full: no events are accepted and no deliveries begin until there is space";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "disk-full", detail).retry_after(30));
    }
    Ok("ok\n")
}

/// Metrics in the text format of OpenMetrics, which Prometheus reads.
#[utoipa::path(
    get, path = "/metrics", operation_id = "read_metrics", tag = "system",
    responses((status = 200, description = "Metrics", body = String, content_type = "application/openmetrics-text")),
)]
pub async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let handlers = app.engine.handlers().await?;
    let metrics = app.engine.metrics();
    metrics.live_subjects.set(i64::try_from(app.engine.hub().watched()).unwrap_or(i64::MAX));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], metrics.encode(&handlers, app.engine.budget()))
        .into_response())
}
