//! Repairs: whatever was damaged, the log opens again; sound records keep their positions, and lost ones are reported.

use weirgate_log::{Known, Opening, Repair, Repaired, Storage, Survey, Witness, repair};
use weirgate_testkit::{Crash, Fault};

use super::*;

const RAISED: Epoch = Epoch([8; 16]);
const HOW: Repair = Repair { views: None, epoch: RAISED, at_ms: 5, even_if_sound: false };

/// A log of several segments whose process was killed; its records, and how many are in each batch.
fn killed_log(chance: &mut Chance) -> (SimStorage, LogOptions, Model) {
    let disk = SimStorage::new();
    let options = small(600 + chance.below(3_000), chance.below(2) * 4_000);
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    for _ in 0..4 + chance.below(12) {
        for _ in 0..=chance.below(4) {
            push(&mut log, &mut model, chance.record(150));
        }
        log.commit().expect("a sync");
    }
    (disk, options, model)
}

fn segments(disk: &SimStorage) -> Vec<String> {
    let mut names = disk.list().expect("names");
    names.retain(|name| name.strip_suffix(".seg").is_some());
    names.sort();
    names
}

/// Damages the log.
fn damage(disk: &SimStorage, chance: &mut Chance) {
    let names = segments(disk);
    if names.is_empty() {
        return;
    }
    let name = &names[usize::try_from(chance.below(names.len() as u64)).expect("small")];
    let mut bytes = disk.contents(name).expect("a segment");
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = usize::try_from(chance.below(end.max(1) as u64)).expect("small");
    match chance.below(8) {
        0 => return disk.remove(name).expect("removed"),
        1 => bytes.truncate(at),
        2 => {
            let to = end.min(at + 200);
            bytes[at..to].fill(u8::try_from(chance.below(256)).expect("a byte"));
        }
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << chance.below(8)),
    }
    disk.overwrite(name, bytes);
}

/// Checks that the log opens, and each record is the original one or lost. Returns how many records are lost.
fn check(disk: &SimStorage, options: &LogOptions, model: &Model, case: &str) -> usize {
    let log = open(disk, options).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(log.head() >= next(model).before(), "{case}: positions would be given again from {}", log.head());
    let found = contents(&log.reader());
    let lost: Vec<_> = found.iter().filter(|(_, record)| matches!(record, Record::Lost(_))).collect();
    let is_lost = |position: Position| {
        lost.iter().any(|(first, record)| *first <= position && position < first.plus(record.width()))
    };
    for (position, record) in model {
        let kept = found.binary_search_by_key(position, |(first, _)| *first).is_ok_and(|at| found[at].1 == *record);
        assert!(kept || is_lost(*position), "{case}: position {position} is neither kept nor lost");
    }
    model.iter().filter(|(position, _)| is_lost(*position)).count()
}

fn mend(disk: &SimStorage) -> Option<Repaired> {
    repair(disk, &HOW).expect("a repair")
}

#[test]
fn a_repaired_log_opens_and_keeps_all_sound_records() {
    let (mut damaged, mut lost) = (0, 0);
    for seed in 0..600 {
        let mut chance = Chance(seed);
        let (disk, options, model) = killed_log(&mut chance);
        let image = disk.crash(Crash::Keep(u64::MAX));
        for _ in 0..=chance.below(3) {
            damage(&image, &mut chance);
        }
        // An opening that has seals finds less of it than a repair does.
        let refused = open(&without_seals(&image), &options).err();
        if refused.is_none() {
            open(&image, &options).expect("with seals too");
        }
        let (is_sound, case) = (refused.is_none(), format!("seed {seed}, {refused:?}"));
        if segments(&image).is_empty() {
            continue;
        }
        let repaired = match repair(&image, &HOW) {
            Ok(repaired) => repaired,
            // A log of one segment whose header is lost.
            Err(LogError::Corrupt(found)) => {
                assert!(found.what.contains("no segment's header") && segments(&image).len() < 3, "{case}: {found}");
                continue;
            }
            Err(other) => panic!("{case}: {other}"),
        };
        if matches!(&refused, Some(LogError::Lost(found)) if matches!(found.witness, Witness::NoLog { .. })) {
            // Nothing is left to repair: a new log is created if the loss is accepted.
            assert_eq!(repaired, None, "{case}");
            continue;
        }
        assert_eq!(repaired.is_some(), !is_sound, "{case}: {repaired:?}");
        lost += check(&image, &options, &model, &case);
        damaged += usize::from(repaired.is_some());
        let epoch = open(&image, &options).expect("the log").epoch();
        assert_eq!(epoch, if repaired.is_some() { RAISED } else { IDENTITY.epoch }, "{case}");
        assert_eq!(mend(&image), None, "{case}: nothing is left to do");
    }
    assert!(damaged > 400 && lost > 400, "{damaged} damaged, {lost} records lost");
}

