//! The index of identities against a map: with runs written and merged at random, after crashes, with damaged and missing runs, and
//! with a floor that rises.

use std::collections::BTreeMap;

use weirgate_history::{Answer, HistoryError, Identities, IdentityHash, Progress, Sizes};
use weirgate_testkit::{Crash, Fault, records};
use weirgate_types::Event;

use super::*;

const SIZES: Sizes = Sizes { generation: 8, bulk: 20 };

/// The newest position of each identity that was accepted.
pub(super) type Model = BTreeMap<u64, Position>;

pub(super) fn identity(id: u64) -> IdentityHash {
    IdentityHash::of("/identities", &id.to_string())
}

fn accepted(id: u64) -> Record {
    let event = Event { id: id.to_string(), source: "/identities".into(), ..records::event(vec![1; 20]) };
    Record::Accepted { event, to: None, at_ms: 7 }
}

pub(super) fn open(disk: &SimStorage, log: &Log, floor: Position) -> Identities {
    let opened = Identities::open(Arc::new(disk.clone()), &log.reader(), Arc::clone(log.epochs()), floor, SIZES);
    opened.expect("an index")
}

/// Appends events with identities below `ids`, and other records between them.
pub(super) fn publish(log: &mut Log, index: Option<&Identities>, model: &mut Model, chance: &mut Chance, ids: u64) {
    let mut entries = Vec::new();
    for _ in 0..=chance.below(5) {
        if chance.below(3) == 0 {
            log.stage(&records::commit(2, vec![3; 10])).expect("staged");
        }
        let id = chance.below(ids);
        let position = log.stage(&accepted(id)).expect("staged");
        model.insert(id, position);
        entries.push((identity(id), position));
    }
    let head = log.commit().expect("a sync");
    if let Some(index) = index {
        index.append(entries, head);
    }
}

pub(super) fn check(index: &Identities, model: &Model, floor: Position, ids: u64, what: &str) {
    for id in 0..ids {
        let expected = model.get(&id).copied().filter(|position| *position > floor);
        let answer = index.look_up(identity(id)).expect("an answer");
        assert_eq!(answer.position, expected, "{what}: {id}");
        let in_memory = index.look_up_in_memory(identity(id));
        assert!(in_memory.is_none_or(|in_memory| in_memory == answer), "{what}: {id} in memory");
    }
}

pub(super) fn make_everything(index: &Identities) {
    while index.make_next().expect("made") != Progress::Nothing {}
}

pub(super) fn files(disk: &SimStorage) -> Vec<String> {
    weirgate_log::Storage::list(disk).expect("names")
}

#[test]
fn it_finds_what_a_map_finds_while_runs_are_made() {
    for seed in 0..20 {
        let (disk, mut log, mut chance) = (SimStorage::new(), open_log(&SimStorage::new()), Chance(seed));
        let (mut index, mut model, mut floor) = (open(&disk, &log, Position::ZERO), Model::new(), Position::ZERO);
        let mut merged = 0;
        for round in 0..120 {
            publish(&mut log, Some(&index), &mut model, &mut chance, 400);
            if chance.below(3) == 0 {
                merged += usize::from(index.make_next().expect("made") == Progress::Merged);
            }
            if chance.below(10) == 0 {
                floor = Position(floor.0.max(log.head().0.saturating_sub(chance.below(300))));
                index.forget(floor);
            }
            if chance.below(15) == 0 {
                index = open(&disk, &log, floor);
            }
            assert_eq!(index.applied(), log.head());
            if round % 20 == 0 {
                check(&index, &model, floor, 400, &format!("seed {seed}, round {round}"));
            }
        }
        make_everything(&index);
        check(&index, &model, floor, 400, &format!("seed {seed}, at the end"));
        assert!(merged > 0 || index.runs().0 < 4, "nothing was merged");
        assert_eq!(files(&disk).len(), index.runs().0, "{:?}", files(&disk));
    }
}

#[test]
fn an_earlier_answer_is_renewed_with_what_came_since() {
    let (disk, mut log, mut model) = (SimStorage::new(), open_log(&SimStorage::new()), Model::new());
    let index = open(&disk, &log, Position::ZERO);
    let before = [0, 1].map(|id| index.look_up(identity(id)).expect("an answer"));
    assert_eq!(before[0], Answer { position: None, as_of: Position::ZERO });
    let position = log.stage(&accepted(0)).expect("staged");
    let head = log.commit().expect("a sync");
    index.append([(identity(0), position)], head);
    let renewed = |id: u64, answer| index.renew(identity(id), answer).expect("an answer").position;
    assert_eq!([renewed(0, before[0]), renewed(1, before[1])], [Some(position), None], "it is in memory");
    let mut chance = Chance(1);
    for _ in 0..30 {
        publish(&mut log, Some(&index), &mut model, &mut chance, 1_000);
        make_everything(&index);
    }
    model.entry(0).or_insert(position);
    assert_eq!(renewed(0, before[0]), model.get(&0).copied(), "it is in a run by now, and the answer older");
    index.forget(log.head());
    assert_eq!(renewed(0, before[0]), None, "it is forgotten");
    assert_eq!(renewed(0, Answer { position: Some(position), ..before[0] }), None);
}

