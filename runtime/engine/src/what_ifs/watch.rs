//! How far a replay is, and whether it is to end.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::time::ClockId;
use weirgate_host::Processor;
use weirgate_types::Position;

use crate::replay::{Progress, ReplayError, WhatIf, cancellable};

/// Until the thread's processor time is looked at again, in executed deliveries.
const LOOK_EVERY: u64 = 64;

/// See the module documentation. Read by all who follow the replay.
#[derive(Debug, Default)]
pub struct Watch {
    pub from: AtomicU64,
    pub at: AtomicU64,
    /// Number of positions that were passed, of twice those of the range. It never falls.
    pub passed: AtomicU64,
    /// In both passes.
    pub executed: AtomicU64,
    /// Processor time that it has used, in milliseconds.
    pub cpu_ms: AtomicU64,
    /// How long it has run, in milliseconds: longer than that where other work comes first, or where its calls wait.
    pub elapsed_ms: AtomicU64,
    is_cancelled: Arc<AtomicBool>,
}

impl Watch {
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// A watched run with a limit of processor time.
pub struct Bounded<'a> {
    watch: &'a Watch,
    /// In milliseconds, of the running thread.
    began_cpu_ms: u64,
    began_ms: u64,
    cpu_ms_max: u64,
    /// The number of positions of the range.
    positions: u64,
    pass: Cell<Pass>,
}

/// A pass through the range: the second one looks at the receivers of changed events.
#[derive(Debug, Default, Clone, Copy)]
struct Pass {
    is_second: bool,
    at: Position,
    executed: u64,
    /// Number of deliveries that were executed in the first one.
    executed_before: u64,
}

impl Pass {
    /// Goes on; a position before the last one begins the second pass.
    fn go_on(self, at: Position, executed: u64) -> Self {
        match at < self.at && !self.is_second {
            true => Self { is_second: true, at, executed, executed_before: self.executed },
            false => Self { at, executed, ..self },
        }
    }
}

impl<'a> Bounded<'a> {
    pub fn new(watch: &'a Watch, request: &WhatIf) -> Self {
        let cpu_ms_max = request.bounds.cpu_seconds.saturating_mul(1_000);
        let positions = request.through.0.saturating_sub(watch.from.load(Ordering::Relaxed));
        let (began_cpu_ms, began_ms) = (now_ms(ClockId::ThreadCPUTime), now_ms(ClockId::Monotonic));
        Self { watch, began_cpu_ms, began_ms, cpu_ms_max, positions, pass: Cell::default() }
    }

    fn tell(&self, at: Position, executed: u64) {
        let pass = self.pass.get().go_on(at, executed);
        self.pass.set(pass);
        let passed = at.0.saturating_sub(self.watch.from.load(Ordering::Relaxed)).min(self.positions);
        let before = if pass.is_second { self.positions } else { 0 };
        self.watch.at.store(at.0, Ordering::Relaxed);
        // In a pass, events of the fork are behind the record that is looked at.
        self.watch.passed.fetch_max(before.saturating_add(passed), Ordering::Relaxed);
        self.watch.executed.fetch_max(pass.executed_before.saturating_add(executed), Ordering::Relaxed);
    }
}

impl Progress for Bounded<'_> {
    fn go_on(&self, at: Position, executed: u64) -> Result<(), ReplayError> {
        if self.watch.is_cancelled() {
            return Err(ReplayError::Cancelled);
        }
        self.tell(at, executed);
        self.watch.elapsed_ms.store(now_ms(ClockId::Monotonic).saturating_sub(self.began_ms), Ordering::Relaxed);
        if !executed.is_multiple_of(LOOK_EVERY) && !at.0.is_multiple_of(1_024) {
            return Ok(());
        }
        let used_ms = now_ms(ClockId::ThreadCPUTime).saturating_sub(self.began_cpu_ms);
        self.watch.cpu_ms.store(used_ms, Ordering::Relaxed);
        match used_ms > self.cpu_ms_max {
            true => Err(ReplayError::Bound("cpu_seconds")),
            false => Ok(()),
        }
    }

    fn processor(&self) -> Arc<dyn Processor> {
        cancellable(&self.watch.is_cancelled)
    }
}

/// The time of a clock, in milliseconds.
fn now_ms(clock: ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::what_ifs::tests::request;

    #[test]
    fn progress_never_goes_back() {
        let watch = Watch::default();
        watch.from.store(100, Ordering::Relaxed);
        let through = Position(200);
        let request = WhatIf { through, ..request() };
        let bounded = Bounded::new(&watch, &request);
        let mut told = Vec::new();
        for (at, executed) in [(101, 0), (150, 30), (189, 36), (189, 36), (101, 0), (160, 10), (155, 11), (200, 12)] {
            bounded.go_on(Position(at), executed).expect("no limit is reached");
            told.push([&watch.passed, &watch.executed].map(|value| value.load(Ordering::Relaxed)));
        }
        assert!(told.is_sorted_by(|one, next| one[0] <= next[0] && one[1] <= next[1]), "{told:?}");
        assert_eq!(told.last(), Some(&[200, 48]), "both passes are counted");
    }
}
