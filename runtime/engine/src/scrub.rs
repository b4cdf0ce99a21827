//! The thread that reads the sealed segments of the log again and compares every checksum: an opening trusts their seals, so damage
//! to one would show only when something in it is read. Of low priority, at a bounded rate, and on the path of no record.

use std::{convert::Infallible, sync::Arc, thread, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use weirgate_log::{LogError, LogReader};

use crate::Metrics;

/// How long after a start the first pass begins: a start has enough to read.
const FIRST: Duration = Duration::from_secs(10);
/// The time between two passes.
const BETWEEN: Duration = Duration::from_hours(24);
/// It reads this many bytes, then waits.
const STEP_BYTES: u64 = 1 << 20;
/// How long it waits: so it reads at most 32 MiB a second.
const STEP: Duration = Duration::from_millis(31);
/// Its nice value: a tenth of a busy processor.
const NICE: i32 = 10;

/// The thread ends when this is dropped.
pub struct Scrub {
    _ends: Sender<Infallible>,
}

impl Scrub {
    /// Starts the thread.
    pub fn start(log: LogReader, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (ends, end) = bounded(0);
        thread::Builder::new().name("scrub".into()).spawn(move || run(&log, &metrics, &end))?;
        Ok(Self { _ends: ends })
    }
}

fn run(log: &LogReader, metrics: &Metrics, end: &Receiver<Infallible>) {
    // Of this thread alone: on Linux, a priority is a thread's.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority of the thread that checks the log stays as it is");
    }
    let goes_on = |pause| end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
    let mut pause = FIRST;
    while goes_on(pause) && pass(log, metrics, &|| goes_on(STEP)) {
        pause = BETWEEN;
    }
}

/// Reads all sealed segments once. `wait` waits, and returns whether to go on; so does this.
fn pass(log: &LogReader, metrics: &Metrics, wait: &dyn Fn() -> bool) -> bool {
    let mut damaged = 0;
    for sealed in log.sealed() {
        let (mut read, mut goes_on) = (0, true);
        let verified = log.verify(&sealed, |bytes| {
            while goes_on && bytes - read >= STEP_BYTES {
                read += STEP_BYTES;
                metrics.log_verified_bytes.inc_by(STEP_BYTES);
                goes_on = wait();
            }
            goes_on
        });
        if !goes_on {
            return false;
        }
        if let Err(error) = verified {
            damaged += i64::from(matches!(error, LogError::Corrupt(_)));
            report(&error);
            metrics.log_damaged_segments.set(damaged.max(metrics.log_damaged_segments.get()));
        }
    }
    metrics.log_damaged_segments.set(damaged);
    true
}

fn report(error: &LogError) {
    match error {
        LogError::Corrupt(damage) => tracing::error!(
            file = damage.file,
            offset = damage.offset,
            position = %damage.position,
            what = damage.what,
            "a segment of the log is damaged: what is in it cannot be read, and the next start will refuse the log. Copy the data \
             directory, stop the server, and see `weirgate log verify --data DIR` (docs/guides/damage.md)"
        ),
        error => {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "a segment of the log cannot be read to check it");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt, Storage};
    use weirgate_testkit::SimStorage;
    use weirgate_types::{Lost, Record};

    use super::*;

    /// A log of several sealed segments.
    fn log(disk: &SimStorage) -> Log {
        let identity = Identity { epoch: Epoch([1; 16]), salt: Salt([2; 16]) };
        let options = LogOptions { segment_bytes_max: 300, ..LogOptions::default() };
        let mut log = Log::open(Arc::new(disk.clone()), identity, options).expect("a log");
        for at_ms in 1..=40 {
            log.stage(&Record::Lost(Lost { positions: 3, at_ms })).expect("staged");
            log.commit().expect("a sync");
        }
        assert!(log.reader().sealed().len() > 3);
        log
    }

    #[test]
    fn damage_is_counted_until_it_is_gone() {
        let (disk, metrics) = (SimStorage::new(), Metrics::default());
        let log = log(&disk);
        let mut names = Storage::list(&disk).expect("names");
        names.retain(|name| name.strip_suffix(".seg").is_some());
        names.sort();
        assert!(pass(&log.reader(), &metrics, &|| true));
        assert_eq!(metrics.log_damaged_segments.get(), 0);
        let sound: Vec<_> = names[..2].iter().map(|name| (name, disk.contents(name).expect("a segment"))).collect();
        for (name, bytes) in &sound {
            let mut damaged = bytes.clone();
            damaged[120] ^= 1;
            disk.overwrite(name, damaged);
        }
        assert!(pass(&log.reader(), &metrics, &|| true));
        assert_eq!(metrics.log_damaged_segments.get(), 2);
        for (name, bytes) in sound {
            disk.overwrite(name, bytes);
        }
        assert!(pass(&log.reader(), &metrics, &|| true));
        assert_eq!(metrics.log_damaged_segments.get(), 0);
    }

    #[test]
    fn it_waits_after_each_step_and_ends_when_asked() {
        let (disk, metrics) = (SimStorage::new(), Metrics::default());
        let identity = Identity { epoch: Epoch([1; 16]), salt: Salt([2; 16]) };
        let options = LogOptions { segment_bytes_max: 4 * STEP_BYTES, ..LogOptions::default() };
        let mut log = Log::open(Arc::new(disk.clone()), identity, options).expect("a log");
        let data = weirgate_testkit::records::event(vec![0; 100_000]);
        while log.reader().sealed().len() < 2 {
            log.stage(&Record::Accepted { event: data.clone(), to: None, at_ms: 1 }).expect("staged");
            log.commit().expect("a sync");
        }
        let waits = Cell::new(0);
        let wait = |most: u32| {
            waits.set(waits.get() + 1);
            waits.get() < most
        };
        assert!(pass(&log.reader(), &metrics, &|| wait(u32::MAX)));
        assert_eq!((waits.get(), metrics.log_verified_bytes.get()), (6, 6 * STEP_BYTES));
        waits.set(0);
        assert!(!pass(&log.reader(), &metrics, &|| wait(2)));
        assert_eq!(waits.get(), 2);
    }
}
