//! Disks that fail, fill up, lose power and hold damage: a table is whole or absent, and is made again.

use weirgate_testkit::{Crash, Fault};
use weirgate_types::Position;

use super::{
    model::{check, records},
    *,
};

/// A log of some sealed segments.
fn written() -> Log {
    let mut log = open_log(&SimStorage::new());
    let mut chance = Chance(5);
    while log.reader().sealed().len() < 3 {
        append(&mut log, &mut chance, 10);
    }
    log
}

#[test]
fn after_a_crash_at_any_operation_each_table_is_whole_or_absent() {
    let log = written();
    let all = records(&log.reader());
    let (mut cuts, mut kept) = (0, 0);
    for operation in 1.. {
        let disk = SimStorage::new();
        disk.fail(operation, Fault::Io);
        let storage = Arc::new(disk.clone());
        let opened = History::open(storage, log.reader(), Arc::clone(log.epochs()), log.key_hasher());
        let mut failed = opened.is_err();
        if let Ok(history) = opened {
            loop {
                match history.make_next(&|_| true) {
                    Ok(Made::Nothing) => break,
                    Ok(_) => {}
                    Err(_) => {
                        failed = true;
                        break;
                    }
                }
            }
        }
        for crash in [Crash::Keep(0), Crash::Keep(9), Crash::Keep(u64::MAX), Crash::Sectors { seed: operation }] {
            let left = disk.crash(crash);
            let history = open_history(&left, &log);
            kept += history_files(&left).len();
            assert!(!history_files(&left).concat().contains(".new"), "operation {operation}");
            check(&history.look(), &all, 23, &format!("operation {operation}, {crash:?}"));
            make_all(&history);
            check(&history.look(), &all, 23, &format!("operation {operation}, {crash:?}, made again"));
            cuts += 1;
        }
        if !failed {
            break;
        }
    }
    assert!(cuts > 60 && kept > 60, "{cuts} cuts, {kept} tables");
}

#[test]
fn a_damaged_table_is_made_again() {
    let log = written();
    let all = records(&log.reader());
    let disk = SimStorage::new();
    make_all(&open_history(&disk, &log));
    let names = history_files(&disk);
    assert!([".idx", ".state"].iter().all(|kind| names.iter().any(|name| name.contains(kind))), "{names:?}");
    for name in &names {
        let sound = disk.contents(name).expect("a table");
        for at in (0..sound.len()).step_by(sound.len() / 5) {
            for is_open in [false, true] {
                let disk = disk.crash(Crash::Keep(0));
                let before = open_history(&disk, &log);
                let mut bytes = sound.clone();
                bytes[at] ^= 1;
                disk.overwrite(name, bytes);
                let history = if is_open { before } else { open_history(&disk, &log) };
                check(&history.look(), &all, 23, &format!("{name}, byte {at}"));
                make_all(&history);
                make_all(&history);
                check(&history.look(), &all, 23, &format!("{name}, byte {at}, made again"));
                assert_eq!(history_files(&disk).len(), names.len(), "{name}, byte {at}");
            }
        }
    }
    // A table of another log, and one of this log under another's name.
    let other = SimStorage::new();
    other.overwrite(&names[0], disk.contents(&names[1]).expect("a table"));
    other.overwrite(&names[1], vec![0; 4_096]);
    other.overwrite("00000000000000099999.idx", disk.contents(&names[0]).expect("a table"));
    other.overwrite("00000000000000000001.idx.new", vec![1]);
    other.overwrite("lock", Vec::new());
    let history = open_history(&other, &log);
    assert_eq!(history_files(&other), ["lock"]);
    check(&history.look(), &all, 23, "of another log");
}

#[test]
fn a_full_disk_holds_no_table_and_nothing_breaks() {
    let log = written();
    let all = records(&log.reader());
    let disk = SimStorage::new();
    let history = open_history(&disk, &log);
    assert_eq!(history.make_next(&|_| false).expect("no error"), Made::NoRoom);
    disk.set_bytes_max(Some(5_000));
    assert!(history.make_next(&|_| true).is_err());
    assert_eq!(history_files(&disk), Vec::<String>::new());
    check(&history.look(), &all, 23, "full");
    disk.set_bytes_max(None);
    assert_eq!(history.make_next(&|_| true).expect("made"), Made::Index(Position(1)));
}

fn history_files(disk: &SimStorage) -> Vec<String> {
    use weirgate_log::Storage as _;
    let mut names = disk.list().expect("names");
    names.sort();
    names
}
