//! Answers that may be large: few are in flight at once, and each keeps its slot until its client has read it. So the memory they
//! hold is bounded by the size of one, however many clients ask and however slowly they read.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{Problem, app::App};

/// How long a request waits for a slot.
const PATIENCE: Duration = Duration::from_secs(5);

/// A slot among the large answers in flight. It is taken before anything is read.
pub struct ListSlot {
    _permit: OwnedSemaphorePermit,
}

impl ListSlot {
    /// # Errors
    /// `over-budget`: no slot is free within five seconds.
    pub async fn take(app: &App) -> Result<Self, Problem> {
        match timeout(PATIENCE, Arc::clone(&app.lists).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Self { _permit: permit }),
            _ => Err(too_many()),
        }
    }

    /// Answer with JSON. The answer keeps the slot until the client has read it, so that clients that do not read are
    /// limited by the slots.
    ///
    /// # Errors
    /// The answer cannot be encoded as JSON.
    pub fn answer(self, what: &impl Serialize) -> Result<Response, Problem> {
        let json = serde_json::to_vec(what).map_err(|error| Problem::internal("storage", &error))?;
        let headers =
            [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, json.len().to_string())];
        // The permit goes with the stream, after the bytes have been taken from it.
        let parts = futures_util::stream::unfold((Some(Bytes::from(json)), self), |(bytes, slot)| async move {
            bytes.map(|bytes| (Ok::<_, Infallible>(bytes), (None, slot)))
        });
        Ok((headers, Body::from_stream(parts)).into_response())
    }
}

fn too_many() -> Problem {
    let detail = "too many concurrent lists; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(1)
}
