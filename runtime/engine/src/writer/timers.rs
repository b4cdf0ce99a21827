//! Timers that fire: each becomes a record with its event.

use weirgate_core::{Input, Now};
use weirgate_types::Record;

use super::{Exit, Writer};
use crate::{StorageError, keys, tables, timers};

/// A timer that fires reads its row and its record, and writes another record.
const TIMER_WORK: usize = 8;

impl Writer {
    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self, now_ms: u64) -> Result<(), Exit> {
        let mut next_due_ms = None;
        let most = self.delivery.steps().timers;
        let timers = self.durability.projection().scan_keys(tables::TIMERS_BY_TIME.prefix(), most + 1)?;
        for (fired, key) in timers.iter().enumerate() {
            let (due_ms, row) = keys::timer_of(key).ok_or_else(|| StorageError::row("a timer's row"))?;
            // What defines a timer may be as large as a record, so they are counted by the time that they take, too.
            let is_late = fired > 0 && !self.has_time();
            if is_late {
                self.delivery.use_up();
            }
            if due_ms > now_ms || fired == most || is_late {
                next_due_ms = Some(due_ms);
                break;
            }
            self.fire(due_ms, row)?;
            self.delivery.spend(TIMER_WORK);
        }
        self.feed(Input::TimersRead { next_due_ms })
    }

    fn fire(&mut self, due_ms: u64, row: &[u8]) -> Result<(), Exit> {
        let (timer, kind) = keys::timer_id(row).ok_or_else(|| StorageError::row("a timer"))?;
        if self.delivery.machine().handler(&timer.handler).is_none() {
            return Ok(self.durability.projection_mut().remove_timer(row.to_vec())?);
        }
        let kept =
            self.durability.projection_mut().timer(row)?.ok_or_else(|| StorageError::row("a timer without its row"))?;
        let Now { at_ms, wall_ms, .. } = self.time.now();
        let in_force = self.delivery.machine().handler(&timer.handler).filter(|view| view.version == kept.position);
        let manifest = in_force.map(|view| &**view.manifest);
        let firing = timers::firing(self.durability.reader(), (&timer, kind), kept, manifest, wall_ms)?;
        let firing = firing.ok_or(StorageError::Missing { what: "timer", position: kept.position })?;
        let timers::Firing { event, next_ms } = firing;
        self.stage(Record::Fired { timer, due_ms, next_ms, event, at_ms }).map(drop)
    }
}
