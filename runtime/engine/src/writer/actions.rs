//! What the writer does at each of the machine's actions.

use std::sync::Arc;

use weirgate_core::{Action, DeliveryRow, Input};
use weirgate_log::LogError;
use weirgate_types::{Carried, DeliveryId, HandlerName, Outcome, Position, Record};

use super::{After, Exit, Writer};
use crate::{
    EngineFault, StorageError,
    job::{Job, JobItem, StoredRecord},
    keys,
};

impl Writer {
    /// Tell the machine, and do what it says until it says nothing more.
    pub fn feed(&mut self, input: Input<'_>) -> Result<(), Exit> {
        self.tell(input);
        self.perform()
    }

    pub fn tell(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.apply(input, self.time.now(), &mut actions);
        self.actions.extend(actions);
    }

    pub fn perform(&mut self) -> Result<(), Exit> {
        while let Some(action) = self.actions.pop_front() {
            match action {
                action @ Action::Scan { .. } if self.budget.is_used_up() => self.budget.defer(action),
                // The machine asks again: the next timer stays due.
                Action::FireTimers { .. } if self.budget.is_used_up() => {}
                Action::Stage(record) => drop(self.stage(record)?),
                Action::Commit { handler, outcomes, is_batch } => self.commit(&handler, outcomes, is_batch)?,
                Action::Correct { delivery, with } => self.correct(delivery, with)?,
                Action::Release { delivery, commit } => self.release(delivery, commit)?,
                Action::PassGap(gap) => self.pass_gap(gap)?,
                Action::ChangeState(change) => self.change_state(change)?,
                Action::Deliver { delivery, attempt, at_ms, carried, call } => {
                    self.deliver(delivery, attempt, at_ms, carried, call)?;
                }
                Action::Scan { handler, after, until } => self.scan(&handler, after, until)?,
                Action::Reload { handler, lanes, due_ms } => self.reload(&handler, lanes, due_ms)?,
                Action::FireTimers { now_ms } => self.fire_timers(now_ms)?,
                Action::Keep { delivery, row, is_new } => self.keep(&delivery, row.as_ref(), is_new)?,
                Action::KeepNext { handler, lane, next } => self.projection.keep_next(&handler, lane, next)?,
                Action::Spill { delivery, row, on } => self.spill(&delivery, &row, on)?,
            }
        }
        Ok(())
    }

    /// The record gets its place. Where the wall clock was set since the last one, the log says that first.
    pub fn stage(&mut self, record: Record) -> Result<Position, Exit> {
        if let Some(anchor) = self.time.anchor_wanted() {
            self.stage_without_anchor(Record::TimeAnchored(anchor))?;
            self.time.anchored(anchor);
        }
        self.stage_without_anchor(record)
    }

    fn stage_without_anchor(&mut self, record: Record) -> Result<Position, Exit> {
        let position = self.stage_in_log(&record)?;
        self.pass_records += 1;
        self.projection.project(position, &record)?;
        self.tell(Input::Staged { position, record: &record });
        self.handlers_changed |=
            matches!(record, Record::Deployed(_) | Record::ModeChanged(_) | Record::BreakerChanged(_));
        self.hosts_changed |= matches!(record, Record::BreakerChanged(_) | Record::Deployed(_));
        // What is withheld may leave before it is durable, and so before it can be read back.
        let withholds = record.commits().iter().any(|commit| commit.outcome == Outcome::Withheld);
        if withholds || record.events(position).next().is_some() {
            self.recent.push(position, Arc::new(record));
        }
        Ok(position)
    }

    /// A batch has its limit; what is beyond it goes into the next, after a sync of its own.
    fn stage_in_log(&mut self, record: &Record) -> Result<Position, Exit> {
        match self.log.stage(record) {
            Err(LogError::BatchFull { .. }) => {
                self.commit_log()?;
                Ok(self.log.stage(record)?)
            }
            staged => Ok(staged?),
        }
    }

    fn deliver(
        &mut self,
        delivery: DeliveryId,
        attempt: u32,
        at_ms: u64,
        carried: Carried,
        call: Position,
    ) -> Result<(), Exit> {
        let handler = delivery.handler.clone();
        let stored = self.recent.covering(delivery.position).map(|(first, record)| StoredRecord { first, record });
        let item = JobItem { delivery, attempt, carried, stored };
        // The deliveries of a call come one right after the other, so only the last one that waits can be of the same call.
        if let Some(After::Deliver(job)) = self.after.last_mut().filter(|after| after.is_call(&handler, call)) {
            job.items.push(item);
            return Ok(());
        }
        let deployed = self.deployed_handlers.get(&handler).map(Arc::clone);
        let deployed = deployed.ok_or_else(|| Exit::Fault(EngineFault::NoModule(handler.clone())))?;
        let wall_ms = self.time.now().wall_ms;
        self.after.push(After::Deliver(Job { handler, call, at_ms, wall_ms, deployed, items: vec![item] }));
        Ok(())
    }

    fn keep(&mut self, delivery: &DeliveryId, row: Option<&DeliveryRow>, is_new: bool) -> Result<(), Exit> {
        let key = keys::delivery(delivery);
        match row {
            Some(row) => {
                let value = postcard::to_stdvec(row).map_err(StorageError::encode("a delivery's row"))?;
                self.projection.put(key, value, is_new);
            }
            None => self.projection.remove(key),
        }
        Ok(())
    }

    /// A spilled delivery is found by its lane, and by its time where it has one and leads its lane.
    fn spill(&mut self, delivery: &DeliveryId, row: &DeliveryRow, on: bool) -> Result<(), Exit> {
        self.keep(delivery, Some(row), false)?;
        let by_lane = keys::spilled(delivery, row);
        let due = row.phase.due().filter(|_| row.leads || !on);
        let by_time = due.map(|(due_ms, stage)| keys::queued(delivery, stage, due_ms));
        if on {
            self.projection.put(by_lane, Vec::new(), false);
            if let Some(key) = by_time {
                self.projection.put(key, keys::lane_value(row.lane), false);
            }
        } else {
            self.projection.remove(by_lane);
            if let Some(key) = by_time {
                self.projection.remove(key);
            }
        }
        Ok(())
    }

    /// The module's handler, for what is said of it.
    pub fn digest_of(&self, handler: &HandlerName) -> weirgate_types::Digest {
        self.machine.handler(handler).map_or(weirgate_types::Digest([0; 32]), |view| view.deployed.digest)
    }
}
