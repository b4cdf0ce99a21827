//! The world's clocks: a wall clock, which may be set, and a monotonic one.

use crate::Chance;

/// A day.
const LONG_MS: u64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorldClock {
    pub wall_ms: u64,
    pub monotonic_ms: u64,
}

impl WorldClock {
    pub const START: Self = Self { wall_ms: 2_000_000_000, monotonic_ms: 1_000 };

    pub fn pass(&mut self, ms: u64) {
        self.wall_ms = self.wall_ms.saturating_add(ms);
        self.monotonic_ms = self.monotonic_ms.saturating_add(ms);
    }

    /// The wall clock is set: by little or by much, forward or back.
    pub fn step(&mut self, chance: &mut Chance) {
        let by_ms = match chance.below(4) {
            0 => chance.below(2_000),
            1 => chance.below(60_000),
            2 => 3_600_000,
            _ => chance.below(LONG_MS),
        };
        self.wall_ms = match chance.one_in(2) {
            true => self.wall_ms.saturating_add(by_ms),
            false => self.wall_ms.saturating_sub(by_ms),
        };
    }

    /// The machine is switched off and on: some time passes, or it has no battery and starts in 1970 until its clock is set.
    pub fn restart(&mut self, chance: &mut Chance) {
        match chance.below(12) {
            0 => self.wall_ms = chance.below(LONG_MS),
            1 => self.wall_ms = self.wall_ms.max(Self::START.wall_ms),
            2 => self.step(chance),
            _ => {}
        }
        // Another process counts from another moment.
        self.monotonic_ms = chance.below(5_000);
    }
}
