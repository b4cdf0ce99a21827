//! The shell's reads for the machine: the log for lagging handlers, spilled lanes, due timers. It answers little at a time,
//! so that large reads take several answers.

use weirgate_core::{EventHead, Input, NextDue, ReloadedLane};
use weirgate_types::{DeliveryId, HandlerName, KeyHash, Position, Record, TimerId};

use super::{Shell, Stop};
use crate::{clients, schedules};

const SCAN_POSITIONS: u64 = 8;
const LANE_ROWS_MAX: usize = 3;
const DUE_LANES_MAX: usize = 2;
const TIMERS_MAX: usize = 2;

impl Shell {
    pub(super) fn scan(&mut self, handler: &HandlerName, after: Position, until: Position) {
        let end = |first: &Position, record: &Record| first.plus(record.width()).before();
        let from = self.records.partition_point(|(first, record)| end(first, record) <= after);
        let mut through = after;
        let mut events = Vec::new();
        // Records that are not durable cannot be read back yet.
        for (first, record) in self.records.get(from..self.durable).unwrap_or_default() {
            if *first > until || through.0 >= after.0 + SCAN_POSITIONS {
                break;
            }
            events.extend(EventHead::of(*first, record, weirgate_types::KeyHasher::default()));
            through = end(first, record);
        }
        self.tell(Input::Scanned { handler, events: &events, through });
    }

    pub(super) fn reload(&mut self, handler: &HandlerName, mut lanes: Vec<KeyHash>, due_ms: Option<u64>) {
        let due = due_ms.map(|now_ms| NextDue(self.due_lanes(handler, now_ms, &mut lanes)));
        lanes.sort_unstable();
        lanes.dedup();
        let batch = self.machine.handler(handler).and_then(|view| view.manifest.batch);
        let most = LANE_ROWS_MAX.next_multiple_of(batch.map_or(1, |batch| batch.events_max as usize));
        let reloaded: Vec<_> =
            lanes.into_iter().map(|lane| self.lane(handler, lane, Position(u64::MAX), most)).collect();
        self.tell(Input::Reloaded { handler, lanes: &reloaded, due });
    }

    /// Finds the due lanes, and when the next one is due.
    fn due_lanes(&self, handler: &HandlerName, now_ms: u64, lanes: &mut Vec<KeyHash>) -> Option<u64> {
        let leading = self.views.rows_of(handler).filter(|(_, row)| row.spilled && row.leads);
        let waiting = leading.filter_map(|(_, row)| row.phase.due().map(|(due_ms, _)| (due_ms, row.lane)));
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_unstable();
        let taken = waiting.iter().take_while(|(due_ms, _)| *due_ms <= now_ms).take(DUE_LANES_MAX).count();
        lanes.extend(waiting.iter().take(taken).map(|(_, lane)| *lane));
        waiting.get(taken).map(|(due_ms, _)| *due_ms)
    }

    fn lane(&self, handler: &HandlerName, lane: KeyHash, through: Position, most: usize) -> ReloadedLane {
        let next = self.views.next.get(&(handler.clone(), lane)).copied();
        let mut found = ReloadedLane { lane, rows: Vec::new(), more: false, next };
        let of_lane = self.views.rows_of(handler).filter(|(_, row)| row.spilled && row.lane == lane);
        let mut of_lane: Vec<_> = of_lane.collect();
        of_lane.sort_by_key(|(position, row)| row.rank(*position));
        let mut is_complete = false;
        for (position, row) in of_lane {
            if is_complete || found.rows.len() >= most {
                found.more = true;
                break;
            }
            is_complete = position == through;
            found.rows.push((position, row.clone()));
        }
        found
    }

    /// Reloads a delivery, if it is spilled. All written rows have to be readable, including those spilled in the last
    /// durable moment.
    pub fn reload_for(&mut self, delivery: &DeliveryId) -> Result<(), Stop> {
        self.views.write();
        let Some(row) = self.views.rows.get(delivery).filter(|row| row.spilled) else { return Ok(()) };
        let lane = self.lane(&delivery.handler, row.lane, delivery.position, usize::MAX - 1);
        self.feed(Input::Reloaded { handler: &delivery.handler, lanes: &[lane], due: None })
    }

    pub(super) fn fire_timers(&mut self, now_ms: u64) -> Result<(), Stop> {
        let facts = &self.views.facts;
        let timers = facts.timers.iter().map(|(timer, due_ms)| (*due_ms, timer.clone(), false));
        let schedules = facts.schedules.iter().map(|(timer, due_ms)| (due_ms, timer.clone(), true));
        let mut timers: Vec<_> = timers.chain(schedules).collect();
        timers.sort_unstable();
        let mut next_due_ms = None;
        for (fired, (due_ms, timer, is_schedule)) in timers.into_iter().enumerate() {
            if due_ms > now_ms || fired == TIMERS_MAX {
                next_due_ms = Some(due_ms);
                break;
            }
            self.fire(timer, due_ms, is_schedule)?;
        }
        self.feed(Input::TimersRead { next_due_ms })
    }

    fn fire(&mut self, timer: TimerId, due_ms: u64, is_schedule: bool) -> Result<(), Stop> {
        let id = format!("timer-{}-{}-{}-{}", timer.handler, timer.key, timer.name, self.head());
        let mut event = clients::event(&id, &timer.key, "timer.due");
        let mut next_ms = None;
        if is_schedule {
            event.source = format!("{}{}", schedules::SOURCE, timer.handler);
            next_ms = self.views.facts.schedules.again_ms(&timer, self.clock.wall_ms);
        }
        let at_ms = self.now_ms;
        self.record(Record::Fired { timer, due_ms, next_ms, event, at_ms }).map(drop)
    }
}
