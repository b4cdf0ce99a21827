//! The CloudEvents HTTP binding: from a request to unchecked events, in its three modes.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>)

use std::{collections::BTreeMap, fmt};

use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use weirgate_types::{Event, EventError, EventLimits, RawEvent};

use crate::Problem;

/// Maximum number of events in a batch.
pub const BATCH_EVENTS_MAX: usize = 1_000;

/// The checked events of a request.
///
/// # Errors
/// The content type is not one of CloudEvents', or one of the events is invalid: then none is accepted.
pub fn events(headers: &HeaderMap, body: &[u8], limits: &EventLimits) -> Result<Vec<Event>, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/cloudevents+json" => Ok(vec![RawEvent::from_json(body)?.check(limits)?]),
        "application/cloudevents-batch+json" => batch(body, limits),
        other if other.starts_with("application/cloudevents") => Err(unsupported(other)),
        _ if headers.keys().any(|name| name.as_str().starts_with("ce-")) => {
            Ok(vec![binary(headers, content_type)?.check_with_data(body.to_vec(), limits)?])
        }
        other => Err(unsupported(other)),
    }
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

/// Attributes from `ce-` headers; their values are percent-encoded.
fn binary(headers: &HeaderMap, content_type: &str) -> Result<RawEvent, Problem> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let text = percent_decode_str(value.to_str().unwrap_or("\u{0}")).decode_utf8();
        let text = text.map_err(|_| EventError::Malformed(format!("the header ce-{name} is not UTF-8")))?;
        attributes.insert(name.to_owned(), text.into_owned());
    }
    let mut take = |name: &str| attributes.remove(name);
    let mut raw = RawEvent {
        specversion: take("specversion"),
        id: take("id"),
        source: take("source"),
        r#type: take("type"),
        subject: take("subject"),
        time: take("time"),
        dataschema: take("dataschema"),
        datacontenttype: (!content_type.is_empty()).then(|| content_type.to_owned()),
        ..RawEvent::default()
    };
    raw.extensions = attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(raw)
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

    #[test]
    fn binary_mode_carries_data_and_its_type() {
        let headers = [
            ("content-type", "image/png"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/shop"),
            ("ce-type", "t"),
            ("ce-partitionkey", "k"),
        ];
        let events = request(&headers, "png!").expect("binary mode");
        assert_eq!((events[0].key(), events[0].data.as_slice()), ("k", b"png!".as_slice()));
        assert_eq!(events[0].data_content_type.as_deref(), Some("image/png"));
    }

    #[test]
    fn an_invalid_event_is_refused_with_its_code() {
        let batch_with_a_bad_one = format!("[{ONE},{{}}]");
        let too_many = format!("[{}]", vec![ONE; BATCH_EVENTS_MAX + 1].join(","));
        for (content_type, body, status, code) in [
            ("text/plain", ONE, 415, "unsupported-content-type"),
            ("application/json", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents+avro", ONE, 415, "unsupported-content-type"),
            ("application/cloudevents+json", "{", 400, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", &batch_with_a_bad_one, 422, "not-a-cloudevent"),
            ("application/cloudevents-batch+json", &too_many, 413, "batch-too-large"),
        ] {
            let problem = request(&[("content-type", content_type)], body).expect_err(code);
            assert_eq!((problem.status, problem.code.as_str()), (status, code), "{}", problem.detail);
        }
    }
}
