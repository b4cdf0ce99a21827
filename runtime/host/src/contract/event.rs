//! Events as guests get them; and events and data that guests create, checked like a producer's: emitted events, timer events,
//! corrected data.

use std::collections::BTreeMap;

use weirgate_types::{Correction, Event, EventError, EventLimits, RawEvent};

use super::{bindings::weirgate::handler::types, check_name};
use crate::{
    effects::PARTITION_KEY,
    failure::{Stop, contract, effect_limit},
};

const TYPE_BYTES_MAX: usize = 256;
/// Prefix of the types of the runtime's own events.
const RESERVED_TYPE: &str = "weirgate.";

/// An event as the contract has it.
pub(crate) fn lowered(event: &Event) -> types::Event {
    types::Event {
        id: event.id.clone(),
        source: event.source.clone(),
        type_: event.r#type.clone(),
        subject: event.subject.clone(),
        time: event.time.clone(),
        data_content_type: event.data_content_type.clone(),
        extensions: event.extensions.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        data: event.data.clone(),
    }
}

/// An unchecked event of this type and key. The attributes that depend on the delivery are filled in later.
pub(super) fn unchecked(type_: String, key: String) -> RawEvent {
    RawEvent {
        specversion: Some("1.0".to_owned()),
        id: Some("-".to_owned()),
        source: Some("-".to_owned()),
        r#type: Some(type_),
        extensions: BTreeMap::from([(PARTITION_KEY.to_owned(), key.into())]),
        ..RawEvent::default()
    }
}

/// Checks an event that a guest has created, except for the attributes that depend on the delivery; `what` names it.
pub(super) fn check_event(what: &str, raw: RawEvent, data: Vec<u8>) -> Result<Event, Stop> {
    let type_ = raw.r#type.as_deref().unwrap_or_default();
    check_name(&format!("{what}'s type"), type_, TYPE_BYTES_MAX)?;
    if type_.starts_with(RESERVED_TYPE) {
        return Err(contract(format!("{what}'s type begins with `{RESERVED_TYPE}`, which only the runtime's own do")));
    }
    // An empty content type means none.
    let raw = RawEvent { datacontenttype: raw.datacontenttype.filter(|name| !name.is_empty()), ..raw };
    raw.check_with_data(data, &EventLimits::default()).map_err(|error| match error {
        EventError::TooLarge { max, .. } => effect_limit(&format!("too many bytes in {what}"), max, "fixed"),
        error => contract(format!("{what}: {error}")),
    })
}

/// Corrected data is checked like an emitted event's, because it is handled like one.
pub(crate) fn checked_correction(correction: types::Correction) -> Result<Correction, Stop> {
    let types::Correction { data, data_content_type } = correction;
    let raw = RawEvent { datacontenttype: data_content_type, ..unchecked("-".to_owned(), "-".to_owned()) };
    let Event { data, data_content_type, .. } = check_event("a correction", raw, data)?;
    Ok(Correction { data, data_content_type, event: None })
}
