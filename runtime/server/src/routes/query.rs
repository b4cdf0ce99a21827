//! Extractors whose refusals are problem details, and shared parameters of lists.

use std::str::FromStr;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use weirgate_engine::Handle;
use weirgate_types::{HandlerName, MediaType};

use crate::{
    Problem,
    app::App,
    content::content_type,
    live::SUBJECT_BYTES_MAX,
    objects::Objects,
    payload::{Payload, announced, waits_to_be_asked},
};

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

/// What a path names. Parsed before the body is read, so that the body of a malformed path is not asked for.
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Named<T>
where
    Problem: From<T::Err>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        Ok(Self(text.parse()?))
    }
}

/// The handler that a path names, for a request with a body. A client that waits to be asked for the body is told before if
/// there is no such handler.
pub struct ForHandler(pub HandlerName);

impl FromRequestParts<App> for ForHandler {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Named(name) = Named::<HandlerName>::from_request_parts(parts, app).await?;
        if waits_to_be_asked(&parts.headers) {
            app.engine.handler(name.clone()).await?;
        }
        Ok(Self(name))
    }
}

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        check_json(request.headers())?;
        let payload = Payload::from_request(request, app).await?;
        parse(app, payload).await.map(Self)
    }
}

async fn parse<T: DeserializeOwned + Send + 'static>(app: &App, payload: Payload) -> Result<T, Problem> {
    let bytes = payload.bytes.len();
    let parse = move || {
        let axum::Json(Objects(body)) = axum::Json::from_bytes(&payload.bytes)?;
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

/// A parameter that is a key or a subject, and as long as one may be.
pub fn check_length(name: &str, value: &str) -> Result<(), Problem> {
    if (1..=SUBJECT_BYTES_MAX).contains(&value.len()) {
        return Ok(());
    }
    let detail = format!("`{name}` is {} bytes long; allowed are 1 to {SUBJECT_BYTES_MAX}", value.len());
    Err(Problem::bad_request("bad-query", detail))
}

/// An optional JSON body; without it all fields are absent.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + Default + Send + 'static> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let json = check_json(request.headers());
        // A body of another type is refused before it is sent.
        if let (Err(problem), true) = (&json, has_body(request.headers())) {
            return Err(problem.clone());
        }
        let payload = Payload::from_request(request, app).await?;
        if payload.bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        json?;
        parse(app, payload).await.map(Self)
    }
}

/// Whether the head says that there is a body: by its length, or because the client waits to be asked for it.
fn has_body(headers: &HeaderMap) -> bool {
    announced(headers).map_or_else(|| waits_to_be_asked(headers), |bytes| bytes > 0)
}

/// The body has to be JSON, in UTF-8.
fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let not_json = || {
        let detail = "the content type is not JSON; send application/json";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad-json", detail)
    };
    let content_type = content_type(headers).map_err(|bad| Problem::bad_request("bad-json", bad.to_string()))?;
    let content_type = content_type.unwrap_or_default();
    let media_type = MediaType::parse(content_type).ok_or_else(not_json)?;
    if media_type.essence() != "application/json" {
        return Err(not_json());
    }
    match media_type.charset() {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => Err(Problem::bad_charset(charset)),
        _ => Ok(()),
    }
}

/// The handler that a request names, if it names one: it has to exist, so that a misspelt name does not look like a handler
/// without entries.
pub async fn known_handler(engine: &Handle, name: Option<&str>) -> Result<Option<HandlerName>, Problem> {
    let Some(name) = name else { return Ok(None) };
    Ok(Some(engine.handler(name.parse()?).await?.name))
}
