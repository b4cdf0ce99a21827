//! The CloudEvents HTTP binding: from a request to unchecked events, in its three modes.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>)

mod headers;

use std::fmt;

use axum::http::{HeaderMap, StatusCode};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use weirgate_types::{Event, EventError, EventLimits, MediaType, RawEvent};

use crate::Problem;
pub use headers::{BadHeader, content_type};

/// Maximum number of events in a batch.
pub const BATCH_EVENTS_MAX: usize = 1_000;

/// How a request carries events: all that its head says.
pub enum Mode {
    Structured,
    Batch,
    /// The attributes; the body is the data.
    Binary(Box<RawEvent>),
}

impl Mode {
    /// The mode of a request with these headers.
    ///
    /// # Errors
    /// The content type is none of `CloudEvents`', or a header cannot be decoded.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let content_type = content_type(headers).map_err(EventError::from)?;
        let text = content_type.unwrap_or_default();
        if is_cloudevents(text) {
            return Self::of_json(text);
        }
        if headers::has_attributes(headers) {
            let event = headers::event(headers, content_type).map_err(EventError::from)?;
            return Ok(Self::Binary(Box::new(event)));
        }
        Err(unsupported(text))
    }

    fn of_json(content_type: &str) -> Result<Self, Problem> {
        // As most producers write it: there is nothing to parse.
        if let Some(mode) = Self::of_essence(content_type) {
            return Ok(mode);
        }
        let media_type = MediaType::parse(content_type).ok_or_else(|| unsupported(content_type))?;
        let mode = Self::of_essence(media_type.essence()).ok_or_else(|| unsupported(content_type))?;
        match media_type.charset() {
            Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => Err(Problem::bad_charset(charset)),
            _ => Ok(mode),
        }
    }

    fn of_essence(essence: &str) -> Option<Self> {
        match essence {
            "application/cloudevents+json" => Some(Self::Structured),
            "application/cloudevents-batch+json" => Some(Self::Batch),
            _ => None,
        }
    }

    /// The checked events of a body.
    ///
    /// # Errors
    /// One of the events is invalid: then none is accepted.
    pub fn events(self, body: &[u8], limits: &EventLimits) -> Result<Vec<Event>, Problem> {
        match self {
            Self::Structured => Ok(vec![RawEvent::from_json(body)?.check(limits)?]),
            Self::Batch => batch(body, limits),
            Self::Binary(mut event) => {
                event.say_bytes(body);
                Ok(vec![event.check_with_data(body.to_vec(), limits)?])
            }
        }
    }
}

/// The checked events of a request.
///
/// # Errors
/// See [`Mode::of`] and [`Mode::events`].
#[cfg(any(test, feature = "fuzz"))]
pub fn events(headers: &HeaderMap, body: &[u8], limits: &EventLimits) -> Result<Vec<Event>, Problem> {
    Mode::of(headers)?.events(body, limits)
}

/// Whether a content type says that the body is one or more whole events (HTTP binding, 3).
fn is_cloudevents(content_type: &str) -> bool {
    const PREFIX: &str = "application/cloudevents";
    content_type.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// A batch, parsed up to the maximum number of events.
struct Batch {
    events: Vec<RawEvent>,
    /// There were more; these were not parsed.
    is_over: bool,
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BatchVisitor)
    }
}

struct BatchVisitor;

