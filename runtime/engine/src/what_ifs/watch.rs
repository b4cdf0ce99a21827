//! How far a replay is, and whether it is to end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

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
    pub executed: AtomicU64,
    /// Processor time that it has used, in milliseconds.
    pub cpu_ms: AtomicU64,
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
    cpu_ms_max: u64,
}

impl<'a> Bounded<'a> {
    pub fn new(watch: &'a Watch, request: &WhatIf) -> Self {
        let cpu_ms_max = request.bounds.cpu_seconds.saturating_mul(1_000);
        Self { watch, began_cpu_ms: cpu_ms(), cpu_ms_max }
    }
}

impl Progress for Bounded<'_> {
    fn go_on(&self, at: Position, executed: u64) -> Result<(), ReplayError> {
        if self.watch.is_cancelled() {
            return Err(ReplayError::Cancelled);
        }
        self.watch.at.store(at.0, Ordering::Relaxed);
        self.watch.executed.store(executed, Ordering::Relaxed);
        if !executed.is_multiple_of(LOOK_EVERY) && !at.0.is_multiple_of(1_024) {
            return Ok(());
        }
        let used_ms = cpu_ms().saturating_sub(self.began_cpu_ms);
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

/// The processor time of this thread.
fn cpu_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000)
}
