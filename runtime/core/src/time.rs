//! Time as records, delays and timers use it, derived from a wall clock that may step and a monotonic clock that does not.
//!
//! Pure: readings of both clocks are inputs. The result has three scales, see [`Now`].

use serde::{Deserialize, Serialize};
use weirgate_types::{Anchor, Position};

/// A difference above this, in milliseconds, between wall clock and monotonic clock means that the wall clock was set.
const STEP_MS: u64 = 1_000;
/// Maximum difference, in milliseconds, between record time and elapsed time before the log records it.
const TOLERANCE_MS: u64 = 50;

/// A moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For records: the wall clock, but never less than the record before.
    pub at_ms: u64,
    /// For delays, gaps and breakers: advances with the monotonic clock, whatever the wall clock does, and continues across
    /// restarts.
    pub elapsed_ms: u64,
    /// For timers, schedules and people: the wall clock, Unix time in milliseconds.
    pub wall_ms: u64,
}

impl Now {
    /// The wall clock at a moment of elapsed time, if it is not set meanwhile.
    #[must_use]
    pub fn wall_at(self, elapsed_ms: u64) -> u64 {
        self.wall_ms.saturating_add(elapsed_ms).saturating_sub(self.elapsed_ms)
    }
}

/// All three scales agree.
impl From<u64> for Now {
    fn from(ms: u64) -> Self {
        Self { at_ms: ms, elapsed_ms: ms, wall_ms: ms }
    }
}

/// How record time maps to elapsed time, and from which position on.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchors(Vec<(Position, Anchor)>);

impl Anchors {
    /// Number of newest anchors kept. An event before all of them is treated as slightly older than it is.
    const MAX: usize = 96;

    pub fn push(&mut self, position: Position, anchor: Anchor) {
        self.0.push((position, anchor));
        if self.0.len() > Self::MAX {
            self.0.remove(0);
        }
    }

    /// Record time and elapsed time are equal throughout.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn newest(&self) -> Anchor {
        self.0.last().map_or_else(Anchor::default, |(_, anchor)| *anchor)
    }

    /// The elapsed time of a record.
    #[must_use]
    pub fn elapsed_ms(&self, position: Position, at_ms: u64) -> u64 {
        let in_force = self.0.iter().rfind(|(from, _)| *from <= position);
        let oldest = self.0.first().filter(|_| self.0.len() == Self::MAX);
        in_force.or(oldest).map_or(at_ms, |(_, anchor)| anchor.elapsed_ms_at(at_ms))
    }
}

/// Computes [`Now`] from clock readings.
#[derive(Debug, Clone)]
pub struct Timekeeper {
    /// The present mapping from record time to elapsed time.
    anchor: Anchor,
    /// The monotonic clock's reading at a moment of elapsed time.
    origin: (u64, u64),
    latest: Now,
    monotonic_ms: u64,
}

impl Timekeeper {
    /// `last_at_ms` is the time of the log's last record.
    #[must_use]
    pub fn new(last_at_ms: u64, wall_ms: u64, monotonic_ms: u64) -> Self {
        let at_ms = wall_ms.max(last_at_ms);
        let latest = Now { at_ms, elapsed_ms: at_ms, wall_ms };
        Self { anchor: Anchor::default(), origin: (monotonic_ms, at_ms), latest, monotonic_ms }
    }

    /// Recovery found the log's newest anchor; elapsed time continues from there.
    pub fn resume(&mut self, anchor: Anchor) {
        self.anchor = anchor;
        self.latest.elapsed_ms = anchor.elapsed_ms_at(self.latest.at_ms);
        self.origin = (self.monotonic_ms, self.latest.elapsed_ms);
    }

    /// Takes a reading of both clocks. Returns by how many milliseconds the wall clock was set since the last reading, if it
    /// was.
    pub fn read(&mut self, wall_ms: u64, monotonic_ms: u64) -> Option<i64> {
        let passed_ms = monotonic_ms.saturating_sub(self.monotonic_ms);
        let expected_ms = self.latest.wall_ms.saturating_add(passed_ms);
        let at_ms = self.latest.at_ms.max(wall_ms);
        let elapsed_ms = self.elapsed_ms(at_ms, monotonic_ms).max(self.latest.elapsed_ms);
        self.latest = Now { at_ms, elapsed_ms, wall_ms };
        self.monotonic_ms = self.monotonic_ms.max(monotonic_ms);
        let is_step = wall_ms.abs_diff(expected_ms) >= STEP_MS;
        is_step.then(|| i64::try_from(i128::from(wall_ms) - i128::from(expected_ms)).unwrap_or(i64::MAX))
    }

    fn elapsed_ms(&self, at_ms: u64, monotonic_ms: u64) -> u64 {
        let (origin_monotonic_ms, origin_elapsed_ms) = self.origin;
        let elapsed_ms = origin_elapsed_ms.saturating_add(monotonic_ms.saturating_sub(origin_monotonic_ms));
        let recorded_ms = self.anchor.elapsed_ms_at(at_ms);
        if recorded_ms.abs_diff(elapsed_ms) <= TOLERANCE_MS { recorded_ms } else { elapsed_ms }
    }

