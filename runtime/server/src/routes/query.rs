//! Extractors whose refusals are problem details, and shared parameters of lists.

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, header},
};
use serde::de::DeserializeOwned;
use weirgate_engine::Handle;
use weirgate_types::HandlerName;

use crate::{Problem, app::App, payload::Payload};

/// Default number of items of a list.
pub const LIST_ITEMS_DEFAULT: usize = 100;
/// Maximum number of items of a list.
pub const LIST_ITEMS_MAX: usize = 1_000;

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(not_json());
        }
        let payload = Payload::from_request(request, app).await?;
        parse(app, payload).await.map(Self)
    }
}

async fn parse<T: DeserializeOwned + Send + 'static>(app: &App, payload: Payload) -> Result<T, Problem> {
    let bytes = payload.bytes.len();
    let parse = move || {
        let axum::Json(body) = axum::Json::from_bytes(&payload.bytes)?;
        drop(payload.held);
        Ok(body)
    };
    app.parsers.run(bytes, parse).await
}

/// Number of items to return.
pub fn limit(wanted: Option<usize>) -> Result<usize, Problem> {
    let limit = wanted.unwrap_or(LIST_ITEMS_DEFAULT);
    if (1..=LIST_ITEMS_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_request("bad-query", format!("limit={limit} is out of range; allowed are 1 to {LIST_ITEMS_MAX}")))
}

/// An optional JSON body; without it all fields are absent.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + Default + Send + 'static> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let payload = Payload::from_request(request, app).await?;
        if payload.bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        if is_json { parse(app, payload).await.map(Self) } else { Err(not_json()) }
    }
}

fn not_json() -> Problem {
    let detail = "the content type is not JSON; send application/json";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-json", detail)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The handler that a request names, if it names one: it has to exist, so that a misspelt name does not look like a handler
/// without entries.
pub async fn known_handler(engine: &Handle, name: Option<&str>) -> Result<Option<HandlerName>, Problem> {
    let Some(name) = name else { return Ok(None) };
    Ok(Some(engine.handler(name.parse()?).await?.name))
}
