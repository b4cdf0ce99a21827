//! Power cuts: whatever part of the unsynced bytes survives, the log has everything synced, and the batch that was being
//! written as a whole or not at all.

use weirgate_testkit::{Crash, Fault};

use super::{faults::write_until_failure, *};

fn check(image: &SimStorage, options: &LogOptions, durable: &Model, all: &Model, case: &str) -> bool {
    let mut log = open(image, options).unwrap_or_else(|error| panic!("{case}: {error}"));
    let mut found = contents(&log.reader());
    assert!(found == *durable || found == *all, "{case}: {} records, {} were durable", found.len(), durable.len());
    let whole = found.len() > durable.len();
    // It continues, and is the same when reopened.
    push(&mut log, &mut found, commit(1, vec![9; 40]));
    log.commit().unwrap_or_else(|error| panic!("{case}: {error}"));
    drop(log);
    let again = open(&image.crash(Crash::Keep(0)), options).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(contents(&again.reader()), found, "{case}");
    whole
}

#[test]
fn a_power_cut_leaves_whole_batches() {
    let (mut images, mut whole) = (0, 0);
    for reserve_bytes in [0, 10_000] {
        let options = small(2500, reserve_bytes);
        for operation in 1.. {
            let disk = SimStorage::new();
            disk.fail(operation, Fault::Io);
            let (durable, all, error) = write_until_failure(&disk, &options);
            if error.is_none() && disk.operations() < operation {
                break;
            }
            let crashes = (0..=disk.unsynced_bytes()).map(Crash::Keep);
            for crash in crashes.chain((0..40).map(|seed| Crash::Sectors { seed })) {
                let case = format!("reserve {reserve_bytes}, operation {operation}, {crash:?}");
                images += 1;
                whole += u64::from(check(&disk.crash(crash), &options, &durable, &all, &case));
            }
        }
    }
    assert!(images > 10_000 && whole > 100, "{images} images, {whole} with the last batch");
}

#[test]
fn a_cut_at_any_byte_of_a_closed_log_leaves_whole_batches() {
    let disk = SimStorage::new();
    let options = small(100_000, 0);
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    let mut chance = Chance(5);
    let mut ends = vec![(64, 0)];
    let name = "00000000000000000001.seg";
    for _ in 0..6 {
        push(&mut log, &mut model, chance.record(200));
        push(&mut log, &mut model, chance.record(200));
        log.commit().expect("a sync");
        ends.push((disk.contents(name).expect("the segment").len(), model.len()));
    }
    let bytes = disk.contents(name).expect("the segment");
    for cut in 0..=bytes.len() {
        let image = SimStorage::new();
        image.overwrite(name, bytes[..cut].to_vec());
        let expected = ends.iter().rfind(|(end, _)| *end <= cut).map_or(0, |(_, records)| *records);
        let log = open(&image, &options).expect("the log again");
        assert_eq!(contents(&log.reader()), model[..expected], "cut at {cut}");
    }
}

#[test]
fn a_batch_behind_which_nothing_sound_lies_is_cut_with_all_its_bytes() {
    let disk = SimStorage::new();
    let options = small(4000, 10_000);
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    push(&mut log, &mut model, commit(1, vec![1; 100]));
    log.commit().expect("a sync");
    let mut torn = disk.contents("00000000000000000001.seg").expect("the segment");
    // Garbage in the reserved space, as from a batch of which only some middle sectors were written.
    torn[2000..3000].fill(0xab);
    disk.overwrite("00000000000000000001.seg", torn);
    drop(log);
    assert!(check(&disk, &options, &Model::new(), &model, "garbage behind the end"));
    let after = disk.contents("00000000000000000001.seg").expect("the segment");
    assert!(after[2000..3000].iter().all(|byte| *byte == 0), "the garbage is gone");
}

#[test]
fn a_torn_tail_is_cut_durably_before_a_new_segment_follows() {
    let disk = SimStorage::new();
    let options = small(1000, 0);
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    push(&mut log, &mut model, commit(1, vec![1; 100]));
    log.commit().expect("a sync");
    drop(log);
    let mut torn = disk.contents("00000000000000000001.seg").expect("the segment");
    torn.extend_from_slice(&[0xab; 200]);
    disk.overwrite("00000000000000000001.seg", torn);
    let mut log = open(&disk, &options).expect("the log again");
    push(&mut log, &mut model, commit(1, vec![2; 900]));
    log.commit().expect("a sync, in a new segment");
    let after = open(&disk.crash(Crash::Keep(0)), &options).expect("the log after a power cut");
    assert_eq!(contents(&after.reader()), model);
}
