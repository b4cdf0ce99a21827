//! What a producer sent, before it is an [`Event`]: CloudEvents 1.0 in JSON, and the checks that make it one.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>)

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Event, EventError, EventLimits, RUNTIME_TYPES,
    json::{self, JsonError, JsonErrorKind},
};

mod reading;

/// Sources with this prefix belong to events of handlers and of the runtime; producers may not use them.
const RESERVED_SOURCES: [&str; 2] = ["/handlers/", "/weirgate"];

/// Attribute names with another meaning in JSON.
const CONTEXT_NAMES: [&str; 3] = ["data", "datacontenttype", "data_base64"];

/// An unchecked event.
#[derive(Debug, Default, Serialize)]
pub struct RawEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub specversion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// Extension attributes: strings, numbers or booleans.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Extension>,
}

/// The unchecked value of an extension attribute.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Extension {
    Text(String),
    /// A value that is not a JSON string, as written.
    Other(Box<RawValue>),
}

impl From<String> for Extension {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl RawEvent {
    /// One event in structured mode.
    ///
    /// # Errors
    /// The text is not a JSON object with the shape of a `CloudEvent`.
    pub fn from_json(json: &[u8]) -> Result<Self, EventError> {
        serde_json::from_slice(json).map_err(|e| EventError::Malformed(e.to_string()))
    }

    /// Checks the attributes, and makes an event of them and `data`, `data_base64`.
    ///
    /// # Errors
    /// An [`EventError`] that describes the problem.
    pub fn check(mut self, limits: &EventLimits) -> Result<Event, EventError> {
        let data = self.take_data(limits)?;
        self.check_with_data(data, limits)
    }

    /// The same for binary mode, in which the data is the body.
    ///
    /// # Errors
    /// An [`EventError`] that describes the problem.
    pub fn check_with_data(self, data: Vec<u8>, limits: &EventLimits) -> Result<Event, EventError> {
        let specversion = required("specversion", self.specversion, limits)?;
        if specversion != "1.0" {
            return Err(EventError::SpecVersion(specversion));
        }
        let event = Event {
            id: required("id", self.id, limits)?,
            source: required("source", self.source, limits)?,
            r#type: required("type", self.r#type, limits)?,
            subject: optional("subject", self.subject, limits)?,
            time: optional("time", self.time, limits)?,
            data_content_type: optional("datacontenttype", self.datacontenttype, limits)?,
            data_schema: optional("dataschema", self.dataschema, limits)?,
            extensions: extensions(self.extensions, limits)?,
            data,
        };
        check_reserved(&event)?;
        if event.key().is_empty() {
            return Err(EventError::NoKey);
        }
        check_data(&event, limits)?;
        Ok(event)
    }

    fn take_data(&mut self, limits: &EventLimits) -> Result<Vec<u8>, EventError> {
        match (self.data.take(), self.data_base64.take()) {
            (Some(_), Some(_)) => Err(EventError::Malformed("it has both `data` and `data_base64`".into())),
            (None, None) => Ok(Vec::new()),
            (None, Some(base64)) => {
                if base64.len() / 4 * 3 > limits.data_bytes_max + 3 {
                    return Err(EventError::TooLarge { bytes: base64.len() / 4 * 3, max: limits.data_bytes_max });
                }
                STANDARD.decode(base64).map_err(|e| attribute("data_base64", format!("is not base64: {e}")))
            }
            (Some(json), None) => self.data_from_json(&json),
        }
    }

    /// JSON data is kept as written; for other content types a JSON string holds the text.
    fn data_from_json(&self, json: &RawValue) -> Result<Vec<u8>, EventError> {
        let is_json = Event { data_content_type: self.datacontenttype.clone(), ..Event::empty() }.is_json();
        if is_json || !json.get().starts_with('"') {
            return Ok(json.get().as_bytes().to_vec());
        }
        let text = serde_json::from_str::<String>(json.get());
        text.map(String::into_bytes).map_err(|e| EventError::Malformed(format!("its `data` is no text: {e}")))
    }
}

impl Event {
    /// The event in structured mode: JSON data as JSON, other data as base64.
    #[must_use]
    pub fn to_raw(&self) -> RawEvent {
        let json = std::str::from_utf8(&self.data).ok().filter(|_| self.is_json() && !self.data.is_empty());
        let data = json.and_then(|json| RawValue::from_string(json.to_owned()).ok());
        let data_base64 = (data.is_none() && !self.data.is_empty()).then(|| STANDARD.encode(&self.data));
        RawEvent {
            specversion: Some("1.0".into()),
            id: Some(self.id.clone()),
            source: Some(self.source.clone()),
            r#type: Some(self.r#type.clone()),
            subject: self.subject.clone(),
            time: self.time.clone(),
            datacontenttype: self.data_content_type.clone(),
            dataschema: self.data_schema.clone(),
            data,
            data_base64,
            extensions: self.extensions.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect(),
        }
    }

