//! The views as a whole: against a plain map, killed, and with damaged directories.

mod damage;
mod power;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;

use weirgate_types::{Epoch, Epochs, Known, Position};

use crate::{
    Change, KEY_BYTES_MAX, Table, Tables, VALUE_BYTES_MAX, ViewEntry, ViewError, ViewOptions, Views,
    about::{About, Origin},
    directory::Directory,
    free_space::FreeSpace,
    sled_store::Redo,
};

pub const EPOCH: Epoch = Epoch([5; 16]);
/// The tables of the tests: those with a capital letter are packed.
pub const TABLES: Tables = Tables::new(&[
    Table { name: b'a', packed: false },
    Table { name: b'b', packed: false },
    Table { name: b'c', packed: false },
    Table { name: b'k', packed: false },
    Table { name: b's', packed: false },
    Table { name: b'z', packed: false },
    Table { name: b'C', packed: true },
    Table { name: b'K', packed: true },
    Table { name: b'Q', packed: true },
    Table { name: b'S', packed: true },
]);
const HEAD: Position = Position(1 << 40);
/// Environment variable that marks the child process, with the directory of its views.
const CHILD_DIR: &str = "WEIRGATE_VIEWS_CHILD";

/// Pseudo-random numbers from a seed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn options() -> ViewOptions {
    ViewOptions { flush_interval_ms: 2, cache_bytes: 1 << 20, ..ViewOptions::default() }
}

pub fn open(dir: &Path) -> Views {
    Views::open(dir, TABLES, (&Epochs::new(EPOCH), HEAD), options()).expect("the views")
}

fn put(key: &str, value: &str) -> Change {
    Change::put(key, value)
}

pub fn views_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("views");
    (dir, path)
}

pub fn all(views: &Views) -> Vec<ViewEntry> {
    views.scan(b"", None, usize::MAX).expect("entries")
}

/// Views up to position 7, closed.
pub fn make(path: &Path) {
    let views = open(path);
    views.write(vec![put("a", "1"), put("b", "2")], Position(7)).expect("written");
}

#[test]
fn views_agree_with_a_map() {
    for seed in 0..12 {
        let (_dir, path) = views_dir();
        let mut chance = Chance(seed);
        let (mut views, mut model) = (open(&path), BTreeMap::<Vec<u8>, Vec<u8>>::new());
        for step in 1..400 {
            let keys = [key(&mut chance), key(&mut chance)];
            let changes: Vec<_> = keys
                .into_iter()
                .map(|key| {
                    let is_new = !model.contains_key(&key);
                    let length = usize::try_from(chance.below(30)).expect("small");
                    if chance.below(3) == 0 {
                        model.remove(&key);
                        return Change::remove(key);
                    }
                    let value = format!("{step}").repeat(length).into_bytes();
                    model.insert(key.clone(), value.clone());
                    if is_new { Change::insert_new(key, value) } else { Change::put(key, value) }
                })
                .collect();
            views.write(changes, Position(step)).expect("written");
            compare(&views, &model, &mut chance);
            match chance.below(60) {
                0 => {
                    drop(views);
                    views = open(&path);
                    assert_eq!(views.applied(), Position(step));
                }
                1..4 => views.settle().expect("settled"),
                _ => {}
            }
        }
        assert_eq!(all(&views), model.into_iter().collect::<Vec<_>>(), "seed {seed}");
    }
}

/// What the keys of a test begin with: entries with rows of their own, and some that share pages.
const KINDS: [&str; 4] = ["a", "K", "Q", "z"];

fn key(chance: &mut Chance) -> Vec<u8> {
    let kind = KINDS[usize::try_from(chance.below(3)).expect("small")];
    format!("{kind}/{}", chance.below(60)).into_bytes()
}

fn compare(views: &Views, model: &BTreeMap<Vec<u8>, Vec<u8>>, chance: &mut Chance) {
    let key = key(chance);
    assert_eq!(views.get(&key).expect("no error"), model.get(&key).cloned());
    let prefix = format!("{}/", KINDS[usize::try_from(chance.below(4)).expect("small")]).into_bytes();
    let limit = usize::try_from(chance.below(10)).expect("small");
    let after = (chance.below(2) == 0).then_some(key);
    let matching = model.iter().filter(|(key, _)| key.starts_with(&prefix) && Some(*key) > after.as_ref());
    let expected: Vec<_> = matching.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect();
    assert_eq!(views.scan(&prefix, after.as_deref(), limit).expect("no error"), expected);
    let keys: Vec<_> = expected.into_iter().map(|(key, _)| key).collect();
    assert_eq!(views.scan_keys(&prefix, after.as_deref(), limit).expect("no error"), keys);
}

