//! How fast a handler may emit: a token bucket of one second. Knows counts and times only.

/// Number of events that a handler may still emit. The emissions of a call are known only when it ends, so the bucket may be
/// overdrawn; then no call begins until it is refilled.
#[derive(Debug, Clone)]
pub struct EmissionRate {
    per_second: u64,
    /// In thousandths of an event.
    level: i64,
    filled_at_ms: u64,
}

/// Refill rate in thousandths per millisecond: the same number as events per second.
const MILLI: i64 = 1_000;

impl EmissionRate {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), level: i64::from(per_second) * MILLI, filled_at_ms: 0 }
    }

    /// Sets another rate. An overdraft remains.
    pub fn change(&mut self, per_second: u32) {
        self.per_second = per_second.into();
        self.level = self.level.min(self.capacity());
    }

    /// Takes `events` tokens.
    pub fn spend(&mut self, events: usize) {
        let events = i64::try_from(events).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(events.saturating_mul(MILLI));
    }

    /// Whether a call may begin now.
    pub fn allows(&mut self, now_ms: u64) -> bool {
        self.fill(now_ms);
        self.level > 0
    }

    /// When a call may begin next, if none may begin as of the last refill.
    #[must_use]
    pub fn allows_at_ms(&self) -> Option<u64> {
        let missing = u64::try_from(MILLI.saturating_sub(self.level)).unwrap_or(0);
        (self.level <= 0).then(|| self.filled_at_ms.saturating_add(missing.div_ceil(self.per_second.max(1))))
    }

    fn fill(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.filled_at_ms);
        // Also after time went backwards: the refill restarts from the new time.
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
    fn one_second_of_events_passes_at_once_and_the_rate_applies_after() {
        let mut rate = EmissionRate::new(100);
        assert!(rate.allows(5_000));
        rate.spend(100);
        assert!(!rate.allows(5_000));
        assert_eq!(rate.allows_at_ms(), Some(5_010), "one event's worth");
        assert!(!rate.allows(5_000) && rate.allows(5_010));
        assert_eq!(rate.allows_at_ms(), None);
    }

    #[test]
    fn an_overdraft_delays_the_next_call() {
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
    fn a_clock_set_back_neither_fills_nor_blocks_the_bucket() {
        let mut rate = EmissionRate::new(10);
        assert!(rate.allows(1_000_000));
        rate.spend(10);
        assert!(!rate.allows(0), "the time before does not count");
        assert!(rate.allows(1));
    }
}