    fn empty() -> Self {
        Self {
            id: String::new(),
            source: String::new(),
            r#type: String::new(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: BTreeMap::new(),
            data: Vec::new(),
        }
    }
}

/// Only handlers and the runtime may use these types, so that subscribers can trust them.
fn check_reserved(event: &Event) -> Result<(), EventError> {
    if event.r#type.starts_with(RUNTIME_TYPES) {
        return Err(EventError::ReservedType);
    }
    match RESERVED_SOURCES.iter().find(|reserved| event.source.starts_with(**reserved)) {
        Some(reserved) => Err(EventError::ReservedSource(reserved)),
        None => Ok(()),
    }
}

fn attribute(attribute: &str, problem: impl Into<String>) -> EventError {
    EventError::Attribute { attribute: attribute.to_owned(), problem: problem.into() }
}

fn required(name: &'static str, value: Option<String>, limits: &EventLimits) -> Result<String, EventError> {
    optional(name, value, limits)?.ok_or(EventError::Missing(name))
}

/// An empty attribute counts as absent; CloudEvents forbids empty ones, so nothing is lost.
fn optional(name: &str, value: Option<String>, limits: &EventLimits) -> Result<Option<String>, EventError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    if value.len() > limits.attribute_bytes_max {
        return Err(attribute(
            name,
            format!("is {} bytes long; at most {} are taken", value.len(), limits.attribute_bytes_max),
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(attribute(name, "holds a control character"));
    }
    Ok(Some(value))
}

fn extensions(raw: BTreeMap<String, Extension>, limits: &EventLimits) -> Result<BTreeMap<String, String>, EventError> {
    if raw.len() > limits.extensions_max {
        return Err(EventError::Malformed(format!(
            "it has {} extension attributes; at most {} are taken",
            raw.len(),
            limits.extensions_max
        )));
    }
    let mut checked = BTreeMap::new();
    for (name, value) in raw {
        let text = match value {
            Extension::Text(text) => text,
            Extension::Other(json) if json.get() == "null" => continue,
            Extension::Other(json) if !json.get().starts_with(['{', '[']) => json.get().to_owned(),
            Extension::Other(_) => {
                return Err(attribute(&name, "is a structure; extension attributes are strings, numbers or booleans"));
            }
        };
        if CONTEXT_NAMES.contains(&name.as_str()) {
            return Err(attribute(&name, "is CloudEvents' own and no extension"));
        }
        if name.len() > 20 || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
            return Err(attribute(&name, "is no attribute name: 1 to 20 of a-z and 0-9"));
        }
        if let Some(text) = optional(&name, Some(text), limits)? {
            checked.insert(name, text);
        }
    }
    Ok(checked)
}

fn check_data(event: &Event, limits: &EventLimits) -> Result<(), EventError> {
    let max = limits.data_bytes_max;
    if event.data.len() > max {
        return Err(EventError::TooLarge { bytes: event.data.len(), max });
    }
    if event.is_json() && !event.data.is_empty() {
        json::check(&event.data, limits.json_depth_max)?;
    }
    Ok(())
}

