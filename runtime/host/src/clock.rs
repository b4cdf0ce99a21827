//! The clocks that measure a call: this thread's CPU time and the machine's monotonic time.
//!
//! The only place of this crate that reads a clock. Knows no limit and no wall-clock time of day.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A reading of both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    thread_cpu: Duration,
    monotonic: Duration,
}

impl Reading {
    pub(crate) fn now() -> Self {
        Self { thread_cpu: read(ClockId::ThreadCPUTime), monotonic: read(ClockId::Monotonic) }
    }

    /// The CPU time that the calling thread has used since the reading, which it must have taken itself.
    pub(crate) fn cpu_since(self) -> Duration {
        read(ClockId::ThreadCPUTime).saturating_sub(self.thread_cpu)
    }

    pub(crate) fn wall_since(self) -> Duration {
        read(ClockId::Monotonic).saturating_sub(self.monotonic)
    }
}

/// A time limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    /// By the monotonic clock: reading the other one is a system call.
    begun: Duration,
    within: Duration,
}

impl Deadline {
    /// The limit starts now.
    pub(crate) fn within(within: Duration) -> Self {
        Self { begun: read(ClockId::Monotonic), within }
    }

    /// The remaining time, if it is at least a millisecond.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.within.saturating_sub(read(ClockId::Monotonic).saturating_sub(self.begun));
        (left >= Duration::from_millis(1)).then_some(left)
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Neither clock is negative; a value that does not fit would come from a broken kernel, and counts as zero.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
