//! One budget of bytes for everything whose size clients and guests determine: request bodies, uploads, subscriptions,
//! answers to outbound calls and to requests, the memory of components. Bytes are taken before they are read or allocated, and released on
//! drop.
//!
//! Each purpose has its own share, so that none can use up the others'. Knows nothing about the use of the bytes.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The default budget, in bytes.
pub const BUDGET_BYTES: usize = 768 << 20;
/// Shares are counted in sixteenths of the budget; see [`Purpose::sixteenths`].
const SHARES: usize = 16;

/// The use of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Bodies of requests, until the events in them are durable.
    Requests,
    /// Answers to requests, until their clients have read them.
    Answers,
    /// The memory for compiling an uploaded module.
    Uploads,
    /// Watched subjects and their documents.
    Subscriptions,
    /// Answers to handlers' outbound calls.
    Outbound,
    /// The linear memory of called instances. A single instance gets as much as its own limit allows, however small the
    /// share is.
    Instances,
}

/// The limit of held bytes. Clones share the budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: usize,
    /// A std mutex: held for an addition.
    held: Mutex<Held>,
    /// Wakes threads that wait for bytes.
    given_back: Condvar,
    refused: [AtomicU64; Purpose::ALL.len()],
}

#[derive(Debug, Default)]
struct Held {
    /// By purpose.
    bytes: [usize; Purpose::ALL.len()],
    /// Number of threads that wait for bytes: to wake none is a system call, too.
    waiting: usize,
}

/// Held bytes. Dropping it releases them.
#[derive(Debug)]
pub struct Grant {
    budget: Budget,
    purpose: Purpose,
    bytes: usize,
}

impl Purpose {
    pub const ALL: [Self; 6] =
        [Self::Requests, Self::Answers, Self::Uploads, Self::Subscriptions, Self::Outbound, Self::Instances];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Answers => "answers",
            Self::Uploads => "uploads",
            Self::Subscriptions => "subscriptions",
            Self::Outbound => "outbound",
            Self::Instances => "instances",
        }
    }

    fn sixteenths(self) -> usize {
        match self {
            Self::Instances => 8,
            Self::Requests | Self::Outbound | Self::Subscriptions => 2,
            Self::Answers | Self::Uploads => 1,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(BUDGET_BYTES)
    }
}

