//! The backend of tests: answers from given state and settings, records effects, and ends the call at a limit.

use std::{
    cell::{RefCell, RefMut},
    collections::BTreeMap,
    rc::Rc,
};

use super::{
    json::{JsonError, JsonErrorKind},
    limits::{
        ATTRIBUTE_BYTES_MAX, EFFECTS_BYTES_MAX, EMITTED_EVENTS_MAX, HOST_CALLS_MAX, LOG_LINES_MAX, STATE_LISTED_MAX,
        STATE_NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX, STATUS_DATA_BYTES_MAX, STATUS_STATE_BYTES_MAX,
        STATUS_TEXT_BYTES_MAX, TIMER_DAYS_MAX, TIMER_NAME_BYTES_MAX, TIMERS_MAX, at_most, check_attribute, check_event,
        check_json, check_length, check_name, cut, end,
    },
    network::{Answers, Network},
};
use crate::{
    Due, HttpError, Level, Request, Response,
    backend::{Backend, RawEmission, RawStatus, RawTimer},
};

/// The input and the recorded effects of one call.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The delivery's key.
    pub key: String,
    /// The committed state before the call.
    pub state: BTreeMap<String, Vec<u8>>,
    /// The call's own writes; `None` removes the value.
    writes: BTreeMap<String, Option<Vec<u8>>>,
    /// In a batch, the earlier items of the same key, in order.
    earlier: Vec<Recorder>,
    pub config: BTreeMap<String, String>,
    pub emissions: Vec<RawEmission>,
    pub statuses: Vec<RawStatus>,
    /// By name; `None` is cancelled.
    pub timers: BTreeMap<String, Option<RawTimer>>,
    pub network: Network,
    pub log: Vec<(Level, String)>,
    pub log_lines_dropped: usize,
    /// The size of each effect; a later one replaces an earlier one.
    effects_bytes: BTreeMap<Effect, usize>,
    host_calls: usize,
}

/// The identity of an effect, by which it is replaced.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    State(String),
    /// By subject.
    Status(String),
    Emission(usize),
    /// By name.
    Timer(String),
}

/// A handle on the recording, for the context and for the kit.
#[derive(Debug, Clone)]
pub struct Recorder(pub Rc<RefCell<Recorded>>);

impl Recorder {
    pub fn new(
        key: String,
        state: BTreeMap<String, Vec<u8>>,
        config: BTreeMap<String, String>,
        answers: Answers,
    ) -> Self {
        let network = Network { answers, ..Network::default() };
        Self(Rc::new(RefCell::new(Recorded { key, state, config, network, ..Recorded::default() })))
    }

    /// An item of a batch reads the writes of earlier items of its key.
    pub fn join(recorders: &[Self]) {
        for (index, recorder) in recorders.iter().enumerate() {
            let mut recorded = recorder.0.borrow_mut();
            let earlier = recorders.iter().take(index).filter(|other| other.0.borrow().key == recorded.key);
            recorded.earlier = earlier.cloned().collect();
        }
    }

    /// The recording, with the state after the call. The items of a batch are finished together.
    pub fn finish(recorders: Vec<Self>) -> Vec<Recorded> {
        let states: Vec<_> = recorders.iter().map(|recorder| recorder.0.borrow().state_after()).collect();
        let recorded = recorders.into_iter().map(|recorder| recorder.0.take());
        recorded.zip(states).map(|(recorded, state)| Recorded { state, ..recorded }).collect()
    }

    /// Counts a host call; log lines are not counted.
    fn call(&self) -> RefMut<'_, Recorded> {
        let mut recorded = self.0.borrow_mut();
        recorded.host_calls += 1;
        at_most("host calls", recorded.host_calls, HOST_CALLS_MAX, "limits.host_calls");
        recorded
    }
}

impl Recorded {
    /// The committed state with the writes of earlier items and its own on top.
    fn state_after(&self) -> BTreeMap<String, Vec<u8>> {
        let mut state = self.state.clone();
        let earlier = self.earlier.iter().map(|recorder| recorder.0.borrow().writes.clone());
        for (name, value) in earlier.chain([self.writes.clone()]).flatten() {
            match value {
                Some(value) => drop(state.insert(name, value)),
                None => drop(state.remove(&name)),
            }
        }
        state
    }

    fn count(&mut self, effect: Effect, bytes: usize) {
        self.effects_bytes.insert(effect, bytes);
        let all = self.effects_bytes.values().sum();
        at_most("bytes of effects", all, EFFECTS_BYTES_MAX, "limits.effects_bytes");
    }

    fn write_timer(&mut self, name: &str, timer: Option<RawTimer>) {
        let bytes = timer.as_ref().map_or(0, |timer| {
            timer.r#type.len() + timer.data_content_type.as_ref().map_or(0, String::len) + timer.data.len()
        });
        self.count(Effect::Timer(name.to_owned()), name.len() + bytes);
        self.timers.insert(name.to_owned(), timer);
        at_most("timers", self.timers.len(), TIMERS_MAX, "fixed");
    }
}

