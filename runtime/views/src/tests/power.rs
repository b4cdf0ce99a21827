//! Views after a power cut: mixtures of old and new blocks of sled's files. Either they are verified as whole, and then
//! equal what a map would hold, or they are rebuilt.

use std::{fs, path::Path};

use weirgate_types::Position;

use super::{
    Chance, EPOCH, TABLES, all,
    damage::{changes, model},
    make, open, views_dir,
};
use crate::{
    about::Origin,
    memtable::Memtable,
    sled_store::{Redo, SledStore},
    store::Store as _,
};

/// A file after a power cut while `before` is overwritten by `after`: each block of either.
fn mixture(before: &Path, after: &Path, chance: &mut Chance) -> Vec<u8> {
    let [before, after] = [before, after].map(|path| fs::read(path).unwrap_or_default());
    let length = if chance.below(2) == 0 { before.len() } else { after.len() };
    let mut bytes = vec![0; length];
    for (number, block) in bytes.chunks_mut(4096).enumerate() {
        let from = if chance.below(2) == 0 { &before } else { &after };
        let from = from.get(number * 4096..).unwrap_or_default();
        block.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
    bytes
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("entries") {
        let entry = entry.expect("an entry");
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).expect("copied")),
        }
    }
}

/// A generation of changes, as if many positions had been written.
fn generation(from: u64, to: u64) -> Memtable {
    let mut memtable = Memtable::new(TABLES, Position(from));
    for number in from + 1..=to {
        memtable.write(changes(number), Position(number));
    }
    memtable
}

#[test]
fn after_a_power_cut_views_are_verified_or_rebuilt() {
    const BEFORE: u64 = 3_000;
    const AFTER: u64 = 3_400;
    let dir = tempfile::tempdir().expect("a directory");
    let [before, planned, after] = ["before", "planned", "after"].map(|name| dir.path().join(name));
    let views = open(&before);
    for number in 1..=BEFORE {
        views.write(changes(number), Position(number)).expect("written");
    }
    drop(views);
    fs::write(before.join("state"), "open another-boot\n").expect("written");
    // One more generation: first only its redo entry is written, then all of it is in sled.
    copy(&before, &planned);
    let store = SledStore::open(&planned.join("sled"), TABLES, 1 << 20).expect("sled");
    let begun = generation(BEFORE, AFTER).begin_flush().expect("a generation");
    let prepared = store.prepare(begun.batch(Origin { log: EPOCH, epoch: EPOCH })).expect("prepared");
    Redo::open(&planned.join("sled/redo"))
        .expect("a file")
        .write(prepared.base, prepared.about, prepared.rows())
        .expect("written");
    drop(store);
    copy(&planned, &after);
    drop(SledStore::open(&after.join("sled"), TABLES, 1 << 20).expect("sled, brought forward"));
    let (mut whole, mut anew) = (0, 0);
    for seed in 0..40 {
        let mut chance = Chance(seed);
        let image = dir.path().join(format!("image-{seed}"));
        match seed {
            0 => copy(&before, &image),
            1 => copy(&planned, &image),
            2 => copy(&after, &image),
            _ => {
                copy(&planned, &image);
                let db = mixture(&before.join("sled/db"), &after.join("sled/db"), &mut chance);
                fs::write(image.join("sled/db"), db).expect("written");
            }
        }
        let views = open(&image);
        match views.applied().0 {
            0 if seed > 2 => {
                assert_eq!(all(&views), Vec::new());
                anew += 1;
            }
            applied if applied == BEFORE || applied == AFTER => {
                assert!(all(&views) == model(applied), "seed {seed}: not the state of position {applied}");
                whole += 1;
            }
            applied => panic!("seed {seed}: the state of position {applied}"),
        }
    }
    assert!(whole >= 3, "{whole} whole, {anew} anew");
    eprintln!("power cuts: {whole} whole, {anew} made anew");
}

#[test]
fn one_missing_or_old_row_is_detected() {
    for (key, value) in [("a", None), ("a", Some("9")), ("c", Some("1"))] {
        let (_dir, path) = views_dir();
        make(&path);
        let db = sled::Config::new().path(path.join("sled")).open().expect("sled");
        match value {
            Some(value) => db.insert(key, value).expect("inserted"),
            None => db.remove(key).expect("removed"),
        };
        db.flush().expect("flushed");
        drop(db);
        fs::write(path.join("state"), "open another-boot\n").expect("written");
        assert_eq!(open(&path).applied(), Position::ZERO, "{key} {value:?}");
    }
    let (_dir, path) = views_dir();
    make(&path);
    fs::write(path.join("state"), "open another-boot\n").expect("written");
    assert_eq!(open(&path).applied(), Position(7), "nothing was changed");
}