    #[must_use]
    pub fn now(&self) -> Now {
        self.latest
    }

    /// The anchor to record before the next record, if that record's time would map to another elapsed time.
    #[must_use]
    pub fn anchor_wanted(&self) -> Option<Anchor> {
        let Now { at_ms, elapsed_ms, .. } = self.latest;
        let is_off = self.anchor.elapsed_ms_at(at_ms).abs_diff(elapsed_ms) > TOLERANCE_MS;
        is_off.then_some(Anchor { at_ms, elapsed_ms })
    }

    /// The log has an anchor.
    pub fn anchored(&mut self, anchor: Anchor) {
        self.anchor = anchor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 100_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn keeper() -> Timekeeper {
        Timekeeper::new(0, START_MS, 500)
    }

    /// The effect of an appended record.
    fn stage(keeper: &mut Timekeeper) -> bool {
        let wanted = keeper.anchor_wanted();
        if let Some(anchor) = wanted {
            keeper.anchored(anchor);
        }
        wanted.is_some()
    }

    #[test]
    fn without_a_step_all_scales_agree() {
        let mut keeper = keeper();
        for passed_ms in [0, 1, 40, 60_000, HOUR_MS] {
            assert_eq!(keeper.read(START_MS + passed_ms, 500 + passed_ms), None);
            assert_eq!(keeper.now(), Now::from(START_MS + passed_ms));
            assert!(!stage(&mut keeper));
        }
    }

    #[test]
    fn after_a_step_back_record_time_pauses_and_delays_continue() {
        let mut keeper = keeper();
        assert_eq!(keeper.read(START_MS - HOUR_MS + 10, 510), Some(-3_600_000));
        for passed_ms in [100, 5_000, 10_000] {
            assert_eq!(keeper.read(START_MS - HOUR_MS + passed_ms, 500 + passed_ms), None);
            let Now { at_ms, elapsed_ms, wall_ms } = keeper.now();
            assert_eq!((at_ms, elapsed_ms), (START_MS, START_MS + passed_ms));
            assert_eq!(wall_ms, START_MS - HOUR_MS + passed_ms);
            assert!(stage(&mut keeper));
        }
        keeper.read(START_MS + 20_000, 500 + HOUR_MS + 20_000);
        assert_eq!(keeper.now().at_ms, START_MS + 20_000, "the wall clock has caught up");
        assert_eq!(keeper.now().elapsed_ms, START_MS + HOUR_MS + 20_000);
    }

    #[test]
    fn after_a_step_forward_delays_do_not_jump() {
        let mut keeper = keeper();
        assert_eq!(keeper.read(START_MS + HOUR_MS + 10, 510), Some(3_600_000));
        let Now { at_ms, elapsed_ms, .. } = keeper.now();
        assert_eq!((at_ms, elapsed_ms), (START_MS + HOUR_MS + 10, START_MS + 10));
        assert!(stage(&mut keeper));
        keeper.read(START_MS + HOUR_MS + 900, 1_400);
        assert_eq!(keeper.now().elapsed_ms, START_MS + 900);
        assert!(!stage(&mut keeper));
    }

    #[test]
    fn a_restart_continues_from_the_last_record_at_any_wall_clock() {
        let year_ms = 365 * 24 * HOUR_MS;
        let anchor = Anchor { at_ms: 9 * year_ms, elapsed_ms: 2 * year_ms };
        for (wall_ms, at_ms) in [(0, 10 * year_ms), (9 * year_ms, 10 * year_ms), (11 * year_ms, 11 * year_ms)] {
            let mut keeper = Timekeeper::new(10 * year_ms, wall_ms, 0);
            keeper.resume(anchor);
            assert_eq!(keeper.read(wall_ms + 70, 70), None);
            let now = keeper.now();
            assert_eq!((now.at_ms, now.elapsed_ms), (at_ms.max(wall_ms + 70), at_ms - 7 * year_ms + 70));
        }
    }

    #[test]
    fn elapsed_time_never_falls() {
        let (mut keeper, mut wall_ms, mut latest) = (keeper(), START_MS, Now::default());
        for (index, monotonic_ms) in (500..20_000).step_by(37).enumerate() {
            wall_ms = if index % 3 == 0 { wall_ms - 91 } else { wall_ms + 113 };
            keeper.read(wall_ms, monotonic_ms);
            let now = keeper.now();
            assert!(now.elapsed_ms >= latest.elapsed_ms && now.at_ms >= latest.at_ms, "{now:?} after {latest:?}");
            latest = now;
            stage(&mut keeper);
        }
        assert!(latest.elapsed_ms.abs_diff(START_MS + 19_500) < 200, "{latest:?}");
    }
}
