//! sled, kept at arm's length: one tree, all or nothing of a flush, every panic caught.

pub mod pages;
pub mod redo;
mod sum;

use std::{
    borrow::Cow,
    io::ErrorKind,
    ops::Bound::{Excluded, Included, Unbounded},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use weirgate_types::Position;

use crate::{
    ViewEntry, ViewError,
    directory::sync_tree,
    disk::{About, Flush, Found, Origin, SledRow},
    lock::Lock,
    memtable::Generation,
    sled_store::pages::Entries,
    sled_store::redo::{Half, Redo},
};

/// Where the epoch and the applied position are kept. No other key may begin with a zero byte.
const ABOUT_KEY: &[u8] = b"\0about";
/// Two seconds in all.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(20);

pub struct Sled {
    db: sled::Db,
    redo: Redo,
    dir: PathBuf,
    /// Of all rows that sled holds. Only the thread that flushes changes it.
    sum: AtomicU64,
}

impl Sled {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ViewError> {
        wait_until_free(&dir.join("db"));
        // sled's own timer is off: each generation ends with a flush.
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = guard(|| config.open())?;
        let path = dir.join("redo");
        let half = guard(|| Ok(Redo::read(&path)?))?;
        let redo = guard(|| Ok(Redo::open(&path)?))?;
        let disk = Self { db, redo, dir: dir.to_owned(), sum: AtomicU64::new(0) };
        if let Some(half) = half {
            disk.finish(&half)?;
        }
        if let Found::Views(about) = disk.found()? {
            disk.sum.store(about.sum, Ordering::Relaxed);
        }
        Ok(disk)
    }

    /// Write the rest of a half. It may have been written to the end, only not cleared.
    fn finish(&self, Half { base, about, rows }: &Half) -> Result<(), ViewError> {
        match self.found()? {
            Found::Views(found) if found.origin == about.origin && [*base, about.applied].contains(&found.applied) => {
                self.write(*about, rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref())))
            }
            found => {
                Err(ViewError::Failed(format!("what was being written builds on position {base}, not on {found:?}")))
            }
        }
    }

    pub fn found(&self) -> Result<Found, ViewError> {
        guard(|| {
            let Some(bytes) = self.db.get(ABOUT_KEY)? else {
                return Ok(if self.db.first()?.is_none() { Found::Nothing } else { Found::Unknown });
            };
            Ok(About::decode(&bytes).map_or(Found::Unknown, Found::Views))
        })
    }

    pub fn say(&self, origin: Origin) -> Result<(), ViewError> {
        let about = About { origin, applied: Position::ZERO, sum: self.sum.load(Ordering::Relaxed) };
        guard(|| {
            self.db.insert(ABOUT_KEY, about.encode())?;
            self.db.flush()?;
            Ok(sync_tree(&self.dir)?)
        })
    }

    /// Whether the rows are those of the sum that stands beside them.
    pub fn is_whole(&self) -> Result<bool, ViewError> {
        let Found::Views(about) = self.found()? else { return Ok(false) };
        let mut found = 0_u64;
        let mut rows = self.db.iter();
        while let Some((key, value)) = guard(|| rows.next().transpose())? {
            if key != ABOUT_KEY {
                found = found.wrapping_add(sum::of_row(&key, &value));
            }
        }
        Ok(found == about.sum)
    }

    /// The sum once these rows are written.
    pub fn sum_with(&self, rows: &[SledRow<'_>]) -> Result<u64, ViewError> {
        let mut sum = self.sum.load(Ordering::Relaxed);
        for (key, value) in rows {
            if let Some(before) = guard(|| self.db.get(key))? {
                sum = sum.wrapping_sub(sum::of_row(key, &before));
            }
            sum = sum.wrapping_add(value.as_ref().map_or(0, |value| sum::of_row(key, value)));
        }
        Ok(sum)
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        if !pages::shares(key) {
            return guard(|| Ok(self.db.get(key)?.map(|value| value.to_vec())));
        }
        self.find_from(self.leaf(key)?, key)
    }

    /// What the leaf says of a key, or one to the right of it. sled looks for a leaf in several steps, from right to left; what
    /// was moved to the right among them would be missed.
    fn find_from(&self, leaf: Option<(sled::IVec, sled::IVec)>, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        let letter = key.get(..1).unwrap_or_default();
        let (first, leaf) = leaf.unwrap_or_else(|| (letter.into(), sled::IVec::default()));
        if let Some(value) = pages::find(&leaf, key)? {
            return Ok(Some(value.to_vec()));
        }
        let mut moved = self.db.range::<&[u8], _>((Excluded(first.as_ref()), Included(key)));
        while let Some((_, leaf)) = guard(|| moved.next().transpose())? {
            if let Some(value) = pages::find(&leaf, key)? {
                return Ok(Some(value.to_vec()));
            }
        }
        Ok(None)
    }

    /// The leaf that a key belongs to, with its own key. Of one moment only where nobody writes.
    fn leaf(&self, key: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, ViewError> {
        let first = key.get(..1).unwrap_or_default();
        guard(|| self.db.range::<&[u8], _>((Included(first), Included(key))).next_back().transpose())
    }

    /// Where the leaf after the one under `key` begins.
    fn next_leaf(&self, key: &[u8]) -> Result<Option<sled::IVec>, ViewError> {
        let next = guard(|| self.db.range::<&[u8], _>((Excluded(key), Unbounded)).next().transpose())?;
        Ok(next.map(|(next, _)| next).filter(|next| next.first() == key.first()))
    }

    pub fn range<'a, T: 'a>(
        &self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        keep: impl Fn(&[u8]) -> T + 'a,
    ) -> impl Iterator<Item = Result<(Vec<u8>, T), ViewError>> + 'a {
        let from = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let mut rows = self.rows_from(from).peekable();
        let mut in_leaf = Vec::<ViewEntry>::new().into_iter();
        let entries = std::iter::from_fn(move || {
            loop {
                if let Some((key, value)) = in_leaf.next() {
                    return Some(Ok((key, keep(&value))));
                }
                match rows.next()? {
                    Ok((key, leaf)) if pages::shares(&key) => match pages::decode(&leaf) {
                        Ok(mut held) => {
                            // What has moved to the next leaf may be in this one still.
                            if let Some(Ok((next, _))) = rows.peek() {
                                held.retain(|(other, _)| {
                                    next.first() != key.first() || other.as_slice() < next.as_ref()
                                });
                            }
                            in_leaf = held.into_iter();
                        }
                        Err(error) => return Some(Err(error.into())),
                    },
                    row => return Some(row.map(|(key, value)| (key.to_vec(), keep(&value)))),
                }
            }
        });
        let is_before = move |key: &[u8]| key < prefix || after.is_some_and(|after| key <= after) || key == ABOUT_KEY;
        let entries = entries.skip_while(move |entry| entry.as_ref().is_ok_and(|(key, _)| is_before(key)));
        entries.take_while(move |entry| entry.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
    }

    /// sled's rows, from the one on that a key is in.
    fn rows_from(&self, key: &[u8]) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), ViewError>> + use<> {
        let leaf = if pages::shares(key) { self.leaf(key) } else { Ok(None) };
        let (start, failed) = match leaf {
            Ok(leaf) => (leaf.map_or_else(|| key.to_vec(), |(leaf, _)| leaf.to_vec()), None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        let mut rows = self.db.range(start..);
        failed.into_iter().chain(std::iter::from_fn(move || guard(|| rows.next().transpose()).transpose()))
    }

    pub fn flush(&self, flush: &Flush) -> Result<(), ViewError> {
        guard(|| Ok(self.redo.write(flush.base, flush.about, flush.rows())?))?;
        self.write(flush.about, flush.rows())
    }

    /// What sled is told of a generation's changes: the rows themselves, and the leaves as they are with the others.
    pub fn rows_of<'a>(&self, generation: &'a Generation) -> Result<Vec<SledRow<'a>>, ViewError> {
        let (mut rows, mut changes) = (Vec::new(), generation.changes().peekable());
        while let Some((key, value)) = changes.peek().copied() {
            if !pages::shares(key) {
                rows.push((Cow::Borrowed(key), value.map(Cow::Borrowed)));
                changes.next();
                continue;
            }
            let (first, mut entries) = match self.leaf(key)? {
                Some((first, leaf)) => (first.to_vec(), pages::decode(&leaf)?.into_iter().collect()),
                None => (key.to_vec(), Entries::new()),
            };
            let until = self.next_leaf(&first)?;
            let is_in = |key: &[u8]| key.first() == first.first() && until.as_ref().is_none_or(|until| key < &**until);
            while let Some((key, value)) = changes.next_if(|(key, _)| is_in(key)) {
                match value {
                    Some(value) => drop(entries.insert(key.to_vec(), value.to_vec())),
                    None => drop(entries.remove(key)),
                }
            }
            let leaves = pages::rows(first, &entries).into_iter();
            rows.extend(leaves.map(|(key, leaf)| (Cow::Owned(key), leaf.map(Cow::Owned))));
        }
        Ok(rows)
    }

    fn write<'a>(
        &self,
        about: About,
        rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> Result<(), ViewError> {
        guard(|| {
            for (key, value) in rows {
                match value {
                    Some(value) => self.db.insert(key, value)?,
                    None => self.db.remove(key)?,
                };
            }
            self.db.insert(ABOUT_KEY, about.encode())?;
            self.db.flush()?;
            // sled itself does not: what it flushed could be gone after a power cut.
            sync_tree(&self.dir)?;
            self.sum.store(about.sum, Ordering::Relaxed);
            Ok(self.redo.clear()?)
        })
    }
}

