//! Runs of the index of identities that are damaged while it is used: what they hold is refused until they have been made again from
//! the log, and no answer is wrong.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use weirgate_history::{HistoryError, Identities, Progress};
use weirgate_testkit::{Crash, Fault};

use super::{
    identities::{Model, check, files, identity, make_everything, open, publish},
    *,
};

const IDS: u64 = 1_000;

/// An index that has merged runs and small ones, and the log behind it.
fn filled(disk: &SimStorage) -> (Log, Identities, Model, Chance) {
    let (mut log, mut model, mut chance) = (open_log(&SimStorage::new()), Model::new(), Chance(3));
    for _ in 0..60 {
        publish(&mut log, None, &mut model, &mut chance, IDS);
    }
    let index = open(disk, &log, Position::ZERO);
    make_everything(&index);
    assert!(files(disk).len() > 1, "{:?}", files(disk));
    (log, index, model, chance)
}

/// The positions of a run.
fn span(name: &str) -> (Position, Position) {
    let (first, last) = name.trim_end_matches(".ids").split_once('-').expect("two positions");
    (Position(first.parse().expect("a number")), Position(last.parse().expect("a number")))
}

fn held_by(name: &str, model: &Model) -> Vec<u64> {
    let (first, last) = span(name);
    let is_held = |position: &Position| (first..=last).contains(position);
    model.iter().filter(|(_, position)| is_held(position)).map(|(id, _)| *id).collect()
}

/// Looks all identities up. Returns those that are refused; the others' answers must be right.
fn refused(index: &Identities, model: &Model, what: &str) -> Vec<u64> {
    let is_refused = |id: &u64| match index.look_up(identity(*id)) {
        Ok(answer) => {
            assert_eq!(answer.position, model.get(id).copied(), "{what}: {id}");
            false
        }
        Err(HistoryError::NotReady { missing, segments }) => {
            assert!((1..=segments).contains(&missing), "{what}: {missing} of {segments}");
            true
        }
        Err(error) => panic!("{what}: {error}"),
    };
    (0..IDS).filter(is_refused).collect()
}

fn flip(disk: &SimStorage, name: &str, at: usize) {
    let mut bytes = disk.contents(name).expect("a file");
    bytes[at] ^= 1;
    disk.overwrite(name, bytes);
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    Flipped,
    Truncated,
    Unreadable,
}

#[test]
fn what_a_damaged_run_holds_is_refused_until_it_has_been_made_again() {
    let disk = SimStorage::new();
    let (mut log, index, mut model, mut chance) = filled(&disk);
    for damage in [Damage::Flipped, Damage::Truncated, Damage::Unreadable] {
        for name in files(&disk) {
            let what = format!("{name} {damage:?}");
            let held = held_by(&name, &model);
            let Some(one) = held.first().copied() else { continue };
            let before = index.look_up(identity(one)).expect("an answer");
            match damage {
                Damage::Flipped => flip(&disk, &name, 100),
                Damage::Truncated => disk.overwrite(&name, vec![7; 50]),
                Damage::Unreadable => disk.fail(disk.operations() + 1, Fault::Io),
            }
            assert!(index.look_up(identity(one)).is_err(), "{what}: {one}");
            let is_refused = refused(&index, &model, &what);
            assert!(held.iter().all(|id| is_refused.contains(id)), "{what}: {held:?}, refused {is_refused:?}");
            assert_eq!(index.look_up_in_memory(identity(one)), None, "{what}");
            assert_eq!(index.renew(identity(one), before).expect("its own answer").position, before.position);
            let older = weirgate_history::Answer { as_of: Position::ZERO, position: None };
            assert!(index.renew(identity(one), older).is_err(), "{what}");
            // Meanwhile events are accepted.
            publish(&mut log, Some(&index), &mut model, &mut chance, IDS);
            refused(&index, &model, &what);
            make_everything(&index);
            check(&index, &model, Position::ZERO, IDS, &what);
            check(&open(&disk, &log, Position::ZERO), &model, Position::ZERO, IDS, &format!("{what}, opened again"));
            assert_eq!(files(&disk).len(), index.runs().0, "{what}: {:?}", files(&disk));
        }
    }
}

