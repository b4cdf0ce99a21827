//! Sealed segments: an opening does not read them, and damage in them is found all the same; a seal that is not sound, or not of
//! its segment, is as good as none.

use weirgate_log::Opening;

use super::{
    damage::{copy, corruption},
    *,
};

fn seals(disk: &SimStorage) -> Vec<String> {
    let mut names = Storage::list(disk).expect("names");
    names.retain(|name| name.strip_suffix(".seal").is_some());
    names.sort();
    names
}

/// A closed log of some segments, each of several batches, with a seal of each segment but the last.
fn sealed_log() -> (SimStorage, LogOptions, Model) {
    let (disk, options) = (SimStorage::new(), small(1_500, 0));
    let mut log = open(&disk, &options).expect("a new log");
    let (mut model, mut chance) = (Model::new(), Chance(11));
    for _ in 0..18 {
        push(&mut log, &mut model, chance.record(120));
        log.commit().expect("a sync");
    }
    log.close().expect("a clean end");
    assert!((3..=6).contains(&segments(&disk).len()), "{:?}", segments(&disk));
    let expected: Vec<_> = segments(&disk).iter().map(|name| name.replace(".seg", ".seal")).collect();
    assert_eq!(seals(&disk), expected[..expected.len() - 1]);
    (disk, options, model)
}

/// Reads all sealed segments. Returns the damage.
fn verify(log: &Log) -> Vec<LogError> {
    let reader = log.reader();
    reader.sealed().iter().filter_map(|sealed| reader.verify(sealed, |_| true).err()).collect()
}

#[test]
fn a_flipped_bit_of_a_sealed_segment_is_found_by_reading_and_by_verifying_and_then_by_opening() {
    let (disk, options, model) = sealed_log();
    let (mut found_later, mut found_by_reading) = (0, 0);
    let sealed = segments(&disk).len() - 1;
    for name in &segments(&disk)[..sealed] {
        let bytes = disk.contents(name).expect("a segment");
        for bit in (0..bytes.len() * 8).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let image = copy(&disk);
            image.overwrite(name, flipped.clone());
            let Ok(log) = open(&image, &options) else { continue };
            found_later += 1;
            let scanned: Vec<_> = log.reader().scan(Position::ZERO).collect();
            for (found, expected) in scanned.iter().zip(&model).filter(|(found, _)| found.is_ok()) {
                assert_eq!(found.as_ref().ok(), Some(expected), "{name} {bit}: a wrong record");
            }
            let is_read = scanned.iter().any(Result::is_err);
            found_by_reading += u64::from(is_read);
            let [LogError::Corrupt(found)] = &verify(&log)[..] else { panic!("{name} {bit}: not found") };
            assert!(found.file == *name && found.offset <= (bit / 8) as u64, "{name} {bit}: {found}");
            drop(log);
            assert_eq!(corruption(open(&image, &options)).file, *name, "{name} {bit}");
            assert_eq!(image.contents(name), Some(flipped), "{name} {bit}: changed");
            // Damage that was none, as one of the memory: the segment is read, and sealed again.
            image.overwrite(name, bytes.clone());
            assert_eq!(contents(&open(&image, &options).expect("the log").reader()), model);
            assert_eq!(seals(&image), seals(&disk));
        }
    }
    assert!(found_later > 1_000 && found_by_reading > 1_000, "{found_later}, {found_by_reading}");
}

#[test]
fn a_read_that_meets_damage_makes_the_next_opening_find_it() {
    let (disk, options, model) = sealed_log();
    let name = segments(&disk).remove(0);
    let mut bytes = disk.contents(&name).expect("a segment");
    bytes[64 + 32 + 12 + 4] ^= 1;
    disk.overwrite(&name, bytes);
    let log = open(&disk, &options).expect("it is not read");
    assert_eq!(
        log.reader().read(next(&model).before()).expect("sound").map(|(first, _)| first),
        model.last().map(|last| last.0)
    );
    assert!(matches!(log.reader().read(Position(1)), Err(LogError::Corrupt(_))));
    drop(log);
    assert_eq!(corruption(open(&disk, &options)).file, name);
}

#[test]
fn a_reader_of_a_log_in_no_use_changes_no_seal() {
    let (disk, options, _) = sealed_log();
    let name = segments(&disk).remove(0);
    let mut bytes = disk.contents(&name).expect("a segment");
    bytes[64 + 32 + 12 + 4] ^= 1;
    disk.overwrite(&name, bytes);
    let opening = Opening::read(Arc::new(disk.clone()), IDENTITY, options).expect("a log");
    let reader = opening.into_reader().expect("a log");
    let before = seals(&disk);
    assert!(reader.read(Position(1)).is_err());
    assert_eq!(seals(&disk), before);
}

