//! The log as a whole, on a disk that fails and loses data: synced records are there, complete and unchanged, or the log is
//! refused.
// A wrong index panics, and the test reports it.
#![allow(clippy::indexing_slicing)]

mod damage;
mod faults;
mod golden;
mod model;
mod power;
mod repair;
mod seals;

use std::sync::Arc;

use weirgate_log::{Epoch, Identity, Log, LogError, LogOptions, LogReader, Salt, Storage};
use weirgate_testkit::{
    Crash, SimStorage,
    records::{commit, event, every_record},
};
use weirgate_types::{Position, Record};

const IDENTITY: Identity = Identity { epoch: Epoch(*b"the golden epoch"), salt: Salt(*b"salt and pepper.") };

/// Expected records with their positions.
type Model = Vec<(Position, Record)>;

fn open(disk: &SimStorage, options: &LogOptions) -> Result<Log, LogError> {
    Log::open(Arc::new(disk.clone()), IDENTITY, options.clone())
}

fn small(segment_bytes_max: u64, reserve_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes_max, reserve_bytes, ..LogOptions::default() }
}

/// The names of the segments, in order.
fn segments(disk: &SimStorage) -> Vec<String> {
    let mut names = Storage::list(disk).expect("names");
    names.retain(|name| name.strip_suffix(".seg").is_some());
    names.sort();
    names
}

/// A copy of the disk without seals.
fn without_seals(disk: &SimStorage) -> SimStorage {
    let copy = disk.crash(Crash::Keep(u64::MAX));
    for name in Storage::list(&copy).expect("names").iter().filter(|name| name.strip_suffix(".seal").is_some()) {
        Storage::remove(&copy, name).expect("removed");
    }
    copy
}

/// A closed log of three segments or more.
fn closed_log() -> (SimStorage, LogOptions, Model) {
    let disk = SimStorage::new();
    let options = small(700, 0);
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    let mut chance = Chance(11);
    for _ in 0..6 {
        push(&mut log, &mut model, chance.record(120));
        push(&mut log, &mut model, chance.record(120));
        log.commit().expect("a sync");
    }
    log.close().expect("a clean end");
    assert!(segments(&disk).len() >= 3);
    (disk, options, model)
}

/// Everything in the log, after checking that `read` and `scan` agree.
fn contents(reader: &LogReader) -> Model {
    let records: Model = reader.scan(Position::ZERO).map(|record| record.expect("a sound record")).collect();
    for (first, record) in &records {
        for offset in 0..record.width() {
            let found = reader.read(first.plus(offset)).expect("a sound record").expect("a record");
            assert_eq!((&found.0, &found.1), (first, record));
        }
    }
    assert_eq!(reader.head(), next(&records).before());
    records
}

/// The position after the last record.
fn next(records: &[(Position, Record)]) -> Position {
    records.last().map_or(Position(1), |(first, record)| first.plus(record.width()))
}

/// Pushes a record and adds it to the expected ones.
fn push(log: &mut Log, model: &mut Model, record: Record) {
    let position = log.stage(&record).expect("staged");
    assert_eq!(position, next(model));
    model.push((position, record));
}

/// `SplitMix64`: random enough for tests, and deterministic.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// An accepted event or a commit, with up to `bytes_max` bytes of data.
    fn record(&mut self, bytes_max: u64) -> Record {
        let bytes = self.below(bytes_max + 1);
        let data = (0..bytes).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect();
        match self.below(3) {
            0 => commit(usize::try_from(self.below(4)).expect("small"), data),
            _ => Record::Accepted { event: event(data), to: None, at_ms: self.below(u64::MAX) },
        }
    }
}
