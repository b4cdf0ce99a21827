//! What a page of a long story reads: as much in its middle as at its beginning.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use weirgate_log::{Storage, StorageFile};
use weirgate_testkit::records;
use weirgate_types::Position;

use super::*;

const ENTRIES: u64 = 100_000;
const PAGE: usize = 100;
/// The filter of the segment and of the next, two pages of fences, two of rows; and the footers of both.
const READS_MAX: usize = 12;

/// A disk that counts the reads of its files.
#[derive(Clone)]
struct Counted<T>(T, Arc<AtomicUsize>);

impl Storage for Counted<SimStorage> {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(Counted(self.0.open(name)?, Arc::clone(&self.1))))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.replace(from, to)
    }
    fn note(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.note(bytes)
    }
    fn noted(&self) -> io::Result<Vec<u8>> {
        self.0.noted()
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.0.sync_dir()
    }
}

impl StorageFile for Counted<Arc<dyn StorageFile>> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn reserve(&self, from: u64, to: u64) -> io::Result<()> {
        self.0.reserve(from, to)
    }
    fn truncate(&self, size: u64) -> io::Result<()> {
        self.0.truncate(size)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[test]
fn a_page_of_a_hundred_thousand_entries_reads_few_blocks() {
    let options = LogOptions { segment_bytes_max: 4 << 20, reserve_bytes: 0, ..LogOptions::default() };
    let mut log = Log::open(Arc::new(SimStorage::new()), IDENTITY, options).expect("a log");
    let event = Record::Accepted { event: records::event(vec![7; 20]), to: None, at_ms: 0 };
    for n in 1..=ENTRIES {
        log.stage(&event).expect("staged");
        if n % 1_000 == 0 {
            log.commit().expect("a sync");
        }
    }
    let reads = Arc::new(AtomicUsize::new(0));
    let storage = Arc::new(Counted(SimStorage::new(), Arc::clone(&reads)));
    let history = History::open(storage, log.reader(), Arc::clone(log.epochs()), log.key_hasher());
    let history = Arc::new(history.expect("a history"));
    make_all(&history);
    assert!(log.reader().sealed().len() >= 2);
    let (mut after, mut found, mut most) = (Position::ZERO, 0, 0);
    loop {
        reads.store(0, Ordering::Relaxed);
        let page = history.look().of_key("o-1", after, PAGE).expect("a page");
        most = most.max(reads.load(Ordering::Relaxed));
        found += page.len() as u64;
        match page.last() {
            Some(last) => after = *last,
            None => break,
        }
    }
    assert_eq!(found, ENTRIES);
    assert!(most <= READS_MAX, "{most} reads for a page");
}
