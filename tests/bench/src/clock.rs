//! The driver's time: the only place that reads the clock and sleeps.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;

#[must_use]
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a driver measures real time")]
    Instant::now()
}

/// The send times of an open-loop load: `count` of them, `interval` apart, each reported when it is due.
///
/// They come from a separate thread, because the runtime's timers count whole milliseconds.
///
/// # Errors
/// The thread cannot be started.
pub fn ticks(count: usize, interval: Duration) -> Result<mpsc::UnboundedReceiver<Instant>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("pace".into()).spawn(move || {
        let mut due = now();
        for _ in 0..count {
            due += interval;
            #[expect(clippy::disallowed_methods, reason = "the load is defined by moments in real time")]
            std::thread::sleep(due.saturating_duration_since(now()));
            if sender.send(due).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
