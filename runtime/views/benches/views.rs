//! Measures the views on this machine: CPU and wall time per change while sled is written in the background, and per read.
//! `cargo bench -p weirgate-views --bench views -- [DIR]`.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use std::{error::Error, path::PathBuf};

use rustix::time::{ClockId, clock_gettime};
use weirgate_types::{Epoch, Epochs, Position};
use weirgate_views::{Change, Table, Tables, ViewOptions, Views};

const CHANGES: u64 = 2_000_000;
/// Approximate number of changes of one handled event.
const CHANGES_A_WRITE: u64 = 4;
const VALUE_BYTES: usize = 200;
const TABLES: Tables = Tables::new(&[Table { name: b's', packed: false }]);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "{:>8} {:>14} {:>15} {:>13} {:>10} {:>9}",
        "keys", "us a change", "CPU us/change", "settle ms", "us a read", "disk MB"
    );
    for keys in [1_000, 100_000] {
        measure(tempfile::tempdir_in(&dir)?.path(), keys)?;
    }
    Ok(())
}

fn measure(dir: &std::path::Path, keys: u64) -> Result<(), Box<dyn Error>> {
    let log = Epochs::new(Epoch([1; 16]));
    let views = Views::open(&dir.join("views"), TABLES, (&log, Position(CHANGES)), ViewOptions::default())?;
    let key = |number: u64| format!("state/inventory/order-{:08}", number * 7919 % keys).into_bytes();
    let (wall, cpu) = (now(ClockId::Monotonic), now(ClockId::ProcessCPUTime));
    for position in 1..=CHANGES / CHANGES_A_WRITE {
        let numbers = (0..CHANGES_A_WRITE).map(|change| position * CHANGES_A_WRITE + change);
        let changes = numbers.map(|number| Change::put(key(number), [b'x'; VALUE_BYTES]));
        views.write(changes.collect(), Position(position))?;
    }
    let written = now(ClockId::Monotonic);
    views.settle()?;
    let (settled, cpu) = (now(ClockId::Monotonic), now(ClockId::ProcessCPUTime) - cpu);
    let reads = 200_000_u64;
    for number in 0..reads {
        if views.get(&key(number))?.is_none() {
            return Err("a key is missing".into());
        }
    }
    let read = now(ClockId::Monotonic) - settled;
    drop(views);
    let changes = CHANGES as f64;
    println!(
        "{keys:>8} {:>14.2} {:>15.2} {:>13.0} {:>10.2} {:>9.0}",
        (written - wall) * 1e6 / changes,
        cpu * 1e6 / changes,
        (settled - written) * 1e3,
        read * 1e6 / reads as f64,
        disk_bytes(&dir.join("views/sled"))? as f64 / 1e6,
    );
    Ok(())
}

fn disk_bytes(dir: &std::path::Path) -> std::io::Result<u64> {
    std::fs::read_dir(dir)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Seconds.
fn now(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