#[test]
fn after_a_crash_at_any_operation_it_knows_everything_that_the_log_does() {
    let (mut log, mut model, mut chance) = (open_log(&SimStorage::new()), Model::new(), Chance(3));
    for _ in 0..40 {
        publish(&mut log, None, &mut model, &mut chance, 60);
    }
    for operation in 1.. {
        let disk = SimStorage::new();
        // Half of the runs are there before, and are merged.
        disk.fail(operation, Fault::Io);
        let opened =
            Identities::open(Arc::new(disk.clone()), &log.reader(), Arc::clone(log.epochs()), Position::ZERO, SIZES);
        let mut failed = opened.is_err();
        if let Ok(index) = opened {
            loop {
                match index.make_next() {
                    Ok(Progress::Nothing) => break,
                    Ok(_) => {}
                    Err(_) => {
                        failed = true;
                        check(&index, &model, Position::ZERO, 60, "a run could not be written");
                        break;
                    }
                }
            }
        }
        for crash in [Crash::Keep(0), Crash::Keep(9), Crash::Keep(u64::MAX), Crash::Sectors { seed: operation }] {
            let left = disk.crash(crash);
            let index = open(&left, &log, Position::ZERO);
            assert!(!files(&left).concat().contains(".new"), "operation {operation}");
            check(&index, &model, Position::ZERO, 60, &format!("operation {operation}, {crash:?}"));
            make_everything(&index);
            check(&index, &model, Position::ZERO, 60, &format!("operation {operation}, {crash:?}, merged"));
        }
        if !failed {
            assert!(operation > 20, "{operation} operations");
            break;
        }
    }
}

#[test]
fn a_full_disk_does_not_keep_it_from_opening() {
    let (disk, mut log, mut model, mut chance) =
        (SimStorage::new(), open_log(&SimStorage::new()), Model::new(), Chance(3));
    while model.len() < 12 {
        publish(&mut log, None, &mut model, &mut chance, 1_000);
    }
    disk.set_bytes_max(Some(4_000));
    let index = open(&disk, &log, Position::ZERO);
    check(&index, &model, Position::ZERO, 1_000, "a full disk");
    assert!(index.make_next().is_err(), "it is still full");
    disk.set_bytes_max(None);
    make_everything(&index);
    assert!(index.runs().0 > 0);
    check(&index, &model, Position::ZERO, 1_000, "there is room again");
}

#[test]
fn damaged_and_foreign_runs_are_made_again() {
    let (disk, mut log, mut model, mut chance) =
        (SimStorage::new(), open_log(&SimStorage::new()), Model::new(), Chance(3));
    for _ in 0..60 {
        publish(&mut log, None, &mut model, &mut chance, 1_000);
    }
    make_everything(&open(&disk, &log, Position::ZERO));
    let names = files(&disk);
    assert!(names.len() > 1, "{names:?}");
    let mut found = 0;
    for name in &names {
        let sound = disk.contents(name).expect("a run");
        for at in (0..sound.len()).step_by(sound.len() / 9) {
            let mut damaged = sound.clone();
            damaged[at] ^= 1;
            disk.overwrite(name, damaged);
            let index = open(&disk, &log, Position::ZERO);
            // Damage to rows shows when they are read: what may be among them is not answered, all else is.
            let answers = |id: u64| index.look_up(identity(id));
            let refused: Vec<_> = (0..1_000).filter(|id| answers(*id).is_err()).collect();
            for id in 0..1_000 {
                match answers(id) {
                    Ok(answer) => assert_eq!(answer.position, model.get(&id).copied(), "{name}, byte {at}: {id}"),
                    Err(error) => assert!(matches!(error, HistoryError::NotReady { missing: 1, .. }), "{error}"),
                }
            }
            assert!(refused.is_empty() || refused.iter().any(|id| model.contains_key(id)));
            found += usize::from(!refused.is_empty());
            make_everything(&index);
            let what = format!("{name}, byte {at}");
            check(&index, &model, Position::ZERO, 1_000, &what);
            check(&open(&disk, &log, Position::ZERO), &model, Position::ZERO, 1_000, &what);
            disk.overwrite(name, sound.clone());
        }
    }
    assert!(found > 5, "{found}");
    // Of another log, or ahead of this one.
    let mut shorter = open_log(&SimStorage::new());
    let mut model = Model::new();
    publish(&mut shorter, None, &mut model, &mut chance, 10);
    let index = open(&disk, &shorter, Position::ZERO);
    check(&index, &model, Position::ZERO, 10, "a log that is shorter than the runs");
    assert_eq!(files(&disk), Vec::<String>::new());
}

#[test]
fn no_more_than_its_share_waits_for_a_run() {
    let (disk, mut log, mut model, mut chance) =
        (SimStorage::new(), open_log(&SimStorage::new()), Model::new(), Chance(3));
    let index = open(&disk, &log, Position::ZERO);
    while !index.is_behind() {
        publish(&mut log, Some(&index), &mut model, &mut chance, 1_000);
        assert!(model.len() < 20 * SIZES.generation);
    }
    index.make_next().expect("made");
    assert!(!index.is_behind());
    // A log without events completes generations too.
    let index = open(&disk, &log, Position::ZERO);
    let head = log.head();
    assert!(!index.append([], Position(head.0 + 7)) && index.append([], Position(head.0 + 8 * 8)));
}
