//! Health and metrics.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};

use super::{answers::held, lists::ListSlot};
use crate::{
    Problem,
    app::App,
    exposition::{OPEN_METRICS, OPEN_METRICS_TYPE, PROMETHEUS_TYPE, prometheus},
};

/// The process answers.
#[utoipa::path(
    get, path = "/livez", operation_id = "read_liveness", tag = "system",
    responses((status = 200, description = "The process answers", body = String, content_type = "text/plain")),
)]
pub async fn live() -> &'static str {
    "ok\n"
}

/// The log is open, recovered, accepts commands, and has room for events.
#[utoipa::path(
    get, path = "/readyz", operation_id = "read_readiness", tag = "system",
    responses((status = 200, description = "Events are accepted and delivered", body = String, content_type = "text/plain")),
)]
pub async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.engine.handlers().await?;
    if !app.engine.has_space() {
        let detail = "the disk is nearly full: no events are accepted and no deliveries begin until there is space";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "disk-full", detail).retry_after(30));
    }
    Ok("ok\n")
}

/// Metrics, in Prometheus' text format; with `Accept: application/openmetrics-text` in that of OpenMetrics.
#[utoipa::path(
    get, path = "/metrics", operation_id = "read_metrics", tag = "system",
    responses(
        (status = 200, description = "Metrics", content(
            (String = "text/plain"),
            (String = "application/openmetrics-text"),
        )),
    ),
)]
pub async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let slot = ListSlot::of(&app.scrapes).await?;
    let handlers = app.engine.described(app.engine.handlers().await?).await?;
    let metrics = app.engine.metrics();
    metrics.live_subjects.set(i64::try_from(app.engine.hub().watched()).unwrap_or(i64::MAX));
    let text = metrics.encode(&handlers, app.clock.now_ms(), app.engine.budget());
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (content_type, text) = match accept.into_iter().any(|types| types.contains(OPEN_METRICS)) {
        true => (OPEN_METRICS_TYPE, text),
        false => (PROMETHEUS_TYPE, prometheus(&text)),
    };
    Ok(held(content_type, text.into_bytes(), slot))
}
