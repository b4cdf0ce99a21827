//! Host breakers: which hosts may be called now. The machine's breakers set them; calls in flight check them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use weirgate_types::{CalledHost, HandlerName};

use crate::Clock;

/// How long other calls wait while the half-open probe is in flight.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// See the module documentation.
pub struct HostBreakers {
    clock: Arc<dyn Clock>,
    /// A std mutex: held for a look-up. Contains only hosts whose breakers are open.
    open: Mutex<BTreeMap<CalledHost, OpenBreaker>>,
}

#[derive(Debug, Clone, Copy)]
struct OpenBreaker {
    /// By the monotonic clock.
    until: Duration,
    /// Since when a half-open probe is in flight.
    asked: Option<Duration>,
}

impl HostBreakers {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, open: Mutex::default() }
    }

    /// Whether a handler may call the host now; otherwise for how many milliseconds its breaker stays open. After the open
    /// time, one call probes the host.
    pub fn permit(&self, handler: &HandlerName, host: &str) -> Result<(), u64> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_empty() {
            return Ok(());
        }
        let now = self.clock.monotonic();
        let host_breakers = [CalledHost::of_all_handlers(host), CalledHost::of_handler(handler, host)];
        host_breakers.iter().try_for_each(|called| open.get_mut(called).map_or(Ok(()), |breaker| breaker.permit(now)))
    }

    /// The hosts whose breakers are open, and for how many milliseconds from now.
    pub fn set(&self, hosts: BTreeMap<CalledHost, u64>) {
        let now = self.clock.monotonic();
        let until = |open_ms| now.saturating_add(Duration::from_millis(open_ms));
        let host_breakers =
            hosts.into_iter().map(|(host, open_ms)| (host, OpenBreaker { until: until(open_ms), asked: None }));
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = host_breakers.collect();
    }
}

impl OpenBreaker {
    fn permit(&mut self, now: Duration) -> Result<(), u64> {
        if now < self.until {
            return Err(in_ms(self.until.saturating_sub(now)));
        }
        // A probe that did not return in time is not waited for.
        let is_asked = self.asked.is_some_and(|asked| now.saturating_sub(asked) < PROBE_TIME);
        if is_asked {
            return Err(in_ms(PROBE_TIME));
        }
        self.asked = Some(now);
        Ok(())
    }
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// The monotonic clock's reading; the wall clock does not matter here.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now_ms(&self) -> u64 {
            0
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    fn handler(name: &str) -> HandlerName {
        name.parse().expect("a name")
    }

    #[test]
    fn one_probe_passes_while_the_others_wait() {
        let clock = Arc::new(Hand::default());
        let host_breakers = HostBreakers::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let a = handler("a");
        host_breakers.set(BTreeMap::from([(CalledHost::of_handler(&a, "api"), 100)]));
        assert_eq!((host_breakers.permit(&a, "api"), host_breakers.permit(&a, "other")), (Err(100), Ok(())));
        clock.0.store(100, Ordering::Relaxed);
        assert_eq!((host_breakers.permit(&a, "api"), host_breakers.permit(&a, "api")), (Ok(()), Err(1_000)));
        clock.0.store(1_100, Ordering::Relaxed);
        assert_eq!(host_breakers.permit(&a, "api"), Ok(()), "the first never came back");
        host_breakers.set(BTreeMap::new());
        assert_eq!((host_breakers.permit(&a, "api"), host_breakers.permit(&a, "api")), (Ok(()), Ok(())));
    }

    #[test]
    fn an_open_breaker_of_one_handler_lets_others_call() {
        let host_breakers = HostBreakers::new(Arc::new(Hand::default()));
        let [a, b] = ["a", "b"].map(handler);
        host_breakers.set(BTreeMap::from([(CalledHost::of_handler(&a, "api"), 100)]));
        assert_eq!((host_breakers.permit(&a, "api"), host_breakers.permit(&b, "api")), (Err(100), Ok(())));
        host_breakers.set(BTreeMap::from([(CalledHost::of_all_handlers("api"), 100)]));
        assert_eq!((host_breakers.permit(&a, "api"), host_breakers.permit(&b, "api")), (Err(100), Err(100)));
    }
}
