//! Damage to durable data: it is refused and reported, nothing is changed, nothing skipped.

use weirgate_log::{Corruption, Known, LogError, Opening, Storage};

use super::*;

const FIRST: &str = "00000000000000000001.seg";

pub fn copy(disk: &SimStorage) -> SimStorage {
    disk.crash(Crash::Keep(u64::MAX))
}

pub fn corruption(opened: Result<Log, LogError>) -> Corruption {
    match opened {
        Err(LogError::Corrupt(corruption)) => corruption,
        Err(other) => panic!("not named as corruption: {other}"),
        Ok(log) => panic!("opened, with {} as the head", log.head()),
    }
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    let (disk, options, model) = closed_log();
    let disk = without_seals(&disk);
    let (mut refused, mut harmless) = (0, 0);
    for name in segments(&disk) {
        let bytes = disk.contents(&name).expect("a segment");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let image = copy(&disk);
            image.overwrite(&name, flipped.clone());
            match open(&image, &options) {
                Err(LogError::Corrupt(corruption)) => {
                    refused += 1;
                    assert!(
                        corruption.offset <= (bit / 8) as u64 && corruption.file == name,
                        "{name} {bit}: {corruption}"
                    );
                    assert_eq!(image.contents(&name), Some(flipped), "{name} {bit}: changed though refused");
                }
                Err(other) => panic!("{name} {bit}: {other}"),
                // Only the empty batch that closes the log can be lost without harm.
                Ok(log) => {
                    harmless += 1;
                    assert_eq!(contents(&log.reader()), model, "{name} {bit}");
                }
            }
        }
    }
    assert_eq!(harmless, 32 * 8);
    assert!(refused > 10_000, "{refused}");
}

/// A log of three records, one per batch, that was not closed; and its segment with the last record damaged.
fn killed_log() -> (SimStorage, LogOptions, Model, Vec<u8>) {
    let (disk, options, model, flipped, _) = killed_log_with_notes();
    (disk, options, model, flipped)
}

/// The same, with the note after each batch.
fn killed_log_with_notes() -> (SimStorage, LogOptions, Model, Vec<u8>, Vec<Vec<u8>>) {
    let disk = SimStorage::new();
    let options = small(10_000, 20_000);
    let mut log = open(&disk, &options).expect("a new log");
    let (mut model, mut notes) = (Model::new(), Vec::new());
    for value in 1..=3 {
        push(&mut log, &mut model, commit(1, vec![value; 50]));
        log.commit().expect("a sync");
        notes.push(disk.noted().expect("a note"));
    }
    drop(log);
    let mut flipped = disk.contents(FIRST).expect("the segment");
    let last = flipped.iter().rposition(|byte| *byte != 0).expect("a byte");
    flipped[last - 10] ^= 1;
    (disk, options, model, flipped, notes)
}

#[test]
fn damage_to_the_last_batch_of_a_killed_log_is_a_loss() {
    let (disk, options, model, flipped) = killed_log();
    disk.overwrite(FIRST, flipped.clone());
    let Err(LogError::Lost(loss)) = open(&disk, &options) else { panic!("not a loss") };
    let (from, to) = (model[2].0, next(&model).before());
    assert_eq!((loss.from, loss.to), (from, to), "{loss}");
    assert!(loss.damage.as_ref().is_some_and(|damage| damage.file == FIRST), "{loss}");
    assert!(loss.to_string().contains(&format!("positions {from} to {to}")), "{loss}");
    assert_eq!(disk.contents(FIRST), Some(flipped), "nothing was changed");
}

#[test]
fn without_a_note_of_it_damage_to_the_last_batch_is_a_torn_tail() {
    let (disk, options, model, flipped, mut notes) = killed_log_with_notes();
    notes.pop();
    for note in notes.into_iter().chain([b"garbage".to_vec(), Vec::new()]) {
        let image = disk.crash(Crash::Keep(0));
        image.overwrite(FIRST, flipped.clone());
        Storage::note(&image, &note).expect("noted");
        assert_eq!(contents(&open(&image, &options).expect("the log again").reader()), model[..2]);
    }
}

#[test]
fn views_ahead_of_the_log_prove_a_loss() {
    let (disk, options, model, flipped) = killed_log();
    disk.overwrite(FIRST, flipped);
    let (head, end) = (next(&model).before(), model[1].0.next());
    let other = Epoch([9; 16]);
    let ours = Known { log: IDENTITY.epoch, epoch: IDENTITY.epoch, position: head };
    for (known, is_lost) in [
        (ours, true),
        (Known { position: end, ..ours }, false),
        (Known { log: other, epoch: other, ..ours }, false),
        (Known { epoch: other, position: Position(1), ..ours }, true),
    ] {
        let image = disk.crash(Crash::Keep(0));
        Storage::note(&image, b"").expect("noted");
        let mut opening = Opening::read(Arc::new(image), IDENTITY, options.clone()).expect("a log");
        assert_eq!((opening.loss(), opening.head(), opening.is_new()), (None, end, false));
        opening.applied_by_views(known);
        assert_eq!(opening.loss().is_some(), is_lost, "{known:?}");
    }
    // No log, although there was one.
    let mut opening = Opening::read(Arc::new(SimStorage::new()), IDENTITY, options).expect("no log");
    opening.applied_by_views(Known { log: other, epoch: other, position: Position(7) });
    let loss = opening.loss().expect("a loss");
    assert_eq!((loss.from, loss.to), (Position(1), Position(7)), "{loss}");
}

