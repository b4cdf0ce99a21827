//! The effects of a call in progress: buffered and counted; later ones replace earlier ones. They become [`Effects`] when
//! the guest has returned `ok`, and are dropped otherwise.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use weirgate_types::{CallLimits, Effects, Event, ExtensionValue, StateWrite, StatusWrite, TimerSetting, TimerWrite};

use crate::{
    Call,
    failure::{Stop, effect_limit},
    together::Together,
};

/// The extension attribute with an event's key if that is not its subject.
pub(crate) const PARTITION_KEY: &str = "partitionkey";
/// Maximum number of timers that one call may start or cancel.
const TIMERS_MAX: usize = 64;

#[derive(Debug)]
pub(crate) struct EffectBuffer {
    bytes: u64,
    bytes_max: u64,
    /// Together with those of the call's other deliveries.
    together: Together,
    emitted_max: usize,
    /// Size that the runtime adds to each emitted event, in bytes: see [`complete`].
    added_to_each: u64,
    /// By name; `None` removes the value.
    state: BTreeMap<String, Option<Vec<u8>>>,
    /// By subject.
    status: BTreeMap<String, StatusWrite>,
    /// Checked; identity, time and causation are not filled in yet, and all have a `partitionkey`.
    emitted: Vec<Event>,
    /// By name; `None` cancels the timer.
    timers: BTreeMap<String, Option<TimerSetting>>,
}

