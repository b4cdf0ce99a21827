//! Waiting: for a condition, with a deadline; never for luck.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, sleep, timeout};

/// How long to look away between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Look until there is something, and answer it. Panics when `patience` is over, saying what was waited for and what the
/// last look saw.
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

/// What `work` comes to, if it does so within `patience`.
#[track_caller]
pub fn within<T>(what: &str, patience: Duration, work: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move { timeout(patience, work).await.unwrap_or_else(|_| panic!("{caller}: waited {patience:?} for {what}")) }
}
