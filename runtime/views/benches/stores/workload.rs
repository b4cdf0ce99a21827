//! The workload that stores are compared by: small entries under keys in no order, as identities of events are, inserted in
//! durable commits; then point reads, range scans, and opening again. Knows stores only by their trait.
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::time::{ClockId, clock_gettime};
use weirgate_types::{Epoch, Position};
use weirgate_views::{Batch, Origin, Range, Store};

/// What all keys begin with.
pub const TABLE: u8 = b'e';
/// What a store may cache, as the views let it by default.
pub const CACHE_BYTES: u64 = 64 << 20;
const SCANS: u64 = 2_000;
const SCAN_ENTRIES: usize = 100;

/// How much is measured, and where.
struct Extent {
    dir: PathBuf,
    entries: u64,
    commit_entries: u64,
}

type Opened = Result<Box<dyn Store>, Box<dyn Error>>;

/// Measure a store, unless the command line names another. It also says in which directory, how many entries, and how many
/// a commit. Memory is right only for the first store of a process.
pub fn measure(name: &str, open: &dyn Fn(&Path) -> Opened) -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if arguments.next().is_some_and(|wanted| wanted != name) {
        return Ok(());
    }
    let extent = Extent {
        dir: arguments.next().map_or_else(std::env::temp_dir, PathBuf::from),
        entries: arguments.next().map_or(Ok(200_000), |entries| entries.parse())?,
        commit_entries: arguments.next().map_or(Ok(500), |entries| entries.parse())?,
    };
    let dir = tempfile::tempdir_in(&extent.dir)?;
    let path = dir.path().join("store");
    fs::create_dir(&path)?;
    let before_bytes = resident_bytes()?;
    let store = open(&path)?;
    let (inserted, cpu) = insert(&*store, &extent)?;
    let read_us = read(&*store, &extent)?;
    let scan_us = scan(&*store, &extent)?;
    let grown_mb = (resident_bytes()? - before_bytes) / 1e6;
    let close_ms = timed(|| drop(store)).1 * 1e3;
    let disk_mb = disk_bytes(&path)? as f64 / 1e6;
    let (store, open_s) = timed(|| open(&path));
    if store?.get(&key(0))?.is_none() {
        return Err("an entry is missing after opening again".into());
    }
    let [p50, p99] =
        [50, 99].map(|percent| inserted.get(inserted.len() * percent / 100).map_or(0.0, |took| took * 1e3));
    println!(
        "{name}, {} entries, {} a commit: insert {:.1} s (CPU {cpu:.1} s), a commit p50 {p50:.1} ms p99 {p99:.1} ms; \
         read {read_us:.2} us; scan of {SCAN_ENTRIES} {scan_us:.0} us; close {close_ms:.0} ms; open {:.0} ms; \
         disk {disk_mb:.0} MB; memory +{grown_mb:.0} MB",
        extent.entries,
        extent.commit_entries,
        inserted.iter().sum::<f64>(),
        open_s * 1e3,
    );
    Ok(())
}

/// How long each commit took, sorted, and the CPU time of all, in seconds.
fn insert(store: &dyn Store, extent: &Extent) -> Result<(Vec<f64>, f64), Box<dyn Error>> {
    let origin = Origin { log: Epoch([1; 16]), epoch: Epoch([1; 16]) };
    let cpu = now(ClockId::ProcessCPUTime);
    let mut took = Vec::new();
    for first in (0..extent.entries).step_by(usize::try_from(extent.commit_entries)?) {
        let end = extent.entries.min(first + extent.commit_entries);
        let mut entries: Vec<_> = (first..end).map(|number| (key(number), number.to_le_bytes())).collect();
        entries.sort_unstable();
        let changes = entries.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))).collect();
        let (base, applied) = (Position(first), Position(end));
        let (done, seconds) = timed(|| store.commit(&store.prepare(Batch { origin, base, applied, changes })?));
        done?;
        took.push(seconds);
    }
    took.sort_unstable_by(f64::total_cmp);
    Ok((took, now(ClockId::ProcessCPUTime) - cpu))
}

/// Microseconds a read.
fn read(store: &dyn Store, extent: &Extent) -> Result<f64, Box<dyn Error>> {
    let (missing, seconds) = timed(|| {
        (0..extent.entries).try_fold(0, |missing, number| {
            let found = store.get(&key(number * 7919 % extent.entries))?;
            Ok::<_, weirgate_views::ViewError>(missing + u64::from(found.is_none()))
        })
    });
    if missing? > 0 {
        return Err("entries are missing".into());
    }
    Ok(seconds * 1e6 / extent.entries as f64)
}

/// Microseconds a scan.
fn scan(store: &dyn Store, extent: &Extent) -> Result<f64, Box<dyn Error>> {
    let (found, seconds) = timed(|| {
        (0..SCANS).try_fold(0, |found, number| {
            let after = key(number * 7919 % extent.entries);
            let range = Range { prefix: &[TABLE], after: Some(&after), keys_only: false };
            let entries: Vec<_> = store.range(range).take(SCAN_ENTRIES).collect::<Result<_, _>>()?;
            Ok::<_, weirgate_views::ViewError>(found + entries.len())
        })
    });
    if found? < usize::try_from(SCANS)? * SCAN_ENTRIES / 2 {
        return Err("scans find too little".into());
    }
    Ok(seconds * 1e6 / SCANS as f64)
}

/// A key in no order: 16 bytes that look like a hash of the number.
fn key(number: u64) -> Vec<u8> {
    let mix = |number: u64| {
        let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let first = mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15));
    [&[TABLE], first.to_be_bytes().as_slice(), &mix(first).to_be_bytes()].concat()
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = now(ClockId::Monotonic);
    let done = work();
    (done, now(ClockId::Monotonic) - start)
}

/// Seconds.
fn now(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no resident size")?;
    Ok(resident.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

fn disk_bytes(dir: &Path) -> io::Result<u64> {
    let sizes = fs::read_dir(dir)?.map(|entry| {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            disk_bytes(&entry.path())
        } else {
            Ok(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512)
        }
    });
    sizes.sum()
}