/// sled locks its file by itself, and leaves it to the end of the file's last user to unlock it. A child process that was
/// being started when sled was last closed is such a user for a moment. The views' directory is locked for us, so there
/// is no other.
fn wait_until_free(file: &Path) {
    for _ in 0..LOCK_TRIES_MAX {
        if !file.exists() || !matches!(Lock::take(file), Ok(None)) {
            return;
        }
        std::thread::park_timeout(LOCK_RETRY_DELAY);
    }
}

/// sled panics on some kinds of damage, where it should return an error.
fn guard<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, ViewError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(failure(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(ViewError::Failed(format!("sled panicked: {text}")))
        }
    }
}

fn failure(error: &sled::Error) -> ViewError {
    match error {
        sled::Error::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            ViewError::Full(error.to_string())
        }
        _ => ViewError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::Epoch;

    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guard::<()>(|| panic!("number {}", 7)).expect_err("a panic");
        assert_eq!(error, ViewError::Failed("sled panicked: number 7".into()));
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let found = |kind: ErrorKind| guard::<()>(|| Err(sled::Error::Io(kind.into()))).expect_err("an error");
        assert!(matches!(found(ErrorKind::StorageFull), ViewError::Full(_)));
        assert!(matches!(found(ErrorKind::QuotaExceeded), ViewError::Full(_)));
        assert!(matches!(found(ErrorKind::PermissionDenied), ViewError::Failed(_)));
    }

    #[test]
    fn what_was_moved_while_it_was_looked_for_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let sled = Sled::open(&dir.path().join("sled"), 1 << 20).expect("sled");
        let entries: Entries = (0..100).map(|n| (vec![b'K', n], vec![n; 40])).collect();
        let leaves = pages::rows(vec![b'K', 0], &entries);
        let origin = Origin { log: Epoch([3; 16]), epoch: Epoch([3; 16]) };
        let about = About { origin, applied: Position(1), sum: 0 };
        let rows = leaves.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        sled.write(about, rows).expect("written");
        let before_it = sled.leaf(b"K\0").expect("no error");
        let [missed, passed] = [before_it, None].map(|leaf| sled.find_from(leaf, b"K\x50").expect("no error"));
        assert_eq!([missed, passed], [Some(vec![0x50; 40]), Some(vec![0x50; 40])]);
        assert_eq!(sled.get(b"K\xf0").expect("no error"), None);
    }
}