impl From<JsonError> for EventError {
    fn from(error: JsonError) -> Self {
        match error.kind {
            JsonErrorKind::TooDeep { max } => Self::TooDeep { max },
            _ => Self::DataNotJson(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Event, EventError> {
        RawEvent::from_json(json.as_bytes())?.check(&EventLimits::default())
    }

    fn with(extra: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed","subject":"order/o-1"{extra}}}"#
        )
    }

    #[test]
    fn a_structured_event_becomes_an_event_and_back() {
        let event = check(&with(r#","data":{"n": 1},"partitionkey":"k","retries":3"#)).expect("a good event");
        assert_eq!((event.key(), event.data.as_slice()), ("k", br#"{"n": 1}"#.as_slice()));
        assert_eq!(event.extensions["retries"], "3");
        let again = event.to_raw().check(&EventLimits::default()).expect("what we write, we read");
        assert_eq!(again, event);
    }

    #[test]
    fn data_that_is_not_json_survives() {
        let text = check(&with(r#","datacontenttype":"text/plain","data":"hi""#)).expect("text");
        assert_eq!(text.data, b"hi");
        let bytes = check(&with(r#","datacontenttype":"image/png","data_base64":"AP8=""#)).expect("bytes");
        assert_eq!(bytes.data, [0, 255]);
        assert_eq!(bytes.to_raw().data_base64.as_deref(), Some("AP8="));
    }

    #[test]
    fn every_refusal_has_its_code() {
        let deep = format!(r#","data":{}1{}"#, "[".repeat(65), "]".repeat(65));
        let large = format!(r#","data":"{}""#, "x".repeat(300_000));
        let long = format!(r#","traceparent":"{}""#, "x".repeat(1025));
        let cases = [
            ("[]".to_owned(), "not-a-cloudevent"),
            ("{}".to_owned(), "not-a-cloudevent"),
            (r#"{"specversion":"0.3"}"#.to_owned(), "unsupported-specversion"),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#.to_owned(), "no-key"),
            (with(r#","data":1,"data_base64":"AA==""#), "not-a-cloudevent"),
            (with(r#","Upper":"x""#), "bad-attribute"),
            (with(r#","nested":{"a":1}"#), "bad-attribute"),
            (with(r#","data_base64":"?""#), "bad-attribute"),
            (with(&long), "bad-attribute"),
            (with(&deep), "data-too-deep"),
            (with(&large), "event-too-large"),
            (with("").replace("/shop", "/handlers/x"), "reserved-source"),
            (with("").replace("/shop", "/weirgate/timers/x"), "reserved-source"),
            (with("").replace("order.placed", "weirgate.breaker.opened"), "reserved-type"),
        ];
        for (json, code) in cases {
            let error = check(&json).expect_err(&json.chars().take(80).collect::<String>());
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let data = r#"{"n":12345678901234567890123,"small":1e-400,"large":1E400,"zero":-0,"one":1.0}"#;
        let event = check(&with(&format!(r#","data":{data},"big":12345678901234567890123,"large":1E400,"one":1.0"#)));
        let event = event.expect("JSON");
        assert_eq!(String::from_utf8_lossy(&event.data), data);
        let extension = |name: &str| event.extensions[name].as_str();
        assert_eq!(
            [extension("big"), extension("large"), extension("one")],
            ["12345678901234567890123", "1E400", "1.0"]
        );
        let shown = serde_json::to_string(&event.to_raw()).expect("JSON");
        assert!(shown.contains(data), "{shown}");
    }

    #[test]
    fn json_validity_does_not_depend_on_the_mode() {
        for (data, is_taken) in [
            (r#"{"a":1,"a":2}"#.as_bytes(), true),
            (b"1E400", true),
            (br#""\u0000""#, true),
            (br#""\ud800""#, false),
            (b"\"\xff\"", false),
            (b"\xef\xbb\xbf{}", false),
            (b"\"\x00\"", false),
        ] {
            let empty = RawEvent::from_json(with("").as_bytes()).expect("an event");
            let binary = empty.check_with_data(data.to_vec(), &EventLimits::default()).map(|event| event.data);
            let structured = [with(r#","data":"#).trim_end_matches('}').as_bytes(), data, b"}"].concat();
            let structured = RawEvent::from_json(&structured).and_then(|raw| raw.check(&EventLimits::default()));
            let shown = String::from_utf8_lossy(data);
            assert_eq!(binary.is_ok(), is_taken, "{shown}: {binary:?}");
            assert_eq!(structured.is_ok(), is_taken, "{shown}: {structured:?}");
        }
        let text = with(r#","datacontenttype":"text/plain","data":"\ud800""#);
        assert!(check(&text).is_err_and(|error| error.code() == "not-a-cloudevent"));
    }

    #[test]
    fn a_repeated_attribute_is_refused() {
        for twice in
            [r#","id":"2""#, r#","id":null"#, r#","data":1,"data":2"#, r#","a":"1","a":"2""#, r#","a":null,"\u0061":1"#]
        {
            assert!(check(&with(twice)).is_err_and(|error| error.code() == "not-a-cloudevent"), "{twice}");
        }
    }
}
