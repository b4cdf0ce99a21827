//! How fast a handler may emit: a token bucket of one second. Knows counts and times.

/// Events that a handler may still emit. What a call emits is known when it has ended, so the bucket may be overdrawn; then
/// no call begins until it is filled again.
#[derive(Debug, Clone)]
pub struct EmissionRate {
    per_second: u64,
    /// In thousandths of an event.
    level: i64,
    filled_at_ms: u64,
}

/// Thousandths: an event a second is one of them a millisecond.
const MILLI: i64 = 1_000;

impl EmissionRate {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), level: i64::from(per_second) * MILLI, filled_at_ms: 0 }
    }

    /// Another rate from now on. What is overdrawn stays so.
    pub fn change(&mut self, per_second: u32) {
        self.per_second = per_second.into();
        self.level = self.level.min(self.capacity());
    }

    /// So many events were emitted.
    pub fn spend(&mut self, events: usize) {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(events.saturating_mul(MILLI));
    }

    /// Whether a call may begin now.
    pub fn allows(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level > 0
    }

    /// When a call may begin, where none may as of the last look.
    #[must_use]
    pub fn allows_at_ms(&self) -> Option<u64> {
        let missing = u64::try_from(MILLI.saturating_sub(self.level)).unwrap_or(0);
        (self.level <= 0).then(|| self.filled_at_ms.saturating_add(missing.div_ceil(self.per_second.max(1))))
    }

    fn fill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.filled_at_ms);
        // Also where time went backwards: from there on it is counted anew.
        self.filled_at_ms = now_ms;
        let added = i64::try_from(elapsed_ms.saturating_mul(self.per_second)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(added).min(self.capacity());
    }

    fn capacity(&self) -> i64 {
        i64::try_from(self.per_second).unwrap_or(i64::MAX).saturating_mul(MILLI)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_allows_a_second_at_once_and_the_rate_after_that() {
        let mut rate = EmissionRate::new(100);
        assert!(rate.allows(5_000));
        rate.spend(100);
        assert!(!rate.allows(5_000));
        assert_eq!(rate.allows_at_ms(), Some(5_010), "one event's worth");
        assert!(!rate.allows(5_000) && rate.allows(5_010));
        assert_eq!(rate.allows_at_ms(), None);
    }

    #[test]
    fn what_is_overdrawn_is_waited_for() {
        let mut rate = EmissionRate::new(10);
        assert!(rate.allows(0));
        rate.spend(1_010);
        assert!(!rate.allows(0));
        assert_eq!(rate.allows_at_ms(), Some(100_100));
        assert!(!rate.allows(100_000) && rate.allows(100_100));
        rate.spend(usize::MAX);
        assert!(!rate.allows(200_000) && rate.allows_at_ms().is_some());
    }

    #[test]
    fn a_clock_that_goes_back_neither_fills_nor_blocks_it() {
        let mut rate = EmissionRate::new(10);
        assert!(rate.allows(1_000_000));
        rate.spend(10);
        assert!(!rate.allows(0), "the time before does not count");
        assert!(rate.allows(1));
    }
}
