//! Clocks that a test sets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use weirgate_engine::Clock;

/// A wall clock, which may be set, and a monotonic one. Time passes only when the test says so: a sleep takes none.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    #[must_use]
    pub fn new(wall_ms: u64, monotonic_ms: u64) -> Self {
        Self { wall_ms: wall_ms.into(), monotonic_ms: monotonic_ms.into() }
    }

    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::Relaxed)
    }

    /// Sets the wall clock, forward or back.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::Relaxed);
    }

    /// Another process counts from another moment.
    pub fn set_monotonic_ms(&self, monotonic_ms: u64) {
        self.monotonic_ms.store(monotonic_ms, Ordering::Relaxed);
    }

    /// Time passes, on both clocks.
    pub fn pass(&self, ms: u64) {
        self.set_wall_ms(self.wall_ms().saturating_add(ms));
        self.set_monotonic_ms(self.monotonic_ms().saturating_add(ms));
    }
}

/// The same readings, independent from then on.
impl Clone for ManualClock {
    fn clone(&self) -> Self {
        Self::new(self.wall_ms(), self.monotonic_ms())
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.wall_ms()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms())
    }

    fn sleep_for(&self, _: Duration) -> Duration {
        Duration::ZERO
    }
}
