//! The history against the whole log read again: with all files, with some, with damaged ones, and after crashes.
// A wrong index panics, and the test reports it.
#![allow(clippy::indexing_slicing)]

mod crashes;
mod healing;
mod identities;
mod model;
mod pages;
mod plan;

use std::sync::Arc;

use weirgate_history::{History, Made};
use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt};
use weirgate_testkit::SimStorage;
use weirgate_types::{Position, Record};

use crate::plan::{Chance, Events};

const IDENTITY: Identity = Identity { epoch: Epoch(*b"the golden epoch"), salt: Salt(*b"salt and pepper.") };

fn open_log(disk: &SimStorage) -> Log {
    let options = LogOptions { segment_bytes_max: 6_000, reserve_bytes: 0, ..LogOptions::default() };
    Log::open(Arc::new(disk.clone()), IDENTITY, options).expect("a log")
}

fn open_history(disk: &SimStorage, log: &Log) -> Arc<History> {
    let storage = Arc::new(disk.clone());
    let history = History::open(storage, log.reader(), Arc::clone(log.epochs()), log.key_hasher());
    Arc::new(history.expect("a history"))
}

/// Makes all tables.
fn make_all(history: &History) -> Vec<Made> {
    let next = || history.make_next(&|_| true).expect("made");
    std::iter::from_fn(|| Some(next()).filter(|made| *made != Made::Nothing)).collect()
}

/// Appends random records.
fn append(log: &mut Log, chance: &mut Chance, records: usize) {
    let all = model::records(&log.reader());
    let keyed = |at: Position, record: &Record| -> Events {
        record.events(at).map(|(at, event)| (at, event.key().to_owned())).collect()
    };
    let mut events: Events = all.iter().flat_map(|(at, record)| keyed(*at, record)).collect();
    for _ in 0..records {
        let record = chance.record(&events);
        let at = log.stage(&record).expect("staged");
        log.commit().expect("a sync");
        events.extend(keyed(at, &record));
    }
}