#[test]
fn a_damaged_seal_is_as_good_as_none() {
    let (disk, options, model) = sealed_log();
    for name in seals(&disk) {
        let bytes = disk.contents(&name).expect("a seal");
        let flips = (0..bytes.len() * 8).step_by(5).map(|bit| {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        });
        let others = seals(&disk).into_iter().filter(|other| *other != name).filter_map(|other| disk.contents(&other));
        for damaged in flips.chain(others).chain([Vec::new(), bytes[..bytes.len() - 1].to_vec()]) {
            let image = copy(&disk);
            image.overwrite(&name, damaged);
            assert_eq!(contents(&open(&image, &options).expect("the log").reader()), model, "{name}");
            assert_eq!(image.contents(&name), Some(bytes.clone()), "{name} was not made again");
        }
    }
}

#[test]
fn a_log_without_seals_gets_the_same() {
    let (disk, options, model) = sealed_log();
    let image = without_seals(&disk);
    let log = open(&image, &options).expect("the log");
    assert_eq!(contents(&log.reader()), model);
    for name in seals(&disk) {
        assert_eq!(image.contents(&name), disk.contents(&name), "{name}");
    }
}

#[test]
fn a_seal_of_a_segment_that_grows_again_is_removed() {
    let (disk, options, mut model) = sealed_log();
    // The last segment is gone, as if it had never been created, and so the one before it grows.
    let last = segments(&disk).pop().expect("a segment");
    let first = Position(last.trim_end_matches(".seg").parse().expect("a position"));
    Storage::remove(&disk, &last).expect("removed");
    Storage::note(&disk, b"").expect("noted");
    model.retain(|(position, _)| *position < first);
    let before = seals(&disk);
    let name = before.last().expect("a seal").clone();
    let stale = disk.contents(&name).expect("the seal");
    let larger = small(100_000, 0);
    let mut log = open(&disk, &larger).expect("the log");
    assert_eq!(seals(&disk), before[..before.len() - 1]);
    // Even where it cannot be removed, it is not trusted.
    push(&mut log, &mut model, commit(1, vec![1; 50]));
    log.commit().expect("a sync");
    drop(log);
    disk.overwrite(&name, stale);
    let mut log = open(&disk, &options).expect("the log");
    push(&mut log, &mut model, commit(1, vec![2; 1_500]));
    log.commit().expect("a sync, in a new segment");
    assert_eq!(contents(&log.reader()), model);
    drop(log);
    assert_eq!(contents(&open(&disk, &options).expect("the log").reader()), model);
}

#[test]
fn a_stale_seal_of_a_segment_that_has_grown_is_not_trusted() {
    let disk = SimStorage::new();
    let mut model = Model::new();
    let mut log = open(&disk, &small(300, 0)).expect("a new log");
    for value in 1..=3 {
        push(&mut log, &mut model, commit(1, vec![value; 200]));
        log.commit().expect("a sync");
    }
    drop(log);
    let (name, seal) = (seals(&disk).remove(0), disk.contents(&seals(&disk).remove(0)).expect("a seal"));
    for segment in segments(&disk).into_iter().skip(1) {
        Storage::remove(&disk, &segment).expect("removed");
    }
    Storage::note(&disk, b"").expect("noted");
    model.truncate(1);
    let options = small(1_000, 0);
    let mut log = open(&disk, &options).expect("the log");
    for value in 4..=8 {
        push(&mut log, &mut model, commit(1, vec![value; 200]));
        log.commit().expect("a sync");
    }
    drop(log);
    assert!(segments(&disk).len() > 1);
    disk.overwrite(&name, seal);
    assert_eq!(contents(&open(&disk, &options).expect("the log").reader()), model);
}

#[test]
fn a_repair_leaves_no_seal_of_what_it_replaced() {
    let (disk, options, _) = sealed_log();
    let name = segments(&disk).remove(0);
    let mut bytes = disk.contents(&name).expect("a segment");
    bytes[64 + 32 + 12 + 4] ^= 1;
    disk.overwrite(&name, bytes);
    let how = weirgate_log::Repair { views: None, epoch: Epoch([7; 16]), at_ms: 1, even_if_sound: false };
    weirgate_log::repair(&disk, &how).expect("repaired").expect("there was damage");
    assert!(!seals(&disk).contains(&name.replace(".seg", ".seal")));
    let log = open(&disk, &options).expect("the log");
    let before = contents(&log.reader());
    assert!(verify(&log).is_empty());
    drop(log);
    assert_eq!(contents(&open(&disk, &options).expect("the log").reader()), before);
}

#[test]
fn verifying_ends_when_asked_and_says_how_far_it_is() {
    let (disk, options, _) = sealed_log();
    let log = open(&disk, &options).expect("the log");
    let reader = log.reader();
    let sealed = reader.sealed()[0];
    let mut seen = Vec::new();
    reader
        .verify(&sealed, |bytes| {
            seen.push(bytes);
            seen.len() < 2
        })
        .expect("sound");
    assert_eq!((seen.len(), seen[0]), (2, 64));
    assert!(seen[1] > 64 && seen[1] < sealed.end);
}