impl EffectBuffer {
    pub(crate) fn new(limits: &CallLimits, together: Together, added_to_each: u64) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.effects_bytes,
            together,
            emitted_max: usize::try_from(limits.emitted_events).unwrap_or(usize::MAX),
            added_to_each,
            state: BTreeMap::new(),
            status: BTreeMap::new(),
            emitted: Vec::new(),
            timers: BTreeMap::new(),
        }
    }

    /// This call's own write of `name`, if there is one.
    pub(crate) fn state(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        self.state.get(name)
    }

    /// This call's own writes of names with this `prefix`, and whether the name exists afterwards.
    pub(crate) fn state_names<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, bool)> {
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        let names = self.state.range::<str, _>(from).take_while(move |(name, _)| name.starts_with(prefix));
        names.map(|(name, value)| (name.as_str(), value.is_some()))
    }

    pub(crate) fn write_state(&mut self, name: String, value: Option<Vec<u8>>) -> Result<(), Stop> {
        let name_len = name.len();
        let added = size(&[name_len, value.as_ref().map_or(0, Vec::len)]);
        let replaced = self.state.insert(name, value);
        self.count(added, replaced.map_or(0, |old| size(&[name_len, old.map_or(0, |old| old.len())])))
    }

    pub(crate) fn write_status(&mut self, status: StatusWrite) -> Result<(), Stop> {
        let added = status_size(&status);
        let replaced = self.status.insert(status.subject.clone(), status);
        self.count(added, replaced.map_or(0, |old| status_size(&old)))
    }

    pub(crate) fn emit(&mut self, event: Event) -> Result<(), Stop> {
        if self.emitted.len() >= self.emitted_max {
            return Err(effect_limit("too many emitted events", self.emitted_max, "limits.emitted_events"));
        }
        let text = [event.subject.as_deref(), event.data_content_type.as_deref(), partition_key(&event)];
        let text = text.into_iter().flatten().map(str::len).sum();
        self.count(size(&[event.r#type.len(), text, event.data.len()]), 0)?;
        self.together.count_effects(self.added_to_each, 0)?;
        self.emitted.push(event);
        Ok(())
    }

    pub(crate) fn write_timer(&mut self, name: String, set: Option<TimerSetting>) -> Result<(), Stop> {
        if self.timers.len() >= TIMERS_MAX && !self.timers.contains_key(&name) {
            return Err(effect_limit("too many timers", TIMERS_MAX, "fixed"));
        }
        let name_len = name.len();
        let added = size(&[name_len, set.as_ref().map_or(0, timer_size)]);
        let replaced = self.timers.insert(name, set);
        self.count(added, replaced.map_or(0, |old| size(&[name_len, old.as_ref().map_or(0, timer_size)])))
    }

    /// The result of the call. The lists are in a fixed order: names, subjects, order of emission.
    pub(crate) fn finish(self, call: &Call<'_>) -> Effects {
        let emitted = self.emitted.into_iter().zip(1_u64..).map(|(event, n)| complete(event, n, call));
        Effects {
            state: self.state.into_iter().map(|(name, value)| StateWrite { name, value }).collect(),
            status: self.status.into_values().collect(),
            emitted: emitted.collect(),
            timers: self.timers.into_iter().map(|(name, set)| TimerWrite { name, set }).collect(),
            withheld: Vec::new(),
        }
    }

    fn count(&mut self, added: u64, replaced: u64) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_sub(replaced).saturating_add(added);
        if self.bytes > self.bytes_max {
            return Err(effect_limit("too many bytes of effects", self.bytes_max, "limits.effects_bytes"));
        }
        self.together.count_effects(added, replaced)
    }
}

fn size(parts: &[usize]) -> u64 {
    u64::try_from(parts.iter().sum::<usize>()).unwrap_or(u64::MAX)
}

fn status_size(status: &StatusWrite) -> u64 {
    let data = status.data.as_ref().map_or(0, String::len);
    size(&[status.subject.len(), status.state.len(), status.text.len(), data])
}

fn timer_size(timer: &TimerSetting) -> usize {
    let content_type = timer.data_content_type.as_ref().map_or(0, String::len);
    timer.r#type.len() + content_type + timer.data.len()
}

/// The `n`th emitted event of a call, `n` from 1. Its identity is derived from the delivery's, so a repeated attempt emits
/// the same events.
fn complete(mut event: Event, n: u64, call: &Call<'_>) -> Event {
    let handled = call.event;
    event.id = format!("{}/{n}", call.delivery.position);
    event.source = format!("/handlers/{}", call.delivery.handler);
    event.time = Some(rfc3339(call.at_ms));
    event.subject = event.subject.or_else(|| handled.subject.clone());
    if event.subject.as_deref() == partition_key(&event) {
        event.extensions.remove(PARTITION_KEY);
    }
    let correlation = handled.extensions.get("correlationid").cloned();
    event.extensions.insert("causationid".to_owned(), handled.id.clone().into());
    event.extensions.insert("correlationid".to_owned(), correlation.unwrap_or_else(|| handled.id.clone().into()));
    if let Some(trace) = handled.extensions.get("traceparent") {
        event.extensions.insert("traceparent".to_owned(), trace.clone());
    }
    event
}

fn partition_key(event: &Event) -> Option<&str> {
    event.extensions.get(PARTITION_KEY).map(ExtensionValue::as_str)
}

/// Maximum number of bytes that [`complete`] adds to an emitted event.
pub(crate) fn added_to_each(event: &Event) -> u64 {
    const FIXED: usize = 256;
    let extensions = ["correlationid", "traceparent"].iter().filter_map(|name| event.extensions.get(*name));
    let copied = event.subject.iter().map(String::len).chain(extensions.map(ExtensionValue::len)).sum::<usize>();
    size(&[FIXED, 2 * event.id.len(), copied])
}

/// RFC 3339 with milliseconds. That notation ends with the year 9999.
fn rfc3339(at_ms: u64) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms.min(LAST_MS))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_write_replaces_an_earlier_one() {
        let limits = CallLimits { effects_bytes: 10, ..CallLimits::default() };
        let mut buffer = EffectBuffer::new(&limits, Together::default(), 0);
        for _ in 0..100 {
            buffer.write_state("n".into(), Some(vec![0; 9])).expect("it stays within ten bytes");
        }
        buffer.write_state("n".into(), None).expect("a removal takes less");
        assert_eq!(buffer.bytes, 1);
        let error = buffer.write_state("m".into(), Some(vec![0; 9])).expect_err("eleven bytes");
        assert!(error.to_string().contains("limits.effects_bytes"), "{error}");
    }

    #[test]
    fn a_timer_that_is_replaced_does_not_count() {
        let timer = |data: &[u8]| {
            Some(TimerSetting { due_ms: 1, r#type: "t".into(), data_content_type: None, data: data.to_vec() })
        };
        let mut buffer =
            EffectBuffer::new(&CallLimits { effects_bytes: 10, ..CallLimits::default() }, Together::default(), 0);
        for _ in 0..100 {
            buffer.write_timer("n".into(), timer(b"eight...")).expect("it stays within ten bytes");
        }
        buffer.write_timer("n".into(), None).expect("to cancel takes less");
        assert_eq!(buffer.bytes, 1);
        assert!(buffer.write_timer("m".into(), timer(b"eight...")).is_err(), "eleven bytes");
    }

    #[test]
    fn names_are_listed_by_prefix() {
        let mut buffer = EffectBuffer::new(&CallLimits::default(), Together::default(), 0);
        for (name, value) in [("a", Some(vec![])), ("b/1", None), ("b/2", Some(vec![])), ("c", None)] {
            buffer.write_state(name.into(), value).expect("small");
        }
        assert_eq!(buffer.state_names("b/").collect::<Vec<_>>(), [("b/1", false), ("b/2", true)]);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_735_689_600_123), "2025-01-01T00:00:00.123Z");
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
