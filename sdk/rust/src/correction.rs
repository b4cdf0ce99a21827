//! Corrections: the handler's hook that corrects data of a correctable failure. Owns how the hook is called and how its
//! result becomes bytes. Knows nothing of how the result is used.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Event, EventData, EventType, Raw};

/// The handler's correctable failure; both texts as stored, cut at 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectableFailure {
    pub message: String,
    /// The problem, in words for the person who corrects it.
    pub what_is_wrong: String,
}

/// The input and output of a correction: an [`EventType`] that serde can read and write, or [`Raw`] bytes of any event type.
#[diagnostic::on_unimplemented(
    message = "the data of `{Self}` cannot be corrected",
    label = "the data to correct",
    note = "derive `Serialize`, `Deserialize` and `EventType` for a struct, or take `Event<Raw>`"
)]
pub trait CorrectableData: EventData {
    /// Whether the hook takes events of this type.
    fn takes(r#type: &str) -> bool;

    /// # Errors
    /// Why it cannot be written.
    fn write(&self) -> Result<Vec<u8>, String>;
}

impl<T: EventType + Serialize + DeserializeOwned> CorrectableData for T {
    fn takes(r#type: &str) -> bool {
        r#type == T::TYPE
    }

    fn write(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| format!("the corrected data of {} is no JSON: {error}", T::TYPE))
    }
}

impl CorrectableData for Raw {
    fn takes(_: &str) -> bool {
        true
    }

    fn write(&self) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }
}

/// Data that replaces an event's. Its content type stays the event's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Corrected {
    pub data: Vec<u8>,
    pub data_content_type: Option<String>,
}

/// Calls the hook, if it takes events of this type. Errors are logged.
pub(crate) fn correct<T: CorrectableData>(
    event: Event<Vec<u8>>,
    context: &Context,
    failure: &CorrectableFailure,
    hook: impl FnOnce(Event<T>, &Context, &CorrectableFailure) -> Option<T>,
) -> Option<Corrected> {
    if !T::takes(&event.r#type) {
        return None;
    }
    let data_content_type = event.data_content_type.clone();
    let event = event.read().map_err(|failure| context.warn(failure.message())).ok()?;
    let corrected = hook(event, context, failure)?;
    let data = corrected.write().map_err(|error| context.warn(error)).ok()?;
    Some(Corrected { data, data_content_type })
}
