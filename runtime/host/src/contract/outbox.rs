//! `outbox`: events and statuses that leave the call with its commit.

use std::collections::BTreeMap;

use weirgate_types::{Event, EventError, EventLimits, RawEvent, StatusWrite};

use super::{
    bindings::weirgate::handler::outbox::{Emission, Host, Status},
    check_attribute, check_json, check_name,
};
use crate::{
    attempt::Attempt,
    effects::PARTITION_KEY,
    ending::{Stop, contract, effect_limit},
};

const TYPE_BYTES_MAX: usize = 256;
const STATUS_STATE_BYTES_MAX: usize = 64;
const STATUS_TEXT_BYTES_MAX: usize = 1024;
const STATUS_DATA_BYTES_MAX: usize = 16 * 1024;

impl Host for Attempt {
    fn emit(&mut self, emission: Emission) -> wasmtime::Result<()> {
        self.host_call()?;
        let event = checked(emission, &self.key)?;
        Ok(self.effects.emit(event)?)
    }

    fn set_status(&mut self, subject: Option<String>, status: Status) -> wasmtime::Result<()> {
        self.host_call()?;
        let subject = subject.unwrap_or_else(|| self.key.clone());
        check_attribute("a status subject", &subject, EventLimits::default().attribute_bytes_max)?;
        check_status(&status)?;
        let Status { state, text, data } = status;
        let text = text.replace(char::is_control, " ");
        Ok(self.effects.write_status(StatusWrite { subject, state, text, data })?)
    }
}

/// What a handler emits has to be an event as good as a producer's, so it is checked like one. What belongs to the
/// delivery (identity, time, causation) is filled in when the call has ended.
fn checked(emission: Emission, delivery_key: &str) -> Result<Event, Stop> {
    check_name("an emitted event's type", &emission.type_, TYPE_BYTES_MAX)?;
    let attribute_bytes_max = EventLimits::default().attribute_bytes_max;
    for (what, value) in [("an emitted event's subject", &emission.subject), ("an emitted event's key", &emission.key)]
    {
        value.as_ref().map_or(Ok(()), |value| check_attribute(what, value, attribute_bytes_max))?;
    }
    // Absent means: the emission's own subject where it names one, else the key of the event being handled.
    let key = emission.key.or_else(|| emission.subject.clone()).unwrap_or_else(|| delivery_key.to_owned());
    let raw = RawEvent {
        specversion: Some("1.0".to_owned()),
        id: Some("-".to_owned()),
        source: Some("-".to_owned()),
        r#type: Some(emission.type_),
        subject: emission.subject,
        datacontenttype: emission.data_content_type,
        extensions: BTreeMap::from([(PARTITION_KEY.to_owned(), key.into())]),
        ..RawEvent::default()
    };
    raw.check_with_data(emission.data, &EventLimits::default()).map_err(|error| match error {
        EventError::TooLarge { max, .. } => effect_limit("too many bytes in an emitted event", max, "fixed"),
        error => contract(format!("an emitted event: {error}")),
    })
}

fn check_status(status: &Status) -> Result<(), Stop> {
    check_attribute("a status's state", &status.state, STATUS_STATE_BYTES_MAX)?;
    if status.text.len() > STATUS_TEXT_BYTES_MAX {
        let len = status.text.len();
        return Err(contract(format!(
            "a status's text is {len} bytes long; at most {STATUS_TEXT_BYTES_MAX} are allowed"
        )));
    }
    let Some(data) = &status.data else { return Ok(()) };
    if data.len() > STATUS_DATA_BYTES_MAX {
        return Err(effect_limit("too many bytes in a status's data", STATUS_DATA_BYTES_MAX, "fixed"));
    }
    check_json("a status's data", data.as_bytes())
}
