//! `outbox`: events, statuses and timers that are part of the call's commit.

use weirgate_types::{Event, EventLimits, RawEvent, StatusWrite, TimerSetting};

use super::{
    bindings::weirgate::handler::outbox::{Due, Emission, Host, Status, Timer},
    check_attribute, check_json,
    event::{check_event, unchecked},
};
use crate::{
    attempt::Attempt,
    failure::{Stop, contract, effect_limit},
};

const TIMER_NAME_BYTES_MAX: usize = 256;
const TIMER_DAYS_MAX: u64 = 3_650;
const DAY_MS: u64 = 86_400_000;
const STATUS_STATE_BYTES_MAX: usize = 64;
const STATUS_TEXT_BYTES_MAX: usize = 1024;
const STATUS_DATA_BYTES_MAX: usize = 16 * 1024;

impl Host for Attempt {
    fn emit(&mut self, emission: Emission) -> wasmtime::Result<()> {
        self.host_call()?;
        let event = checked(emission, &self.item.key)?;
        Ok(self.item.effects.emit(event)?)
    }

    fn set_status(&mut self, subject: Option<String>, status: Status) -> wasmtime::Result<()> {
        self.host_call()?;
        let subject = subject.unwrap_or_else(|| self.item.key.clone());
        check_attribute("a status subject", &subject, EventLimits::default().attribute_bytes_max)?;
        check_status(&status)?;
        let Status { state, text, data } = status;
        let text = text.replace(char::is_control, " ");
        Ok(self.item.effects.write_status(StatusWrite { subject, state, text, data })?)
    }

    fn start_timer(&mut self, name: String, timer: Timer) -> wasmtime::Result<()> {
        self.host_call()?;
        check_attribute("a timer's name", &name, TIMER_NAME_BYTES_MAX)?;
        let setting = checked_timer(timer, &self.item.key, self.item.wall_ms)?;
        Ok(self.item.effects.write_timer(name, Some(setting))?)
    }

    fn cancel_timer(&mut self, name: String) -> wasmtime::Result<()> {
        self.host_call()?;
        check_attribute("a timer's name", &name, TIMER_NAME_BYTES_MAX)?;
        Ok(self.item.effects.write_timer(name, None)?)
    }
}

/// A handler's emission is checked like a producer's event. The attributes that depend on the delivery (identity, time,
/// causation) are filled in after the call.
fn checked(emission: Emission, delivery_key: &str) -> Result<Event, Stop> {
    let attribute_bytes_max = EventLimits::default().attribute_bytes_max;
    for (what, value) in [("an emitted event's subject", &emission.subject), ("an emitted event's key", &emission.key)]
    {
        value.as_ref().map_or(Ok(()), |value| check_attribute(what, value, attribute_bytes_max))?;
    }
    let Emission { type_, subject, key, data_content_type, data } = emission;
    // If absent: the emission's own subject if it has one, else the key of the event being handled.
    let key = key.or_else(|| subject.clone()).unwrap_or_else(|| delivery_key.to_owned());
    let raw = RawEvent { subject, datacontenttype: data_content_type, ..unchecked(type_, key) };
    check_event("an emitted event", raw, data)
}

/// The event of a timer is checked when the timer is started.
fn checked_timer(timer: Timer, delivery_key: &str, wall_ms: u64) -> Result<TimerSetting, Stop> {
    let due_ms = match timer.due {
        Due::At(due_ms) => due_ms,
        Due::After(wait_ms) => wall_ms.saturating_add(wait_ms),
    };
    if due_ms.saturating_sub(wall_ms) > TIMER_DAYS_MAX * DAY_MS {
        return Err(contract(format!("a timer is due in more than {TIMER_DAYS_MAX} days")));
    }
    let raw = RawEvent { datacontenttype: timer.data_content_type, ..unchecked(timer.type_, delivery_key.to_owned()) };
    let Event { r#type, data_content_type, data, .. } = check_event("a timer's event", raw, timer.data)?;
    Ok(TimerSetting { due_ms, r#type, data_content_type, data })
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
