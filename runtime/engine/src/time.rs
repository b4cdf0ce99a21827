//! The writer's time: the times of records, delays and timers, and the report of a wall clock that was set.

use std::{sync::Arc, time::Duration};

use weirgate_core::{Now, Timekeeper};
use weirgate_types::Anchor;

use crate::{Clock, Metrics};

/// Two readings of different clocks belong to one moment if they are no further apart than this.
const READING: Duration = Duration::from_millis(10);
const READINGS_MAX: usize = 4;
/// A wall clock that is behind the log by less than this causes no warning.
const BEHIND_MS: u64 = 1_000;

pub struct Time {
    clock: Arc<dyn Clock>,
    keeper: Timekeeper,
    metrics: Arc<Metrics>,
}

impl Time {
    /// `last_at_ms` is the time of the log's last record.
    pub fn new(clock: Arc<dyn Clock>, metrics: Arc<Metrics>, last_at_ms: u64) -> Self {
        let (wall_ms, monotonic_ms) = read(&*clock);
        let behind_ms = last_at_ms.saturating_sub(wall_ms);
        if behind_ms >= BEHIND_MS {
            tracing::warn!(
                behind_ms,
                "the wall clock is behind the log's last record; records keep its time until then"
            );
        }
        Self { keeper: Timekeeper::new(last_at_ms, wall_ms, monotonic_ms), clock, metrics }
    }

    /// Recovery found the log's newest anchor.
    pub fn resume(&mut self, anchor: Anchor) {
        self.keeper.resume(anchor);
        self.look();
    }

    /// Reads the clocks. The time stays the same until the next read.
    pub fn look(&mut self) {
        let (wall_ms, monotonic_ms) = read(&*self.clock);
        let Some(step_ms) = self.keeper.read(wall_ms, monotonic_ms) else { return };
        tracing::warn!(step_ms, "the wall clock was set; delays are not affected");
        self.metrics.clock_stepped(step_ms);
    }

    pub fn now(&self) -> Now {
        self.keeper.now()
    }

    /// The time of records.
    pub fn at_ms(&self) -> u64 {
        self.now().at_ms
    }

    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    pub fn sleep_for(&self, time: Duration) -> Duration {
        self.clock.sleep_for(time)
    }

    /// The anchor to record before the next record, if one is needed.
    pub fn anchor_wanted(&self) -> Option<Anchor> {
        self.keeper.anchor_wanted()
    }

    pub fn anchored(&mut self, anchor: Anchor) {
        self.keeper.anchored(anchor);
    }
}

/// Reads both clocks at one moment. A thread that is interrupted between two readings reads again: otherwise its own pause
/// would look like a step of the wall clock.
fn read(clock: &dyn Clock) -> (u64, u64) {
    let mut reading = (0, 0);
    for _ in 0..READINGS_MAX {
        let before = clock.monotonic();
        let wall_ms = clock.now_ms();
        let after = clock.monotonic();
        reading = (wall_ms, u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        if after.saturating_sub(before) <= READING {
            break;
        }
    }
    reading
}
