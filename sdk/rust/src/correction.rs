//! Corrections: what a handler that knows better makes of data that it called wrong. Owns how the hook is asked and how its
//! answer becomes bytes. Knows nothing of what becomes of them.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Event, EventData, EventType, Raw};

/// What the handler said when it failed as correctable; both texts as they are kept, cut at 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectableFailure {
    pub message: String,
    /// What is wrong, in words for the person who is to correct it.
    pub what_is_wrong: String,
}

/// What a correction takes and gives: an [`EventType`] that serde can read and write, or [`Raw`] bytes of any type of
/// event.
#[diagnostic::on_unimplemented(
    message = "the data of `{Self}` cannot be corrected",
    label = "the data to correct",
    note = "derive `Serialize`, `Deserialize` and `EventType` for a struct, or take `Event<Raw>`"
)]
pub trait CorrectableData: EventData {
    /// Whether events of this type can be asked about.
    fn takes(r#type: &str) -> bool;

    /// # Errors
    /// The words for why it cannot be written.
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

/// Data that takes the place of an event's. Its content type stays the event's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Corrected {
    pub data: Vec<u8>,
    pub data_content_type: Option<String>,
}

/// Ask the hook, where it takes events of this type. What stands in its way is logged.
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
