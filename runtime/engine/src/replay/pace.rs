//! How a replay runs beside a server: how much time it may take, how much of a processor, and whether its result is still wanted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use weirgate_host::Processor;

use crate::clock::thread_cpu;

/// See the module documentation. All on the thread that made it.
#[derive(Debug)]
pub struct Pace {
    cancelled: Arc<AtomicBool>,
    begun: Duration,
    rested_at: Duration,
    /// How much CPU time of the thread it may take.
    cpu_max: Option<Duration>,
}

impl Pace {
    /// As fast as it can, to its end.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { cancelled: Arc::default(), begun: thread_cpu(), rested_at: thread_cpu(), cpu_max: None }
    }

    /// At most half of a processor, until `cpu_max` is used or it is cancelled.
    #[must_use]
    pub fn beside(cancelled: Arc<AtomicBool>, cpu_max: Duration) -> Self {
        Self { cancelled, begun: thread_cpu(), rested_at: thread_cpu(), cpu_max: Some(cpu_max) }
    }

    /// Called between the calls: rests as long as it has computed since it was called last. Returns whether to go on.
    pub fn go_on(&mut self) -> bool {
        if let Some(cpu_max) = self.cpu_max {
            let now = thread_cpu();
            if self.is_cancelled() || now.saturating_sub(self.begun) >= cpu_max {
                return false;
            }
            thread::park_timeout(now.saturating_sub(self.rested_at));
            self.rested_at = now;
        }
        true
    }

    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// For the calls, which end soon when it is cancelled.
    #[must_use]
    pub fn processor(&self) -> Arc<dyn Processor> {
        cancellable(&self.cancelled)
    }
}

/// A processor for calls that end at their next tick once this is true.
#[must_use]
pub fn cancellable(cancelled: &Arc<AtomicBool>) -> Arc<dyn Processor> {
    Arc::new(Cancellable(Arc::clone(cancelled)))
}

#[derive(Debug)]
struct Cancellable(Arc<AtomicBool>);

impl Processor for Cancellable {
    fn tick(&self) {}

    fn release(&self) {}

    fn acquire(&self) {}

    fn is_discarded(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