impl Backend for Recorder {
    fn state_get(&self, name: &str) -> Option<Vec<u8>> {
        let recorded = self.call();
        check_name("a state name", name, STATE_NAME_BYTES_MAX);
        recorded.state_after().remove(name)
    }

    fn state_set(&self, name: &str, value: Vec<u8>) {
        let mut recorded = self.call();
        check_name("a state name", name, STATE_NAME_BYTES_MAX);
        at_most("bytes in a state value", value.len(), STATE_VALUE_BYTES_MAX, "fixed");
        recorded.count(Effect::State(name.to_owned()), name.len() + value.len());
        recorded.writes.insert(name.to_owned(), Some(value));
    }

    fn state_delete(&self, name: &str) {
        let mut recorded = self.call();
        check_name("a state name", name, STATE_NAME_BYTES_MAX);
        recorded.count(Effect::State(name.to_owned()), name.len());
        recorded.writes.insert(name.to_owned(), None);
    }

    fn state_list(&self, prefix: &str) -> Vec<String> {
        let recorded = self.call();
        let names = recorded.state_after().into_keys().filter(|name| name.starts_with(prefix));
        names.take(STATE_LISTED_MAX).collect()
    }

    fn emit(&self, emission: RawEmission) {
        let mut recorded = self.call();
        for (what, value) in [("subject", &emission.subject), ("key", &emission.key)] {
            let value = value.iter().map(String::as_str);
            value.for_each(|value| check_attribute(&format!("an emitted event's {what}"), value, ATTRIBUTE_BYTES_MAX));
        }
        let content_type = emission.data_content_type.as_deref();
        check_event("an emitted event", &emission.r#type, content_type, &emission.data);
        let number = recorded.emissions.len() + 1;
        at_most("emitted events", number, EMITTED_EVENTS_MAX, "limits.emitted_events");
        let attributes = [&emission.subject, &emission.key, &emission.data_content_type];
        let attribute_bytes: usize = attributes.into_iter().flatten().map(String::len).sum();
        recorded.count(Effect::Emission(number), emission.r#type.len() + attribute_bytes + emission.data.len());
        recorded.emissions.push(emission);
    }

    fn set_status(&self, status: RawStatus) {
        let mut recorded = self.call();
        let subject = status.subject.unwrap_or_else(|| recorded.key.clone());
        check_attribute("a status subject", &subject, ATTRIBUTE_BYTES_MAX);
        check_attribute("a status's state", &status.state, STATUS_STATE_BYTES_MAX);
        check_length("a status's text", status.text.len(), STATUS_TEXT_BYTES_MAX);
        let data = status.data.as_deref();
        at_most("bytes in a status's data", data.map_or(0, str::len), STATUS_DATA_BYTES_MAX, "fixed");
        match data.map_or(Ok(()), |data| check_json(data.as_bytes())) {
            Ok(()) => {}
            Err(JsonError { kind: JsonErrorKind::TooDeep { max }, .. }) => {
                end(format!("a status's data is nested more than {max} levels deep"))
            }
            Err(error) => end(format!("a status's data is not JSON: {error}")),
        }
        let text = status.text.replace(char::is_control, " ");
        let bytes = subject.len() + status.state.len() + text.len() + data.map_or(0, str::len);
        recorded.count(Effect::Status(subject.clone()), bytes);
        recorded.statuses.push(RawStatus { subject: Some(subject), text, ..status });
    }

    fn fetch(&self, step: &str, request: Request) -> Result<Response, HttpError> {
        self.call().network.fetch(step, request)
    }

    fn start_timer(&self, name: &str, timer: RawTimer) {
        let mut recorded = self.call();
        check_attribute("a timer's name", name, TIMER_NAME_BYTES_MAX);
        // The attempt's time, which a time of day would be compared with, is not known here.
        if matches!(timer.due, Due::AfterMs(wait_ms) if wait_ms > TIMER_DAYS_MAX * 86_400_000) {
            end(format!("a timer is due in more than {TIMER_DAYS_MAX} days"));
        }
        check_event("a timer's event", &timer.r#type, timer.data_content_type.as_deref(), &timer.data);
        recorded.write_timer(name, Some(timer));
    }

    fn cancel_timer(&self, name: &str) {
        let mut recorded = self.call();
        check_attribute("a timer's name", name, TIMER_NAME_BYTES_MAX);
        recorded.write_timer(name, None);
    }

    fn config(&self, name: &str) -> Option<String> {
        self.call().config.get(name).cloned()
    }

    fn log(&self, level: Level, message: &str) {
        let mut recorded = self.0.borrow_mut();
        if recorded.log.len() == LOG_LINES_MAX {
            recorded.log_lines_dropped += 1;
        } else {
            recorded.log.push((level, cut(message)));
        }
    }
}
