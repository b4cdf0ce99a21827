//! Repairs: what a handler learns of the differences between its old version and this one, once they have been applied to a
//! key. Knows nothing of how they are found.

use serde::de::DeserializeOwned;

use crate::{Event, EventData, EventType, Failure};

/// What a repair has changed for the delivery's key. Each list is in the order of positions.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The replay that the repair belongs to.
    pub replay: String,
    /// Why it was applied, in the operator's words.
    pub reason: String,
    /// Events that the old version emitted and this one would not have. Other handlers have had them.
    pub emitted_before: Vec<LoggedEvent>,
    /// Events that this repair has appended: this version emits them and the old one did not.
    pub emitted_now: Vec<LoggedEvent>,
    /// Outbound calls that the old version made and this one would not have.
    pub calls_before: Vec<CallBefore>,
    /// Values of the state as they were before this repair replaced them. The present ones are in the state.
    pub state_before: Vec<ValueBefore>,
    /// Whether something was left out, because all of it would be longer than an event's data may be: ends of lists, of
    /// `state_before` first and of `emitted_before` last. Large values and bodies are left out in any case.
    pub truncated: bool,
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    pub position: u64,
    /// The delivery that emitted it: the position of its event.
    pub by: u64,
    pub key: String,
    pub event: Event<Vec<u8>>,
}

/// An outbound call of an earlier delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallBefore {
    /// The delivery that made it: the position of its event.
    pub by: u64,
    pub step: String,
    pub method: String,
    pub url: String,
    /// Of the answer. `None`: no answer came, and the request may have arrived.
    pub status: Option<u16>,
    /// The answer's body. `None` if there was none or it was large.
    pub body: Option<Vec<u8>>,
}

/// A value of the state before a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueBefore {
    pub name: String,
    /// `None`: there was none of that name.
    pub value: Option<Vec<u8>>,
}

impl Repair {
    /// The data of the events of type `E` that the old version emitted and this one would not have.
    ///
    /// # Errors
    /// A permanent failure: the data of one of them is not an `E`.
    pub fn before<E: EventType + DeserializeOwned>(&self) -> Result<Vec<E>, Failure> {
        of_type(&self.emitted_before)
    }

    /// The data of the events of type `E` that this repair has appended.
    ///
    /// # Errors
    /// As for [`Repair::before`].
    pub fn now<E: EventType + DeserializeOwned>(&self) -> Result<Vec<E>, Failure> {
        of_type(&self.emitted_now)
    }
}

impl LoggedEvent {
    /// The event with its data as the handler's own type.
    ///
    /// # Errors
    /// A permanent failure: the event is of another type, or its data does not fit.
    pub fn read<T: EventData>(&self) -> Result<Event<T>, Failure> {
        self.event.clone().read()
    }
}

fn of_type<E: EventType + DeserializeOwned>(logged: &[LoggedEvent]) -> Result<Vec<E>, Failure> {
    let of_type = logged.iter().filter(|logged| logged.event.r#type == E::TYPE);
    of_type.map(|logged| Ok(logged.read::<E>()?.data)).collect()
}
