//! What the engine holds in memory and when it wakes: memory is bounded, calls are full, no retry waits too long, and at rest
//! open deliveries wait where they can be seen.

use std::collections::BTreeMap;

use weirgate_engine::sim::Call;
use weirgate_types::{DeliveryId, HandlerName, Position};

use super::{History, Stop, unreadable};
use crate::{
    Rule,
    checks::{Life, check, index_of},
};

/// How much one scan, one reload and one record with several events may add to a handler's memory before it is checked
/// again.
const SLACK: usize = 48;

impl History<'_> {
    /// The checks get the clock readings of the engine.
    pub(super) fn see_clock(&mut self) {
        let clock = self.ground.clock();
        (self.checks.wall_ms, self.checks.monotonic_ms) = (clock.wall_ms(), clock.monotonic_ms());
    }

    /// Another process has started: the log holds all records seen before, and perhaps more, such as attempts that the dead
    /// process began by its own time.
    pub(super) fn see_restart(&mut self) -> Result<(), Stop> {
        self.see_clock();
        self.checks.restarted();
        let mut found = self.engine.log().clone().scan(Position(1));
        for (position, record) in &self.records {
            let read = found.next().transpose().map_err(unreadable)?;
            let is_it = read.is_some_and(|(at, read)| at == *position && read == *record);
            check(Rule::Acknowledged, is_it, || format!("the record at {position} differs"))?;
        }
        Ok(self.look()?)
    }

    pub(super) fn check_memory(&self) -> Result<(), Stop> {
        let limits = self.plan.limits;
        for (name, view) in self.engine.machine().handlers() {
            let (memory, most) = (view.open - view.spilled, limits.open_max + limits.active_max + SLACK);
            check(Rule::Bounded, memory <= most, || format!("{name} has {memory} in memory"))?;
        }
        Ok(())
    }

    /// No retry waits too long.
    pub(super) fn check_waits(&self) -> Result<(), Stop> {
        let wake_in_ms = self.engine.wake_in_ms();
        // Discarded attempts may hold all slots.
        let is_called = |name: &HandlerName| self.calls.iter().any(|call| call.handler() == name);
        let ready = self.engine.machine().handlers().filter(|(name, view)| view.ready && !is_called(name));
        for (name, view) in ready {
            self.checks.check_waits(index_of(name), view.scanned, wake_in_ms)?;
        }
        Ok(())
    }

    /// Of the calls of a handler that begin with the same commit, all but one hold the maximum number of fresh deliveries.
    pub(super) fn check_calls_are_full(&mut self, begun: &[Call]) -> Result<(), Stop> {
        let commits = self.engine.commits();
        let mut short = BTreeMap::new();
        for call in begun {
            let items: Vec<_> = call.items().collect();
            // Deliveries of one version may be behind those of another.
            let is_finishing = self.engine.machine().finishing().contains(call.handler());
            if is_finishing || !self.checks.is_short(call.handler(), &items) {
                continue;
            }
            let first = items.first().map_or(Position::ZERO, |(position, _)| *position);
            let delivery = DeliveryId { handler: call.handler().clone(), position: first };
            let begun_at = self.checks.item(&delivery).map_or(Position::ZERO, crate::checks::Item::begun_at);
            let commit = commits.partition_point(|head| *head < begun_at);
            let other = short.insert((call.handler(), commit), call);
            check(Rule::Batches, other.is_none(), || format!("{other:?} and {call:?} could be one call"))?;
        }
        Ok(())
    }

    /// Nothing is in flight: open deliveries wait for an operator, or behind one that does, and can be seen.
    pub(super) fn check_rest(&self) -> Result<(), Stop> {
        let (machine, rows) = (self.engine.machine(), self.engine.open_rows().map_err(unreadable)?);
        for (name, view) in machine.handlers() {
            let Some(watched) = self.checks.handlers.get(index_of(name)) else { continue };
            // Deliveries that may overtake each other stay in memory, and a handler whose memory is full scans no further.
            let is_full = watched.is_parallel() && view.open >= self.plan.limits.open_max;
            let may = is_full || view.scanned == self.checks.head;
            check(Rule::Liveness, may, || format!("{name} has looked at {} only", view.scanned))?;
            watched.no_correction_is_lost(view.scanned)?;
            for position in watched.open.range(..=view.scanned) {
                let delivery = DeliveryId { handler: name.clone(), position: *position };
                let is_seen = machine.is_open(&delivery) || rows.contains_key(&delivery);
                check(Rule::Liveness, is_seen, || format!("{delivery} is open and nowhere"))?;
                let stuck = watched.first_of_lane(*position);
                let stuck = stuck.filter(|life| !matches!(life, Life::AwaitingCorrection | Life::Held));
                check(Rule::Liveness, stuck.is_none(), || format!("{delivery} waits behind what is {stuck:?}"))?;
            }
            let (waiting, most) = (view.retrying + view.resting, self.plan.limits.waiting_max);
            let is_bounded = waiting <= most || watched.is_parallel();
            check(Rule::Bounded, is_bounded, || format!("{name}: {waiting} wait in memory, at most {most}"))?;
        }
        Ok(())
    }
}
