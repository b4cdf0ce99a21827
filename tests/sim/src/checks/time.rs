//! Time: that of records never decreases, and delays last as long as they should, by a clock that cannot be set.

use weirgate_types::{Mode, Position, Record};

use super::{Checked, Checks, Life, Rule, Watched, check};
use crate::Order;

/// Maximum difference between record time and elapsed time before the log records it.
pub const SLACK_MS: u64 = 100;

impl Checks {
    /// The elapsed time of a record.
    pub(super) fn elapsed_ms(&self, at_ms: u64) -> u64 {
        self.anchor.elapsed_ms_at(at_ms)
    }

    pub(super) fn check_time(&mut self, record: &Record) -> Checked {
        let (at_ms, latest_at_ms) = (record.at_ms(), self.latest_at_ms);
        self.latest_at_ms = at_ms;
        check(Rule::Time, at_ms >= latest_at_ms, || format!("{at_ms} follows {latest_at_ms}: {record:?}"))
    }

    /// Another process continues the waits: each for at most its remaining time, from now on.
    pub fn restarted(&mut self) {
        for item in self.handlers.iter_mut().flat_map(|watched| watched.items.values_mut()) {
            item.wait_until_ms = self.monotonic_ms.saturating_add(item.wait_ms);
        }
    }

    /// A retry that nothing else blocks is not delayed beyond its time. `scanned` and `is_idle` are of the handler at
    /// `index`; `wake_in_ms` is when the machine looks again.
    ///
    /// # Errors
    /// It is.
    pub fn check_waits(&self, index: usize, scanned: Position, wake_in_ms: Option<u64>) -> Checked {
        let Some(watched) = self.handlers.get(index) else { return Ok(()) };
        if watched.mode != Mode::Running || watched.breaker_open_until_ms.is_some() || watched.running > 0 {
            return Ok(());
        }
        for position in watched.open.range(..=scanned) {
            let Some(item) = watched.items.get(position) else { continue };
            let is_on_hold = self.on_hold.contains_key(&(index, item.key));
            if !matches!(item.life, Life::Retrying { .. }) || !watched.is_first(*position) || is_on_hold {
                continue;
            }
            let wakes_at_ms = wake_in_ms.map(|in_ms| self.monotonic_ms.saturating_add(in_ms));
            let until_ms = item.wait_until_ms.max(self.monotonic_ms) + SLACK_MS;
            check(Rule::Time, wakes_at_ms.is_some_and(|at_ms| at_ms <= until_ms), || {
                format!("{position} of handler {index} waits until {until_ms}, the machine until {wakes_at_ms:?}")
            })?;
        }
        Ok(())
    }
}

impl Watched {
    fn is_first(&self, position: Position) -> bool {
        let Some(item) = self.items.get(&position) else { return false };
        let mut others = self.open.iter().filter_map(|other| Some((*other, self.items.get(other)?)));
        match self.kind.order {
            Order::None { .. } => true,
            Order::Key => others.find(|(_, other)| other.key == item.key).is_some_and(|(first, _)| first == position),
            Order::Handler => others.next().is_some_and(|(first, _)| first == position),
        }
    }
}
