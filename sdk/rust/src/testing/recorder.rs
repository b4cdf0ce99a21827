//! The backend under test: answers from given state and settings, records effects, and ends the call at a limit.

use std::{
    cell::{RefCell, RefMut},
    collections::BTreeMap,
    rc::Rc,
};

use super::limits::{
    EFFECTS_BYTES_MAX, EMITTED_EVENTS_MAX, EVENT_BYTES_MAX, EVENT_TYPE_BYTES_MAX, HOST_CALLS_MAX, LOG_LINE_BYTES_MAX,
    LOG_LINES_MAX, STATE_LISTED_MAX, STATE_NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX, STATUS_DATA_BYTES_MAX,
    STATUS_STATE_BYTES_MAX, STATUS_TEXT_BYTES_MAX, at_most, check_attribute, check_json, check_length, check_name,
};
use crate::{
    Level,
    backend::{Backend, RawEmission, RawStatus},
    event::is_json,
};

/// All that one call has been given and has done.
#[derive(Debug, Default)]
pub struct Recorded {
    pub state: BTreeMap<String, Vec<u8>>,
    pub config: BTreeMap<String, String>,
    pub emissions: Vec<RawEmission>,
    pub statuses: Vec<RawStatus>,
    pub log: Vec<(Level, String)>,
    pub log_lines_dropped: usize,
    /// What each effect measures; a later one takes the place of an earlier one.
    effects_bytes: BTreeMap<Effect, usize>,
    host_calls: usize,
}

/// What an effect takes the place of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    State(String),
    Status(Option<String>),
    Emission(usize),
}

/// A handle on what is recorded, for the context and for the kit.
#[derive(Clone)]
pub struct Recorder(pub Rc<RefCell<Recorded>>);

impl Recorder {
    pub fn new(state: BTreeMap<String, Vec<u8>>, config: BTreeMap<String, String>) -> Self {
        Self(Rc::new(RefCell::new(Recorded { state, config, ..Recorded::default() })))
    }

    /// One host call; log lines are none.
    fn call(&self) -> RefMut<'_, Recorded> {
        let mut recorded = self.0.borrow_mut();
        recorded.host_calls += 1;
        at_most("host calls", recorded.host_calls, HOST_CALLS_MAX, "limits.host_calls");
        recorded
    }
}

impl Recorded {
    fn count(&mut self, effect: Effect, bytes: usize) {
        self.effects_bytes.insert(effect, bytes);
        let all = self.effects_bytes.values().sum();
        at_most("bytes of effects", all, EFFECTS_BYTES_MAX, "limits.effects_bytes");
    }
}

impl Backend for Recorder {
    fn state_get(&self, name: &str) -> Option<Vec<u8>> {
        let recorded = self.call();
        check_name("a state name", name, STATE_NAME_BYTES_MAX);
        recorded.state.get(name).cloned()
    }

    fn state_set(&self, name: &str, value: Vec<u8>) {
        let mut recorded = self.call();
        check_name("a state name", name, STATE_NAME_BYTES_MAX);
        at_most("bytes in a state value", value.len(), STATE_VALUE_BYTES_MAX, "fixed");
        recorded.count(Effect::State(name.to_owned()), name.len() + value.len());
        recorded.state.insert(name.to_owned(), value);
    }

    fn state_delete(&self, name: &str) {
        let mut recorded = self.call();
        check_name("a state name", name, STATE_NAME_BYTES_MAX);
        recorded.count(Effect::State(name.to_owned()), name.len());
        recorded.state.remove(name);
    }

    fn state_list(&self, prefix: &str) -> Vec<String> {
        let recorded = self.call();
        let names = recorded.state.keys().filter(|name| name.starts_with(prefix));
        names.take(STATE_LISTED_MAX).cloned().collect()
    }

    fn emit(&self, emission: RawEmission) {
        let mut recorded = self.call();
        check_name("an emitted event's type", &emission.r#type, EVENT_TYPE_BYTES_MAX);
        let attributes = [&emission.subject, &emission.key, &emission.data_content_type];
        for value in attributes.into_iter().flatten() {
            check_attribute("an emitted event's attribute", value);
        }
        at_most("bytes in an emitted event", emission.data.len(), EVENT_BYTES_MAX, "fixed");
        if is_json(emission.data_content_type.as_deref()) && !emission.data.is_empty() {
            check_json("an emitted event's data", &emission.data);
        }
        let number = recorded.emissions.len() + 1;
        at_most("emitted events", number, EMITTED_EVENTS_MAX, "limits.emitted_events");
        let attribute_bytes: usize = attributes.into_iter().flatten().map(String::len).sum();
        recorded.count(Effect::Emission(number), emission.r#type.len() + attribute_bytes + emission.data.len());
        recorded.emissions.push(emission);
    }

    fn set_status(&self, status: RawStatus) {
        let mut recorded = self.call();
        if let Some(subject) = &status.subject {
            check_name("a status subject", subject, usize::MAX);
            check_attribute("a status subject", subject);
        }
        check_name("a status's state", &status.state, STATUS_STATE_BYTES_MAX);
        check_length("a status's text", status.text.len(), STATUS_TEXT_BYTES_MAX);
        let data = status.data.as_deref();
        at_most("bytes in a status's data", data.map_or(0, str::len), STATUS_DATA_BYTES_MAX, "fixed");
        if let Some(data) = data {
            check_json("a status's data", data.as_bytes());
        }
        let texts = [status.subject.as_deref(), Some(&*status.state), Some(&*status.text), data];
        let bytes = texts.into_iter().flatten().map(str::len).sum();
        recorded.count(Effect::Status(status.subject.clone()), bytes);
        recorded.statuses.push(status);
    }

    fn config(&self, name: &str) -> Option<String> {
        self.call().config.get(name).cloned()
    }

    fn log(&self, level: Level, message: &str) {
        let mut recorded = self.0.borrow_mut();
        if recorded.log.len() == LOG_LINES_MAX {
            recorded.log_lines_dropped += 1;
        } else {
            let line = message.get(..message.floor_char_boundary(LOG_LINE_BYTES_MAX)).unwrap_or_default();
            recorded.log.push((level, line.to_owned()));
        }
    }
}
