//! How the writer carries out each of the machine's actions.

use weirgate_core::{Action, DeliveryRow, Input};
use weirgate_types::{DeliveryId, Position, Record};

use super::{After, Exit, Writer};
use crate::{
    EngineFault,
    job::{CallResult, Job, JobItem},
    keys,
};

impl Writer {
    /// Passes an input to the machine, and carries out its actions until there are no more.
    pub fn feed(&mut self, input: Input<'_>) -> Result<(), Exit> {
        self.tell(input);
        self.perform(None)
    }

    pub fn tell(&mut self, input: Input<'_>) {
        self.delivery.tell(input, self.time.now());
    }

    /// Carries out the machine's actions. `call` is the one whose results were just passed in: commits take their effects
    /// from it.
    pub fn perform(&mut self, mut call: Option<&mut CallResult>) -> Result<(), Exit> {
        while let Some(action) = self.delivery.next_action() {
            match action {
                Action::Stage(record) => drop(self.stage(record)?),
                Action::Commit { handler, outcomes, is_batch } => {
                    self.commit(&handler, outcomes, is_batch, call.as_deref_mut())?;
                }
                Action::Correct { delivery, with } => self.correct(delivery, with, call.as_deref_mut())?,
                Action::Release { delivery, commit } => self.release(delivery, commit)?,
                Action::PassGap(gap) => self.pass_gap(gap)?,
                Action::ChangeState(change) => self.change_state(change)?,
                Action::Deliver { delivery, attempt, version, at_ms, wall_ms, carried, call } => {
                    let stored = self.durability.recent(delivery.position);
                    let item = JobItem { delivery, attempt, carried, stored };
                    self.deliver(item, version, call, (at_ms, wall_ms))?;
                }
                Action::Scan { handler, after, until } => {
                    let (reader, projection) = (self.durability.reader(), self.durability.projection());
                    self.delivery.scan(&handler, (after, until), reader, projection, self.time.now())?;
                }
                Action::Reload { handler, lanes, due } => {
                    self.delivery.reload(&handler, lanes, due, self.durability.views(), self.time.now())?;
                }
                Action::MoveSpilled { handler, lane, version } => self.move_spilled(&handler, lane, version)?,
                Action::ReportQuiet { hold } => self.report_quiet(hold),
                Action::ReportHoldOver { hold } => self.report_hold_over(hold),
                Action::FireTimers { now_ms } => self.fire_timers(now_ms)?,
                Action::Keep { delivery, row, is_new } => {
                    self.durability.projection_mut().keep(delivery, row, is_new);
                }
                Action::KeepNext { handler, lane, next } => {
                    self.durability.projection_mut().keep_next(&handler, lane, next)?;
                }
                Action::Spill { delivery, row, on } => self.spill(delivery, row, on),
            }
        }
        Ok(())
    }

    /// Stages a record. If the wall clock was set since the last one, an anchor is staged first.
    pub fn stage(&mut self, record: Record) -> Result<Position, Exit> {
        if let Some(anchor) = self.time.anchor_wanted() {
            self.stage_without_anchor(Record::TimeAnchored(anchor))?;
            self.time.anchored(anchor);
        }
        self.stage_without_anchor(record)
    }

    fn stage_without_anchor(&mut self, record: Record) -> Result<Position, Exit> {
        let under_way = self.under_way(&record)?;
        // A batch has a size limit; further records go into the next one, after another commit.
        let position = loop {
            match self.durability.stage(&record)? {
                Some(position) => break position,
                None => self.commit_log()?,
            }
        };
        self.report_under_way(&under_way);
        self.tell(Input::Staged { position, record: &record });
        self.delivery.note(&record);
        self.operations.note(&record);
        self.durability.keep_recent(position, record);
        Ok(position)
    }

    fn deliver(
        &mut self,
        item: JobItem,
        version: Position,
        call: Position,
        (at_ms, wall_ms): (u64, u64),
    ) -> Result<(), Exit> {
        let handler = item.delivery.handler.clone();
        if let Some(job) = self.durability.waiting_job(&handler, call) {
            job.items.push(item);
            return Ok(());
        }
        let deployed = self.delivery.deployed(&handler, version).cloned();
        let deployed = deployed.ok_or_else(|| Exit::Fault(EngineFault::NoModule(handler.clone())))?;
        let job = Job { handler, call, at_ms, wall_ms, deployed, items: vec![item] };
        self.durability.when_durable(After::Deliver(job));
        Ok(())
    }

    /// A spilled delivery is indexed by its lane, and by its due time if it has one and is first in its lane.
    fn spill(&mut self, delivery: DeliveryId, row: DeliveryRow, on: bool) {
        let by_lane = keys::spilled(&delivery, &row);
        let due = row.phase.due().filter(|_| row.leads || !on);
        let by_time = due.map(|(due_ms, wait)| keys::queued(&delivery, wait, due_ms));
        let lane = row.lane;
        self.durability.projection_mut().keep(delivery, Some(row), false);
        if on {
            self.durability.projection_mut().put(by_lane, Vec::new());
            if let Some(key) = by_time {
                self.durability.projection_mut().put(key, keys::lane_value(lane));
            }
        } else {
            self.durability.projection_mut().remove(by_lane);
            if let Some(key) = by_time {
                self.durability.projection_mut().remove(key);
            }
        }
    }
}
