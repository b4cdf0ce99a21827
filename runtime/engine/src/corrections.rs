//! Corrections: the data that a delivery gets in place of its event's.

use serde_json::value::RawValue;
use weirgate_log::LogReader;
use weirgate_types::{
    Correction, DeliveryCommand, DeliveryDecided, Event, EventLimits, Position, Record,
    json::{self, DEPTH_MAX, JsonError, Node, check},
};

use crate::{Refusal, StorageError};

/// Applies a correction event to the data: if both are JSON objects it is a merge patch (RFC 7396), otherwise it replaces
/// the data.
///
/// # Errors
/// Why it cannot be applied, for the sender. There is no fallback: data that cannot be merged is not replaced.
pub fn by_event(event: &Event, brought: &Event, position: Position) -> Result<Correction, String> {
    if event.key() != brought.key() {
        return Err("it is for another key".to_owned());
    }
    let data = json_of(event).map_err(|error| format!("the delivery's data is not JSON: {error}"))?;
    let patch = json_of(brought).map_err(|error| format!("its data is not JSON: {error}"))?;
    let merged = match (data, patch) {
        (Some(data), Some(patch)) if data.members().is_some() && patch.members().is_some() => {
            Some(json::merge(&data, &patch))
        }
        _ => None,
    };
    let (data, data_content_type) = match merged {
        Some(data) => (data.into_bytes(), &event.data_content_type),
        None => (brought.data.clone(), &brought.data_content_type),
    };
    check_size(&data)?;
    Ok(Correction { data, data_content_type: data_content_type.clone(), event: Some(position) })
}

/// Corrected data has the same size limit as an event's.
///
/// # Errors
/// Its size and the limit.
pub fn check_size(data: &[u8]) -> Result<(), String> {
    let max = EventLimits::default().data_bytes_max;
    match data.len() {
        bytes if bytes > max => Err(format!("the corrected data would be {bytes} bytes; the maximum is {max}")),
        _ => Ok(()),
    }
}

/// The data of an event with a merge patch applied.
///
/// # Errors
/// The data is not JSON; the message is for the operator.
pub fn patched(event: &Event, patch: &str) -> Result<Correction, Refusal> {
    let refused = |reason: String| Refusal::Correction(format!("{reason}, so it cannot be patched; send `data`"));
    let wrong = |error: JsonError| refused(format!("the event's data is not JSON: {error}"));
    let data = json_of(event).map_err(wrong)?.ok_or_else(|| refused("the event's data is not JSON".into()))?;
    let patch = Node::parse(patch, DEPTH_MAX).map_err(|error| Refusal::Correction(format!("the patch: {error}")))?;
    let data_content_type = event.data_content_type.clone();
    Ok(Correction { data: json::merge(&data, &patch).into_bytes(), data_content_type, event: None })
}

/// The difference of two data values as a JSON patch (RFC 6902); `None` if one of them is not JSON.
#[must_use]
pub fn difference(before: &[u8], after: &[u8]) -> Option<Box<RawValue>> {
    let [before, after] = [node(before).ok()?, node(after).ok()?];
    RawValue::from_string(json::difference(&before, &after)).ok()
}

/// The event's data, if its content type is JSON. Absent data is not JSON.
fn json_of(event: &Event) -> Result<Option<Node<'_>>, JsonError> {
    if event.is_json() && !event.data.is_empty() { node(&event.data).map(Some) } else { Ok(None) }
}

fn node(json: &[u8]) -> Result<Node<'_>, JsonError> {
    Node::parse(check(json, DEPTH_MAX)?, DEPTH_MAX)
}