#[test]
fn damage_found_by_a_read_is_reported_and_not_skipped() {
    let (disk, options, model) = closed_log();
    let name = segments(&disk).get(1).expect("a second segment").clone();
    let bytes = disk.contents(&name).expect("a segment");
    let mut named = 0;
    for at in (64..bytes.len()).step_by(3) {
        let image = copy(&disk);
        let log = open(&image, &options).expect("the log");
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        image.overwrite(&name, flipped);
        let reader = log.reader();
        let scanned: Vec<_> = reader.scan(Position::ZERO).collect();
        let sound = scanned.iter().take_while(|found| found.is_ok()).count();
        assert!(scanned.iter().zip(&model).take(sound).all(|(found, expected)| found.as_ref().ok() == Some(expected)));
        match scanned.get(sound) {
            Some(Err(LogError::Corrupt(found))) if found.file == name => named += 1,
            // A scan begins at a record, behind the header of the segment's first batch.
            None if at < 64 + 32 => assert_eq!(sound, model.len()),
            other => panic!("byte {at}: {other:?}"),
        }
        for (position, record) in &model {
            match reader.read(*position) {
                Ok(found) => assert_eq!(found, Some((*position, record.clone()))),
                Err(error) => assert!(matches!(error, LogError::Corrupt(_)), "{error}"),
            }
        }
    }
    assert!(named > 80, "{named}");
}

#[test]
fn missing_and_foreign_segments_are_refused() {
    let (disk, options, _) = closed_log();
    let all = segments(&disk);
    let (first, second, last) = (&all[0], &all[1], &all[all.len() - 1]);

    let image = copy(&disk);
    Storage::remove(&image, first).expect("removed");
    assert_eq!(corruption(open(&image, &options)).what, "the log's first segment is missing");

    let image = copy(&disk);
    Storage::remove(&image, second).expect("removed");
    assert_eq!(corruption(open(&image, &options)).file, *first);

    let image = copy(&disk);
    image.overwrite(last, disk.contents(second).expect("a segment"));
    assert_eq!(corruption(open(&image, &options)).file, *last);

    let other = SimStorage::new();
    let mut log =
        Log::open(Arc::new(other.clone()), Identity { epoch: Epoch([0; 16]), salt: Salt([0; 16]) }, options.clone())
            .expect("another log");
    log.stage(&commit(0, Vec::new())).expect("staged");
    log.commit().expect("a sync");
    let image = copy(&disk);
    image.overwrite(first, other.contents(FIRST).expect("a segment"));
    assert_eq!(corruption(open(&image, &options)).what, "the segment is of another log");
}

#[test]
fn a_damaged_header_with_records_behind_it_is_corruption() {
    let disk = SimStorage::new();
    let mut log = open(&disk, &small(10_000, 20_000)).expect("a new log");
    let new = disk.contents(FIRST).expect("the segment");
    log.stage(&commit(0, Vec::new())).expect("staged");
    log.commit().expect("a sync");
    let mut damaged = disk.contents(FIRST).expect("the segment");
    damaged[20] ^= 1;
    disk.overwrite(FIRST, damaged);
    assert_eq!(corruption(open(&disk, &LogOptions::default())).offset, 0);

    disk.overwrite(FIRST, new[..30].to_vec());
    Storage::note(&disk, b"").expect("noted");
    assert_eq!(open(&disk, &LogOptions::default()).expect("a new log").head(), Position::ZERO);
}

#[test]
fn damage_to_the_closing_batch_is_found_once_the_log_continues() {
    let disk = SimStorage::new();
    let options = small(10_000, 0);
    let closed_at = {
        let mut log = open(&disk, &options).expect("a new log");
        log.stage(&commit(0, Vec::new())).expect("staged");
        log.commit().expect("a sync");
        let end = disk.contents(FIRST).expect("the segment").len();
        log.close().expect("a clean end");
        end
    };
    let mut log = open(&disk, &options).expect("the log again");
    log.stage(&commit(0, Vec::new())).expect("staged");
    log.commit().expect("a sync");
    drop(log);
    let mut damaged = disk.contents(FIRST).expect("the segment");
    damaged[closed_at + 30] ^= 1;
    disk.overwrite(FIRST, damaged);
    let found = corruption(open(&disk, &options));
    assert_eq!((found.offset, found.position), (closed_at as u64, Position(2)));
}

#[test]
fn a_payload_with_a_part_of_the_log_is_not_a_later_batch() {
    let disk = SimStorage::new();
    let options = small(100_000, 0);
    let mut log = open(&disk, &options).expect("a new log");
    let mut model = Model::new();
    push(&mut log, &mut model, commit(0, vec![1; 50]));
    log.commit().expect("a sync");
    let part = disk.contents(FIRST).expect("the segment");
    log.stage(&Record::Accepted { event: event(part), to: None, at_ms: 0 }).expect("staged");
    log.commit().expect("a sync");
    drop(log);
    let mut torn = disk.contents(FIRST).expect("the segment");
    torn.pop();
    disk.overwrite(FIRST, torn);
    Storage::note(&disk, b"").expect("noted");
    assert_eq!(contents(&open(&disk, &options).expect("the log again").reader()), model);
}
