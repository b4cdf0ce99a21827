//! The files of a data directory, as a power cut or a bad disk leaves them. Reads segments by `docs/formats/log.md`, with an
//! independent implementation.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

const SEGMENT_HEADER_BYTES: usize = 64;
const BATCH_HEADER_BYTES: usize = 32;
/// The offset of the salt in a segment's header; its first bytes mark every batch.
const SALT_OFFSET: usize = 32;

/// A segment as it is in its file.
#[derive(Debug, Clone)]
pub struct Segment {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// In order, without gaps.
    pub batches: Vec<Batch>,
}

/// One batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Its range, in bytes.
    pub start: usize,
    pub end: usize,
    /// Its first position, and the number of its positions.
    pub first: u64,
    pub positions: u64,
}

impl Batch {
    /// The last position of this batch.
    pub fn last(&self) -> u64 {
        self.first + self.positions - 1
    }
}

/// The segment that was written last. Panics if its batches have a gap.
pub fn newest_segment(data: &Path) -> Segment {
    let entries =
        fs::read_dir(data.join("log")).expect("the log's directory").map(|entry| entry.expect("an entry").path());
    let path =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max().expect("a segment");
    let bytes = fs::read(&path).expect("the segment");
    let first: u64 = path.file_stem().and_then(|name| name.to_str()?.parse().ok()).expect("a position in its name");
    let batches = batches(&bytes, first);
    Segment { path, bytes, batches }
}

fn batches(bytes: &[u8], first: u64) -> Vec<Batch> {
    let mark = &bytes[SALT_OFFSET..SALT_OFFSET + 8];
    let (mut start, mut next, mut batches) = (SEGMENT_HEADER_BYTES, first, Vec::new());
    while let Some(header) = bytes.get(start..start + BATCH_HEADER_BYTES).filter(|header| &header[..8] == mark) {
        let number = |at: usize| u64::from(u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")));
        let batch_first = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
        assert_eq!(batch_first, next, "positions are not dense: a gap at byte {start}");
        let end = start + BATCH_HEADER_BYTES + usize::try_from(number(16)).expect("a length");
        if end > bytes.len() {
            break;
        }
        let batch = Batch { start, end, first: next, positions: number(24) };
        (start, next) = (end, next + batch.positions);
        batches.push(batch);
    }
    batches
}

/// Copies a directory with its contents.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// A fingerprint that changes when any file in the directory does.
pub fn fingerprint(dir: &Path) -> u64 {
    let mut paths: Vec<_> =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let mut hasher = DefaultHasher::new();
    for path in paths {
        path.hash(&mut hasher);
        fs::read(path).expect("a file").hash(&mut hasher);
    }
    hasher.finish()
}
