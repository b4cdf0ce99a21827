//! What clients send: events of a key, each with roughly the next number of its sequence.

use std::collections::BTreeMap;

use weirgate_types::Event;

use crate::Chance;

/// An event that a client wants accepted.
#[derive(Debug, Clone)]
pub struct Intent {
    pub id: String,
    pub key: String,
    pub r#type: &'static str,
    /// Its position in the sequence of its key, if it carries one.
    pub number: Option<u64>,
}

impl Intent {
    pub fn event(&self) -> Event {
        let mut event = event(&self.id, &self.key, self.r#type);
        event.extensions.extend(self.number.map(|number| ("sequence".to_owned(), number.to_string().into())));
        event
    }
}

/// The number of an event that follows `sent` others of its key: about the next one, so that some are late, missing or
/// repeated.
pub fn some_number(chance: &mut Chance, sent: usize) -> Option<u64> {
    let next = sent as u64 + 1;
    (!chance.one_in(6)).then(|| chance.between(next.saturating_sub(2).max(1), next + 2))
}

pub fn event(id: &str, key: &str, r#type: &str) -> Event {
    Event {
        id: id.into(),
        source: "/sim".into(),
        r#type: r#type.into(),
        subject: Some(key.into()),
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: BTreeMap::new(),
        implied_key: None,
        data: Vec::new(),
    }
}

/// The state that a client checks.
pub fn some_type(chance: &mut Chance) -> &'static str {
    match chance.below(6) {
        0 => "pay.done",
        1 => "order.changed",
        _ => "order.placed",
    }
}
