//! A checked-in segment: every later release must read it, and write the same bytes.

use super::*;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/00000000000000000001.seg");

/// Two batches with a record of every kind, and the batch that closes the log.
fn write() -> (SimStorage, Model) {
    let disk = SimStorage::new();
    let mut log = open(&disk, &LogOptions::default()).expect("a new log");
    let mut model = Model::new();
    for (number, record) in every_record().into_iter().enumerate() {
        push(&mut log, &mut model, record);
        if number == 2 {
            log.commit().expect("a sync");
        }
    }
    log.close().expect("a clean end");
    (disk, model)
}

/// To regenerate the file after a change of the format with a new version number: `WEIRGATE_GOLDEN=write cargo test -p
/// weirgate-log golden`.
#[test]
fn the_golden_segment_is_read_and_written_byte_for_byte() {
    let (disk, model) = write();
    let written = disk.contents("00000000000000000001.seg").expect("the segment");
    if std::env::var_os("WEIRGATE_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(PATH, &written).expect("written");
    }
    let golden = std::fs::read(PATH).expect("the golden segment");
    let disk = SimStorage::new();
    disk.overwrite("00000000000000000001.seg", golden.clone());
    let log = open(&disk, &LogOptions::default()).expect("the golden log");
    assert_eq!(log.epoch(), IDENTITY.epoch);
    assert_eq!(contents(&log.reader()), model);
    assert_eq!(written, golden);
}
