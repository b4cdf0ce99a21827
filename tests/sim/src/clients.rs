//! Clients: they send until they have an answer, possibly more than once, and sometimes repeat earlier events. Every event
//! in their list of answers must be in the log.

use std::collections::BTreeMap;

use weirgate_types::{Event, Position, Record};

use crate::{
    Chance, Checked, Plan, Rule,
    checks::check,
    shell::{Shell, Stop},
};

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

#[derive(Debug, Default)]
pub struct Clients {
    sent: Vec<Intent>,
    /// The unanswered ones.
    unanswered: Vec<usize>,
    answers: BTreeMap<String, Position>,
    pub repeated: u64,
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

impl Clients {
    /// The clients' part of a step.
    pub fn step(&mut self, shell: &mut Shell, plan: &Plan, chance: &mut Chance) -> Result<(), Stop> {
        for _ in 0..chance.below(3) {
            let r#type = some_type(chance);
            let key = format!("k{}", chance.below(plan.keys));
            let number = self.some_number(chance, &key);
            self.intent(shell, key, r#type, number)?;
        }
        if chance.one_in(plan.rates.correction) {
            let key = format!("k{}", chance.below(plan.keys));
            self.intent(shell, key, "fix.data", None)?;
        }
        if chance.one_in(4) {
            self.send_again(shell)?;
        }
        if chance.one_in(6) && !self.sent.is_empty() {
            self.repeated += 1;
            self.send(shell, chance.index(self.sent.len()))?;
        }
        Ok(())
    }

    fn some_number(&self, chance: &mut Chance, key: &str) -> Option<u64> {
        some_number(chance, self.sent.iter().filter(|intent| intent.key == key).count())
    }

    pub fn intent(
        &mut self,
        shell: &mut Shell,
        key: String,
        r#type: &'static str,
        number: Option<u64>,
    ) -> Result<(), Stop> {
        let index = self.sent.len();
        self.sent.push(Intent { id: format!("event-{index}"), key, r#type, number });
        self.unanswered.push(index);
        self.send(shell, index)
    }

    /// Unanswered events are sent again.
    pub fn send_again(&mut self, shell: &mut Shell) -> Result<(), Stop> {
        for index in self.unanswered.clone() {
            self.repeated += 1;
            self.send(shell, index)?;
        }
        Ok(())
    }

    fn send(&self, shell: &mut Shell, index: usize) -> Result<(), Stop> {
        let Some(intent) = self.sent.get(index) else { return Ok(()) };
        let position = match shell.views.facts.events.get(&intent.id) {
            Some(position) => *position,
            None => {
                let (event, at_ms) = (intent.event(), shell.now_ms);
                shell.stage(Record::Accepted { event, to: None, at_ms })?
            }
        };
        shell.answer_when_durable(intent.id.clone(), position);
        Ok(())
    }

    /// Answers arrive; some are lost.
    pub fn hear(&mut self, shell: &mut Shell, lost: impl Fn() -> bool) -> Checked {
        for (id, position) in shell.answered.drain(..) {
            if lost() {
                continue;
            }
            let before = *self.answers.entry(id.clone()).or_insert(position);
            check(Rule::Acknowledged, before == position, || format!("{id} is at {before} and at {position}"))?;
            self.unanswered.retain(|index| self.sent.get(*index).is_none_or(|intent| intent.id != id));
        }
        Ok(())
    }

    /// Every answered event is at its position.
    pub fn check(&self, shell: &Shell) -> Checked {
        for (id, position) in &self.answers {
            let is_there = *position <= shell.head() && shell.event_at(*position).id == *id;
            check(Rule::Acknowledged, is_there, || format!("{id} was at {position}, and is not"))?;
        }
        Ok(())
    }

    pub fn are_answered(&self) -> bool {
        self.unanswered.is_empty()
    }
}
