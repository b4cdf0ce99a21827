//! An event's data in JSON: `data` or `data_base64` (JSON format, 3.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;

use super::{MediaType, RawEvent, attributes::bad};
use crate::{Event, EventError, EventLimits, event::is_json, json};

/// The content type of bytes whose producer names none.
pub const BYTES: &str = "application/octet-stream";

impl RawEvent {
    /// Takes the data out. Bytes without a content type get that of bytes, as an absent one means JSON.
    pub(super) fn take_data(&mut self, limits: &EventLimits) -> Result<Vec<u8>, EventError> {
        match (self.data.take(), self.data_base64.take()) {
            (Some(_), Some(_)) => Err(EventError::Malformed("it has both `data` and `data_base64`".into())),
            (None, None) => Ok(Vec::new()),
            (None, Some(base64)) => {
                if base64.len() / 4 * 3 > limits.data_bytes_max + 3 {
                    return Err(EventError::TooLarge { bytes: base64.len() / 4 * 3, max: limits.data_bytes_max });
                }
                let data = STANDARD.decode(base64).map_err(|e| bad("data_base64", format!("is not base64: {e}")))?;
                self.say_bytes(&data);
                Ok(data)
            }
            (Some(json), None) => self.data_from_json(json),
        }
    }

    /// Names the content type of bytes, if there are any and none is named.
    pub fn say_bytes(&mut self, data: &[u8]) {
        if self.datacontenttype.is_none() && !data.is_empty() {
            self.datacontenttype = Some(BYTES.to_owned());
        }
    }

    /// JSON data is kept as written; for other content types a JSON string holds the text, and `null` means absent.
    fn data_from_json(&self, json: Box<RawValue>) -> Result<Vec<u8>, EventError> {
        let content_type = self.datacontenttype.as_deref().filter(|content_type| !is_json(content_type));
        let Some(content_type) = content_type else { return Ok(String::from(Box::<str>::from(json)).into_bytes()) };
        match json.get() {
            "null" => Ok(Vec::new()),
            string if string.starts_with('"') => {
                let text = serde_json::from_str::<String>(string);
                let text = text.map_err(|e| EventError::Malformed(format!("its `data` is no text: {e}")))?;
                if MediaType::parse(content_type).is_none_or(|media_type| media_type.takes(&text)) {
                    return Ok(text.into_bytes());
                }
                Err(bad("data", format!("cannot be written as {content_type:?} says; send its bytes as `data_base64`")))
            }
            _ => Err(bad(
                "data",
                format!(
                    "is no string, but `datacontenttype` is {content_type:?}, which is not JSON; send text, or bytes as `data_base64`"
                ),
            )),
        }
    }
}

/// `data` or `data_base64` of an event: JSON as JSON, text as a string, other data as base64.
pub(super) fn of(event: &Event) -> (Option<Box<RawValue>>, Option<String>) {
    if event.data.is_empty() {
        return (None, None);
    }
    let text = std::str::from_utf8(&event.data).ok();
    let json = match &event.data_content_type {
        _ if event.is_json() => text.map(str::to_owned),
        Some(content_type) => {
            let media_type = MediaType::parse(content_type).filter(MediaType::is_text);
            let text = text.zip(media_type).filter(|(text, media_type)| media_type.takes(text));
            text.and_then(|(text, _)| serde_json::to_string(text).ok())
        }
        None => None,
    };
    match json.and_then(|json| RawValue::from_string(json).ok()) {
        Some(data) => (Some(data), None),
        None => (None, Some(STANDARD.encode(&event.data))),
    }
}

/// The data is not too large, and valid JSON if its content type is JSON, in the charset that the type names.
pub(super) fn check(event: &Event, limits: &EventLimits) -> Result<(), EventError> {
    let max = limits.data_bytes_max;
    if event.data.len() > max {
        return Err(EventError::TooLarge { bytes: event.data.len(), max });
    }
    if event.is_json() && !event.data.is_empty() {
        check_charset(event)?;
        json::check(&event.data, limits.json_depth_max)?;
    }
    Ok(())
}

/// JSON is UTF-8 (RFC 8259, 8.1), so another charset is not what the data is in, or the data is no JSON.
fn check_charset(event: &Event) -> Result<(), EventError> {
    let is_other = |media_type: MediaType| !media_type.takes(std::str::from_utf8(&event.data).unwrap_or_default());
    match &event.data_content_type {
        Some(content_type) if MediaType::parse(content_type).is_some_and(is_other) => {
            let problem =
                format!("is {content_type:?}, but JSON is written in UTF-8 (RFC 8259); name charset=utf-8 or none");
            Err(bad("datacontenttype", problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(extra: &str) -> Result<Event, EventError> {
        let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"k",{extra}}}"#);
        RawEvent::from_json(json.as_bytes())?.check(&EventLimits::default())
    }

    #[test]
    fn json_is_in_utf_8() {
        let utf_16 = STANDARD.encode("{}".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>());
        for (charset, data, is_taken) in [
            ("", r#""data":{"é":1}"#, true),
            (";charset=utf-8", r#""data":{"é":1}"#, true),
            (r#"; charset=\"UTF-8\""#, r#""data_base64":"e30=""#, true),
            ("; charset=us-ascii", r#""data":{"e":1}"#, true),
            ("; charset=us-ascii", r#""data":{"é":1}"#, false),
            ("; charset=utf-16", r#""data":{"a":1}"#, false),
            ("; charset=utf-16", r#""data_base64":"e30=""#, false),
            ("; charset=utf-16", &format!(r#""data_base64":"{utf_16}""#), false),
            ("; charset=iso-8859-1", r#""data":"text""#, false),
            ("; charset=utf-16", r#""data_base64":"""#, true),
        ] {
            for media_type in ["application/json", "text/json", "application/vnd.a+json"] {
                let checked = check(&format!(r#""datacontenttype":"{media_type}{charset}",{data}"#));
                match checked {
                    Ok(event) => {
                        assert!(is_taken, "{media_type}{charset} {data}");
                        assert_eq!(event.to_raw().check(&EventLimits::default()), Ok(event));
                    }
                    Err(error) => {
                        assert!(!is_taken && error.code() == "bad-attribute", "{media_type}{charset} {data}: {error}");
                    }
                }
            }
        }
    }
}
