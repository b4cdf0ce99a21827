//! What a producer sent, before it is an [`Event`]: CloudEvents 1.0 in JSON, and the checks that make it one.
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>)

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Event, EventError, EventLimits, ExtensionValue, RUNTIME_TYPES,
    json::{JsonError, JsonErrorKind},
};

mod attributes;
mod characters;
mod data;
mod media_type;
mod reading;
mod timestamp;

pub use characters::{not_in_attributes, not_in_keys};
pub use media_type::{MediaType, quoted_string};

/// Sources with this prefix belong to events of handlers and of the runtime; producers may not use them.
const RESERVED_SOURCES: [&str; 2] = ["/handlers/", "/weirgate"];

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
    /// Extension attributes: strings, integers or Booleans.
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
        let event = self.event(data, limits)?;
        check_reserved(&event)?;
        let event = with_key(event, limits)?;
        data::check(&event, limits)?;
        Ok(event)
    }

    /// The event that [`Event::to_raw`] has written: of any source and type, whatever its key.
    ///
    /// # Errors
    /// An [`EventError`] that describes the problem.
    pub(crate) fn restore(mut self, limits: &EventLimits) -> Result<Event, EventError> {
        let data = self.take_data(limits)?;
        self.event(data, limits)
    }

    /// Its attributes, checked one by one, with the data.
    fn event(self, data: Vec<u8>, limits: &EventLimits) -> Result<Event, EventError> {
        let specversion = attributes::required("specversion", self.specversion, limits)?;
        if specversion != "1.0" {
            return Err(EventError::SpecVersion(specversion));
        }
        Ok(Event {
            id: attributes::required("id", self.id, limits)?,
            source: attributes::source(self.source, limits)?,
            r#type: attributes::required("type", self.r#type, limits)?,
            subject: attributes::subject(self.subject, limits)?,
            time: attributes::time(self.time, limits)?,
            data_content_type: attributes::content_type(self.datacontenttype, limits)?,
            data_schema: attributes::data_schema(self.dataschema, limits)?,
            extensions: attributes::extensions(self.extensions, limits)?,
            implied_key: None,
            data,
        })
    }
}

impl Event {
    /// The event in structured mode.
    #[must_use]
    pub fn to_raw(&self) -> RawEvent {
        let (data, data_base64) = data::of(self);
        let extensions = self.extensions.iter().map(|(name, value)| (name.clone(), Extension::of(value)));
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
            extensions: extensions.collect(),
        }
    }
}

impl Extension {
    fn of(value: &ExtensionValue) -> Self {
        let text = value.as_str().to_owned();
        let json = if value.is_text() { None } else { RawValue::from_string(text.clone()).ok() };
        json.map_or(Self::Text(text), Self::Other)
    }
}