#[test]
fn one_flipped_bit_costs_no_more_than_one_record() {
    let mut chance = Chance(3);
    let (disk, options, model) = killed_log(&mut chance);
    for name in segments(&disk) {
        let bytes = disk.contents(&name).expect("a segment");
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for bit in (0..end * 8).step_by(41) {
            let image = disk.crash(Crash::Keep(u64::MAX));
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            image.overwrite(&name, flipped.clone());
            let case = format!("{name}, bit {bit}");
            let repaired = mend(&image).unwrap_or_else(|| panic!("{case}: nothing was done"));
            let (copies, findings) = (&repaired.copies, &repaired.findings);
            assert_eq!((copies.len(), image.contents(&copies[0])), (1, Some(flipped)), "{case}: a copy is kept");
            assert!(findings.iter().any(|finding| finding.from <= (bit / 8) as u64), "{case}: {findings:?}");
            // If a record's length is damaged, the beginning of the next record is unknown.
            let frame = findings.iter().any(|finding| !finding.lost.is_empty());
            let lost = check(&image, &options, &model, &case);
            assert!(lost <= 4 && (frame || lost == 0), "{case}: {lost} records are lost");
        }
    }
}

#[test]
fn a_repair_that_was_interrupted_can_be_run_again() {
    let mut interrupted = 0;
    for seed in 0..12 {
        for operation in 1.. {
            let mut chance = Chance(seed);
            let (disk, options, model) = killed_log(&mut chance);
            let image = disk.crash(Crash::Keep(u64::MAX));
            let names = segments(&image);
            for name in [&names[0], &names[names.len() - 1]] {
                let mut bytes = image.contents(name).expect("a segment");
                bytes[64 + 40] ^= 1;
                image.overwrite(name, bytes);
            }
            // Notes may be lost in a power cut; the views know the log's head as well.
            let known = Known { log: IDENTITY.epoch, epoch: IDENTITY.epoch, position: next(&model).before() };
            let how = Repair { views: Some(known), ..HOW };
            image.fail(image.operations() + operation, Fault::Io);
            if repair(&image, &how).is_ok() {
                break;
            }
            interrupted += 1;
            for crash in [Crash::Keep(u64::MAX), Crash::Keep(0), Crash::Sectors { seed: operation }] {
                let after = image.crash(crash);
                let case = format!("seed {seed}, operation {operation}, {crash:?}");
                if repair(&after, &how).expect("a repair").is_none() {
                    // Then everything had been done.
                    assert_eq!(open(&after, &options).expect("the log").epoch(), RAISED, "{case}");
                }
                check(&after, &options, &model, &case);
                assert_eq!(open(&after, &options).expect("the log").epoch(), RAISED, "{case}");
            }
        }
    }
    assert!(interrupted > 100, "{interrupted}");
}

