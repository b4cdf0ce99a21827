//! A disk whose operations fail, and one that fills up.

use weirgate_log::LogError;
use weirgate_testkit::{Crash, Fault};

use super::*;

/// Pushes and syncs batches until one fails. Returns what was durable before, and with the failed batch.
pub fn write_until_failure(disk: &SimStorage, options: &LogOptions) -> (Model, Model, Option<LogError>) {
    let mut chance = Chance(7);
    let (mut durable, mut all) = (Model::new(), Model::new());
    let mut log = match open(disk, options) {
        Ok(log) => log,
        Err(error) => return (durable, all, Some(error)),
    };
    for _ in 0..8 {
        for _ in 0..=chance.below(3) {
            push(&mut log, &mut all, chance.record(600));
        }
        if let Err(error) = log.commit() {
            check_refusal(&mut log, &error, &durable, &all);
            return (durable, all, Some(error));
        }
        durable.clone_from(&all);
    }
    let error = log.close().err();
    (durable, all, error)
}

/// After a failed sync the log continues if nothing was written, and otherwise accepts no more; readers continue in any
/// case.
fn check_refusal(log: &mut Log, error: &LogError, durable: &Model, all: &Model) {
    assert_eq!(contents(&log.reader()), *durable, "after {error}");
    if matches!(error, LogError::Full(_)) {
        assert_eq!(log.commit().expect("there is space again"), next(all).before());
        assert_eq!(contents(&log.reader()), *all);
    } else {
        assert!(matches!(log.commit(), Err(LogError::Poisoned)));
        assert!(matches!(log.stage(&commit(0, Vec::new())), Err(LogError::Poisoned)));
    }
}

#[test]
fn any_operation_may_fail_and_nothing_synced_is_lost() {
    for reserve_bytes in [0, 10_000] {
        let options = small(1500, reserve_bytes);
        for fault in [Fault::Io, Fault::Full, Fault::Descriptors, Fault::Short] {
            let mut failures = 0;
            for operation in 1.. {
                let disk = SimStorage::new();
                disk.fail(operation, fault);
                let (durable, all, error) = write_until_failure(&disk, &options);
                if error.is_none() && disk.operations() < operation {
                    break;
                }
                failures += u64::from(error.is_some());
                let found = contents(&open(&disk, &options).expect("the log again").reader());
                assert!(found == durable || found == all, "operation {operation}, {fault:?}: {error:?}");
            }
            assert!(failures > 30, "{fault:?}: the script has only {failures} operations that fail");
        }
    }
}

#[test]
fn opening_may_fail_at_any_operation() {
    let options = small(1500, 10_000);
    let disk = SimStorage::new();
    let (durable, ..) = write_until_failure(&disk, &options);
    let mut refusals = 0;
    for operation in 1.. {
        let copy = disk.crash(Crash::Keep(u64::MAX));
        copy.fail(operation, Fault::Io);
        let opened = open(&copy, &options);
        if copy.operations() < operation {
            break;
        }
        // A seal that cannot be read, written or removed is done without.
        match opened {
            Ok(log) => assert_eq!(contents(&log.reader()), durable, "operation {operation}"),
            Err(error) => {
                refusals += 1;
                assert!(matches!(error, LogError::Io { .. }), "operation {operation}: {error}");
            }
        }
        assert_eq!(contents(&open(&copy, &options).expect("the log again").reader()), durable);
    }
    assert!(refusals > 5, "{refusals}");
}

#[test]
fn a_full_disk_only_delays_the_log() {
    for reserve_bytes in [0, 5000, 30_000] {
        let options = small(4000, reserve_bytes);
        let disk = SimStorage::new();
        let mut log = open(&disk, &options).expect("a new log");
        let mut model = Model::new();
        let (mut chance, mut refusals) = (Chance(3), 0);
        for _ in 0..40 {
            push(&mut log, &mut model, chance.record(700));
            disk.set_bytes_max(Some(disk.bytes() + chance.below(900)));
            while let Err(error) = log.commit() {
                assert!(matches!(error, LogError::Full(_)), "{error}");
                assert_eq!(contents(&log.reader()), model[..model.len() - 1]);
                refusals += 1;
                // A crash while the disk is full.
                let copy = disk.crash(Crash::Sectors { seed: refusals });
                assert_eq!(contents(&open(&copy, &options).expect("the log again").reader()), model[..model.len() - 1]);
                disk.set_bytes_max(Some(disk.bytes() + chance.below(2000)));
            }
        }
        assert!(refusals > 10, "only {refusals} refusals with {reserve_bytes}");
        assert_eq!(contents(&log.reader()), model);
        drop(log);
        disk.set_bytes_max(None);
        assert_eq!(contents(&open(&disk, &options).expect("the log again").reader()), model);
    }
}

#[test]
fn a_batch_that_does_not_fit_can_be_given_up() {
    let disk = SimStorage::new();
    let mut log = open(&disk, &small(100_000, 20_000)).expect("a new log");
    let mut model = Model::new();
    push(&mut log, &mut model, commit(1, vec![1; 100]));
    log.commit().expect("a sync");
    disk.set_bytes_max(Some(disk.bytes()));
    log.stage(&commit(0, vec![2; 40_000])).expect("staged");
    assert!(matches!(log.commit(), Err(LogError::Full(_))));
    log.discard();
    // The reserved space is still there for a smaller batch.
    push(&mut log, &mut model, commit(0, vec![3; 100]));
    log.commit().expect("a sync");
    assert_eq!(contents(&log.reader()), model);
}

#[test]
fn there_must_be_space_for_a_new_log() {
    let disk = SimStorage::new();
    disk.set_bytes_max(Some(10));
    assert!(matches!(open(&disk, &LogOptions::default()), Err(LogError::Full(_))));
    disk.set_bytes_max(None);
    assert_eq!(open(&disk, &LogOptions::default()).expect("a new log").head(), Position::ZERO);
}

#[test]
fn a_new_segment_waits_for_a_file_descriptor_and_reports_the_error() {
    let disk = SimStorage::new();
    let mut log = open(&disk, &small(1500, 0)).expect("a new log");
    let mut model = Model::new();
    push(&mut log, &mut model, commit(0, vec![1; 1200]));
    log.commit().expect("a sync");
    push(&mut log, &mut model, commit(0, vec![2; 1200]));
    disk.fail(disk.operations() + 1, Fault::Descriptors);
    let error = log.commit().expect_err("no descriptor for a second segment");
    assert!(matches!(error, LogError::Full(_)) && error.to_string().contains("os error 24"), "{error}");
    log.commit().expect("a descriptor is free again");
    assert_eq!(contents(&log.reader()), model);
}
