//! Answers with one item whose size a client or a handler has decided: an event, a status, a manifest. Beyond a small size their bytes
//! come out of the budget until the client has read them, so clients that do not read cannot use up the memory.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use weirgate_engine::Purpose;

use crate::{Problem, app::App};

/// An answer of at most this many bytes belongs to its connection, like the buffers for reading.
const SMALL_BYTES_MAX: usize = 16 * 1024;
pub const JSON: &str = "application/json";

/// Answer with JSON.
///
/// # Errors
/// `over-budget`: unread answers hold all bytes for them. Or it cannot be encoded as JSON.
pub fn answer(app: &App, what: &impl Serialize) -> Result<Response, Problem> {
    let json = encoded(what)?;
    if json.len() <= SMALL_BYTES_MAX {
        return Ok(held(JSON, json, ()));
    }
    let grant = app.engine.budget().take(Purpose::Answers, json.len()).ok_or_else(over_budget)?;
    Ok(held(JSON, json, grant))
}

pub fn encoded(what: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(what).map_err(|error| Problem::internal("storage", &error))
}

/// An answer that keeps something until the client has read it.
pub fn held(content_type: &str, bytes: Vec<u8>, kept: impl Send + 'static) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type.to_owned()), (header::CONTENT_LENGTH, bytes.len().to_string())];
    // What is kept goes with the stream, after the bytes have been taken from it.
    let parts = futures_util::stream::unfold((Some(Bytes::from(bytes)), kept), |(bytes, kept)| async move {
        bytes.map(|bytes| (Ok::<_, Infallible>(bytes), (None, kept)))
    });
    (headers, Body::from_stream(parts)).into_response()
}

fn over_budget() -> Problem {
    let detail = "answers that are not read yet hold all the bytes for answers; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(1)
}
