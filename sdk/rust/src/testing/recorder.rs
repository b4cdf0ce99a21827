//! The backend under test: answers from given state and settings, records effects, and ends the call at a limit.

use std::{
    cell::{RefCell, RefMut},
    collections::BTreeMap,
    rc::Rc,
};

use super::limits::{
    ATTRIBUTE_BYTES_MAX, EFFECTS_BYTES_MAX, EMITTED_EVENTS_MAX, EVENT_BYTES_MAX, EVENT_TYPE_BYTES_MAX, HOST_CALLS_MAX,
    JSON_DEPTH_MAX, LOG_LINES_MAX, NotJson, STATE_LISTED_MAX, STATE_NAME_BYTES_MAX, STATE_VALUE_BYTES_MAX,
    STATUS_DATA_BYTES_MAX, STATUS_STATE_BYTES_MAX, STATUS_TEXT_BYTES_MAX, at_most, check_attribute, check_content_type,
    check_json, check_length, check_name, cut, end,
};
use crate::{
    Level,
    backend::{Backend, RawEmission, RawStatus},
    event::is_json,
};

/// All that one call has been given and has done.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The delivery's key.
    pub key: String,
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
    /// By subject.
    Status(String),
    Emission(usize),
}

/// A handle on what is recorded, for the context and for the kit.
#[derive(Clone)]
pub struct Recorder(pub Rc<RefCell<Recorded>>);

impl Recorder {
    pub fn new(key: String, state: BTreeMap<String, Vec<u8>>, config: BTreeMap<String, String>) -> Self {
        Self(Rc::new(RefCell::new(Recorded { key, state, config, ..Recorded::default() })))
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
        for (what, value) in [("subject", &emission.subject), ("key", &emission.key)] {
            let value = value.iter().map(String::as_str);
            value.for_each(|value| check_attribute(&format!("an emitted event's {what}"), value, ATTRIBUTE_BYTES_MAX));
        }
        emission.data_content_type.iter().for_each(|content_type| check_content_type(content_type));
        at_most("bytes in an emitted event", emission.data.len(), EVENT_BYTES_MAX, "fixed");
        check_emitted_data(&emission);
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
            Err(NotJson::TooDeep) => end(format!("a status's data is nested more than {JSON_DEPTH_MAX} levels deep")),
            Err(NotJson::Invalid(error)) => end(format!("a status's data is not JSON: {error}")),
        }
        let text = status.text.replace(char::is_control, " ");
        let bytes = subject.len() + status.state.len() + text.len() + data.map_or(0, str::len);
        recorded.count(Effect::Status(subject.clone()), bytes);
        recorded.statuses.push(RawStatus { subject: Some(subject), text, ..status });
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

fn check_emitted_data(emission: &RawEmission) {
    if !is_json(emission.data_content_type.as_deref()) || emission.data.is_empty() {
        return;
    }
    let what = "an emitted event: the event's data is";
    match check_json(&emission.data) {
        Ok(()) => {}
        Err(NotJson::TooDeep) => end(format!("{what} nested more than {JSON_DEPTH_MAX} levels deep")),
        Err(NotJson::Invalid(error)) => {
            end(format!("{what} not valid JSON, which its content type says it is: {error}"))
        }
    }
}
