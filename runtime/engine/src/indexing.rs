//! The thread that makes the history's tables: of low priority, woken by the clock, and on the path of no record.

use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use weirgate_history::{History, HistoryError, Made};

use crate::scrub::Scrub;

/// How long it sleeps when everything is made.
const IDLE: Duration = Duration::from_secs(1);
/// How long it waits after an error, and while the disk is nearly full.
const TROUBLE: Duration = Duration::from_secs(20);
/// Its nice value: a tenth of a busy processor.
const NICE: i32 = 10;

/// The history, the thread that makes it, and the one that checks the log. They end when this is dropped.
pub struct Indexing {
    pub history: Arc<History>,
    _ends: Sender<Infallible>,
    _scrub: Option<Scrub>,
}

impl Indexing {
    /// Starts the thread. It leaves `bytes_min` free on the disk of `dir`.
    pub fn start(history: Arc<History>, dir: PathBuf, bytes_min: u64) -> std::io::Result<Self> {
        let (ends, end) = bounded(0);
        let weak = Arc::downgrade(&history);
        let has_room = move |bytes: u64| {
            let free = rustix::fs::statvfs(&dir).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
            free.is_ok_and(|free| free >= bytes_min.saturating_add(bytes))
        };
        thread::Builder::new().name("history".into()).spawn(move || run(&weak, &end, &has_room))?;
        Ok(Self { history, _ends: ends, _scrub: None })
    }

    /// With the thread that checks the log.
    pub fn with(self, scrub: Scrub) -> Self {
        Self { _scrub: Some(scrub), ..self }
    }

    /// A history without a thread.
    #[cfg(feature = "sim")]
    pub fn idle(history: Arc<History>) -> Self {
        Self { history, _ends: bounded(0).0, _scrub: None }
    }
}

fn run(history: &Weak<History>, end: &Receiver<Infallible>, has_room: &dyn Fn(u64) -> bool) {
    // Of this thread alone: on Linux, a priority is a thread's.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority of the history's thread stays as it is");
    }
    let mut was_short = false;
    loop {
        let Some(history) = history.upgrade() else { return };
        let made = history.make_next(has_room);
        drop(history);
        let pause = after(made, &mut was_short);
        if end.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// How long to wait before the next table.
fn after(made: Result<Made, HistoryError>, was_short: &mut bool) -> Duration {
    let is_short = matches!(made, Ok(Made::NoRoom));
    if is_short && !*was_short {
        tracing::info!(
            "no index is made: the disk is nearly full; eight segments without one are searched, more are not"
        );
    }
    *was_short = is_short;
    match made {
        Ok(Made::Index(first)) => {
            tracing::debug!(%first, "a segment was indexed");
            Duration::ZERO
        }
        Ok(Made::Snapshot(last)) => {
            tracing::debug!(%last, "a snapshot of the state was made");
            Duration::ZERO
        }
        Ok(Made::Nothing) => IDLE,
        Ok(Made::NoRoom) => TROUBLE,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a table of the history was not made");
            TROUBLE
        }
    }
}