impl<'de> Visitor<'de> for BatchVisitor {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Batch, A::Error> {
        let mut batch = Batch { events: Vec::new(), is_over: false };
        while batch.events.len() < BATCH_EVENTS_MAX {
            let Some(event) = array.next_element()? else { return Ok(batch) };
            batch.events.push(event);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {
            batch.is_over = true;
        }
        Ok(batch)
    }
}

fn unsupported(content_type: &str) -> Problem {
    let detail = format!(
        "content type {content_type:?} is no CloudEvent: send application/cloudevents+json (one event), \
         application/cloudevents-batch+json (several), or the attributes in ce- headers (binary mode)"
    );
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-content-type", detail)
}

fn batch(body: &[u8], limits: &EventLimits) -> Result<Vec<Event>, Problem> {
    let Batch { events: raw, is_over } =
        serde_json::from_slice(body).map_err(|error| EventError::Malformed(error.to_string()))?;
    if is_over {
        let detail = format!("the batch has more than {BATCH_EVENTS_MAX} events, the maximum");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch-too-large", detail));
    }
    let checked = raw.into_iter().enumerate().map(|(index, raw)| {
        raw.check(limits).map_err(|error| {
            let problem = Problem::from(error);
            Problem { detail: format!("event {index} of the batch: {}; none was taken", problem.detail), ..problem }
        })
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&'static str, &'static str)], body: &str) -> Result<Vec<Event>, Problem> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a header name"), value.parse().expect("a header value")));
        events(&headers.collect(), body.as_bytes(), &EventLimits::default())
    }

    const ONE: &str = r#"{"specversion":"1.0","id":"1","source":"/shop","type":"t","subject":"order/o-1"}"#;

    #[test]
    fn the_three_modes_give_the_same_event() {
        let structured = request(&[("content-type", "application/cloudevents+json; charset=utf-8")], ONE);
        let batch = request(&[("content-type", "application/cloudevents-batch+json")], &format!("[{ONE}]"));
        let cased = "APPLICATION/CloudEvents+JSON ; Charset=\"UTF-8\" ;x=y";
        assert_eq!(
            request(&[("content-type", cased), ("ce-id", "other")], ONE).ok(),
            structured.as_ref().ok().cloned()
        );
        assert_eq!(request(&[("content-type", "application/cloudevents-batch+json")], "[]").ok(), Some(Vec::new()));
        let attributes = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/shop"),
            ("ce-type", "t"),
            ("ce-subject", "order%2Fo-1"),
        ];
        let structured = structured.expect("structured mode");
        assert_eq!(batch.expect("batch mode"), structured);
        assert_eq!(request(&attributes, "").expect("binary mode"), structured);
    }

    const BINARY: [(&str, &str); 5] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/shop"), ("ce-type", "t"), ("ce-partitionkey", "k")];

    #[test]
    fn binary_mode_carries_data_and_its_type() {
        for (content_type, body, kept) in [
            (Some("image/png"), "png!", Some("image/png")),
            (Some("application/json ;charset=UTF-8"), "{}", Some("application/json ;charset=UTF-8")),
            (Some("text/plain"), "", Some("text/plain")),
            (None, "{}", Some("application/octet-stream")),
            (None, "not json", Some("application/octet-stream")),
            (None, "", None),
        ] {
            let headers = content_type.map(|value| ("content-type", value)).into_iter().chain(BINARY);
            let events = request(&headers.collect::<Vec<_>>(), body).expect("binary mode");
            assert_eq!((events[0].key(), events[0].data.as_slice()), ("k", body.as_bytes()));
            assert_eq!(events[0].data_content_type.as_deref(), kept);
        }
    }

    #[test]
    fn headers_that_are_no_attributes_are_refused() {
        for (name, value, status, code) in [
            ("ce-id", "2", 400, "not-a-cloudevent"),
            ("ce-partitionkey", "k", 400, "not-a-cloudevent"),
            ("ce-datacontenttype", "text/plain", 400, "not-a-cloudevent"),
            ("ce-data", "x", 422, "bad-attribute"),
            ("ce-data_base64", "x", 422, "bad-attribute"),
            ("ce-a-b", "x", 422, "bad-attribute"),
            ("ce-", "x", 422, "bad-attribute"),
            ("ce-subject", "", 422, "bad-attribute"),
            ("ce-subject", "\"\"", 422, "bad-attribute"),
            ("ce-subject", "a%00", 422, "bad-attribute"),
            ("ce-subject", "%E2%80%AE", 422, "bad-attribute"),
            ("ce-subject", "%EF%BF%BF", 422, "bad-attribute"),
            ("ce-subject", "%C0%A0", 400, "not-a-cloudevent"),
            ("ce-subject", "\"open", 400, "not-a-cloudevent"),
            ("ce-time", "yesterday", 422, "bad-attribute"),
            ("content-type", "", 422, "bad-attribute"),
            ("content-type", "xyz", 422, "bad-attribute"),
        ] {
            let headers: Vec<_> = BINARY.into_iter().chain([(name, value)]).collect();
            let problem = request(&headers, "").expect_err(name);
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{name}: {}", problem.detail);
        }
        let twice = BINARY.into_iter().chain([("content-type", "text/plain"), ("content-type", "text/plain")]);
        assert_eq!(request(&twice.collect::<Vec<_>>(), "").expect_err("twice").status, 400);
        let mut latin = HeaderMap::new();
        latin.insert("ce-id", axum::http::HeaderValue::from_bytes(b"caf\xe9").expect("a value"));
        let problem = events(&latin, b"", &EventLimits::default()).expect_err("not UTF-8");
        assert!(problem.status == 400 && problem.detail.contains("ce-id is not UTF-8"), "{}", problem.detail);
    }

    #[test]
    fn an_identity_does_not_depend_on_its_spelling() {
        let id = |value: &'static str| {
            let rest = BINARY.into_iter().filter(|(name, _)| *name != "ce-id");
            request(&rest.chain([("ce-id", value)]).collect::<Vec<_>>(), "").expect(value).remove(0).id
        };
        assert!(["x y", "\"x y\"", "x%20y", "\"x%20y\"", "%78 %79"].iter().all(|value| id(value) == "x y"));
    }

    #[test]
    fn an_invalid_event_is_refused_with_its_code() {
        let batch_with_a_bad_one = format!("[{ONE},{{}}]");
        let too_many = format!("[{}]", vec![ONE; BATCH_EVENTS_MAX + 1].join(","));
        for (content_type, body, status, code) in [
            ("text/plain", ONE, 415, "unsupported-content-type"),
            ("application/json", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents+avro", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents+json charset=utf-8", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents+json; charset=iso-8859-1", ONE, 415, "unsupported-charset"),
            ("application/cloudevents+json; charset=\"utf-16\"", ONE, 415, "unsupported-charset"),
            ("application/cloudevents-batch+json; charset=latin1", "[]", 415, "unsupported-charset"),
            ("application/cloudevents+json; charset=utf-8; charset=utf-8", ONE, 415, "unsupported-content-type"),
            ("", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents+json", "{", 400, "not-a-cloudevent"),
            ("application/cloudevents+json", "[]", 400, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", ONE, 400, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", "[[]]", 400, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", "[\"a\"]", 400, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", &batch_with_a_bad_one, 422, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", &too_many, 413, "batch-too-large"),
        ] {
            let problem = request(&[("content-type", content_type)], body).expect_err(code);
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{}", problem.detail);
        }
    }
}
