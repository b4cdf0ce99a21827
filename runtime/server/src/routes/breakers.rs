//! `/v1/breakers`: the circuit breakers of handlers and of called hosts, and commands to open and reset them.

use axum::{
    extract::{FromRequestParts, State},
    http::request::Parts,
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use weirgate_engine::BreakerItem as Item;
use weirgate_types::{BreakerId, CalledHost};

use super::{
    audit::AuditBody,
    lists::ListSlot,
    problems::{AuditRefused, NoSuchBreaker, TooManyBreakers, TooManyLists},
    query::{Body, Path, Query, limit},
    times::rfc3339,
};
use crate::{Problem, app::App};

const HOST_BYTES_MAX: usize = 256;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BreakersQuery {
    /// Only breakers behind this one: the `next` of the previous page.
    #[param(pattern = r"^(handler/[a-z][a-z0-9\-]{0,63}|host/([a-z][a-z0-9\-]{0,63}@)?[A-Za-z0-9.:_\[\]\-]{1,256})$")]
    after: Option<String>,
    /// Maximum number of breakers (default 100, at most 1,000).
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub struct BreakerList {
    breakers: Vec<BreakerItem>,
    /// The value of `after` for the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A circuit breaker and its state.
#[derive(Serialize, ToSchema)]
pub struct BreakerItem {
    /// `handler` or `host`.
    kind: &'static str,
    /// The handler's name; or the host's, with its port unless that is the scheme's default: `<handler>@<host>` for one
    /// handler, `<host>` for all.
    name: String,
    /// `closed` (calls pass), `open` (no call passes) or `half-open` (one probe call passes).
    state: &'static str,
    /// Open until this time: RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    open_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_until_ms: Option<u64>,
    /// Why it was opened or closed last, and when: RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    changed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at_ms: Option<u64>,
}

/// The circuit breakers of handlers that have one, and of called hosts.
#[utoipa::path(
    get, path = "/v1/breakers", operation_id = "list_breakers", tag = "breakers", params(BreakersQuery),
    responses((status = 200, description = "Handlers first, in order of name", body = BreakerList), TooManyLists),
)]
pub async fn list(State(app): State<App>, Query(query): Query<BreakersQuery>) -> Result<Response, Problem> {
    let after = query.after.as_deref().map(after).transpose()?;
    let limit = limit(query.limit)?;
    let slot = ListSlot::take(&app).await?;
    let now_ms = app.clock.now_ms();
    let page = app.engine.breakers(after, limit).await?;
    let breakers = app.engine.described_breakers(page.breakers).await?;
    let breakers = breakers.into_iter().map(|item| BreakerItem::of(item, now_ms)).collect();
    slot.answer(BreakerList { breakers, next: page.next.map(|next| next.to_string()) }).await
}

/// The breaker that pages end with.
fn after(text: &str) -> Result<BreakerId, Problem> {
    let found = text.split_once('/').and_then(|(kind, name)| breaker(kind, name).ok());
    found.ok_or_else(|| Problem::bad_request("bad-query", "`after` is the `next` of the previous page: <kind>/<name>"))
}

/// Open a breaker until it is reset; meanwhile deliveries wait without using up attempts. A host's breaker may be opened
/// before any handler has called the host: for one handler (`payment@api.example.com`), or for all (`api.example.com`), up to
/// 256 hosts.
#[utoipa::path(
    post, path = "/v1/breakers/{kind}/{name}/trip", operation_id = "trip_breaker", tag = "breakers",
    params(
        ("kind" = String, Path, pattern = "^(handler|host)$"),
        ("name" = String, Path, pattern = r"^([a-z][a-z0-9\-]{0,63}@)?[A-Za-z0-9.:_\[\]\-]{1,256}$"),
    ),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 200, description = "Durable; the breaker's present state", body = BreakerItem),
        NoSuchBreaker, TooManyBreakers, AuditRefused,
    ),
)]
pub async fn trip(
    State(app): State<App>,
    Breaker(breaker): Breaker,
    Body(audit): Body<AuditBody>,
) -> Result<axum::Json<BreakerItem>, Problem> {
    set(&app, breaker, true, audit).await
}

