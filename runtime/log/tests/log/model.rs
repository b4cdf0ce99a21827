//! The log against a plain list.

use weirgate_log::{DirStorage, LogError};

use super::*;

#[test]
fn the_log_agrees_with_a_list() {
    for seed in 0..60 {
        run(seed);
    }
}

/// One run of random pushes, syncs, discards, reads and reopenings. A failing seed belongs in a test of its own.
fn run(seed: u64) {
    let mut chance = Chance(seed);
    let options = small(200 + chance.below(20_000), chance.below(3) * 7000);
    let disk = SimStorage::new();
    let mut log = open(&disk, &options).expect("a new log");
    let (mut durable, mut all) = (Model::new(), Model::new());
    for _ in 0..80 {
        match chance.below(10) {
            0..=5 => {
                let record = chance.record(1500);
                push(&mut log, &mut all, record);
            }
            6..=7 => {
                assert_eq!(log.commit().expect("a sync"), next(&all).before());
                durable.clone_from(&all);
            }
            8 => {
                log.discard();
                assert_eq!(log.pending_bytes(), 0);
                all.clone_from(&durable);
            }
            _ => {
                let closed = chance.below(2) == 0;
                if closed {
                    log.close().expect("a clean end");
                    durable.clone_from(&all);
                } else {
                    drop(log);
                    all.clone_from(&durable);
                }
                log = open(&disk, &options).expect("the log again");
            }
        }
        assert_eq!(contents(&log.reader()), durable, "seed {seed}");
        let from = Position(chance.below(log.head().0 + 3));
        let expected: Vec<_> = durable.iter().filter(|(first, record)| first.plus(record.width()) > from).collect();
        let found: Vec<_> = log.reader().scan(from).map(|record| record.expect("a record")).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "seed {seed}, from {from}");
        assert_eq!(log.reader().read(log.head().next()).expect("no error"), None);
    }
}

#[test]
fn large_batches_and_records_are_found_through_the_index() {
    let disk = SimStorage::new();
    let options = LogOptions { segment_bytes_max: 1 << 20, ..LogOptions::default() };
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    let mut chance = Chance(1);
    for batch in 0..6 {
        for _ in 0..100 + u32::from(batch) * 100 {
            push(&mut log, &mut model, chance.record(800));
        }
        push(&mut log, &mut model, Record::Accepted { event: event(vec![batch; 300_000]), to: None, at_ms: 0 });
        log.commit().expect("a sync");
    }
    assert_eq!(contents(&log.reader()), model);
    drop(log);
    assert_eq!(contents(&open(&disk, &options).expect("the log again").reader()), model);
}

#[test]
fn batches_of_all_sizes_are_found_through_the_index() {
    let disk = SimStorage::new();
    let mut log = open(&disk, &small(1 << 19, 4096)).expect("a new log");
    let mut model = Model::new();
    let mut chance = Chance(2);
    for _ in 0..60 {
        for _ in 0..=chance.below(100) {
            push(&mut log, &mut model, chance.record(700));
        }
        log.commit().expect("a sync");
    }
    assert_eq!(contents(&log.reader()), model);
    drop(log);
    assert_eq!(contents(&open(&disk, &LogOptions::default()).expect("the log again").reader()), model);
}

#[test]
fn an_oversized_record_is_refused_and_changes_nothing() {
    let options = LogOptions { batch_bytes_max: 1000, ..LogOptions::default() };
    let mut log = open(&SimStorage::new(), &options).expect("a new log");
    let mut model = Model::new();
    let record = |bytes| Record::Accepted { event: event(vec![0; bytes]), to: None, at_ms: 0 };
    let error = log.stage(&record(1000)).expect_err("too large");
    assert!(matches!(error, LogError::RecordTooLarge { max: 1000, .. }), "{error}");
    push(&mut log, &mut model, record(500));
    let error = log.stage(&record(500)).expect_err("a full batch");
    assert!(matches!(error, LogError::BatchFull { max: 1000, .. }), "{error}");
    log.commit().expect("a sync");
    push(&mut log, &mut model, record(500));
    log.commit().expect("a sync");
    assert_eq!(contents(&log.reader()), model);
}

#[test]
fn readers_see_a_prefix_while_the_writer_continues() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = Arc::new(DirStorage::open(dir.path()).expect("a storage"));
    let mut log = Log::open(storage, IDENTITY, small(100_000, 4096)).expect("a new log");
    let reader = log.reader();
    let records = 3000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut next = Position(1);
                while next.0 <= records {
                    for found in reader.scan(next) {
                        let (position, record) = found.expect("a record");
                        assert_eq!((position, record_number(&record)), (next, next.0));
                        let (_, read) = reader.read(position).expect("no error").expect("a record");
                        assert_eq!(read, record);
                        next = next.next();
                    }
                }
            });
        }
        for number in 1..=records {
            log.stage(&Record::Accepted { event: event(vec![0; 200]), to: None, at_ms: number }).expect("staged");
            if number % 7 == 0 || number == records {
                log.commit().expect("a sync");
            }
        }
    });
    drop((log, reader));
    let storage = Arc::new(DirStorage::open(dir.path()).expect("a storage"));
    let log =
        Log::open(storage, Identity::random().expect("randomness"), LogOptions::default()).expect("the log again");
    assert_eq!((log.head(), log.epoch()), (Position(records), IDENTITY.epoch));
    assert_eq!(contents(&log.reader()).len(), 3000);
}

fn record_number(record: &Record) -> u64 {
    match record {
        Record::Accepted { at_ms, .. } => *at_ms,
        other => panic!("{other:?}"),
    }
}
