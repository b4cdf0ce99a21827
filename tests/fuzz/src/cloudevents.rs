//! A request of `POST /v1/events` in its three modes: structured, batch, and binary with the attributes in headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use weirgate_server::{Problem, fuzz::events};
use weirgate_types::{Event, EventLimits, ExtensionValue, RawEvent, Record, json, not_in_attributes};

use crate::{check_error, mode};

pub const WORDS: &[&str] = &[
    "\"data\":",
    "\"data_base64\":\"AP8=\"",
    "\"datacontenttype\":\"text/plain\"",
    "\"partitionkey\":\"k\"",
    "ce-id: 1\n",
    "ce-subject: order%2Fo-1\n",
    "ce-specversion: 1.0\n",
    "ce-type: t\n",
    "ce-source: /shop\n",
    "content-type: image/png\n",
    "null",
    "1e400",
    "-0.0",
    "12345678901234567890123",
    "\\ud800",
    "\\u0000",
    "%00",
    "[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]",
    "{\"a\":",
    "ce-data: 1\n",
    "ce-id: \"a\\\"b\" c\n",
    "\"a\":-1",
    "\"a\":true",
    "\"datacontenttype\":\"text/plain; charset=us-ascii\"",
    "\"time\":\"2016-12-31T23:59:60Z\"",
    "ce-sequence: 18446744073709551616\n",
    "\"\":\"\"",
];

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

pub fn run(bytes: &[u8]) {
    match mode(bytes, 3) {
        Some((0, body)) => structured(body),
        Some((1, body)) => drop(taken(&with_type(BATCH), body)),
        Some((_, request)) => {
            let (headers, body) = split(request);
            drop(taken(&headers, body));
        }
        None => {}
    }
}

/// One event in structured mode, and the same in a batch.
fn structured(body: &[u8]) {
    let one = taken(&with_type(STRUCTURED), body);
    let batch = [b"[", body, b"]"].concat();
    if let (Ok(one), Ok(batch)) = (&one, taken(&with_type(BATCH), &batch)) {
        assert_eq!(*one, batch, "a batch of one event is another event");
    }
}

fn taken(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Event>, Problem> {
    let limits = EventLimits::default();
    let taken = events(headers, body, &limits);
    match &taken {
        Ok(events) => events.iter().for_each(|event| check(event, &limits)),
        Err(problem) => {
            check_error(&problem.detail);
            assert!((400..500).contains(&problem.status), "{} {}", problem.status, problem.detail);
        }
    }
    taken
}

/// An accepted event is within the limits, and is the same after each way in which it is written.
fn check(event: &Event, limits: &EventLimits) {
    assert!(event.data.len() <= limits.data_bytes_max, "{} bytes of data", event.data.len());
    assert!(!event.is_json() || event.data.is_empty() || json::check(&event.data, limits.json_depth_max).is_ok());
    assert!(event.extensions.len() <= limits.extensions_max && !event.key().is_empty());
    let optional = [&event.subject, &event.time, &event.data_content_type, &event.data_schema];
    let texts = [&event.id, &event.source, &event.r#type].into_iter().chain(optional.into_iter().flatten());
    assert!(texts.clone().all(|text| !text.is_empty()));
    for text in texts.map(String::as_str).chain(event.extensions.values().map(ExtensionValue::as_str)) {
        assert!(text.len() <= limits.attribute_bytes_max, "an attribute of {} bytes", text.len());
        assert_eq!(not_in_attributes(text), None, "{text:?}");
    }
    assert!(!event.r#type.starts_with("weirgate.") && !event.source.starts_with("/handlers/"));
    let json = serde_json::to_vec(&event.to_raw()).expect("an event can be written");
    let again = RawEvent::from_json(&json).and_then(|raw| raw.check(limits));
    // Whitespace around a JSON value is not part of it.
    let data = if event.is_json() { event.data.trim_ascii() } else { &event.data };
    let event = &Event { data: data.to_vec(), ..event.clone() };
    assert_eq!(again.as_ref(), Ok(event), "{}", String::from_utf8_lossy(&json));
    let record = Record::Accepted { event: event.clone(), to: None, at_ms: 1 };
    let encoded = record.encode(Vec::new()).expect("a record");
    assert_eq!(Record::decode(&encoded), Ok(record));
}

fn with_type(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(axum::http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

/// Lines `name: value` up to an empty one, then the body.
fn split(request: &[u8]) -> (HeaderMap, &[u8]) {
    let (mut headers, mut rest) = (HeaderMap::new(), request);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        // A server refuses more headers than that before they are parsed.
        if let (Ok(name), Ok(value), true) = (name, value, headers.len() < 100) {
            headers.append(name, value);
        }
    }
    (headers, rest)
}
