//! Which rows the index has of a record.

use std::{collections::HashMap, sync::Arc};

use weirgate_types::{BreakerId, DeliveryId, HandlerName, Position, Record, ReplayAnswered, Stepped, Written};

use crate::{row::Row, terms::Terms};

/// Gathers the rows of consecutive records.
pub struct Gatherer {
    terms: Terms,
    rows: Vec<Row>,
    /// The keys of events, by position: as far as these records tell them.
    keys: HashMap<Position, Arc<str>>,
    /// Records that name a delivery and not its key.
    keyless: Vec<(Position, DeliveryId)>,
}

impl Gatherer {
    pub fn new(terms: Terms) -> Self {
        Self { terms, rows: Vec::new(), keys: HashMap::new(), keyless: Vec::new() }
    }

    pub fn take(&mut self, position: Position, record: &Record) {
        for (at, event) in record.events(position) {
            self.rows.push(Row::posting(self.terms.key(event.key()), at));
            self.keys.insert(at, event.key().into());
        }
        match record {
            Record::Committed(_) | Record::Batched(_) | Record::Repaired(_) => self.take_effects(position, record),
            Record::Attempted { delivery, .. }
            | Record::Stepped(Stepped { delivery, .. })
            | Record::ReplayAnswered(ReplayAnswered { delivery, .. }) => {
                self.keyless.push((position, delivery.clone()));
            }
            Record::DeliveryDecided(decided) => self.lane(position, &decided.delivery.handler, &decided.key),
            Record::Released { delivery, key, .. } => self.lane(position, &delivery.handler, key),
            Record::GapPassed(gap) => self.lane(position, &gap.delivery.handler, &gap.key),
            Record::CorrectionRefused(refused) => self.lane(position, &refused.delivery.handler, &refused.key),
            Record::Fired { timer, .. } => self.lane(position, &timer.handler, &timer.key),
            Record::Deployed(deployed) => self.handler(position, Some(&deployed.handler)),
            Record::ModeChanged(changed) => self.handler(position, Some(&changed.handler)),
            Record::Removed(removed) => {
                self.handler(position, Some(&removed.handler));
                self.rows.push(Row::posting(self.terms.removals(&removed.handler), position));
            }
            Record::BreakerChanged(changed) => match &changed.breaker {
                BreakerId::Handler(handler) => self.handler(position, Some(handler)),
                BreakerId::Host(host) => self.handler(position, host.handler.as_ref()),
            },
            Record::RuntimeChanged(_) => self.handler(position, None),
            Record::ReplayRequested(requested) => self.handler(position, Some(&requested.handler)),
            Record::ReplayApproved(approved) => self.handler(position, Some(&approved.handler)),
            Record::ReplayEnded(ended) => self.handler(position, Some(&ended.handler)),
            Record::ApplyBegun(begun) => self.handler(position, Some(&begun.handler)),
            Record::UndoRequested(requested) => self.handler(position, Some(&requested.handler)),
            Record::RepairsRefused(refused) => self.handler(position, Some(&refused.handler)),
            Record::Lost(_) => self.rows.push(Row::posting(self.terms.losses(), position)),
            Record::Accepted { .. } | Record::Paced { .. } | Record::TimeAnchored(_) => {}
        }
    }

    /// The rows, sorted. `key_of` tells the key of an event before these records; `None`: it is lost.
    ///
    /// # Errors
    /// Those of `key_of`.
    pub fn finish<E>(mut self, mut key_of: impl FnMut(Position) -> Result<Option<String>, E>) -> Result<Vec<Row>, E> {
        for (position, delivery) in std::mem::take(&mut self.keyless) {
            let key = match self.keys.get(&delivery.position) {
                Some(key) => Arc::clone(key),
                None => {
                    let Some(key) = key_of(delivery.position)? else { continue };
                    let key: Arc<str> = key.into();
                    self.keys.insert(delivery.position, Arc::clone(&key));
                    key
                }
            };
            self.lane(position, &delivery.handler, &key);
        }
        self.rows.sort_unstable();
        self.rows.dedup();
        Ok(self.rows)
    }

    fn take_effects(&mut self, position: Position, record: &Record) {
        for commit in record.commits() {
            self.keys.entry(commit.event).or_insert_with(|| commit.key.as_str().into());
            self.rows.push(Row::posting(self.terms.commits(&commit.handler), position));
        }
        let mut index = 0;
        for Written { handler, key, effects, .. } in record.effects() {
            self.lane(position, handler, key);
            let group = if effects.state.is_empty() { 0 } else { self.terms.state(handler, key) };
            for write in &effects.state {
                let (part, removed) = (self.terms.value(handler, key, &write.name), write.value.is_none());
                self.rows.push(Row { group, part, position, index, removed });
                index = index.saturating_add(1);
            }
            let subjects = effects.status.iter().map(|write| &write.subject);
            self.parts(position, handler, key, subjects);
        }
        if let Record::Repaired(repaired) = record {
            self.parts(position, &repaired.handler, &repaired.key, repaired.unset.iter());
        }
    }

    /// Statuses of the key itself are found by it.
    fn parts<'r>(
        &mut self,
        position: Position,
        handler: &HandlerName,
        key: &str,
        subjects: impl Iterator<Item = &'r String>,
    ) {
        let terms = self.terms;
        self.rows.extend(
            subjects
                .filter(|subject| *subject != key)
                .map(|subject| Row::posting(terms.part(handler, subject), position)),
        );
    }

    fn lane(&mut self, position: Position, handler: &HandlerName, key: &str) {
        self.rows.push(Row::posting(self.terms.key(key), position));
        self.rows.push(Row::posting(self.terms.lane(handler, key), position));
    }

    fn handler(&mut self, position: Position, handler: Option<&HandlerName>) {
        self.rows.push(Row::posting(self.terms.handlers(), position));
        if let Some(handler) = handler {
            self.rows.push(Row::posting(self.terms.handler(handler), position));
        }
    }
}
