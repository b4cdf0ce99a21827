//! Reads a request's body: its bytes are taken from the budget before they are read, and both the whole body and each pause
//! have a time limit.

use std::time::Duration;

use axum::{
    body::{BodyDataStream, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};
use weirgate_engine::{Grant, Purpose};

use crate::{Problem, app::App};

/// Bytes taken from the budget before a body's first bytes arrive; less if its declared length is smaller.
const FIRST_BYTES: usize = 16 * 1024;

/// A completely read body, and its bytes of the budget.
pub struct Payload {
    pub bytes: Bytes,
    pub held: Grant,
}

/// A body being read.
pub struct Reading {
    stream: BodyDataStream,
    deadline: Instant,
    idle_max: Duration,
    bytes: usize,
    bytes_max: usize,
}

impl FromRequest<App> for Payload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let options = &app.options;
        let announced = announced(request.headers());
        let mut reading = Reading::new(app, request, options.request_bytes_max, options.body_timeout);
        read(app, &mut reading, announced).await
    }
}

/// Whether the client sends its body only after `100 Continue`, which reading causes.
pub fn waits_to_be_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// The declared length of a request's body.
pub fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(app: &App, reading: &mut Reading, announced: Option<usize>) -> Result<Payload, Problem> {
    if announced.is_some_and(|bytes| bytes > reading.bytes_max) {
        return Err(reading.too_large());
    }
    let first = announced.unwrap_or(FIRST_BYTES).min(FIRST_BYTES);
    let mut held = app.engine.budget().take(Purpose::Requests, first).ok_or_else(over_budget)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = reading.next(app).await? {
        let needed = bytes.len() + chunk.len();
        if needed > held.bytes() {
            // Twice as much as has arrived, so that the budget's bytes stay close to the sent ones.
            let wanted = (needed * 2).min(announced.unwrap_or(reading.bytes_max)).max(needed);
            if !held.grow(wanted - held.bytes()) {
                return Err(over_budget());
            }
            bytes.reserve_exact(wanted - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
    bytes.shrink_to_fit();
    held.shrink_to(bytes.len());
    Ok(Payload { bytes: bytes.into(), held })
}

impl Reading {
    pub fn new(app: &App, request: Request, bytes_max: usize, timeout: Duration) -> Self {
        let (deadline, idle_max) = (Instant::now() + timeout, app.options.body_idle_timeout);
        let stream = request.into_body().into_data_stream();
        Self { stream, deadline, idle_max, bytes: 0, bytes_max }
    }

    /// The next bytes; `None` at the body's end.
    pub async fn next(&mut self, app: &App) -> Result<Option<Bytes>, Problem> {
        let idle_until = Instant::now() + self.idle_max;
        let next = tokio::select! {
            // In this order, since waiting for the stop takes a lock that all connections share.
            biased;
            next = timeout_at(idle_until.min(self.deadline), self.stream.next()) => next,
            () = app.stopped() => return Err(stopping()),
        };
        match next {
            Err(_) => Err(self.timed_out(idle_until < self.deadline)),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => {
                Err(Problem::bad_request("unreadable-body", format!("the body cannot be read: {error}")))
            }
            Ok(Some(Ok(chunk))) => {
                self.bytes += chunk.len();
                if self.bytes > self.bytes_max { Err(self.too_large()) } else { Ok(Some(chunk)) }
            }
        }
    }

    fn too_large(&self) -> Problem {
        let detail = format!("the body is larger than {} bytes", self.bytes_max);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail)
    }

    fn timed_out(&self, is_idle: bool) -> Problem {
        let detail = match is_idle {
            true => format!("no byte of the body arrived for {} ms", self.idle_max.as_millis()),
            false => "the body did not arrive in time".to_owned(),
        };
        let mut problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", detail);
        problem.retryable = true;
        problem
    }
}

fn over_budget() -> Problem {
    let detail = "concurrent requests hold all bytes of the budget; send the request again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(1)
}

fn stopping() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping").retry_after(2)
}
