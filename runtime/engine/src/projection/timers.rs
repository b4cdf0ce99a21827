//! What changes the timers: handlers that start and cancel them, deployments that bring schedules, and timers going off.

use weirgate_core::schedule;
use weirgate_types::{Commit, Deployed, Event, Manifest, Position, TimerId, TimerWrite};

use super::Projection;
use crate::{
    Refusal,
    rows::{self, TimerKind, TimerRow},
    timers,
};

impl Projection {
    pub(super) fn timer_written(
        &mut self,
        position: Position,
        index: usize,
        commit: &Commit,
        write: &TimerWrite,
    ) -> Result<(), Refusal> {
        let (handler, key, name) = (commit.handler.clone(), commit.key.clone(), write.name.clone());
        let row = rows::timer(&TimerId { handler, key, name }, TimerKind::Handler);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.set_timer(row, write.set.as_ref().map(|set| TimerRow { due_ms: set.due_ms, position, index }))
    }

    /// The schedules of a version take the place of those of the version before.
    pub(super) fn deployed(&mut self, position: Position, deployed: &Deployed) -> Result<(), Refusal> {
        let Ok(manifest) = Manifest::from_record(&deployed.manifest) else { return Ok(()) };
        for row in self.statuses.views.scan_keys(&rows::timers(&deployed.handler, TimerKind::Schedule), None, 1_000)? {
            self.set_timer(row, None)?;
        }
        for (index, schedule) in (0_u32..).zip(&manifest.schedules) {
            let row = rows::timer(&timers::schedule_id(&deployed.handler, schedule), TimerKind::Schedule);
            let due_ms = schedule::next_after(&schedule.cron, deployed.at_ms);
            self.set_timer(row, due_ms.map(|due_ms| TimerRow { due_ms, position, index }))?;
        }
        Ok(())
    }

    /// A timer is gone when it has gone off; a schedule's comes again, those that were missed left out.
    pub(super) fn fired(&mut self, id: &TimerId, due_ms: u64, event: &Event, at_ms: u64) -> Result<(), Refusal> {
        let kind = timers::kind_of(event);
        let row = rows::timer(id, kind);
        let Some(timer) = self.timer(&row)?.filter(|timer| timer.due_ms == due_ms) else { return Ok(()) };
        if kind == TimerKind::Handler {
            return self.set_timer(row, None);
        }
        let cron = timers::schedule_at(&self.statuses.log, timer)?.map(|schedule| schedule.cron);
        let next = cron.and_then(|cron| schedule::next_after(&cron, at_ms.max(due_ms)));
        self.set_timer(row, next.map(|due_ms| TimerRow { due_ms, ..timer }))
    }

    fn timer(&self, row: &[u8]) -> Result<Option<TimerRow>, Refusal> {
        if let Some(timer) = self.timers.get(row) {
            return Ok(*timer);
        }
        let value = self.statuses.views.get(row)?;
        value.map(|value| postcard::from_bytes(&value).map_err(|e| Refusal::Storage(e.to_string()))).transpose()
    }

    fn set_timer(&mut self, row: Vec<u8>, timer: Option<TimerRow>) -> Result<(), Refusal> {
        if let Some(before) = self.timer(&row)? {
            self.remove(rows::timer_by_time(before.due_ms, &row));
        }
        self.timers.insert(row.clone(), timer);
        match timer {
            None => self.remove(row),
            Some(timer) => {
                self.put(rows::timer_by_time(timer.due_ms, &row), Vec::new(), false);
                let value = postcard::to_stdvec(&timer).map_err(|e| Refusal::Storage(e.to_string()))?;
                self.put(row, value, false);
            }
        }
        Ok(())
    }
}
