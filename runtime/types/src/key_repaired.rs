//! The data of `weirgate.key.repaired`, the event that tells a handler what a repair of its key could not undo: the
//! events and calls that its old version made and the new one would not have. JSON; `docs/formats/key-repaired.md` describes it.
//!
//! Knows nothing of how a repair is computed.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Event, EventLimits, Position, RawEvent, json::JsonBytes};

/// The event's type. It is delivered to the repaired handler alone, and calls its export `on-corrected`.
pub const KEY_REPAIRED: &str = "weirgate.key.repaired";

/// What a repair of a key at a handler has changed. Each list is in order of position.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRepaired {
    /// The replay that the repair belongs to, as its URL names it.
    pub replay: String,
    /// Why it was applied, in the operator's words.
    pub reason: String,
    /// Events that are in the log, and that the new version would not have emitted.
    pub emitted_before: Vec<LoggedEvent>,
    /// Events that the repair has appended.
    pub emitted_now: Vec<LoggedEvent>,
    /// Outbound calls that the old version made and the new one would not have.
    pub calls_before: Vec<CallBefore>,
    /// The replaced values of the state, as they were before the repair.
    pub state_before: Vec<ValueBefore>,
    /// Whether something was left out, because all of it would be longer than an event's data may be.
    pub truncated: bool,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedEvent {
    pub position: Position,
    /// The delivery that emitted it: the position of its event.
    pub by: Position,
    /// In JSON, as in structured mode.
    #[serde(serialize_with = "structured", deserialize_with = "from_structured")]
    pub event: Event,
}

/// An outbound call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBefore {
    /// The delivery that made it: the position of its event.
    pub by: Position,
    pub step: String,
    pub method: String,
    pub url: String,
    /// Of the answer; none came otherwise, and the request may have arrived.
    pub status: Option<u16>,
    /// The answer's body; absent if it is large.
    pub body: Option<JsonBytes>,
}

/// A value of the state before a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueBefore {
    pub name: String,
    /// `None`: there was none.
    pub value: Option<JsonBytes>,
}

impl KeyRepaired {
    /// Reads an event's data.
    ///
    /// # Errors
    /// It is not such data.
    pub fn from_data(data: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(data)
    }

    /// The event's data, at most `bytes_max` long if its texts are. To that end it leaves out the newest replaced values, then
    /// the newest of the events that were appended, then bodies of answers, then the newest calls and at last the newest events
    /// of the old version.
    #[must_use]
    pub fn into_data(mut self, bytes_max: usize) -> Vec<u8> {
        let data = encoded(&self);
        let mut excess = data.len().saturating_sub(bytes_max);
        if excess == 0 {
            return data;
        }
        self.truncated = true;
        cut(&mut self.state_before, &mut excess);
        cut(&mut self.emitted_now, &mut excess);
        for call in self.calls_before.iter_mut().rev() {
            if excess > 0 && call.body.is_some() {
                excess = excess.saturating_sub(encoded(&call.body).len().saturating_sub(NULL_BYTES));
                call.body = None;
            }
        }
        cut(&mut self.calls_before, &mut excess);
        cut(&mut self.emitted_before, &mut excess);
        encoded(&self)
    }
}

/// Length of an absent value in JSON.
const NULL_BYTES: usize = 4;

/// Removes items from the end until the JSON is at least `excess` bytes shorter.
fn cut<T: Serialize>(items: &mut Vec<T>, excess: &mut usize) {
    while *excess > 0
        && let Some(removed) = items.pop()
    {
        *excess = excess.saturating_sub(encoded(&removed).len());
    }
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    // Only a type that cannot be encoded fails, and these have texts as names and no numbers but integers.
    serde_json::to_vec(value).unwrap_or_default()
}

fn structured<S: Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    event.to_raw().serialize(serializer)
}

fn from_structured<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    RawEvent::deserialize(deserializer)?.restore(&EventLimits::default()).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn logged(position: u64, data: &str) -> LoggedEvent {
        let event = Event {
            id: format!("payment@9/{position}"),
            source: "/handlers/payment".into(),
            r#type: "payment.charged".into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: BTreeMap::from([("partitionkey".into(), "order/o-1".to_owned().into())]),
            implied_key: None,
            data: data.into(),
        };
        LoggedEvent { position: Position(position), by: Position(9), event }
    }

    fn call(body: Option<&[u8]>) -> CallBefore {
        CallBefore {
            by: Position(9),
            step: "charge-card".into(),
            method: "POST".into(),
            url: "https://pay.example/charges".into(),
            status: Some(201),
            body: body.map(|body| JsonBytes(body.to_vec())),
        }
    }

    fn full() -> KeyRepaired {
        KeyRepaired {
            replay: "40".into(),
            reason: "cents were taken for euros".into(),
            emitted_before: vec![logged(10, r#"{"total_cents":191000}"#), logged(12, r#"{"total_cents": 1.910e5}"#)],
            emitted_now: vec![logged(41, r#"{"total_cents":1910}"#)],
            calls_before: vec![call(Some(b"{\"reference\":\"ch_17\"}")), CallBefore { status: None, ..call(None) }],
            state_before: vec![
                ValueBefore { name: "charge".into(), value: Some(JsonBytes(vec![0xff])) },
                ValueBefore { name: "note".into(), value: None },
            ],
            truncated: false,
        }
    }

    #[test]
    fn the_data_is_legible_json_and_comes_back_whole() {
        let data = full().into_data(256 * 1024);
        let shown: serde_json::Value = serde_json::from_slice(&data).expect("JSON");
        assert_eq!(
            shown["emitted_before"][0],
            json!({"position": 10, "by": 9, "event": {
                "specversion": "1.0", "id": "payment@9/10", "source": "/handlers/payment", "type": "payment.charged",
                "data": {"total_cents": 191_000}, "partitionkey": "order/o-1",
            }})
        );
        assert_eq!(shown["calls_before"][0]["body"], json!({"text": "{\"reference\":\"ch_17\"}"}));
        assert_eq!(
            shown["state_before"],
            json!([{"name": "charge", "value": {"hex": "ff"}}, {"name": "note", "value": null}])
        );
        assert_eq!(KeyRepaired::from_data(&data).expect("it was written so"), full());
        assert!(KeyRepaired::from_data(b"{}").is_err());
    }

    /// At each size all that is left is at the beginning of its list, and the event fits.
    #[test]
    fn what_does_not_fit_is_left_out_in_order_of_its_weight() {
        let whole = full().into_data(usize::MAX).len();
        let base =
            KeyRepaired { replay: "40".into(), reason: full().reason, ..KeyRepaired::default() }.into_data(0).len();
        let mut before = (2, 1, 1, 2, 2);
        for bytes_max in (base..whole).rev() {
            let data = full().into_data(bytes_max);
            assert!(data.len() <= bytes_max, "{} of {bytes_max}", data.len());
            let left = KeyRepaired::from_data(&data).expect("data");
            assert!(left.truncated);
            let bodies = left.calls_before.iter().filter(|call| call.body.is_some()).count();
            let counts = (
                left.state_before.len(),
                left.emitted_now.len(),
                bodies,
                left.calls_before.len(),
                left.emitted_before.len(),
            );
            assert!(full().emitted_before.starts_with(&left.emitted_before));
            assert!(counts <= before, "{counts:?} {before:?}");
            before = counts;
        }
        assert_eq!(before, (0, 0, 0, 0, 0));
        assert_eq!(full().into_data(whole).len(), whole, "and nothing where all of it fits");
    }
}
