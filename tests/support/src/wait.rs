//! Waiting for a condition, with a deadline.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// Interval between two polls.
const PAUSE: Duration = Duration::from_millis(10);

/// Polls until there is a value, and returns it. Panics when `patience` is over, with the condition and the last result.
#[track_caller]
pub fn eventually<T, Seen: Debug>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<T, Seen>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + patience;
        loop {
            match look().await {
                Ok(found) => return found,
                Err(seen) if Instant::now() > deadline => {
                    panic!("{caller}: waited {patience:?} for {what}; the last look saw {seen:?}")
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// The result of `work`, if it completes within `patience`.
#[track_caller]
pub fn within<T>(what: &str, patience: Duration, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move { timeout(patience, work).await.unwrap_or_else(|_| panic!("{caller}: waited {patience:?} for {what}")) }
}
