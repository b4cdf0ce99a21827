//! Measures the log on this machine's disk: syncs per second, latency and CPU time per record, for groups of 1, 16 and 128
//! events of 400 bytes; then reads them back. `cargo bench -p weirgate-log --bench appends -- [DIR] [RESERVE_KIB]`.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use std::{error::Error, path::PathBuf, sync::Arc};

use rustix::time::{ClockId, clock_gettime};
use weirgate_log::{DirStorage, Identity, Log, LogOptions};
use weirgate_testkit::records;
use weirgate_types::{Event, Position, Record};

const EVENT_BYTES: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let reserve_kib = arguments.next().map_or(Ok(1024), |kib| kib.parse())?;
    println!("reserved ahead: {reserve_kib} KiB; events of {EVENT_BYTES} bytes");
    println!(
        "{:>6} {:>9} {:>11} {:>9} {:>9} {:>9} {:>13}",
        "group", "syncs/s", "records/s", "p50 us", "p99 us", "max us", "CPU us/record"
    );
    for (group, syncs) in [(1, 3000), (16, 3000), (128, 2000), (1024, 300)] {
        let options = LogOptions { reserve_bytes: reserve_kib * 1024, ..LogOptions::default() };
        measure(&tempfile::tempdir_in(&dir)?.path().join("log"), options, group, syncs)?;
    }
    Ok(())
}

fn measure(dir: &std::path::Path, options: LogOptions, group: u32, syncs: u32) -> Result<(), Box<dyn Error>> {
    let storage = Arc::new(DirStorage::open(dir)?);
    let mut log = Log::open(storage, Identity::random()?, options.clone())?;
    let record = Record::Accepted { event: event(), to: None, at_ms: 1_700_000_000_000 };
    let (wall, cpu) = (now(ClockId::Monotonic), now(ClockId::ProcessCPUTime));
    let mut latencies = Vec::new();
    for _ in 0..syncs {
        for _ in 0..group {
            log.stage(&record)?;
        }
        let start = now(ClockId::Monotonic);
        log.commit()?;
        latencies.push(now(ClockId::Monotonic) - start);
    }
    let (wall, cpu) = (now(ClockId::Monotonic) - wall, now(ClockId::ProcessCPUTime) - cpu);
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| {
        latencies.get(((latencies.len() - 1) as f64 * share) as usize).map_or(0.0, |seconds| seconds * 1e6)
    };
    let (syncs, records) = (f64::from(syncs), f64::from(syncs) * f64::from(group));
    println!(
        "{group:>6} {:>9.0} {:>11.0} {:>9.0} {:>9.0} {:>9.0} {:>13.2}",
        syncs / wall,
        records / wall,
        at(0.5),
        at(0.99),
        at(1.0),
        cpu * 1e6 / records
    );
    if group == 128 {
        read_back(log, dir, options)?;
    }
    Ok(())
}

fn read_back(log: Log, dir: &std::path::Path, options: LogOptions) -> Result<(), Box<dyn Error>> {
    let reader = log.reader();
    let start = now(ClockId::Monotonic);
    let mut records = 0;
    for record in reader.scan(Position::ZERO) {
        record?;
        records += 1_u64;
    }
    let scan = now(ClockId::Monotonic) - start;
    let start = now(ClockId::Monotonic);
    for read in 0..100_000_u64 {
        reader.read(Position(1 + read * 7919 % records))?;
    }
    let read = now(ClockId::Monotonic) - start;
    drop((log, reader));
    let start = now(ClockId::Monotonic);
    let log = Log::open(Arc::new(DirStorage::open(dir)?), Identity::random()?, options)?;
    let open = now(ClockId::Monotonic) - start;
    let head = log.head().0 as f64;
    println!(
        "       scan {:.2} M records/s; read {:.1} us each; open {:.2} M records/s, {:.0} MB/s",
        records as f64 / scan / 1e6,
        read * 10.0,
        head / open / 1e6,
        head * 500.0 / open / 1e6
    );
    Ok(())
}

fn event() -> Event {
    let id = "0d4dff32-1bd7-4cd9-9ab4-2a5ae1a2b2c3".into();
    Event { id, extensions: [].into(), ..records::event(vec![b'x'; EVENT_BYTES]) }
}

/// Seconds.
fn now(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
