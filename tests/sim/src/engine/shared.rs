//! A part of a status that several keys write: the last writer by position owns it. Where keys are repaired, that is by what the fix has them
//! write; others count by what they wrote.

use std::collections::BTreeSet;

use weirgate_types::{HandlerName, Outcome, Position, Record, StatusWrite};

use super::{History, Stop};
use crate::{
    Checked, Order, Rule,
    checks::{check, index_of},
    handlers::{Counts, Delivered, SHARED},
};

/// What writes of the part came to.
#[derive(Debug, Default)]
struct Part {
    /// `None`: there is none, or it was removed.
    status: Option<StatusWrite>,
    at: Position,
    /// Whether several keys wrote it in its record: these have no order.
    is_open: bool,
}

impl Part {
    fn write(&mut self, at: Position, status: Option<&StatusWrite>) {
        let is_beside = self.at == at && self.status.as_ref() != status;
        *self = Self { status: status.cloned(), at, is_open: is_beside };
    }
}

impl History<'_> {
    /// Nothing else goes on: the part is as the last writer by position has it, with the keys repaired that a replay has repaired.
    pub(super) fn check_shared(&self, handler: &HandlerName, replay: Position) -> Checked {
        let repaired = self.records.iter().filter_map(|(_, record)| match record {
            Record::Repaired(one) if one.replay == replay && one.handler == *handler && !one.is_undo => Some(&*one.key),
            _ => None,
        });
        let repaired: BTreeSet<&str> = repaired.collect();
        self.check_part(handler, &self.part(handler, replay, &repaired))
    }

    /// The same once its repairs were taken back.
    pub(super) fn check_shared_undone(&self, handler: &HandlerName, replay: Position) -> Result<(), Stop> {
        let others = |record: &Record| matches!(record, Record::Repaired(one) if one.replay != replay && one.handler == *handler);
        if self.records.iter().any(|(_, record)| others(record)) {
            return Ok(());
        }
        Ok(self.check_part(handler, &self.part(handler, replay, &BTreeSet::new()))?)
    }

    fn check_part(&self, handler: &HandlerName, part: &Part) -> Checked {
        let order = self.checks.handlers.get(index_of(handler)).map(|watched| watched.kind.order);
        let folded = |record: &Record| match record {
            Record::Repaired(one) => one.handler == *handler && self.is_of_another(one),
            Record::Removed(one) => one.handler == *handler,
            _ => false,
        };
        let is_known = !part.is_open && !matches!(order, Some(Order::None { .. }));
        if !self.plan.shares || !is_known || self.records.iter().any(|(_, record)| folded(record)) {
            return Ok(());
        }
        let shown = self.watching.shown(SHARED, handler);
        let wanted = part.status.as_ref().map_or(("", ""), |one| (&*one.state, one.data.as_deref().unwrap_or("")));
        check(Rule::Shared, shown == wanted, || format!("{handler} shows {shown:?} of what keys share, not {part:?}"))
    }

    /// What the log leaves of the part without the records of a replay, with some keys as the fix has them.
    fn part(&self, handler: &HandlerName, replay: Position, fixed: &BTreeSet<&str>) -> Part {
        let (mut part, asked) = (Part::default(), self.asked(replay, None));
        let mut counts: std::collections::BTreeMap<&str, Counts> = std::collections::BTreeMap::new();
        for (position, record) in &self.records {
            if let Record::Repaired(one) = record
                && one.handler == *handler
                && one.replay != replay
                && !fixed.contains(one.key.as_str())
            {
                let write = one.effects.status.iter().rfind(|write| write.subject == SHARED);
                if write.is_some() || one.unset.iter().any(|subject| subject == SHARED) {
                    part.write(*position, write);
                }
            }
            let completed = |outcome: &Outcome| matches!(outcome, Outcome::Completed | Outcome::Withheld);
            for commit in record.commits().iter().filter(|one| one.handler == *handler && completed(&one.outcome)) {
                let effects = match fixed.contains(commit.key.as_str()) {
                    true => {
                        let r#type = &*self.event_at(commit.event).r#type;
                        let request = self.handlers.request(handler, r#type, commit.event, true);
                        let answer =
                            request.and_then(|request| self.answer_of(&commit.delivery(), &request, asked.as_ref()));
                        let (key, position, answer) = (commit.key.as_str(), commit.event, answer.unwrap_or(0));
                        let delivered = Delivered { handler, key, r#type, position, wall_ms: 0, answer };
                        self.handlers.handle(delivered, true, counts.entry(key).or_default())
                    }
                    false => commit.effects.clone(),
                };
                if let Some(write) = effects.status.iter().rfind(|write| write.subject == SHARED) {
                    part.write(*position, Some(write));
                }
            }
        }
        part
    }
}
