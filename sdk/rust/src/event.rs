//! The event as a handler sees it: its CloudEvents attributes and its data as the handler's own type. Owns how bytes become
//! that type, and the error messages if they do not. Knows nothing of deliveries.

use std::mem;

use serde::de::DeserializeOwned;

use crate::Failure;

/// A CloudEvents 1.0 event with data of type `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<T> {
    /// Unique together with `source`; a repeat never reaches a handler.
    pub id: String,
    /// A URI reference: the event's producer. Handlers' events come from `/handlers/<handler>`.
    pub source: String,
    /// The event type, for example `order.placed`.
    pub r#type: String,
    /// The subject, for example `order/o-1`.
    pub subject: Option<String>,
    /// When it happened, as the producer wrote it (RFC 3339).
    pub time: Option<String>,
    /// The media type of the data. Absent means JSON.
    pub data_content_type: Option<String>,
    /// Extension attributes, sorted by name.
    pub extensions: Vec<(String, String)>,
    pub data: T,
}

impl<T> Event<T> {
    /// The extension attribute with that name.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// The same attributes with other data.
    pub fn with_data<U>(self, data: U) -> Event<U> {
        let Self { id, source, r#type, subject, time, data_content_type, extensions, data: _ } = self;
        Event { id, source, r#type, subject, time, data_content_type, extensions, data }
    }
}

impl Event<Vec<u8>> {
    /// Parses the bytes as the type that the handler takes.
    pub(crate) fn read<T: EventData>(mut self) -> Result<Event<T>, Failure> {
        let data = T::read(&mut self)?;
        Ok(self.with_data(data))
    }
}

/// A type that is the data of one type of event. Use `#[derive(EventType)]` with `#[event("order.placed")]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the data of an event",
    note = "add #[derive(EventType)] and #[event(\"the.type\")] to it"
)]
pub trait EventType {
    /// The `type` attribute, for example `order.placed`.
    const TYPE: &'static str;
}

/// The data type of a handler's event: an [`EventType`] that serde can read, an enum of several with `#[derive(Events)]`, or
/// [`Raw`] bytes of any event type.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its event's data",
    label = "the event's data",
    note = "for one type of event, derive `Deserialize` and `EventType` for a struct and name its #[event(\"type\")]",
    note = "for several, derive `Events` for an enum of such structs; for bytes take `Event<Raw>`"
)]
pub trait EventData: Sized {
    /// Parses the data, taking the bytes out of the event if that saves a copy.
    ///
    /// # Errors
    /// A permanent failure: the data does not fit, or the event is of another type.
    fn read(event: &mut Event<Vec<u8>>) -> Result<Self, Failure>;
}

/// The unparsed data, for handlers that take any event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl EventData for Raw {
    fn read(event: &mut Event<Vec<u8>>) -> Result<Self, Failure> {
        Ok(Self(mem::take(&mut event.data)))
    }
}

impl<T: EventType + DeserializeOwned> EventData for T {
    fn read(event: &mut Event<Vec<u8>>) -> Result<Self, Failure> {
        if event.r#type == T::TYPE { decode(event) } else { Err(unknown_type(&event.r#type, &[T::TYPE])) }
    }
}

/// Parses JSON data. An event without data counts as `null`.
///
/// # Errors
/// A permanent failure with the event's type and the path to the value that does not fit.
pub fn decode<T: DeserializeOwned>(event: &Event<Vec<u8>>) -> Result<T, Failure> {
    if !is_json(event.data_content_type.as_deref()) {
        let content_type = event.data_content_type.as_deref().unwrap_or_default();
        return Err(Failure::permanent(format!("the data of {} is {content_type}; it should be JSON", event.r#type)));
    }
    let json: &[u8] = if event.data.is_empty() { b"null" } else { &event.data };
    // Tracking the path costs time, so it is done only once an error has been found.
    serde_json::from_slice(json).map_err(|error| {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let problem = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
            Err(found) if found.path().iter().len() > 0 => format!("{}: {}", found.path(), found.inner()),
            _ => error.to_string(),
        };
        Failure::permanent(format!("the data of {} does not fit {}: {problem}", event.r#type, short_name::<T>()))
    })
}

/// Whether a content type means JSON; absent means JSON.
pub(crate) fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_none_or(|content_type| {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        media_type.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
    })
}

/// The failure for an event of a type that the handler does not know.
#[must_use]
pub fn unknown_type(found: &str, known: &[&str]) -> Failure {
    Failure::permanent(format!(
        "this handler takes {}, not {found}; see the subscriptions in its manifest",
        known.join(", ")
    ))
}

fn short_name<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventType, Events};
    use serde::Deserialize;

    #[derive(Debug, Deserialize, EventType, PartialEq)]
    #[event("order.placed")]
    struct Placed {
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        quantity: u32,
    }

    #[derive(Debug, Deserialize, EventType, PartialEq)]
    #[event("order.cancelled")]
    struct Cancelled;

    #[derive(Debug, Events, PartialEq)]
    enum Incoming {
        Placed(Placed),
        Cancelled(Cancelled),
    }

    fn event(r#type: &str, data: &str) -> Event<Vec<u8>> {
        Event {
            id: "1".into(),
            source: "/shop".into(),
            r#type: r#type.into(),
            subject: Some("order/o-1".into()),
            time: None,
            data_content_type: None,
            extensions: vec![("correlationid".into(), "c-1".into())],
            data: data.into(),
        }
    }

    #[test]
    fn the_event_type_chooses_the_variant() {
        let placed = event("order.placed", r#"{"lines":[{"quantity":2}]}"#).read::<Incoming>().expect("fits");
        assert_eq!(placed.data, Incoming::Placed(Placed { lines: vec![Line { quantity: 2 }] }));
        assert_eq!(placed.extension("correlationid"), Some("c-1"));
        let cancelled = event("order.cancelled", "").read::<Incoming>().expect("no data is null");
        assert_eq!(cancelled.data, Incoming::Cancelled(Cancelled));
    }

    #[test]
    fn data_that_does_not_fit_is_permanent_with_its_location() {
        let cases = [
            (
                event("order.placed", r#"{"lines":[{"quantity":-1}]}"#),
                "order.placed does not fit Placed: lines[0].quantity",
            ),
            (event("order.placed", "{"), "order.placed does not fit Placed"),
            (event("order.placed", ""), "invalid type: null"),
            (event("order.lost", "{}"), "takes order.placed, order.cancelled, not order.lost"),
            (
                Event { data_content_type: Some("text/plain".into()), ..event("order.placed", "hi") },
                "is text/plain; it should be JSON",
            ),
        ];
        for (event, says) in cases {
            let failure = event.read::<Incoming>().expect_err(says);
            assert!(failure.is_permanent() && failure.message().contains(says), "{failure}");
        }
        assert!(event("order.lost", "{}").read::<Placed>().is_err_and(|failure| failure.is_permanent()));
    }

    #[test]
    fn raw_takes_anything() {
        assert_eq!(event("a.b", "\u{0}").read::<Raw>().expect("bytes").data, Raw(vec![0]));
    }
}
