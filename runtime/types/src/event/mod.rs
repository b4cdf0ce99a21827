//! The event: an immutable CloudEvents 1.0 event whose attributes have been checked.

use std::collections::BTreeMap;

use crate::json::DEPTH_MAX;

mod extension;
mod stored;

pub use extension::ExtensionValue;

/// A CloudEvents 1.0 event as Weirgate accepted it. Made from a [`crate::RawEvent`] or by the runtime itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub source: String,
    pub r#type: String,
    pub subject: Option<String>,
    /// RFC 3339, as the producer wrote it.
    pub time: Option<String>,
    pub data_content_type: Option<String>,
    pub data_schema: Option<String>,
    /// Extension attributes, `partitionkey` and `traceparent` among them.
    pub extensions: BTreeMap<String, ExtensionValue>,
    /// What its key is if it has neither `partitionkey` nor `subject`.
    pub implied_key: Option<ImpliedKey>,
    /// Empty when the event has no data.
    pub data: Vec<u8>,
}

/// The attribute that stands in for an absent key. Recorded with the event, so that its key never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImpliedKey {
    Source,
    Id,
}

/// Size limits of an event, in bytes unless the name says otherwise, and its key where it names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLimits {
    pub data_bytes_max: usize,
    pub attribute_bytes_max: usize,
    pub extensions_max: usize,
    pub json_depth_max: usize,
    /// The key of events that have neither `partitionkey` nor `subject`; without it they are refused.
    pub implied_key: Option<ImpliedKey>,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self {
            data_bytes_max: 256 * 1024,
            attribute_bytes_max: 1024,
            extensions_max: 32,
            json_depth_max: DEPTH_MAX,
            implied_key: None,
        }
    }
}

/// Why an event is not accepted. The text is for the producer's developer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("not a CloudEvent: {0}")]
    Malformed(String),
    #[error("not a CloudEvent: attribute `{0}` is missing or empty")]
    Missing(&'static str),
    #[error("`specversion` is {0:?}; Weirgate accepts CloudEvents 1.0")]
    SpecVersion(String),
    #[error("attribute `{attribute}` {problem}")]
    Attribute { attribute: String, problem: String },
    #[error("`type` begins with `weirgate.`, which is reserved for the runtime; choose another prefix")]
    ReservedType,
    #[error("`source` begins with {0}, which is reserved for handlers and the runtime; choose another prefix")]
    ReservedSource(&'static str),
    #[error(
        "the event has no key: set `partitionkey` or `subject` (for instance order/o-1), or have the server take another \
         attribute (`events.key_default`)"
    )]
    NoKey,
    #[error("the event's data is {bytes} bytes; the maximum is {max} (put the payload elsewhere and send a reference)")]
    TooLarge { bytes: usize, max: usize },
    #[error("the event's data is nested more than {max} levels deep")]
    TooDeep { max: usize },
    #[error("the event's data is not valid JSON, but its content type is JSON: {0}")]
    DataNotJson(String),
}

impl EventError {
    /// A stable code for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Missing(_) => "not-a-cloudevent",
            Self::SpecVersion(_) => "unsupported-specversion",
            Self::Attribute { .. } => "bad-attribute",
            Self::ReservedType => "reserved-type",
            Self::ReservedSource(_) => "reserved-source",
            Self::NoKey => "no-key",
            Self::TooLarge { .. } => "event-too-large",
            Self::TooDeep { .. } => "data-too-deep",
            Self::DataNotJson(_) => "data-not-json",
        }
    }
}

impl Event {
    /// The key: `partitionkey`, else `subject`, else the implied one. Accepted events always have one.
    #[must_use]
    pub fn key(&self) -> &str {
        let named = self.extensions.get("partitionkey").map(ExtensionValue::as_str).or(self.subject.as_deref());
        named.unwrap_or_else(|| match self.implied_key {
            Some(ImpliedKey::Source) => &self.source,
            Some(ImpliedKey::Id) => &self.id,
            None => "",
        })
    }

    /// Its number among the events of its key, if it carries one: CloudEvents' `sequence`, in decimal digits
    /// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/sequence.md>).
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        let is_number = self.extensions.get("sequencetype").is_none_or(|kind| *kind == "Integer");
        let digits = self.extensions.get("sequence").filter(|_| is_number)?.as_str();
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }

    /// Size of the event in a record, in bytes.
    #[must_use]
    pub fn encoded_size(&self) -> usize {
        // Only a type that cannot be encoded has no size, and this one is derived.
        postcard::experimental::serialized_size(self).unwrap_or(usize::MAX)
    }

    /// Whether the content type is JSON: of any type, with the subtype `json` or a suffix `+json`. Absent means JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.data_content_type.as_deref().is_none_or(is_json)
    }
}

/// Whether a media type is one of JSON (JSON format, 3.1.1).
pub(crate) fn is_json(content_type: &str) -> bool {
    const SUFFIX: &[u8] = b"+json";
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let Some((_, subtype)) = media_type.split_once('/') else { return false };
    let suffix = subtype.len().checked_sub(SUFFIX.len()).and_then(|start| subtype.as_bytes().get(start..));
    subtype.eq_ignore_ascii_case("json") || suffix.is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX))
}

#[cfg(test)]
mod tests {
    use crate::{EventLimits, RawEvent};

    #[test]
    fn a_sequence_is_a_decimal_number() {
        let sequence = |extra: &str| {
            let json = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"k"{extra}}}"#);
            let event = RawEvent::from_json(json.as_bytes()).and_then(|raw| raw.check(&EventLimits::default()));
            event.expect("an event").sequence()
        };
        assert_eq!(sequence(r#","sequence":"12""#), Some(12));
        assert_eq!(sequence(r#","sequence":12,"sequencetype":"Integer""#), Some(12));
        assert_eq!(sequence(r#","sequence":"0001","sequencetype":"Integer""#), Some(1));
        for extra in ["", r#","sequence":"+1""#, r#","sequence":"-1""#, r#","sequence":"1a""#, r#","sequence":"1.0""#] {
            assert_eq!(sequence(extra), None, "{extra}");
        }
        assert_eq!(sequence(r#","sequence":"99999999999999999999""#), None);
        assert_eq!(sequence(r#","sequence":"1","sequencetype":"Other""#), None);
    }
}