/// The event with a key: its own, or the one that is implied.
fn with_key(event: Event, limits: &EventLimits) -> Result<Event, EventError> {
    if !event.key().is_empty() {
        return Ok(event);
    }
    let Some(implied) = limits.implied_key else { return Err(EventError::NoKey) };
    Ok(Event { implied_key: Some(implied), ..event })
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
    use crate::ImpliedKey;

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
        assert_eq!(event.extensions["retries"], ExtensionValue::from(3));
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
        let event = check(&with(&format!(r#","data":{data}"#))).expect("JSON");
        assert_eq!(String::from_utf8_lossy(&event.data), data);
        let shown = serde_json::to_string(&event.to_raw()).expect("JSON");
        assert!(shown.contains(data), "{shown}");
    }

    #[test]
    fn extensions_keep_their_type() {
        let long = "n".repeat(256);
        for (json, kept) in [
            (r#""a":10"#, Some(("a", "10", false))),
            (r#""a":-2147483648"#, Some(("a", "-2147483648", false))),
            (r#""a":2147483647"#, Some(("a", "2147483647", false))),
            (r#""a":true"#, Some(("a", "true", false))),
            (r#""a":"true""#, Some(("a", "true", true))),
            (r#""a":"10""#, Some(("a", "10", true))),
            (r#""a":"""#, Some(("a", "", true))),
            (r#""a":"\u202e""#, Some(("a", "\u{202e}", true))),
            (r#""a":null"#, None),
            (
                r#""comexampleextensionsarelong0123456789":1"#,
                Some(("comexampleextensionsarelong0123456789", "1", false)),
            ),
            (&format!(r#""{long}":1"#), Some((&*long, "1", false))),
        ] {
            let event = check(&with(&format!(",{json}"))).expect(json);
            let found = event.extensions.iter().map(|(name, value)| (&**name, value.as_str(), value.is_text())).next();
            assert_eq!(found, kept, "{json}");
            assert_eq!(event.to_raw().check(&EventLimits::default()), Ok(event), "{json}");
        }
        for json in [
            r#""a":1.0"#,
            r#""a":1.5"#,
            r#""a":1e2"#,
            r#""a":2147483648"#,
            r#""a":-2147483649"#,
            r#""a":[]"#,
            r#""a":{}"#,
            r#""a":"\u0000""#,
            r#""a":"\u009f""#,
            r#""a":"\ufdd0""#,
            r#""a":"\uffff""#,
            r#""a":"\ud83f\udffe""#,
            r#""aB":1"#,
            r#""a.b":1"#,
            r#""a_b":1"#,
            r#""a-b":null"#,
            r#""":1"#,
            r#""ä":1"#,
            r#""partitionkey":"""#,
            r#""partitionkey":"\u202e""#,
            &format!(r#""{long}n":1"#),
        ] {
            assert!(check(&with(&format!(",{json}"))).is_err_and(|error| error.code() == "bad-attribute"), "{json}");
        }
    }

    #[test]
    fn context_attributes_are_those_of_the_specification() {
        let changed = |name: &str, json: &str| {
            let mut event: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&with("")).expect("JSON");
            event.insert(name.to_owned(), serde_json::from_str(json).expect(json));
            check(&serde_json::to_string(&event).expect("JSON"))
        };
        for (name, json) in [
            ("source", r##""#fragment""##),
            ("source", r#""1-555-123-4567""#),
            ("source", r#""urn:uuid:6e8bc430""#),
            ("source", r#""//authority/path""#),
            ("source", r#""mailto:a@b.example""#),
            ("source", r#""?q""#),
            ("dataschema", r#""https://a.example/b?c""#),
            ("dataschema", r#""urn:a:b""#),
            ("dataschema", "null"),
            ("time", r#""2018-04-05t17:31:00.5+01:00""#),
            ("subject", r#""\u00e9\u20ac\ud83d\ude00""#),
            ("id", r#"" ""#),
            ("datacontenttype", r#""text/plain; charset=\"utf-8\"""#),
            ("subject", r#""..""#),
        ] {
            let event = changed(name, json).unwrap_or_else(|error| panic!("{name} {json}: {error}"));
            assert_eq!(event.to_raw().check(&EventLimits::default()), Ok(event), "{name} {json}");
        }
        for (name, json, code) in [
            ("source", r#""a b""#, "bad-attribute"),
            ("source", r#""%zz""#, "bad-attribute"),
            ("source", r#""1a:b""#, "bad-attribute"),
            ("source", r#""/\u00fc""#, "bad-attribute"),
            ("source", r#""http://[::1""#, "bad-attribute"),
            ("source", r#""<a>""#, "bad-attribute"),
            ("source", r#""a\\b""#, "bad-attribute"),
            ("source", r#""""#, "not-a-cloudevent"),
            ("dataschema", r#""/relative""#, "bad-attribute"),
            ("dataschema", r#""https://a/#b""#, "bad-attribute"),
            ("dataschema", r#""""#, "bad-attribute"),
            ("dataschema", r#""no uri""#, "bad-attribute"),
            ("time", r#""yesterday""#, "bad-attribute"),
            ("time", r#""""#, "bad-attribute"),
            ("time", "1522950000", "not-a-cloudevent"),
            ("datacontenttype", r#""xyz""#, "bad-attribute"),
            ("datacontenttype", r#""""#, "bad-attribute"),
            ("subject", r#""""#, "bad-attribute"),
            ("subject", r#""\u0085""#, "bad-attribute"),
            ("subject", r#""\u007f""#, "bad-attribute"),
            ("subject", r#""\ufffe""#, "bad-attribute"),
            ("subject", r#""a\u202eb""#, "bad-attribute"),
            ("subject", r#""\u2067""#, "bad-attribute"),
            ("subject", r#""\u061c""#, "bad-attribute"),
            ("id", r#""\u200f""#, "bad-attribute"),
            ("id", r#""\ufdef""#, "bad-attribute"),
            ("id", "25", "not-a-cloudevent"),
            ("id", "null", "not-a-cloudevent"),
            ("type", "[]", "not-a-cloudevent"),
            ("type", r#""t\u2028""#, "ok"),
            ("id", r#""\ud800""#, "not-a-cloudevent"),
            ("specversion", r#""1.0.2""#, "unsupported-specversion"),
            ("specversion", r#""1""#, "unsupported-specversion"),
            ("specversion", r#""""#, "not-a-cloudevent"),
            ("specversion", "1.0", "not-a-cloudevent"),
        ] {
            let found = changed(name, json).map_or_else(|error| error.code(), |_| "ok");
            assert_eq!(found, code, "{name} {json}");
        }
    }

    #[test]
    fn data_is_kept_by_its_content_type() {
        for (json, data, content_type, shown) in [
            (r#""data":null"#, "null", None, r#""data":null"#),
            (r#""data":null,"datacontenttype":"application/json""#, "null", Some("application/json"), r#""data":null"#),
            (r#""data":"hi""#, "\"hi\"", None, r#""data":"hi""#),
            (r#""data":"{}","datacontenttype":"a/b+JSON;x=1""#, "\"{}\"", Some("a/b+JSON;x=1"), r#""data":"{}""#),
            (r#""data":1,"datacontenttype":"foo/json""#, "1", Some("foo/json"), r#""data":1"#),
            (
                r#""data":"<a/>","datacontenttype":"application/xml""#,
                "<a/>",
                Some("application/xml"),
                r#""data":"<a/>""#,
            ),
            (r#""data":null,"datacontenttype":"text/plain""#, "", Some("text/plain"), ""),
            (r#""data_base64":"aGk=""#, "hi", Some("application/octet-stream"), r#""data_base64":"aGk=""#),
            (r#""data_base64":"aGk=","datacontenttype":"text/plain""#, "hi", Some("text/plain"), r#""data":"hi""#),
            (r#""data_base64":"e30=","datacontenttype":"text/json""#, "{}", Some("text/json"), r#""data":{}"#),
            (r#""data_base64":null"#, "", None, ""),
            ("\"x\":1", "", None, ""),
        ] {
            let event = check(&with(&format!(",{json}"))).expect(json);
            let found = (String::from_utf8_lossy(&event.data).into_owned(), event.data_content_type.as_deref());
            assert_eq!(found, (data.to_owned(), content_type), "{json}");
            let raw = event.to_raw();
            assert_eq!(raw.data.is_none() && raw.data_base64.is_none(), shown.is_empty(), "{json}");
            assert!(serde_json::to_string(&raw).expect("JSON").contains(shown), "{json}");
            assert_eq!(raw.check(&EventLimits::default()), Ok(event), "{json}");
        }
        for (json, code) in [
            (r#""data":null,"data_base64":"""#, "not-a-cloudevent"),
            (r#""data":{},"datacontenttype":"text/plain""#, "bad-attribute"),
            (r#""data":1,"datacontenttype":"application/jsonx""#, "bad-attribute"),
            (r#""data":"\u00e9","datacontenttype":"text/plain; charset=iso-8859-1""#, "bad-attribute"),
            (r#""data":"\u00e9","datacontenttype":"text/plain; charset=us-ascii""#, "bad-attribute"),
            (r#""data_base64":"aGk","datacontenttype":"text/plain""#, "bad-attribute"),
            (r#""data_base64":"a-_=","datacontenttype":"text/plain""#, "bad-attribute"),
            (r#""data_base64":5"#, "not-a-cloudevent"),
            (r#""data_base64":"aGk=","datacontenttype":"application/json""#, "data-not-json"),
        ] {
            let error = check(&with(&format!(",{json}"))).expect_err(json);
            assert_eq!(error.code(), code, "{json}: {error}");
        }
    }

    #[test]
    fn a_key_may_be_implied() {
        let json = r#"{"specversion":"1.0","id":"i","source":"/s","type":"t"}"#;
        for (implied_key, key) in [(Some(ImpliedKey::Source), "/s"), (Some(ImpliedKey::Id), "i")] {
            let limits = EventLimits { implied_key, ..EventLimits::default() };
            let checked = |json: &str| RawEvent::from_json(json.as_bytes()).and_then(|raw| raw.check(&limits));
            let event = checked(json).expect("an event");
            assert_eq!((event.key(), event.implied_key), (key, implied_key));
            assert_eq!(serde_json::to_string(&event.to_raw()).expect("JSON"), json, "the event itself is as it was");
            let named = checked(&with("")).expect("an event");
            assert_eq!((named.key(), named.implied_key), ("order/o-1", None));
        }
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
