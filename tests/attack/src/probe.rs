//! A reader that continuously requests statuses, and how long each request took.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use weirgate_tests::Client;

const PAUSE: Duration = Duration::from_millis(20);

/// Dropping it ends the probe.
pub struct Probe {
    waits: Arc<Mutex<Vec<Duration>>>,
    failed: Arc<Mutex<u64>>,
    _task: JoinSet<()>,
}

/// Sorted.
pub struct Latencies {
    waits: Vec<Duration>,
    pub failed: u64,
}

impl Probe {
    pub fn start(client: &Client, subjects: Vec<String>) -> Self {
        let (waits, failed) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<u64>>::default());
        let (client, kept, missed, mut task) =
            (client.clone(), Arc::clone(&waits), Arc::clone(&failed), JoinSet::new());
        task.spawn(async move {
            for subject in subjects.iter().cycle() {
                let begun = Instant::now();
                let answer = client.try_get(&format!("/v1/status/{subject}")).await;
                match answer.filter(|answer| [200, 404].contains(&answer.status)) {
                    Some(_) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(begun.elapsed()),
                    None => *missed.lock().unwrap_or_else(PoisonError::into_inner) += 1,
                }
                sleep(PAUSE).await;
            }
        });
        Self { waits, failed, _task: task }
    }

    pub fn latencies(&self) -> Latencies {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        waits.sort();
        Latencies { waits, failed: *self.failed.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Latencies {
    pub fn count(&self) -> usize {
        self.waits.len()
    }

    /// In milliseconds.
    pub fn percentile(&self, percent: usize) -> u128 {
        let index = self.waits.len().saturating_sub(1) * percent / 100;
        self.waits.get(index).map_or(0, Duration::as_millis)
    }
}
