//! The writer's way to the disk for the machine: spilled lanes, and timers that are due.

use weirgate_core::{DeliveryRow, Input, NextDue, Now, ReloadedLane};
use weirgate_types::{DeliveryId, HandlerName, KeyHash, Position, Record};

use super::{Exit, Writer};
use crate::{StorageError, keys, timers};

/// How many deliveries of a lane are reloaded at once.
const LANE_ROWS_MAX: usize = 64;
/// How many that are due are reloaded at once, of each retry stage.
const STAGE_DUE_MAX: usize = 64;
/// How many retry stages a manifest can have.
const STAGES: u8 = 8;
/// How many timers go off in one step.
const TIMERS_MAX: usize = 128;
/// A timer that goes off reads its row and its record, and writes another.
const TIMER_WORK: usize = 8;

impl Writer {
    pub(super) fn reload(
        &mut self,
        handler: &HandlerName,
        mut lanes: Vec<KeyHash>,
        due_ms: Option<u64>,
    ) -> Result<(), Exit> {
        let due = due_ms.map(|now_ms| self.reload_due(handler, now_ms, &mut lanes)).transpose()?;
        lanes.sort_unstable();
        lanes.dedup();
        // Full calls, where the handler takes several deliveries in one.
        let batch = self.machine.handler(handler).and_then(|view| view.manifest.batch);
        let most = LANE_ROWS_MAX.next_multiple_of(batch.map_or(1, |batch| batch.events_max.max(1) as usize));
        let lanes = lanes.into_iter().map(|lane| self.lane(handler, lane, Position(u64::MAX), most));
        let lanes = lanes.collect::<Result<Vec<_>, Exit>>()?;
        self.budget.spend(lanes.iter().map(|lane| 1 + lane.rows.len()).sum());
        self.tell(Input::Reloaded { handler, lanes: &lanes, due });
        Ok(())
    }

    /// Find the lanes that are due, stage by stage, and when the next one is.
    fn reload_due(&self, handler: &HandlerName, now_ms: u64, lanes: &mut Vec<KeyHash>) -> Result<NextDue, Exit> {
        let mut next_due_ms = None::<u64>;
        for stage in 0..STAGES {
            let queue = self.views.scan(&keys::queue(handler, stage), None, STAGE_DUE_MAX + 1)?;
            for (taken, (key, value)) in queue.iter().enumerate() {
                let due_ms = keys::queued_due_ms(key).ok_or_else(|| StorageError::row("when a delivery is due"))?;
                if due_ms > now_ms || taken == STAGE_DUE_MAX {
                    next_due_ms = Some(next_due_ms.map_or(due_ms, |next| next.min(due_ms)));
                    break;
                }
                lanes.push(keys::value_lane(value).ok_or_else(|| StorageError::row("a lane"))?);
            }
        }
        Ok(NextDue(next_due_ms))
    }

    /// The deliveries of a spilled lane, up to one of them.
    fn lane(&self, handler: &HandlerName, lane: KeyHash, through: Position, most: usize) -> Result<ReloadedLane, Exit> {
        let next = self.views.get(&keys::next_number(handler, lane))?;
        let next =
            next.map(|value| keys::value_number(&value).ok_or_else(|| StorageError::row("a number"))).transpose()?;
        let mut found = ReloadedLane { lane, rows: Vec::new(), more: false, next };
        let mut is_complete = false;
        for key in self.views.scan_keys(&keys::spilled_lane(handler, lane), None, most.saturating_add(1))? {
            let position = keys::last_position(&key).ok_or_else(|| StorageError::row("a lane's row"))?;
            if is_complete || found.rows.len() >= most {
                found.more = true;
                break;
            }
            is_complete = position == through;
            let delivery = DeliveryId { handler: handler.clone(), position };
            if let Some(row) = self.kept_row(&delivery)? {
                found.rows.push((position, row));
            }
        }
        Ok(found)
    }

    pub(super) fn kept_row(&self, delivery: &DeliveryId) -> Result<Option<DeliveryRow>, Exit> {
        let value = self.views.get(&keys::delivery(delivery))?;
        let row =
            value.map(|value| postcard::from_bytes(&value).map_err(StorageError::undecodable("a delivery's row")));
        Ok(row.transpose()?)
    }

    /// Bring a delivery into memory, where it is spilled: a record about it follows. All that was
    /// written has to be readable.
    pub fn reload_for(&mut self, delivery: &DeliveryId) -> Result<(), Exit> {
        let Some(row) = self.kept_row(delivery)?.filter(|row| row.spilled) else { return Ok(()) };
        let lane = self.lane(&delivery.handler, row.lane, delivery.position, usize::MAX - 1)?;
        self.feed(Input::Reloaded { handler: &delivery.handler, lanes: &[lane], due: None })
    }

    /// Let the timers go off that are due.
    pub(super) fn fire_timers(&mut self, now_ms: u64) -> Result<(), Exit> {
        let mut next_due_ms = None;
        let timers = self.projection.scan_keys(keys::TIMERS_BY_TIME, TIMERS_MAX + 1)?;
        for (fired, key) in timers.iter().enumerate() {
            let (due_ms, row) = keys::timer_of(key).ok_or_else(|| StorageError::row("a timer's row"))?;
            if due_ms > now_ms || fired == TIMERS_MAX {
                next_due_ms = Some(due_ms);
                break;
            }
            self.fire(due_ms, row)?;
            self.budget.spend(TIMER_WORK);
        }
        self.feed(Input::TimersRead { next_due_ms })
    }

    fn fire(&mut self, due_ms: u64, row: &[u8]) -> Result<(), Exit> {
        let (timer, kind) = keys::timer_id(row).ok_or_else(|| StorageError::row("a timer"))?;
        let kept = self.projection.timer(row)?.ok_or_else(|| StorageError::row("a timer without its row"))?;
        let Now { at_ms, wall_ms, .. } = self.time.now();
        let firing = timers::firing(&self.reader, &timer, kind, kept, wall_ms)?;
        let firing = firing.ok_or(StorageError::Missing { what: "timer", position: kept.position })?;
        let timers::Firing { event, next_ms } = firing;
        self.stage(Record::Fired { timer, due_ms, next_ms, event, at_ms }).map(drop)
    }
}