#[test]
fn readers_never_see_an_older_value_than_before() {
    let (_dir, path) = views_dir();
    let views = open(&path);
    let last = 20_000_u64;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < last {
                    let read = |value: Option<Vec<u8>>| {
                        value.map_or(0, |value| u64::from_le_bytes(value.try_into().expect("eight bytes")))
                    };
                    let next = read(views.get(b"a").expect("no error"));
                    let scanned = views.scan(b"", None, 2).expect("no error");
                    assert!(scanned.len() != 1, "half of a write");
                    let values: Vec<_> = scanned.into_iter().map(|(_, value)| read(Some(value))).collect();
                    assert!(next >= seen && values.iter().all(|value| *value >= next && *value == values[0]));
                    seen = next;
                }
            });
        }
        for number in 1..=last {
            let change = |key: &str| Change::put(key, number.to_le_bytes());
            views.write(vec![change("a"), change("b")], Position(number)).expect("written");
            if number % 20 == 0 {
                // Then the generation being flushed is the newest.
                views.settle().expect("settled");
            }
        }
    });
}

#[test]
fn entries_are_found_while_their_pages_are_split_and_go() {
    const STAY: usize = 600;
    let (_dir, path) = views_dir();
    let views = open(&path);
    let mut chance = Chance(9);
    // Far apart, so that sled's own pages begin anywhere between two packed pages.
    let mut stay: Vec<_> =
        (0..STAY).map(|_| [b"K".as_slice(), &chance.below(u64::MAX).to_be_bytes()].concat()).collect();
    stay.sort();
    let puts = stay.iter().map(|key| Change::put(key.clone(), [1]));
    views.write(puts.collect(), Position(1)).expect("written");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (views, stay, done) = (&views, &stay, &done);
        for seed in 0..3 {
            scope.spawn(move || {
                let mut chance = Chance(seed);
                let mut index = || usize::try_from(chance.below(STAY as u64)).expect("small");
                while !done.load(Ordering::SeqCst) {
                    for _ in 0..1_000 {
                        let n = index();
                        assert!(views.get(&stay[n]).expect("no error").is_some(), "{n} is not found");
                    }
                    let n = index();
                    let behind = views.scan_keys(b"K", Some(&stay[n]), usize::MAX).expect("no error");
                    let those = behind.iter().filter(|key| key.len() == 9).count();
                    assert!(behind.is_sorted() && those == STAY - 1 - n, "not all behind {n}");
                }
            });
        }
        for position in 2..1_500 {
            // Whole ranges come and go, so that pages do.
            let from = usize::try_from(chance.below(STAY as u64 - 30)).expect("small");
            let keys =
                stay[from..from + 30].iter().flat_map(|key| (0..5).map(move |m| [key.as_slice(), &[m]].concat()));
            let write = |key| if position % 2 == 0 { Change::put(key, [7; 60]) } else { Change::remove(key) };
            views.write(keys.map(write).collect(), Position(position)).expect("written");
            if position % 3 == 0 {
                views.settle().expect("settled");
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn writers_wait_when_too_many_bytes_are_unflushed() {
    let (_dir, path) = views_dir();
    let limits =
        ViewOptions { flush_interval_ms: 600_000, flush_bytes: 10_000, pending_bytes_max: 20_000, ..options() };
    let views = Views::open(&path, TABLES, (&Epochs::new(EPOCH), HEAD), limits).expect("the views");
    for number in 0..5000_u64 {
        views.write(vec![put(&format!("key {number}"), &"x".repeat(100))], Position(number)).expect("written");
        assert!(views.flusher().memtable.read().open_bytes() < 20_000);
    }
    views.settle().expect("settled");
    assert_eq!(all(&views).len(), 5000);
}

/// Views of `path` on a disk with `free` bytes free.
fn open_on(path: &Path, free: &Arc<AtomicU64>, options: ViewOptions) -> Views {
    let directory = Arc::new(Directory::open(path, Directory::boot()).expect("a directory"));
    let free = Arc::clone(free);
    let free_space = FreeSpace::new(Box::new(move || Some(free.load(Ordering::SeqCst))));
    Views::open_in(directory, free_space, TABLES, (&Epochs::new(EPOCH), HEAD), options).expect("the views")
}

#[test]
fn on_a_full_disk_changes_wait_and_nothing_breaks() {
    let (_dir, path) = views_dir();
    let free = Arc::new(AtomicU64::new(1 << 30));
    let limits = ViewOptions { pending_bytes_max: 20_000, ..options() };
    let views = open_on(&path, &free, limits.clone());
    views.write(vec![put("a", "1")], Position(1)).expect("written");
    views.settle().expect("there is room");
    free.store((16 << 20) - 1, Ordering::SeqCst);
    // Also after a round that found nothing to flush.
    let looks = views.flusher().looks();
    while views.flusher().looks() < looks + 2 {
        std::thread::yield_now();
    }
    views.write(vec![put("b", "2")], Position(2)).expect("in memory");
    assert_eq!(views.settle(), Err(ViewError::NoSpace));
    assert_eq!((views.get(b"b"), all(&views).len()), (Ok(Some(b"2".into())), 2), "reads see it");
    drop(views);

    let views = open_on(&path, &free, limits);
    assert_eq!((views.applied(), all(&views).len()), (Position(1), 1), "an older state, and whole");
    assert!(!views.is_short_of_space(), "little waits so far");
    // The writer does not wait for room that may never come; callers check whether there is some.
    for number in 2..2_000 {
        views.write(vec![put(&format!("key {number}"), "x")], Position(number)).expect("written");
    }
    assert_eq!((views.settle(), views.is_short_of_space()), (Err(ViewError::NoSpace), true));
    free.store(1 << 30, Ordering::SeqCst);
    views.settle().expect("there is room again");
    assert_eq!((views.applied(), all(&views).len(), views.is_short_of_space()), (Position(1_999), 1_999, false));
}

#[test]
fn views_that_failed_for_lack_of_space_are_removed_and_rebuilt() {
    let (_dir, path) = views_dir();
    make(&path);
    let views = open(&path);
    let failure = ViewError::Full("a test".into());
    assert_eq!(views.flusher().failed::<()>(Err(failure.clone())), Err(failure.clone()));
    assert_eq!(views.get(b"a"), Err(failure));
    drop(views);
    assert_eq!(open(&path).applied(), Position::ZERO);
    assert!(!path.with_file_name("views.damaged").exists());
}

#[test]
fn oversized_changes_are_refused_as_a_whole() {
    let (_dir, path) = views_dir();
    let views = open(&path);
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let refused = views.write(vec![put("a", "1"), put("b", &long)], Position(1));
    assert_eq!(refused, Err(ViewError::ValueTooLarge { bytes: VALUE_BYTES_MAX + 1, max: VALUE_BYTES_MAX }));
    for key in ["", "\0a", &"k".repeat(KEY_BYTES_MAX + 1)] {
        let refused = views.write(vec![put("a", "1"), put(key, "")], Position(1));
        assert_eq!(refused, Err(ViewError::Key { bytes: key.len(), max: KEY_BYTES_MAX }));
    }
    let refused = views.write(vec![put("a", "1"), put("x", "")], Position(1));
    assert_eq!(refused, Err(ViewError::Table { name: b'x' }));
    assert_eq!((views.applied(), all(&views)), (Position::ZERO, Vec::new()));
    views.write(vec![put(&"k".repeat(KEY_BYTES_MAX), &long[1..])], Position(2)).expect("the largest");
    views.write(Vec::new(), Position(2)).expect("the same position");
    let refused = views.write(Vec::new(), Position(1));
    assert_eq!(refused, Err(ViewError::Backwards { applied: Position(1), written: Position(2) }));
    drop(views);
    assert_eq!(all(&open(&path)).len(), 1);
}

#[test]
fn closed_views_are_whole_though_others_have_handles() {
    let (_dir, path) = views_dir();
    let views = open(&path);
    let other = views.clone();
    views.write(vec![put("a", "1")], Position(3)).expect("written");
    views.close().expect("closed");
    assert_eq!(fs::read_to_string(path.join("state")).expect("the state"), "closed\n");
    assert_eq!(
        (other.get(b"a"), other.write(Vec::new(), Position(4))),
        (Err(ViewError::Closed), Err(ViewError::Closed))
    );
    assert_eq!(other.scan(b"", None, 9), Err(ViewError::Closed));
    drop((views, other));
    let views = open(&path);
    assert_eq!((views.applied(), all(&views)), (Position(3), vec![(b"a".to_vec(), b"1".to_vec())]));
}

#[test]
fn a_position_without_changes_is_kept() {
    let (_dir, path) = views_dir();
    make(&path);
    open(&path).write(Vec::new(), Position(9)).expect("written");
    let views = open(&path);
    assert_eq!((views.applied(), all(&views).len()), (Position(9), 2));
    let other = Views::open(&path, TABLES, (&Epochs::new(EPOCH), HEAD), options()).err().expect("an error");
    assert_eq!(other, ViewError::Locked { dir: path });
}

/// Damages a views directory.
type Spoil = fn(&Path);

/// `docs/formats/log.md` describes the views too.
#[test]
fn the_document_of_the_format_agrees_with_the_code() {
    let document = include_str!("../../../../docs/formats/log.md").replace(',', "").replace('\n', " ");
    for fact in [
        format!("`about`) | version {} ", crate::about::VERSION),
        format!("Keys are 1 to {KEY_BYTES_MAX} bytes"),
        format!("values are up to {VALUE_BYTES_MAX} bytes"),
    ] {
        assert!(document.contains(&fact), "docs/formats/log.md does not say: {fact}");
    }
}
