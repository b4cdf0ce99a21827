//! Which events were sent, and which are done. Judges a run: reports lost events and events counted twice. Knows no network.
//!
//! A status names the event that it is about. Since a key's events are handled in order, it closes all earlier ones of the
//! key too: a status that was replaced before it could be pushed is no loss.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Notify;

/// The data of a pushed status: the event, and how many events the handler has counted for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Seen {
    pub seq: u64,
    pub count: u64,
}

pub struct Ledger {
    // A plain lock: only one thread uses it, and never holds it while waiting.
    inner: Mutex<Inner>,
    // Only the driven load waits for it.
    changed: Notify,
}

struct Inner {
    /// The seq of the first of `events`: earlier ones were forgotten.
    first: usize,
    /// By seq: when it was (to be) sent, and when it was done.
    events: Vec<(Instant, Option<Instant>)>,
    keys: Vec<Key>,
    open: usize,
}

#[derive(Default, Clone)]
struct Key {
    open: VecDeque<u64>,
    sent: u64,
    counted: u64,
}

impl Ledger {
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let inner = Inner { first: 0, events: Vec::new(), keys: vec![Key::default(); keys], open: 0 };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    #[must_use]
    pub fn keys(&self) -> usize {
        self.inner.lock().keys.len()
    }

    /// Adds the next event: its seq and its key. Successive events have different keys, as in the peers' harness.
    pub fn send(&self, at: Instant) -> (u64, usize) {
        let mut inner = self.inner.lock();
        let number = inner.first + inner.events.len();
        let seq = number as u64;
        let key = number.wrapping_mul(7_919) % inner.keys.len().max(1);
        inner.events.push((at, None));
        inner.open += 1;
        if let Some(key) = inner.keys.get_mut(key) {
            key.open.push_back(seq);
            key.sent += 1;
        }
        (seq, key)
    }

    /// Adds a pushed status.
    pub fn see(&self, key: usize, seen: Seen, at: Instant) {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let Some(key) = inner.keys.get_mut(key) else { return };
        key.counted = key.counted.max(seen.count);
        while let Some(seq) = key.open.front().copied().filter(|seq| *seq <= seen.seq) {
            key.open.pop_front();
            inner.open -= 1;
            let index = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(inner.first));
            if let Some((_, done)) = index.and_then(|index| inner.events.get_mut(index)) {
                *done = Some(at);
            }
        }
        drop(guard);
        self.changed.notify_one();
    }

    /// Waits until at most `most` events are open. For one waiter at a time.
    pub async fn open_at_most(&self, most: usize) {
        while self.inner.lock().open > most {
            self.changed.notified().await;
        }
    }

    /// The seq of the next event.
    pub fn next(&self) -> usize {
        let inner = self.inner.lock();
        inner.first + inner.events.len()
    }

    /// Forgets the times of all events, so that a long run takes no memory for them. What each key has counted is kept.
    pub fn forget(&self) {
        let mut inner = self.inner.lock();
        inner.first += std::mem::take(&mut inner.events).len();
    }

    /// The durations from sending to completion of the events of `range`, sorted. Open and forgotten ones are left out.
    pub fn latencies(&self, range: Range<usize>) -> Vec<Duration> {
        let inner = self.inner.lock();
        let index = |seq: usize| seq.saturating_sub(inner.first);
        let events = inner.events.get(index(range.start)..index(range.end)).unwrap_or_default();
        let done = events.iter().filter_map(|(sent, done)| Some(done.as_ref()?.saturating_duration_since(*sent)));
        let mut latencies: Vec<_> = done.collect();
        latencies.sort_unstable();
        latencies
    }

    /// Checks that every sent event was counted once.
    ///
    /// # Errors
    /// A description of the first key for which that is not so.
    pub fn check(&self) -> Result<()> {
        let inner = self.inner.lock();
        for (number, key) in inner.keys.iter().enumerate() {
            let (sent, counted, open) = (key.sent, key.counted, key.open.len());
            ensure!(sent == counted, "order/o-{number} was sent {sent} events and has counted {counted}");
            ensure!(open == 0, "{open} events of order/o-{number} are not done");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_status_closes_earlier_events() {
        let ledger = Ledger::new(2);
        let start = clock::now();
        for n in 0..4 {
            ledger.send(start + Duration::from_millis(n));
        }
        // 7919 is odd, so two keys alternate: seq 0 and 2 have key 0.
        ledger.see(0, Seen { seq: 2, count: 2 }, start + Duration::from_millis(10));
        assert_eq!(ledger.latencies(0..4), [Duration::from_millis(8), Duration::from_millis(10)]);
        assert!(ledger.check().expect_err("key 1 is open").to_string().contains("order/o-1 was sent 2"));
        ledger.see(1, Seen { seq: 3, count: 2 }, start + Duration::from_millis(10));
        ledger.check().expect("all is done");
        assert_eq!(ledger.latencies(2..4).len(), 2);
    }

    #[test]
    fn forgotten_events_still_count() {
        let ledger = Ledger::new(1);
        let start = clock::now();
        ledger.send(start);
        ledger.see(0, Seen { seq: 0, count: 1 }, start);
        ledger.forget();
        assert_eq!(ledger.send(start), (1, 0));
        ledger.see(0, Seen { seq: 1, count: 2 }, start + Duration::from_millis(3));
        assert_eq!((ledger.next(), ledger.latencies(0..2)), (2, vec![Duration::from_millis(3)]));
        ledger.check().expect("both are counted");
    }

    #[test]
    fn an_event_that_was_counted_twice_is_found() {
        let ledger = Ledger::new(1);
        ledger.send(clock::now());
        ledger.see(0, Seen { seq: 0, count: 2 }, clock::now());
        assert!(ledger.check().expect_err("twice").to_string().contains("sent 1 events and has counted 2"));
    }

    #[tokio::test]
    async fn a_closed_loop_waits_for_room() {
        let ledger = Ledger::new(1);
        let (seq, key) = ledger.send(clock::now());
        let wait = ledger.open_at_most(0);
        let settle = async { ledger.see(key, Seen { seq, count: 1 }, clock::now()) };
        tokio::join!(wait, settle);
        ledger.open_at_most(0).await;
    }
}
