//! Clients that send until they have an answer, and operators that give commands that the engine accepts.

use std::collections::BTreeMap;

use weirgate_engine::{Audit, CommandRequest, Ingested, NewData, Refusal, sim::Answer};
use weirgate_types::{BreakerId, DeliveryId, Mode, Position, Record};

use super::{History, Stop, unreadable};
use crate::{
    Checked, NAMES, Order, Rule, Takes,
    checks::{Life, check, migrations, versions},
    clients,
    clients::Intent,
    handlers,
    plan::name,
    schedules,
};

#[derive(Default)]
pub struct People {
    sent: Vec<Intent>,
    unanswered: Vec<usize>,
    /// The requests that have no answer, each with the events in it.
    waiting: Vec<(Vec<usize>, Answer<Vec<Ingested>>)>,
    answers: BTreeMap<usize, Position>,
}

impl People {
    /// Answers arrive, or are lost on the way.
    pub fn hear(&mut self, is_lost: bool) -> Checked {
        for (indices, mut answer) in std::mem::take(&mut self.waiting) {
            match answer.poll() {
                None => self.waiting.push((indices, answer)),
                Some(Ok(ingested)) if !is_lost => self.answered(&indices, &ingested)?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn answered(&mut self, indices: &[usize], ingested: &[Ingested]) -> Checked {
        check(Rule::Acknowledged, indices.len() == ingested.len(), || format!("{indices:?} got {ingested:?}"))?;
        for (index, one) in indices.iter().zip(ingested) {
            let (before, position) = (*self.answers.entry(*index).or_insert(one.position), one.position);
            check(Rule::Acknowledged, before == position, || {
                format!("event-{index} is at {before} and at {position}")
            })?;
            self.unanswered.retain(|other| other != index);
        }
        Ok(())
    }

    pub fn are_cut_off(&mut self) {
        self.waiting.clear();
    }

    /// Every answered event is at its position.
    pub fn check(&self, records: &[(Position, Record)]) -> Checked {
        for (index, position) in &self.answers {
            let found = records.binary_search_by_key(position, |(first, _)| *first).ok();
            let record = found.and_then(|found| records.get(found));
            let is_it = record.is_some_and(
                |(_, record)| matches!(record, Record::Accepted { event, .. } if event.id == format!("event-{index}")),
            );
            check(Rule::Acknowledged, is_it, || format!("event-{index} was at {position}, and is not"))?;
        }
        Ok(())
    }

    pub fn are_answered(&self) -> bool {
        self.unanswered.is_empty()
    }
}

fn audit() -> Audit {
    Audit { actor: "operator".to_owned(), reason: "because".to_owned() }
}

impl History<'_> {
    pub(super) fn people_step(&mut self) -> Result<(), Stop> {
        let mut new = Vec::new();
        for _ in 0..self.chance.below(3) {
            let r#type = clients::some_type(&mut self.chance);
            new.push(self.some_intent(r#type));
        }
        if self.chance.one_in(self.plan.rates.correction) {
            new.extend((0..self.chance.between(1, 2)).map(|_| self.some_intent("fix.data")).collect::<Vec<_>>());
        }
        self.send_all(new)?;
        if self.chance.one_in(4) {
            self.send_again()?;
        }
        if self.chance.one_in(6) && !self.people.sent.is_empty() {
            self.figures.faults += 1;
            let index = self.chance.index(self.people.sent.len());
            self.send(vec![index])?;
        }
        self.operators_step()
    }

    fn some_intent(&mut self, r#type: &'static str) -> usize {
        let key = format!("k{}", self.chance.below(self.plan.keys));
        self.intent(key, r#type)
    }

    pub(super) fn intend(&mut self, key: String, r#type: &'static str) -> Result<(), Stop> {
        let index = self.intent(key, r#type);
        self.send(vec![index])
    }

    fn intent(&mut self, key: String, r#type: &'static str) -> usize {
        let index = self.people.sent.len();
        let before = self.people.sent.iter().filter(|intent| intent.key == key).count();
        let number = if r#type == "fix.data" { None } else { clients::some_number(&mut self.chance, before) };
        self.people.sent.push(Intent { id: format!("event-{index}"), key, r#type, number });
        self.people.unanswered.push(index);
        index
    }

    pub(super) fn send_again(&mut self) -> Result<(), Stop> {
        self.figures.faults += self.people.unanswered.len() as u64;
        self.send_all(self.people.unanswered.clone())
    }

    /// In one request, or in one each.
    fn send_all(&mut self, indices: Vec<usize>) -> Result<(), Stop> {
        if indices.len() > 1 && self.chance.one_in(2) {
            return self.send(indices);
        }
        indices.into_iter().try_for_each(|index| self.send(vec![index]))
    }

    fn send(&mut self, indices: Vec<usize>) -> Result<(), Stop> {
        let events = indices.iter().filter_map(|index| Some(self.people.sent.get(*index)?.event())).collect();
        let answer = self.engine.ingest(events);
        self.people.waiting.push((indices, answer.map_err(unreadable)?));
        Ok(())
    }

    fn operators_step(&mut self) -> Result<(), Stop> {
        let index = self.chance.index(NAMES.len());
        if self.chance.one_in(self.plan.rates.operator) {
            match self.chance.below(8) {
                0 => self.change_mode(index, Mode::Paused),
                1 => self.change_mode(index, Mode::Draining),
                2 | 3 => self.change_mode(index, Mode::Running),
                4 => {
                    let open = self.chance.one_in(2);
                    self.set_breaker(index, open);
                }
                _ => self.decide_something()?,
            }
        }
        if self.chance.one_in(self.plan.rates.deploy) {
            // Sometimes again in the same pass.
            for _ in 0..self.chance.between(1, 3) {
                let payments = self.chance.one_in(2);
                self.deploy(index, Takes { payments, emissions: index == 2 });
            }
        }
        if self.chance.one_in(self.plan.rates.deploy) {
            match self.chance.below(3) {
                0 | 1 => self.remove(index)?,
                _ => self.roll_back(index),
            }
        }
        if self.chance.one_in(4) {
            self.ready_all();
        }
        Ok(())
    }

    /// What is open is decided first; what runs stays, and then the removal is refused.
    pub(super) fn remove(&mut self, index: usize) -> Result<(), Stop> {
        let Some(watched) = self.checks.handlers.get(index) else { return Ok(()) };
        let items: Vec<_> = watched.items.iter().map(|(position, item)| (*position, item.life)).collect();
        if self.chance.one_in(2) {
            self.change_mode(index, Mode::Draining);
        }
        for (position, life) in items {
            let request = match life {
                Life::Dead => CommandRequest::Discard,
                Life::Done | Life::Running | Life::Withheld => continue,
                _ => CommandRequest::Skip,
            };
            self.decide(DeliveryId { handler: name(index), position }, request)?;
        }
        drop(self.engine.remove(name(index), audit()));
        Ok(())
    }

    /// An earlier deployment of the handler is made again.
    fn roll_back(&mut self, index: usize) {
        let mut versions = Vec::new();
        for (position, record) in &self.records {
            match record {
                Record::Deployed(one) if one.handler == name(index) => versions.push((*position, one.manifest.clone())),
                Record::Removed(one) if one.handler == name(index) => versions.clear(),
                _ => {}
            }
        }
        if let Some((position, manifest)) = self.chance.pick(&versions).cloned() {
            drop(self.engine.deploy_as(name(index), manifest, Some(position)));
        }
    }

    pub(super) fn change_mode(&mut self, index: usize, mode: Mode) {
        drop(self.engine.change_mode(name(index), mode, audit()));
    }

    pub(super) fn set_breaker(&mut self, index: usize, open: bool) {
        drop(self.engine.set_breaker(BreakerId::Handler(name(index)), open, audit()));
    }

    pub(super) fn deploy(&mut self, index: usize, takes: Takes) {
        let is_fixed = self.chance.one_in(2);
        self.deploy_version(index, takes, is_fixed);
    }

    pub(super) fn deploy_version(&mut self, index: usize, takes: Takes, is_fixed: bool) {
        let Some(setting) = self.plan.handlers.get(index) else { return };
        let variant = if self.has_schedules { self.chance.below(8) } else { 0 };
        let manifest = schedules::with(&setting.manifest(name(index).as_str(), takes), variant);
        // An earlier version than that in force is refused, so at the end none is tried.
        let (is_later, is_earlier) = (self.chance.one_in(3), self.chance.one_in(4) && self.has_schedules);
        let latest = self.checks.state_versions.latest(&name(index)).unwrap_or(1);
        let version = (latest + u32::from(is_later)).saturating_sub(u32::from(is_earlier)).max(1);
        let manifest = migrations::with(&manifest, version);
        let finishes = setting.kind.order == Order::Key && self.chance.one_in(2);
        let manifest = if finishes { versions::to_finish(&manifest) } else { manifest };
        let manifest = if is_fixed { handlers::fixed(&manifest) } else { manifest };
        let manifest = if self.plan.folds && takes.emissions { handlers::folded_again(&manifest) } else { manifest };
        drop(self.engine.deploy(name(index), manifest));
    }

    pub(super) fn ready_all(&mut self) {
        (0..NAMES.len()).for_each(|index| self.engine.ready(name(index)));
    }

    /// About any delivery that ever existed: invalid commands are refused.
    fn decide_something(&mut self) -> Result<(), Stop> {
        let index = self.chance.index(NAMES.len());
        let Some(watched) = self.checks.handlers.get(index) else { return Ok(()) };
        let positions: Vec<_> = watched.items.keys().copied().collect();
        let Some(position) = self.chance.pick(&positions).copied() else { return Ok(()) };
        let request = match self.chance.below(7) {
            0 | 1 => CommandRequest::Retry,
            2 | 3 => correction(),
            4 => CommandRequest::Skip,
            5 => CommandRequest::DeadLetter,
            _ if self.chance.one_in(2) => CommandRequest::Discard,
            _ => CommandRequest::Resolve(vec![clients::event(&format!("instead-{position}"), "k0", "order.placed")]),
        };
        self.decide(DeliveryId { handler: name(index), position }, request)
    }

    pub(super) fn decide(&mut self, delivery: DeliveryId, request: CommandRequest) -> Result<(), Stop> {
        match self.engine.command_delivery(delivery, request, audit()) {
            Ok(answer) => drop(answer),
            Err(refusal @ Refusal::Storage(_)) => return Err(unreadable(refusal).into()),
            Err(_) => {}
        }
        Ok(())
    }
}

pub fn correction() -> CommandRequest {
    CommandRequest::Correct(NewData::Whole { data: b"{}".to_vec(), data_content_type: None })
}
