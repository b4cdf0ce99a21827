//! What allowed pages of other origins may use: the endpoints that a shop on another domain needs, by the rules of CORS.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

/// How long a browser may remember a preflight, in seconds. Browsers do so for at most two hours to a day.
const MAX_AGE: &str = "7200";
/// The headers of an answer that a page may read, besides those that it always may.
const EXPOSED: &str = "etag, location, retry-after";
/// The headers that a page may send, besides those of CloudEvents and those that it always may.
const ACCEPTED: [HeaderName; 8] = [
    header::ACCEPT,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
const CLOUDEVENTS_PREFIX: &str = "ce-";

/// An endpoint that allowed pages of other origins may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Public {
    /// Publishing only: reading the log shows the events of all customers.
    Events,
    /// A status, by its path or by a query, or the live stream of several.
    Status,
}

impl Public {
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/events" => Some(Self::Events),
            "/v1/live" | "/v1/status" => Some(Self::Status),
            path => path.starts_with("/v1/status/").then_some(Self::Status),
        }
    }

    /// `OPTIONS` that is no preflight changes and tells nothing.
    pub fn allows(self, method: &Method) -> bool {
        match self {
            _ if method == Method::OPTIONS => true,
            Self::Events => method == Method::POST,
            Self::Status => method == Method::GET || method == Method::HEAD,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Events => "POST",
            Self::Status => "GET, HEAD",
        }
    }
}

pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to the preflight of an allowed page. The browser compares it with what the page wants.
pub fn preflight(public: Public, origin: HeaderValue, asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(public.methods()));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    if let Some(accepted) = accepted(asked) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, accepted);
    }
    response
}

/// Those of the headers asked for that are accepted; the names of CloudEvents' extensions cannot be listed in advance.
fn accepted(asked: &HeaderMap) -> Option<HeaderValue> {
    let lists = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|list| list.to_str().ok());
    let names = lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let names = names.filter(|name| ACCEPTED.contains(name) || name.as_str().starts_with(CLOUDEVENTS_PREFIX));
    let names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty())
}

/// Lets the page read the answer.
pub fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

/// Lets pages of all origins read the answer, which is not kept: it is about now.
pub fn allow_anyone(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Caches keep answers apart: each answer of these endpoints depends on the origin.
pub fn vary(response: &mut Response, is_preflight: bool) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if is_preflight {
        let asked = "access-control-request-method, access-control-request-headers";
        headers.append(header::VARY, HeaderValue::from_static(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_and_statuses_are_public() {
        for (path, methods) in [
            ("/v1/events", "POST OPTIONS"),
            ("/v1/live", "GET HEAD OPTIONS"),
            ("/v1/status/order/o-1", "GET HEAD OPTIONS"),
            ("/v1/status/", "GET HEAD OPTIONS"),
            ("/v1/status", "GET HEAD OPTIONS"),
            ("/v1/statuses", ""),
            ("/v1/events/7", ""),
            ("/v1/events/", ""),
            ("/v1/handlers/a/events", ""),
            ("/v1/handlers", ""),
            ("/v1/live/x", ""),
            ("/metrics", ""),
            ("/", ""),
        ] {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
                let allowed = Public::of(path).is_some_and(|public| public.allows(&method));
                assert_eq!(allowed, methods.split(' ').any(|name| name == method.as_str()), "{method} {path}");
            }
        }
    }

    #[test]
    fn a_preflight_names_the_accepted_headers() {
        let lists = |asked: &[&str]| {
            let mut headers = HeaderMap::new();
            for list in asked {
                headers.append(header::ACCESS_CONTROL_REQUEST_HEADERS, list.parse().expect("a value"));
            }
            let accepted = accepted(&headers);
            accepted.map(|names| names.to_str().expect("text").to_owned()).unwrap_or_default()
        };
        assert_eq!(lists(&["ce-id,Content-Type, ce-my_x"]), "ce-id, content-type, ce-my_x");
        assert_eq!(lists(&["ce-id", "traceparent"]), "ce-id, traceparent");
        for refused in [&["authorization"], &["x-forwarded-host"], &["*"], &["cookie,a b"], &[""]] {
            assert_eq!(lists(refused), "");
        }
        assert_eq!(lists(&[]), "");
    }
}
