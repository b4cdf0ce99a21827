//! What the sequencer does at each of the machine's actions.

use std::sync::Arc;

use weirgate_core::{Action, DeliveryRow, Input};
use weirgate_log::LogError;
use weirgate_types::{Commit, DeliveryId, Effects, LogLine, Outcome, Position, Record};

use super::{After, End, Sequencer};
use crate::{job::Job, rows};

impl Sequencer {
    /// Tell the machine, and do what it says until it says nothing more.
    pub fn feed(&mut self, input: Input<'_>) -> Result<(), End> {
        self.tell(input);
        self.perform()
    }

    pub fn tell(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.apply(input, self.clock.now_ms(), &mut actions);
        self.actions.extend(actions);
    }

    pub fn perform(&mut self) -> Result<(), End> {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Append(record) => drop(self.append(record)?),
                Action::Commit { delivery, attempt, outcome } => self.commit(delivery, attempt, outcome)?,
                Action::Deliver { delivery, attempt, at_ms } => self.deliver(delivery, attempt, at_ms)?,
                Action::Scan { handler, after, until } => self.scan(&handler, after, until)?,
                Action::Keep { delivery, row, is_new } => self.keep(&delivery, row.as_ref(), is_new)?,
            }
        }
        Ok(())
    }

    pub fn append(&mut self, record: Record) -> Result<Position, End> {
        let position = self.push(&record)?;
        self.turn_records += 1;
        self.handlers_changed |= matches!(record, Record::Deployed(_) | Record::Paused { .. } | Record::Resumed { .. });
        self.projection.project(position, &record)?;
        self.tell(Input::Appended { position, record: &record });
        if record.events(position).next().is_some() {
            self.recent.push(position, Arc::new(record));
        }
        Ok(position)
    }

    /// A batch has its limit; what is beyond it goes into the next, after a sync of its own.
    fn push(&mut self, record: &Record) -> Result<Position, End> {
        match self.log.push(record) {
            Err(LogError::BatchFull { .. }) => {
                self.sync()?;
                Ok(self.log.push(record)?)
            }
            pushed => Ok(pushed?),
        }
    }

    fn commit(&mut self, delivery: DeliveryId, attempt: u32, outcome: Outcome) -> Result<(), End> {
        let settled = self.settling.take_if(|finished| finished.delivery == delivery && finished.attempt == attempt);
        let (key, effects, log) = match settled {
            Some(finished) => (finished.key, finished.report.result.unwrap_or_default(), finished.report.log),
            None => (self.key_of(&delivery)?, Effects::default(), Vec::<LogLine>::new()),
        };
        self.metrics.settled(&delivery.handler, &outcome);
        let DeliveryId { handler, position: event } = delivery;
        let at_ms = self.clock.now_ms();
        self.append(Record::Committed(Commit { handler, event, key, attempt, at_ms, outcome, effects, log }))?;
        Ok(())
    }

    fn deliver(&mut self, delivery: DeliveryId, attempt: u32, at_ms: u64) -> Result<(), End> {
        let callee = self.callees.get(&delivery.handler).map(Arc::clone);
        let callee = callee.ok_or_else(|| End::Broken(format!("{delivery} is ready without a module")))?;
        let record = self.recent.covering(delivery.position);
        self.after.push(After::Deliver(Job { delivery, attempt, at_ms, callee, record }));
        Ok(())
    }

    fn keep(&mut self, delivery: &DeliveryId, row: Option<&DeliveryRow>, is_new: bool) -> Result<(), End> {
        let key = rows::delivery(delivery);
        match row {
            Some(row) => {
                let value = postcard::to_stdvec(row).map_err(|e| End::Broken(e.to_string()))?;
                self.projection.put(key, value, is_new);
            }
            None => self.projection.remove(key),
        }
        Ok(())
    }
}
