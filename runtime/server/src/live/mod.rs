//! `GET /v1/live`: the status of subjects, pushed. WebSocket (`weirgate.v1`), or server-sent events.
//! `docs/protocols/live.md` is the protocol.

mod frames;
mod session;
mod sse;

use axum::{
    extract::{RawQuery, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::routes::problems::{NoLiveRequest, OriginRefused, TooManyConnections};
use crate::{Problem, app::App, slot::ConnectionSlot};

/// Maximum number of subjects that one connection may watch.
const SUBJECTS_MAX: usize = 128;
/// Maximum length of a subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 1_024;
const PROTOCOL: &str = "weirgate.v1";
/// Maximum size of a client's message, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The subjects in a client's message, for fuzzing.
///
/// # Errors
/// The error text for the client.
#[cfg(feature = "fuzz")]
pub fn subjects(message: &str) -> Result<Vec<String>, String> {
    frames::Request::parse(message).map(frames::Request::subjects)
}

/// Follow subjects live.
///
/// A WebSocket with the subprotocol `weirgate.v1`; or, with `Accept: text/event-stream` and one or more `subject`
/// parameters, server-sent events.
#[utoipa::path(
    get, path = "/v1/live", operation_id = "follow_live", tag = "status",
    params(("subject" = Option<Vec<String>>, Query, description = "Server-sent events: the subjects to follow")),
    responses(
        (status = 101, description = "WebSocket, subprotocol weirgate.v1"),
        (status = 200, description = "Server-sent events", content_type = "text/event-stream"),
        NoLiveRequest, OriginRefused, TooManyConnections,
    ),
)]
pub async fn connect(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    check_origin(&headers, &app.options.origins)?;
    let slot = app.admission.enter(&app.engine).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", "too many live connections")
            .retry_after(5)
    })?;
    let wants_events =
        headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
    match upgrade {
        Ok(upgrade) => websocket(upgrade, app, slot),
        Err(_) if wants_events => {
            Ok(sse::stream(app, slot, query.as_deref().unwrap_or_default(), &headers).await?.into_response())
        }
        Err(rejection) => {
            let detail = format!("connect with a WebSocket, or accept text/event-stream ({})", rejection.body_text());
            Err(Problem::bad_request("not-a-websocket", detail))
        }
    }
}

fn websocket(upgrade: WebSocketUpgrade, app: App, slot: ConnectionSlot) -> Result<Response, Problem> {
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        // One message is written at a time, so only one message waits for a socket.
        .write_buffer_size(0);
    if upgrade.selected_protocol().is_none() {
        return Err(Problem::bad_request("no-subprotocol", format!("ask for the subprotocol {PROTOCOL}")));
    }
    Ok(upgrade.on_upgrade(move |socket| session::Session::new(app, slot).run(socket)))
}

/// A subject is an event's key or a handler's choice, which have this limit as well.
pub fn check_subject(subject: &str) -> Result<(), Problem> {
    if (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) {
        return Ok(());
    }
    let detail = format!("the subject is {} bytes long; allowed are 1 to {SUBJECT_BYTES_MAX}", subject.len());
    Err(Problem::bad_request("bad-subject", detail))
}

/// Browsers send the page's origin; other programs send none. A page of another site must not read statuses through its
/// visitor's browser (cross-site WebSocket hijacking).
pub fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = origin.split_once("://").is_some_and(|(_, authority)| !host.is_empty() && authority == host);
    if own || allowed.iter().any(|other| other == origin) {
        return Ok(());
    }
    let detail = format!("pages of {origin} may not connect; allow the origin in the server's configuration");
    Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_and_allowed_origins_connect() {
        let allowed = ["https://shop.example".to_owned()];
        for (origin, host, may) in [
            (None, "weirgate.example", true),
            (Some("https://weirgate.example"), "weirgate.example", true),
            (Some("http://localhost:8080"), "localhost:8080", true),
            (Some("https://shop.example"), "weirgate.example", true),
            (Some("https://shop.example.evil.example"), "weirgate.example", false),
            (Some("https://evil.example"), "weirgate.example", false),
            (Some("http://localhost:8081"), "localhost:8080", false),
            (Some("null"), "weirgate.example", false),
            (Some("https://"), "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a host"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("an origin"));
            }
            assert_eq!(check_origin(&headers, &allowed).is_ok(), may, "{origin:?} at {host}");
        }
    }
}
