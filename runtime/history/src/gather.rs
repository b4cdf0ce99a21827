//! Which rows the index has of a record.

use std::{collections::HashMap, sync::Arc};

use weirgate_types::{BreakerId, Commit, DeliveryId, HandlerName, Position, Record, Stepped};

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
            Record::Committed(_) | Record::Batched(_) => self.take_commits(position, record.commits()),
            Record::Attempted { delivery, .. } | Record::Stepped(Stepped { delivery, .. }) => {
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
            Record::Accepted { .. } | Record::Paced { .. } | Record::Lost(_) | Record::TimeAnchored(_) => {}
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

    fn take_commits(&mut self, position: Position, commits: &[Commit]) {
        let mut index = 0;
        for commit in commits {
            let Commit { handler, key, event, effects, .. } = commit;
            self.lane(position, handler, key);
            self.keys.entry(*event).or_insert_with(|| key.as_str().into());
            let group = if effects.state.is_empty() { 0 } else { self.terms.state(handler, key) };
            for write in &effects.state {
                let (part, removed) = (self.terms.value(handler, key, &write.name), write.value.is_none());
                self.rows.push(Row { group, part, position, index, removed });
                index = index.saturating_add(1);
            }
        }
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
