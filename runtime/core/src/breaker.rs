//! A circuit breaker: stops calls that keep failing, and lets one half-open probe test whether to close it.
//!
//! It opens and closes only by records; the counts of its window are not recorded and may be lost in a restart.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use weirgate_types::BreakerPolicy;

/// Number of slices of the counting window.
const SLICES: u64 = 10;

/// The current open time of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenPeriod {
    /// When it ends, in elapsed milliseconds. From then on one probe may pass.
    pub until_ms: u64,
    /// Number of consecutive openings, this one included.
    pub openings: u32,
}

/// A circuit breaker; see the module documentation.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    open: Option<OpenPeriod>,
    /// About to open; the record of it follows.
    opening: bool,
    slices: VecDeque<Slice>,
}

#[derive(Debug, Clone, Copy)]
struct Slice {
    number: u64,
    calls: u32,
    failures: u32,
}

/// A state change that the breaker wants recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Open { open_ms: u64 },
    Close,
}

impl Breaker {
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, open: None, opening: false, slices: VecDeque::new() }
    }

    /// A breaker restored from its recorded state, under a policy.
    #[must_use]
    pub fn resumed(policy: BreakerPolicy, open: Option<OpenPeriod>) -> Self {
        Self { open, ..Self::new(policy) }
    }

    #[must_use]
    pub fn open(&self) -> Option<OpenPeriod> {
        self.open
    }

    /// Number of calls that may be in flight: no limit when closed, none when open, one (the probe) when half-open.
    #[must_use]
    pub fn calls_max(&self, now_ms: u64) -> usize {
        match self.open {
            _ if self.opening => 0,
            None => usize::MAX,
            Some(open) => usize::from(now_ms >= open.until_ms),
        }
    }

    /// The breaker is going to open: no call passes from now on.
    pub fn begin_to_open(&mut self) {
        self.opening = true;
    }

    /// A call ended. Returns the transition to record, if any.
    pub fn count(&mut self, is_failure: bool, now_ms: u64) -> Option<Transition> {
        if self.opening {
            return None;
        }
        let transition = self.transition_after(is_failure, now_ms);
        self.opening = matches!(transition, Some(Transition::Open { .. }));
        transition
    }

    fn transition_after(&mut self, is_failure: bool, now_ms: u64) -> Option<Transition> {
        if let Some(OpenPeriod { until_ms, openings }) = self.open {
            return match is_failure {
                // Calls that were in flight when it opened are not counted.
                _ if now_ms < until_ms => None,
                false => Some(Transition::Close),
                true => Some(Transition::Open { open_ms: self.pause_ms(openings) }),
            };
        }
        let slice_ms = (self.policy.window_ms / SLICES).max(1);
        let number = now_ms / slice_ms;
        self.slices.retain(|slice| slice.number <= number && number - slice.number < SLICES);
        if self.slices.back().is_none_or(|slice| slice.number != number) {
            self.slices.push_back(Slice { number, calls: 0, failures: 0 });
        }
        if let Some(slice) = self.slices.back_mut() {
            slice.calls += 1;
            slice.failures += u32::from(is_failure);
        }
        let is_too_much = is_failure && self.is_too_much();
        is_too_much.then(|| Transition::Open { open_ms: self.pause_ms(0) })
    }

    /// A transition was recorded.
    pub fn changed(&mut self, open_until_ms: Option<u64>) {
        self.opening = false;
        let openings = self.open.map_or(0, |open| open.openings).saturating_add(1);
        self.open = open_until_ms.map(|until_ms| OpenPeriod { until_ms, openings });
        self.slices.clear();
    }

    fn is_too_much(&self) -> bool {
        let calls: u32 = self.slices.iter().map(|slice| slice.calls).sum();
        let failures: u32 = self.slices.iter().map(|slice| slice.failures).sum();
        calls >= self.policy.attempts_min && f64::from(failures) >= f64::from(calls) * self.policy.failure_ratio
    }

    /// How long it stays open, given the number of consecutive openings before.
    fn pause_ms(&self, openings: u32) -> u64 {
        let doubled = self.policy.open_ms.saturating_mul(1_u64.checked_shl(openings).unwrap_or(u64::MAX));
        doubled.min(self.policy.open_ms_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerPolicy {
            window_ms: 1_000,
            attempts_min: 4,
            failure_ratio: 0.5,
            open_ms: 100,
            open_ms_max: 300,
        })
    }

    fn count(breaker: &mut Breaker, results: &[bool], now_ms: u64) -> Option<Transition> {
        results.iter().fold(None, |_, is_failure| breaker.count(*is_failure, now_ms))
    }

    #[test]
    fn a_breaker_opens_at_its_failure_rate_and_minimum_calls() {
        let mut breaker = breaker();
        assert_eq!(count(&mut breaker, &[true, true, true], 10), None, "too few");
        assert_eq!(count(&mut breaker, &[false, false, false, false], 10), None);
        assert_eq!(breaker.count(true, 20), Some(Transition::Open { open_ms: 100 }), "four of eight");
    }

    #[test]
    fn calls_older_than_the_window_are_not_counted() {
        let mut breaker = breaker();
        count(&mut breaker, &[true, true, true], 0);
        assert_eq!(breaker.count(true, 1_000), None);
        assert_eq!(breaker.slices.len(), 1);
    }

    #[test]
    fn one_half_open_probe_passes_and_its_failure_doubles_the_open_time() {
        let mut breaker = breaker();
        breaker.changed(Some(100));
        assert_eq!([99, 100].map(|now_ms| breaker.calls_max(now_ms)), [0, 1]);
        assert_eq!([true, false].map(|is_failure| breaker.count(is_failure, 99)), [None; 2], "it was under way");
        for (now_ms, open_ms) in [(100, 200), (300, 300), (600, 300)] {
            assert_eq!(breaker.count(true, now_ms), Some(Transition::Open { open_ms }));
            breaker.changed(Some(now_ms + open_ms));
        }
        assert_eq!(breaker.count(false, 900), Some(Transition::Close));
        breaker.changed(None);
        assert_eq!((breaker.open(), breaker.calls_max(900)), (None, usize::MAX));
    }
}