#[test]
fn positions_belong_to_the_epoch_in_which_they_were_assigned() {
    let mut chance = Chance(7);
    let (disk, options, mut model) = killed_log(&mut chance);
    let (head, name) = (next(&model).before(), segments(&disk).pop().expect("a segment"));
    let mut bytes = disk.contents(&name).expect("the segment");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("a byte");
    bytes[last] ^= 1;
    disk.overwrite(&name, bytes);
    let opening = Opening::read(Arc::new(disk.clone()), IDENTITY, options.clone()).expect("a log");
    let (mut log, repaired) = opening.accept_loss(RAISED, 5).expect("the log without its end");
    assert_eq!(repaired.expect("a repair").head, head);
    model.truncate(model.len() - 1);
    assert_eq!(log.stage(&commit(0, Vec::new())).expect("staged"), head.next(), "no position is given again");
    log.commit().expect("a sync");
    let epochs = Arc::clone(log.epochs());
    assert_eq!((epochs.at(head), epochs.at(head.next())), (IDENTITY.epoch, RAISED));
    drop(log);
    // Nothing is missing any more, so the flag has no effect.
    for _ in 0..2 {
        let opening = Opening::read(Arc::new(disk.clone()), IDENTITY, options.clone()).expect("a log");
        assert_eq!(opening.loss(), None);
        let (log, repaired) = opening.accept_loss(Epoch([7; 16]), 5).expect("the log");
        assert_eq!((repaired, log.epoch(), log.head()), (None, RAISED, head.next()));
        assert_eq!(**log.epochs(), *epochs);
    }
}

#[test]
fn a_new_epoch_can_begin_in_a_sound_log() {
    let mut chance = Chance(9);
    let (disk, options, model) = killed_log(&mut chance);
    for epoch in [Epoch([1; 16]), Epoch([2; 16])] {
        let how = Repair { epoch, even_if_sound: true, ..HOW };
        let began = repair(&disk, &how).expect("no error").expect("a new epoch");
        assert_eq!((began.head, began.copies.len()), (next(&model).before(), 0));
        let log = open(&disk, &options).expect("the log");
        assert_eq!((log.epoch(), contents(&log.reader())), (epoch, model.clone()));
    }
}

#[test]
fn a_survey_of_a_sound_log_finds_and_changes_nothing() {
    let mut chance = Chance(4);
    let (disk, _, model) = killed_log(&mut chance);
    let before: Vec<_> = segments(&disk).iter().map(|name| disk.contents(name)).collect();
    let survey = Survey::of(&disk, None).expect("no error").expect("a log");
    assert_eq!((survey.findings.len(), survey.head()), (0, next(&model).before()));
    assert_eq!(survey.records, model.len() as u64);
    assert!(survey.torn.is_none());
    let after: Vec<_> = segments(&disk).iter().map(|name| disk.contents(name)).collect();
    assert_eq!(before, after);
    assert!(Survey::of(&SimStorage::new(), None).expect("no error").is_none());
}

#[test]
fn no_record_of_a_batch_that_was_never_durable_is_kept() {
    let (disk, options) = (SimStorage::new(), small(100_000, 0));
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    let mut chance = Chance(2);
    for _ in 0..3 {
        push(&mut log, &mut model, chance.record(100));
        push(&mut log, &mut model, chance.record(100));
        log.commit().expect("a sync");
    }
    let acknowledged = disk.crash(Crash::Keep(u64::MAX));
    let name = segments(&disk).pop().expect("a segment");
    let end = disk.contents(&name).expect("the segment").len();
    for value in 0..3 {
        log.stage(&commit(0, vec![value; 30])).expect("staged");
    }
    log.commit().expect("a sync");
    let mut bytes = disk.contents(&name).expect("the segment");
    bytes.pop();
    bytes[end - 5] ^= 1;
    acknowledged.overwrite(&name, bytes);
    // With a note of the durable head, and without: the torn batch proves that the previous one was durable.
    for note in [None, Some(b"")] {
        let image = acknowledged.crash(Crash::Keep(u64::MAX));
        if let Some(note) = note {
            image.note(note).expect("noted");
        }
        assert!(matches!(open(&image, &options), Err(LogError::Corrupt(_))));
        let repaired = mend(&image).expect("a repair");
        assert_eq!(repaired.head, next(&model).before(), "{repaired:?}");
        assert_eq!(check(&image, &options, &model, "torn"), 1);
    }
}
