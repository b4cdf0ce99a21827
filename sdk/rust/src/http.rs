//! Outbound calls: request, answer, and the failure for an unsuccessful or missing answer. Owns how an HTTP status maps to a
//! failure class. Sends nothing itself: the runtime does, and keeps the answers.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::Failure;

/// A request. Built step by step: `Request::post(url).header("Accept", "text/plain").json(&body)?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub url: String,
    /// Header names are case-insensitive. In a value, `{{secret:name}}` is replaced by a secret that the manifest names; the
    /// handler never sees the secret.
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// Time limit of the whole call; at most the remaining wall-clock time of the attempt.
    pub timeout_ms: Option<u32>,
}

impl Request {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self { method: method.into(), url: url.into(), headers: Vec::new(), body: None, timeout_ms: None }
    }

    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends this as JSON, with the matching `Content-Type`.
    ///
    /// # Errors
    /// A permanent failure if the value cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value)
            .map_err(|error| Failure::permanent(format!("the body for {} is no JSON: {error}", self.url)))?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// Sends these bytes. Their `Content-Type` has to be set as a header.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Limits the time for the answer, redirects included.
    #[must_use]
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }
}

/// An answer, with any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// An answer for tests.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// The same with a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with a JSON body.
    ///
    /// # Panics
    /// The value cannot be written as JSON.
    #[must_use]
    #[track_caller]
    pub fn with_json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.with_header("content-type", "application/json").with_body(body),
            Err(error) => panic!("the answer cannot be written as JSON: {error}"),
        }
    }

    /// The first header with that name, case-insensitive.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// This answer, if its status is 200 to 299.
    ///
    /// # Errors
    /// A transient failure for 408, 425, 429 and 500 or above, with the delay that `Retry-After` gives in seconds; a
    /// permanent one for the others.
    pub fn ok(self) -> Result<Self, Failure> {
        if self.is_success() {
            return Ok(self);
        }
        let message = format!("the answer has status {}{}", self.status, self.excerpt());
        if !matches!(self.status, 408 | 425 | 429 | 500..) {
            return Err(Failure::permanent(message));
        }
        let failure = Failure::transient(message);
        let seconds = self.header("retry-after").and_then(|seconds| seconds.trim().parse::<u64>().ok());
        Err(seconds.map_or(failure.clone(), |seconds| failure.retry_after_ms(seconds.saturating_mul(1_000))))
    }

    /// Parses the body as JSON.
    ///
    /// # Errors
    /// A permanent failure if it does not fit `T`: the answer is recorded, so another attempt would get the same.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let problem = format!("the answer with status {} does not fit what is read: {error}", self.status);
            Failure::permanent(problem + &self.excerpt())
        })
    }

    /// The body as text; invalid UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The beginning of the body, for a message.
    fn excerpt(&self) -> String {
        const CHARS_MAX: usize = 200;
        let text: String = self.text().trim().chars().take(CHARS_MAX).collect();
        if text.is_empty() { text } else { format!(": {text}") }
    }
}

/// The first value with that name, case-insensitive.
pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why there is no answer. With `?` it becomes a matching failure. To make that possible it is not a `std::error::Error`,
/// like [`Failure`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// Nothing was sent: the manifest, the rules for addresses or the request itself forbid it. Permanent.
    Denied(String),
    /// The name does not exist, or the connection failed or broke. Transient.
    Unreachable(String),
    /// No answer in time. Transient.
    TimedOut,
    /// The answer is longer than `limits.outbound_bytes`. Permanent.
    TooLarge,
    /// Nothing was sent: the host's breaker is open for this long, because calls to it kept failing. Transient, and the
    /// attempt does not count.
    CircuitOpen { retry_after_ms: u64 },
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(reason) => write!(f, "the call was denied: {reason}"),
            Self::Unreachable(reason) => write!(f, "the host was not reached: {reason}"),
            Self::TimedOut => write!(f, "the host did not answer in time"),
            Self::TooLarge => write!(f, "the answer is longer than limits.outbound_bytes"),
            Self::CircuitOpen { retry_after_ms } => {
                write!(f, "the host's breaker is open for {retry_after_ms} ms, because calls to it kept failing")
            }
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let message = error.to_string();
        match error {
            HttpError::Denied(_) | HttpError::TooLarge => Self::permanent(message),
            HttpError::Unreachable(_) | HttpError::TimedOut => Self::transient(message),
            HttpError::CircuitOpen { retry_after_ms } => Self::transient(message).retry_after_ms(retry_after_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_code_determines_the_failure_class() {
        for status in [200, 201, 204, 299] {
            assert!(Response::new(status).ok().is_ok(), "{status}");
        }
        for status in [304, 400, 402, 404, 409, 422] {
            assert!(Response::new(status).ok().is_err_and(|failure| failure.is_permanent()), "{status}");
        }
        for status in [408, 425, 429, 500, 503, 599] {
            let failure = Response::new(status).with_header("Retry-After", "7").ok().expect_err("no success");
            assert!(matches!(failure, Failure::Transient { retry_after_ms: Some(7_000), .. }), "{status}: {failure}");
        }
        let date = Response::new(503).with_header("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT").ok();
        assert!(matches!(date, Err(Failure::Transient { retry_after_ms: None, .. })));
        let failure = Response::new(422).with_body("no such card").ok().expect_err("no success");
        assert_eq!(failure.message(), "the answer has status 422: no such card");
    }

    #[test]
    fn the_fetch_error_determines_the_failure_class() {
        fn fails(error: HttpError) -> Failure {
            let fetch = || -> Result<(), Failure> { Err(error)? };
            fetch().expect_err("it has none")
        }
        assert!(fails(HttpError::Denied("no".into())).is_permanent());
        assert!(fails(HttpError::TooLarge).is_permanent());
        assert!(fails(HttpError::Unreachable("no".into())).is_transient());
        assert!(fails(HttpError::TimedOut).is_transient());
        let open = fails(HttpError::CircuitOpen { retry_after_ms: 4_500 });
        assert!(matches!(open, Failure::Transient { retry_after_ms: Some(4_500), .. }), "{open}");
    }

    #[test]
    fn json_goes_out_and_comes_in() {
        let request = Request::post("https://a.example/").json(&[1, 2]).expect("JSON");
        assert_eq!(request.body.as_deref(), Some(b"[1,2]".as_slice()));
        assert_eq!(find(&request.headers, "content-type"), Some("application/json"));
        assert_eq!(Response::new(200).with_json(&[1, 2]).json::<Vec<u32>>(), Ok(vec![1, 2]));
        let failure = Response::new(200).with_body("<html>").json::<Vec<u32>>().expect_err("not JSON");
        assert!(failure.is_permanent() && failure.message().ends_with(": <html>"), "{failure}");
    }
}