#[test]
fn a_merge_that_meets_damage_makes_the_run_again() {
    let disk = SimStorage::new();
    let (mut log, index, mut model, mut chance) = filled(&disk);
    let mut merged = 0;
    for round in 0..200 {
        publish(&mut log, Some(&index), &mut model, &mut chance, IDS);
        if let Some(name) = files(&disk).last().filter(|_| chance.below(4) == 0) {
            flip(&disk, name, 100);
        }
        merged += usize::from(index.make_next().expect("made") == Progress::Merged);
        refused(&index, &model, &format!("round {round}"));
    }
    make_everything(&index);
    assert!(merged > 5, "{merged} were merged");
    assert!(refused(&index, &model, "at the end").is_empty(), "all damage was found by then");
}

#[test]
fn a_crash_at_any_operation_of_making_it_again_loses_nothing() {
    for operation in 1.. {
        let disk = SimStorage::new();
        let (log, index, model, _) = filled(&disk);
        let largest = files(&disk).into_iter().max_by_key(|name| held_by(name, &model).len()).expect("a run");
        flip(&disk, &largest, 100);
        assert!(!refused(&index, &model, "damaged").is_empty());
        disk.fail(disk.operations() + operation, Fault::Io);
        let made = index.make_next();
        disk.fail(0, Fault::Io);
        refused(&index, &model, &format!("operation {operation} failed"));
        for crash in [Crash::Keep(0), Crash::Keep(9), Crash::Keep(u64::MAX), Crash::Sectors { seed: operation }] {
            let what = format!("operation {operation}, {crash:?}");
            let left = disk.crash(crash);
            let again = open(&left, &log, Position::ZERO);
            refused(&again, &model, &what);
            make_everything(&again);
            check(&again, &model, Position::ZERO, IDS, &what);
        }
        make_everything(&index);
        check(&index, &model, Position::ZERO, IDS, &format!("operation {operation}, tried again"));
        if made.is_ok() {
            assert!(operation > 10, "{operation} operations");
            break;
        }
    }
}

#[test]
fn forgotten_damage_is_in_no_one_s_way() {
    let disk = SimStorage::new();
    let (_log, index, model, _) = filled(&disk);
    let oldest = files(&disk).first().cloned().expect("a run");
    flip(&disk, &oldest, 100);
    assert!(!refused(&index, &model, "damaged").is_empty());
    let floor = span(&oldest).1;
    index.forget(floor);
    check(&index, &model, floor, IDS, "forgotten");
    make_everything(&index);
    assert!(!files(&disk).contains(&oldest));
    check(&index, &model, floor, IDS, "removed");
}

#[test]
fn events_are_accepted_even_if_the_log_is_damaged_there_too() {
    let (disk, log_disk) = (SimStorage::new(), SimStorage::new());
    let (mut log, mut model, mut chance) = (open_log(&log_disk), Model::new(), Chance(3));
    for _ in 0..60 {
        publish(&mut log, None, &mut model, &mut chance, IDS);
    }
    let index = open(&disk, &log, Position::ZERO);
    make_everything(&index);
    flip(&disk, &files(&disk)[0], 100);
    let segment = files(&log_disk).into_iter().find(|name| name.strip_suffix(".seg").is_some()).expect("a segment");
    let middle = log_disk.contents(&segment).expect("a segment").len() / 2;
    flip(&log_disk, &segment, middle);
    let is_refused = refused(&index, &model, "damaged");
    assert!(!is_refused.is_empty());
    let runs = index.runs().0;
    for _ in 0..60 {
        publish(&mut log, Some(&index), &mut model, &mut chance, IDS);
        while index.make_next().is_ok_and(|progress| progress != Progress::Nothing) {}
        assert!(!index.is_behind(), "no event would be accepted");
    }
    assert!(index.runs().0 > runs, "new runs were written");
    assert!(matches!(index.make_next(), Err(HistoryError::Log(_))), "the operator's log has the reason");
    refused(&index, &model, "still damaged");
}

#[test]
fn no_answer_is_wrong_while_runs_are_damaged_and_made_again() {
    let disk = SimStorage::new();
    let (_log, index, model, mut chance) = filled(&disk);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut seen = 0;
            while !is_over.load(Ordering::Relaxed) {
                seen += refused(&index, &model, "while they are made again").len();
            }
            seen
        });
        for _ in 0..100 {
            let names = files(&disk);
            let name = &names[usize::try_from(chance.below(names.len() as u64)).expect("an index")];
            if let Some(id) = held_by(name, &model).first() {
                flip(&disk, name, 100);
                assert!(index.look_up(identity(*id)).is_err(), "{name}");
                make_everything(&index);
                assert!(index.look_up(identity(*id)).is_ok(), "{name}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        looks.join().expect("no wrong answer");
    });
    check(&index, &model, Position::ZERO, IDS, "at the end");
}
