//! `GET /v1/live`: the status of subjects, pushed. WebSocket (`weirgate.v1`), or server-sent events.
//! `docs/protocols/live.md` is the protocol.

mod bell;
mod close;
mod follows;
mod frames;
mod session;
mod sse;
mod timers;
mod websocket;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;

use crate::routes::problems::{NoLiveRequest, OtherWebSocketVersion, TooManyConnections};
use crate::{Problem, access::OwnPage, app::App, slot::ConnectionSlot};

/// Maximum number of subjects that one connection may watch.
const SUBJECTS_MAX: usize = 128;
/// Maximum length of a subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 1_024;
const PROTOCOL: &str = "weirgate.v1";
/// Tells nginx to pass each event on at once.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The subjects in a client's message, for fuzzing.
///
/// # Errors
/// The error text for the client.
#[cfg(feature = "fuzz")]
pub fn subjects(message: &str) -> Result<Vec<String>, String> {
    frames::Request::parse(message).map(frames::Request::subjects)
}

/// What a peer's bytes are, when they arrive in pieces of `size` bytes, for fuzzing.
#[cfg(feature = "fuzz")]
#[must_use]
pub fn messages(bytes: &[u8], size: usize) -> String {
    websocket::messages(bytes, size)
}

/// Follow subjects live.
///
/// A WebSocket with the subprotocol `weirgate.v1`; or, with `Accept: text/event-stream` and one or more `subject`
/// parameters, server-sent events.
#[utoipa::path(
    get, path = "/v1/live", operation_id = "follow_live", tag = "status",
    params(
        ("subject" = Option<Vec<String>>, Query, description = "Server-sent events: the subjects to follow"),
        ("Last-Event-ID" = Option<String>, Header, description = "Server-sent events: the `id` of the last event that was received, of the same subjects; the answer is what changed since"),
    ),
    responses(
        (status = 101, description = "WebSocket, subprotocol weirgate.v1"),
        (status = 200, description = "Server-sent events", content_type = "text/event-stream"),
        NoLiveRequest, OtherWebSocketVersion, TooManyConnections,
    ),
)]
pub async fn connect(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let slot = app.admission.enter(&app.engine).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", "too many live connections")
            .retry_after(5)
    })?;
    if websocket::is_requested(request.method(), request.headers()) {
        return websocket(request, app, slot);
    }
    if wants_events(request.headers()) {
        let query = request.uri().query().unwrap_or_default();
        let events = sse::stream(app, slot, query, request.headers()).await?;
        return Ok(([UNBUFFERED], events).into_response());
    }
    let detail = "connect with a WebSocket (GET, Upgrade: websocket, Connection: upgrade), or accept text/event-stream";
    Err(Problem::bad_request("not-a-websocket", detail))
}

/// Whether one of the accepted media types is that of server-sent events.
fn wants_events(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).into_iter().filter_map(|line| line.to_str().ok());
    let mut types = lines.flat_map(|line| line.split(',')).filter_map(|range| range.split(';').next());
    types.any(|media_type| media_type.trim().eq_ignore_ascii_case("text/event-stream"))
}

fn websocket(mut request: Request, app: App, slot: ConnectionSlot) -> Result<Response, Problem> {
    if let Some(refused) = websocket::unsupported_version(request.headers()) {
        return Ok(refused);
    }
    let accept = websocket::check(&request, PROTOCOL)?;
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::bad_request("not-a-websocket", "this connection cannot become a WebSocket"));
    };
    let is_own_page = request.extensions().get::<OwnPage>().is_some();
    let sessions = std::sync::Arc::clone(&app.sessions);
    sessions.start(async move {
        // An error means that the client is gone before the connection became a WebSocket.
        let Ok(upgraded) = on_upgrade.await else { return };
        let Some((reader, writer, connection)) = websocket::open(upgraded) else {
            tracing::error!("a WebSocket is not on a connection that this server accepted");
            return;
        };
        session::Session::new(app, slot, (reader, writer), is_own_page).run().await;
        drop(connection);
    });
    Ok(websocket::switching_protocols(accept, PROTOCOL))
}

/// A subject is an event's key or a handler's choice, which have this limit as well.
pub fn check_subject(subject: &str) -> Result<(), Problem> {
    if (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) {
        return Ok(());
    }
    let detail = format!("the subject is {} bytes long; allowed are 1 to {SUBJECT_BYTES_MAX}", subject.len());
    Err(Problem::bad_request("bad-subject", detail))
}
