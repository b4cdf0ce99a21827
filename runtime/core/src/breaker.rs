//! A circuit breaker: stop calling what keeps failing, and let one call find out when it works again.
//!
//! It opens and closes by records alone; what it has counted since is its own, and may be lost.

use crate::bugs::bug;
use std::collections::VecDeque;

use weirgate_types::BreakerPolicy;

/// The window is counted in so many slices.
const SLICES: u64 = 10;

/// See the module.
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    /// The open one's end, and the how manieth opening in a row it is.
    open: Option<(u64, u32)>,
    /// It is about to open; the record that says so follows.
    opening: bool,
    slices: VecDeque<Slice>,
}

#[derive(Debug, Clone, Copy)]
struct Slice {
    number: u64,
    calls: u32,
    failures: u32,
}

/// What the breaker asks to be recorded.
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

    /// Take up where another left off, under a policy.
    #[must_use]
    pub fn resumed(policy: BreakerPolicy, open: Option<(u64, u32)>) -> Self {
        Self { open, ..Self::new(policy) }
    }

    #[must_use]
    pub fn open(&self) -> Option<(u64, u32)> {
        self.open
    }

    /// How many calls may be under way: as many as there are, none, or the one that finds out.
    #[must_use]
    pub fn calls_max(&self, now_ms: u64) -> usize {
        match self.open {
            _ if self.opening && !bug!(OpensLate) => 0,
            None => usize::MAX,
            Some((until_ms, _)) if bug!(ManyFindOut) && now_ms >= until_ms => usize::MAX,
            Some((until_ms, _)) => usize::from(now_ms >= until_ms || bug!(OpenLetsThrough)),
        }
    }

    /// It is to open: from now on nothing passes.
    pub fn begin_to_open(&mut self) {
        self.opening = true;
    }

    /// A call ended. What is to be recorded, where that changes something.
    pub fn count(&mut self, is_failure: bool, now_ms: u64) -> Option<Transition> {
        if self.opening {
            return None;
        }
        let transition = self.transition_after(is_failure, now_ms);
        self.opening = matches!(transition, Some(Transition::Open { .. }));
        transition
    }

    fn transition_after(&mut self, is_failure: bool, now_ms: u64) -> Option<Transition> {
        if let Some((until_ms, again)) = self.open {
            return match is_failure {
                // Those that were under way when it opened say nothing new.
                _ if now_ms < until_ms => None,
                false => Some(Transition::Close),
                true => Some(Transition::Open { open_ms: self.pause_ms(again) }),
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

    /// What was recorded.
    pub fn changed(&mut self, open_until_ms: Option<u64>) {
        self.opening = false;
        let again = self.open.map_or(0, |(_, again)| again);
        self.open = open_until_ms.map(|until_ms| (until_ms, again.saturating_add(1)));
        self.slices.clear();
    }

    fn is_too_much(&self) -> bool {
        let calls: u32 = self.slices.iter().map(|slice| slice.calls).sum();
        let failures: u32 = self.slices.iter().map(|slice| slice.failures).sum();
        calls >= self.policy.attempts_min && f64::from(failures) >= f64::from(calls) * self.policy.failure_ratio
    }

    /// How long it stays open after `again` openings in a row.
    fn pause_ms(&self, again: u32) -> u64 {
        let doubled = self.policy.open_ms.saturating_mul(1_u64.checked_shl(again).unwrap_or(u64::MAX));
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
    fn it_opens_when_enough_of_enough_failed() {
        let mut breaker = breaker();
        assert_eq!(count(&mut breaker, &[true, true, true], 10), None, "too few");
        assert_eq!(count(&mut breaker, &[false, false, false, false], 10), None);
        assert_eq!(breaker.count(true, 20), Some(Transition::Open { open_ms: 100 }), "four of eight");
    }

    #[test]
    fn what_is_old_does_not_count() {
        let mut breaker = breaker();
        count(&mut breaker, &[true, true, true], 0);
        assert_eq!(breaker.count(true, 1_000), None);
        assert_eq!(breaker.slices.len(), 1);
    }

    #[test]
    fn one_call_finds_out_and_failing_again_takes_longer() {
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
