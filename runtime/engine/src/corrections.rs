//! Corrections: the data that a delivery gets in place of its event's.

use serde_json::Value;
use weirgate_log::LogReader;
use weirgate_types::{Correction, Event, EventLimits, Intervention, Position, Record, Verb};

use crate::Refusal;

/// What an event that corrects makes of the data: where both are JSON objects it is a merge patch (RFC 7396), else it
/// takes the data's place.
///
/// # Errors
/// Why it cannot be applied, for whoever sent it.
pub fn by_event(event: &Event, brought: &Event, position: Position) -> Result<Correction, String> {
    if event.key() != brought.key() {
        return Err("it is for another key".to_owned());
    }
    let merged = object(event).zip(object(brought)).map(|(data, patch)| merge(data, &patch));
    let correction = match merged {
        Some(data) => Correction {
            data: data.to_string().into_bytes(),
            data_content_type: event.data_content_type.clone(),
            event: Some(position),
        },
        None => Correction {
            data: brought.data.clone(),
            data_content_type: brought.data_content_type.clone(),
            event: Some(position),
        },
    };
    check_size(&correction.data)?;
    Ok(correction)
}

/// Corrected data has the limit of an event's.
///
/// # Errors
/// How large it is and how large it may be.
pub fn check_size(data: &[u8]) -> Result<(), String> {
    let max = EventLimits::default().data_bytes_max;
    match data.len() {
        bytes if bytes > max => Err(format!("the corrected data would be {bytes} bytes; at most {max} are taken")),
        _ => Ok(()),
    }
}

/// Data with a merge patch applied.
pub fn merge(mut data: Value, patch: &Value) -> Value {
    json_patch::merge(&mut data, patch);
    data
}

/// How two data differ, as a JSON patch (RFC 6902); nothing where one of them is not JSON.
#[must_use]
pub fn difference(before: &[u8], after: &[u8]) -> Option<Value> {
    let [before, after] = [before, after].map(|data| serde_json::from_slice::<Value>(data).ok());
    serde_json::to_value(json_patch::diff(&before?, &after?)).ok()
}

fn object(event: &Event) -> Option<Value> {
    let value = event.is_json().then(|| serde_json::from_slice::<Value>(&event.data).ok())??;
    value.is_object().then_some(value)
}

/// The event as its delivery gets it, where its data was corrected: `correction` is the newest decision that did so.
pub fn as_delivered(log: &LogReader, event: &Event, correction: Option<Position>) -> Result<Option<Event>, Refusal> {
    let Some(position) = correction else { return Ok(None) };
    match log.read(position)? {
        Some((_, Record::Intervened(Intervention { verb: Verb::Correct(correction), .. }))) => {
            let Correction { data, data_content_type, .. } = correction;
            Ok(Some(Event { data, data_content_type, ..event.clone() }))
        }
        _ => Err(Refusal::Storage(format!("the log holds no correction at {position}"))),
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
            data: data.into(),
        }
    }

    #[test]
    fn objects_are_merged_and_all_else_is_replaced() {
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
    fn merged_data_has_the_limit_of_an_events() {
        let max = EventLimits::default().data_bytes_max;
        let of_size = |name: &str, bytes: usize| event(&format!(r#"{{"{name}":"{}"}}"#, "x".repeat(bytes - 8)), None);
        let half = of_size("a", max / 2);
        let merged = by_event(&half, &of_size("b", max / 2 + 1), Position(3)).expect("it fits exactly");
        assert_eq!(merged.data.len(), max);
        let refused = by_event(&half, &of_size("b", max / 2 + 2), Position(3));
        assert_eq!(
            refused.expect_err("one byte more"),
            format!("the corrected data would be {} bytes; at most {max} are taken", max + 1)
        );
    }

    #[test]
    fn an_event_of_another_key_corrects_nothing() {
        let other = Event { subject: Some("order/o-2".into()), ..event("{}", None) };
        assert_eq!(by_event(&event("{}", None), &other, Position(3)), Err("it is for another key".to_owned()));
    }

    #[test]
    fn a_difference_says_what_changed() {
        let difference = difference(br#"{"a":1,"b":2}"#, br#"{"a":1,"b":3}"#).expect("both are JSON");
        assert_eq!(difference, serde_json::json!([{ "op": "replace", "path": "/b", "value": 3 }]));
        assert_eq!(super::difference(b"{}", b"no"), None);
    }
}