impl Budget {
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let (held, given_back, refused) = (Mutex::default(), Condvar::new(), <[AtomicU64; _]>::default());
        Self(Arc::new(Inner { bytes_max, held, given_back, refused }))
    }

    /// Takes bytes, if the purpose's share has them. Counts a refusal.
    #[must_use]
    pub fn take(&self, purpose: Purpose, bytes: usize) -> Option<Grant> {
        let mut grant = self.grant(purpose);
        grant.grow(bytes).then_some(grant)
    }

    /// Like [`Budget::take`]; the calling thread waits for up to `patience` until enough bytes are free.
    #[must_use]
    pub fn take_within(&self, purpose: Purpose, bytes: usize, patience: Duration) -> Option<Grant> {
        let mut grant = self.grant(purpose);
        grant.grow_within(bytes, patience).then_some(grant)
    }

    /// A grant of zero bytes.
    #[must_use]
    pub fn grant(&self, purpose: Purpose) -> Grant {
        Grant { budget: self.clone(), purpose, bytes: 0 }
    }

    /// Maximum bytes of one purpose.
    #[must_use]
    pub fn share(&self, purpose: Purpose) -> usize {
        (self.0.bytes_max / SHARES).saturating_mul(purpose.sixteenths())
    }

    #[must_use]
    pub fn held_bytes(&self, purpose: Purpose) -> usize {
        self.held().bytes.get(purpose as usize).copied().unwrap_or(0)
    }

    /// Number of refusals of a purpose.
    #[must_use]
    pub fn refusals(&self, purpose: Purpose) -> u64 {
        self.0.refused.get(purpose as usize).map_or(0, |refused| refused.load(Ordering::Relaxed))
    }

    /// Whether a holder of `own` bytes may take `more`.
    fn fits(&self, held: &Held, purpose: Purpose, own: usize, more: usize) -> bool {
        let held = held.bytes.get(purpose as usize).copied().unwrap_or(0);
        let is_alone = purpose == Purpose::Instances && held == own;
        is_alone || held.saturating_add(more) <= self.share(purpose)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grant {
    /// Takes more bytes, if the share has them. Otherwise the grant is unchanged.
    #[must_use]
    pub fn grow(&mut self, more: usize) -> bool {
        self.grow_within(more, Duration::ZERO)
    }

    /// Like [`Grant::grow`]; the calling thread waits for up to `patience`.
    #[must_use]
    pub fn grow_within(&mut self, more: usize, patience: Duration) -> bool {
        let (budget, purpose, own) = (&self.budget, self.purpose, self.bytes);
        let mut held = budget.held();
        if !patience.is_zero() && !budget.fits(&held, purpose, own, more) {
            held.waiting += 1;
            let is_short = |held: &mut Held| !budget.fits(held, purpose, own, more);
            let waited = budget.0.given_back.wait_timeout_while(held, patience, is_short);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
            held.waiting -= 1;
        }
        let fits = budget.fits(&held, purpose, own, more);
        match held.bytes.get_mut(purpose as usize) {
            Some(held) if fits => *held = held.saturating_add(more),
            _ => {
                if let Some(refused) = budget.0.refused.get(purpose as usize) {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
                return false;
            }
        }
        self.bytes += more;
        true
    }

    /// Releases all but `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        let is_waited_for = {
            let mut held = self.budget.held();
            if let Some(held) = held.bytes.get_mut(self.purpose as usize) {
                *held = held.saturating_sub(less);
            }
            held.waiting > 0
        };
        self.bytes -= less;
        if is_waited_for {
            self.budget.0.given_back.notify_all();
        }
    }

    /// Number of held bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_exceeded_and_freed_with_its_grants() {
        let budget = Budget::new(1600);
        assert_eq!((budget.share(Purpose::Requests), budget.share(Purpose::Uploads)), (200, 100));
        let mut first = budget.take(Purpose::Requests, 150).expect("there are 200");
        assert!(budget.take(Purpose::Requests, 51).is_none() && !first.grow(51), "201 in all");
        assert!(first.grow(50), "200 in all");
        assert_eq!((first.bytes(), budget.held_bytes(Purpose::Requests)), (200, 200));
        assert_eq!((budget.refusals(Purpose::Requests), budget.refusals(Purpose::Uploads)), (2, 0));
        budget.take(Purpose::Uploads, 100).expect("a share of its own");
        first.shrink_to(120);
        assert!(budget.take(Purpose::Requests, usize::MAX).is_none());
        drop(budget.take(Purpose::Requests, 80).expect("80 were given back"));
        drop(first);
        assert_eq!(Purpose::ALL.map(|purpose| budget.held_bytes(purpose)), [0; Purpose::ALL.len()]);
    }

    #[test]
    fn an_instance_that_is_alone_gets_more_than_the_share() {
        let budget = Budget::new(160);
        let mut large = budget.take(Purpose::Instances, 50).expect("there are 80");
        assert!(large.grow(100), "it is alone");
        assert!(budget.take(Purpose::Instances, 1).is_none(), "the share is used up");
        large.shrink_to(10);
        let other = budget.take(Purpose::Instances, 60).expect("70 in all");
        assert!(!large.grow(20), "there is another one");
        drop(other);
        assert!(large.grow(200) && budget.take(Purpose::Requests, 21).is_none(), "others have their own share");
    }

    #[test]
    fn a_thread_waits_for_bytes_for_a_limited_time() {
        let budget = Budget::new(1600);
        let held = budget.take(Purpose::Outbound, 200).expect("all of it");
        assert!(budget.take_within(Purpose::Outbound, 1, Duration::from_millis(1)).is_none());
        let waiting = budget.clone();
        let waiter =
            std::thread::spawn(move || waiting.take_within(Purpose::Outbound, 200, Duration::from_mins(1)).is_some());
        drop(held);
        assert!(waiter.join().expect("no panic"), "it was woken");
        assert_eq!(budget.held_bytes(Purpose::Outbound), 0);
    }
}