/// Close a breaker.
#[utoipa::path(
    post, path = "/v1/breakers/{kind}/{name}/reset", operation_id = "reset_breaker", tag = "breakers",
    params(
        ("kind" = String, Path, pattern = "^(handler|host)$"),
        ("name" = String, Path, pattern = r"^([a-z][a-z0-9\-]{0,63}@)?[A-Za-z0-9.:_\[\]\-]{1,256}$"),
    ),
    request_body(content = Option<AuditBody>),
    responses(
        (status = 200, description = "Durable; the breaker's present state", body = BreakerItem),
        NoSuchBreaker, AuditRefused,
    ),
)]
pub async fn reset(
    State(app): State<App>,
    Breaker(breaker): Breaker,
    Body(audit): Body<AuditBody>,
) -> Result<axum::Json<BreakerItem>, Problem> {
    set(&app, breaker, false, audit).await
}

async fn set(app: &App, breaker: BreakerId, open: bool, audit: AuditBody) -> Result<axum::Json<BreakerItem>, Problem> {
    let item = app.engine.set_breaker(breaker.clone(), open, audit.checked()?).await?;
    let described = app.engine.described_breakers(vec![item]).await?.pop();
    let item = described.ok_or(weirgate_engine::Refusal::UnknownBreaker(breaker))?;
    Ok(axum::Json(BreakerItem::of(item, app.clock.now_ms())))
}

/// The breaker that a path names, parsed before the body is read.
pub struct Breaker(BreakerId);

impl<S: Send + Sync> FromRequestParts<S> for Breaker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((kind, name)) = Path::<(String, String)>::from_request_parts(parts, state).await?;
        breaker(&kind, &name).map(Self)
    }
}

fn breaker(kind: &str, name: &str) -> Result<BreakerId, Problem> {
    match kind {
        "handler" => Ok(BreakerId::Handler(name.parse()?)),
        "host" => called_host(name).map(BreakerId::Host),
        _ => Err(Problem::bad_request("bad-path", format!("{kind:?} has no breakers; use handler or host"))),
    }
}

/// A host, for one handler or for all.
fn called_host(name: &str) -> Result<CalledHost, Problem> {
    match name.split_once('@') {
        Some((handler, name)) => Ok(CalledHost::of_handler(&handler.parse()?, &host(name)?)),
        None => Ok(CalledHost::of_all_handlers(&host(name)?)),
    }
}

/// A host's name in the form of breakers, not a URL.
fn host(name: &str) -> Result<String, Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
    if name.is_empty() || name.len() > HOST_BYTES_MAX || !name.chars().all(is_plain) {
        let detail = "write a host as its name, with a port other than the scheme's default: api.example.com:8443";
        return Err(Problem::bad_request("bad-path", detail));
    }
    Ok(name.to_ascii_lowercase())
}

impl BreakerItem {
    fn of(item: Item, now_ms: u64) -> Self {
        let (kind, name) = match item.breaker {
            BreakerId::Handler(name) => ("handler", name.to_string()),
            BreakerId::Host(host) => ("host", host.to_string()),
        };
        let state = match item.open_until_ms {
            None => "closed",
            Some(until_ms) if now_ms < until_ms => "open",
            Some(_) => "half-open",
        };
        let changed_at_ms = item.changed.as_ref().map(|last| last.at_ms);
        Self {
            kind,
            name,
            state,
            open_until: item.open_until_ms.map(rfc3339),
            open_until_ms: item.open_until_ms,
            reason: item.changed.map(|last| last.reason).filter(|reason| !reason.is_empty()),
            changed_at: changed_at_ms.map(rfc3339),
            changed_at_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_breaker_or_is_refused_with_a_hint() {
        assert_eq!(breaker("host", "API.example.com:8443").expect("a host").to_string(), "host/api.example.com:8443");
        assert_eq!(breaker("host", "a@API.example.com").expect("a host").to_string(), "host/a@api.example.com");
        assert_eq!(breaker("handler", "payment").expect("a handler").to_string(), "handler/payment");
        for (kind, name, code) in [
            ("colour", "red", "bad-path"),
            ("handler", "Payment", "bad-id"),
            ("host", "https://api.example.com/", "bad-path"),
            ("host", &"a".repeat(257), "bad-path"),
            ("host", "Payment@api.example.com", "bad-id"),
            ("host", "payment@", "bad-path"),
        ] {
            assert_eq!(breaker(kind, name).expect_err(name).code, code);
        }
    }

    #[test]
    fn a_breaker_after_its_open_time_is_half_open() {
        for (open_until_ms, state) in [(None, "closed"), (Some(11), "open"), (Some(10), "half-open")] {
            let item =
                Item { breaker: BreakerId::Host(CalledHost::of_all_handlers("a")), open_until_ms, changed: None };
            assert_eq!(BreakerItem::of(item, 10).state, state);
        }
    }
}