/// The event with corrected data, as its delivery gets it: `correction` is the newest correcting command.
pub fn as_delivered(
    log: &LogReader,
    event: &Event,
    correction: Option<Position>,
) -> Result<Option<Event>, StorageError> {
    let Some(position) = correction else { return Ok(None) };
    match log.read(position)? {
        Some((_, Record::DeliveryDecided(DeliveryDecided { command: DeliveryCommand::Correct(correction), .. }))) => {
            let Correction { data, data_content_type, .. } = correction;
            Ok(Some(Event { data, data_content_type, ..event.clone() }))
        }
        Some((_, Record::Lost(_))) => {
            tracing::warn!(%position, "a correction was lost: the delivery gets its event's own data");
            Ok(None)
        }
        _ => Err(StorageError::Missing { what: "correction", position }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str, content_type: Option<&str>) -> Event {
        Event {
            id: "1".into(),
            source: "/shop".into(),
            r#type: "a".into(),
            subject: Some("order/o-1".into()),
            time: None,
            data_content_type: content_type.map(str::to_owned),
            data_schema: None,
            extensions: std::collections::BTreeMap::new(),
            implied_key: None,
            data: data.into(),
        }
    }

    #[test]
    fn objects_are_merged_and_other_data_is_replaced() {
        let json = event(r#"{"card":"1","total":5}"#, None);
        for (brought, expected) in [
            (event(r#"{"card":"2"}"#, None), r#"{"card":"2","total":5}"#),
            (event(r#"{"card":null}"#, None), r#"{"total":5}"#),
            (event("[1]", None), "[1]"),
            (event("two", Some("text/plain")), "two"),
        ] {
            let correction = by_event(&json, &brought, Position(3)).expect("it is applied");
            assert_eq!(String::from_utf8_lossy(&correction.data), expected);
            assert_eq!(correction.event, Some(Position(3)));
        }
    }

    #[test]
    fn merged_data_has_the_size_limit_of_an_event() {
        let max = EventLimits::default().data_bytes_max;
        let of_size = |name: &str, bytes: usize| event(&format!(r#"{{"{name}":"{}"}}"#, "x".repeat(bytes - 8)), None);
        let half = of_size("a", max / 2);
        let merged = by_event(&half, &of_size("b", max / 2 + 1), Position(3)).expect("it fits exactly");
        assert_eq!(merged.data.len(), max);
        let refused = by_event(&half, &of_size("b", max / 2 + 2), Position(3));
        assert_eq!(
            refused.expect_err("one byte more"),
            format!("the corrected data would be {} bytes; the maximum is {max}", max + 1)
        );
    }

    #[test]
    fn an_event_of_another_key_corrects_nothing() {
        let other = Event { subject: Some("order/o-2".into()), ..event("{}", None) };
        assert_eq!(by_event(&event("{}", None), &other, Position(3)), Err("it is for another key".to_owned()));
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let data = r#"{"n":12345678901234567890123,"small":1e-400,"large":1E400,"note":"a"}"#;
        let corrected = by_event(&event(data, None), &event(r#"{"note":"b"}"#, None), Position(3)).expect("JSON");
        let expected = data.replace(r#""a""#, r#""b""#);
        assert_eq!(String::from_utf8_lossy(&corrected.data), expected);
        let patched = patched(&event(data, None), r#"{"note":"b"}"#).expect("JSON");
        assert_eq!(String::from_utf8_lossy(&patched.data), expected);
        let difference = difference(data.as_bytes(), &patched.data).expect("both are JSON");
        assert_eq!(difference.get(), r#"[{"op":"replace","path":"/note","value":"b"}]"#);
    }

    #[test]
    fn data_that_cannot_be_merged_is_not_replaced() {
        for (data, brought) in [("{\"a\":", "{}"), ("{}", "{\"a\":"), ("{}", "\u{feff}{}")] {
            assert!(by_event(&event(data, None), &event(brought, None), Position(3)).is_err(), "{data} {brought}");
        }
        for (data, content_type) in [("{", None), ("", None), ("two", Some("text/plain"))] {
            assert!(matches!(patched(&event(data, content_type), "{}"), Err(Refusal::Correction(_))), "{data}");
        }
    }

    #[test]
    fn a_difference_lists_the_changes() {
        let difference = difference(br#"{"a":1,"b":2}"#, br#"{"a":1,"b":3}"#).expect("both are JSON");
        assert_eq!(difference.get(), r#"[{"op":"replace","path":"/b","value":3}]"#);
        assert!(super::difference(b"{}", b"no").is_none());
    }
}
