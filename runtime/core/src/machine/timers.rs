//! When the next timer is due, by the wall clock: as last read from the views, and as changed by records since.

use weirgate_types::{Deployed, Effects, Manifest};

use crate::schedule;

/// The due time of the next timer. It may be too early, after a timer was cancelled, but never too late.
#[derive(Debug, Default)]
pub struct Timers {
    next_due_ms: Option<u64>,
    /// The earliest of the timers set since the last durable moment: a read of the views may not find them yet.
    late_due_ms: Option<u64>,
}

impl Timers {
    pub fn next_due_ms(&self) -> Option<u64> {
        self.next_due_ms
    }

    pub fn set(&mut self, due_ms: u64) {
        for next in [&mut self.next_due_ms, &mut self.late_due_ms] {
            *next = Some(next.map_or(due_ms, |next| next.min(due_ms)));
        }
    }

    /// All timers that were set are readable in the views now.
    pub fn settled(&mut self) {
        self.late_due_ms = None;
    }

    /// The views were read: the first readable timer is due then.
    pub fn read(&mut self, next_due_ms: Option<u64>) {
        self.next_due_ms = next_due_ms.into_iter().chain(self.late_due_ms).min();
    }

    pub fn written(&mut self, effects: &Effects) {
        let set = effects.timers.iter().filter_map(|timer| timer.set.as_ref());
        set.for_each(|set| self.set(set.due_ms));
    }

    pub fn deployed(&mut self, deployed: &Deployed, manifest: &Manifest) {
        let due = manifest.schedules.iter().filter_map(|one| schedule::next_after(&one.cron, deployed.wall_ms));
        due.for_each(|due_ms| self.set(due_ms));
    }

    /// A timer fired. A schedule's timer is set again.
    pub fn fired(&mut self, next_ms: Option<u64>) {
        if let Some(due_ms) = next_ms {
            self.set(due_ms);
        }
    }
}
