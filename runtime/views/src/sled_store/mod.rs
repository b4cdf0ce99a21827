//! The store in sled, kept at arm's length: one tree, all or nothing of a batch, every panic caught. Entries of packed tables
//! share pages. Knows nothing of what waits to be flushed, nor whether the files are to be trusted.

mod pages;
mod redo;
mod sum;

use std::{
    borrow::Cow,
    ops::Bound::{Excluded, Included, Unbounded},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use weirgate_types::Position;

pub use self::redo::Redo;
use self::{pages::Entries as PageEntries, redo::RedoEntry};
use crate::{
    about::{About, Found, Origin},
    change::ViewEntry,
    directory::sync_tree,
    error::ViewError,
    lock::Lock,
    store::{Batch, Entries, Prepared, Range, Row, Store},
    table::Tables,
};

/// The key of the views header. No other key may begin with a zero byte.
const ABOUT_KEY: &[u8] = b"\0about";
/// Two seconds in all.
const LOCK_TRIES_MAX: u32 = 100;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(20);

pub struct SledStore {
    db: sled::Db,
    tables: Tables,
    redo: Redo,
    dir: PathBuf,
    /// The sum of all rows in sled. Only the flusher changes it.
    sum: AtomicU64,
}

impl SledStore {
    /// Open sled in `dir`, and finish what was being committed when it was last used.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn open(dir: &Path, tables: Tables, cache_bytes: u64) -> Result<Self, ViewError> {
        wait_until_free(&dir.join("db"));
        // sled's own timer is off: each commit ends with a flush.
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = guard(|| config.open())?;
        let path = dir.join("redo");
        let entry = guard(|| Ok(Redo::read(&path)?))?;
        let redo = guard(|| Ok(Redo::open(&path)?))?;
        let store = Self { db, tables, redo, dir: dir.to_owned(), sum: AtomicU64::new(0) };
        if let Some(entry) = entry {
            store.redo(&entry)?;
        }
        if let Found::Views(about) = store.found()? {
            store.sum.store(about.sum, Ordering::Relaxed);
        }
        Ok(store)
    }

    /// Write the batch of a redo entry. It may have been written to the end, only not cleared.
    fn redo(&self, RedoEntry { base, about, rows }: &RedoEntry) -> Result<(), ViewError> {
        match self.found()? {
            Found::Views(found) if found.origin == about.origin && [*base, about.applied].contains(&found.applied) => {
                self.write(*about, rows.iter().map(|(key, value)| (key.as_slice(), value.as_deref())))
            }
            found => {
                Err(ViewError::Failed(format!("what was being written builds on position {base}, not on {found:?}")))
            }
        }
    }

    /// What the store says of itself.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn found(&self) -> Result<Found, ViewError> {
        guard(|| {
            let Some(bytes) = self.db.get(ABOUT_KEY)? else {
                return Ok(if self.db.first()?.is_none() { Found::Nothing } else { Found::Unknown });
            };
            Ok(About::decode(&bytes).map_or(Found::Unknown, Found::Views))
        })
    }

    /// Write what the store is of, before the first batch.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn begin(&self, origin: Origin) -> Result<(), ViewError> {
        let about = About { origin, applied: Position::ZERO, sum: self.sum.load(Ordering::Relaxed) };
        guard(|| {
            self.db.insert(ABOUT_KEY, about.encode())?;
            self.db.flush()?;
            Ok(sync_tree(&self.dir)?)
        })
    }

    /// Whether the rows are those of the sum that stands beside them. Reads all of them.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
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
    fn sum_with(&self, rows: &[Row<'_>]) -> Result<u64, ViewError> {
        let mut sum = self.sum.load(Ordering::Relaxed);
        for (key, value) in rows {
            if let Some(before) = guard(|| self.db.get(key))? {
                sum = sum.wrapping_sub(sum::of_row(key, &before));
            }
            sum = sum.wrapping_add(value.as_ref().map_or(0, |value| sum::of_row(key, value)));
        }
        Ok(sum)
    }

    /// What the page says of a key, or one to the right of it. sled looks for a page in several steps, from right to left; what
    /// was moved to the right among them would be missed.
    fn find_from(&self, page: Option<(sled::IVec, sled::IVec)>, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        let table = key.get(..1).unwrap_or_default();
        let (first, page) = page.unwrap_or_else(|| (table.into(), sled::IVec::default()));
        if let Some(value) = pages::find(&page, key)? {
            return Ok(Some(value.to_vec()));
        }
        let mut moved = self.db.range::<&[u8], _>((Excluded(first.as_ref()), Included(key)));
        while let Some((_, page)) = guard(|| moved.next().transpose())? {
            if let Some(value) = pages::find(&page, key)? {
                return Ok(Some(value.to_vec()));
            }
        }
        Ok(None)
    }

    /// The page that a key belongs to, with its own key. Consistent only while there is no writer.
    fn page(&self, key: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, ViewError> {
        let first = key.get(..1).unwrap_or_default();
        guard(|| self.db.range::<&[u8], _>((Included(first), Included(key))).next_back().transpose())
    }

    /// Where the page after the one under `key` begins.
    fn next_page(&self, key: &[u8]) -> Result<Option<sled::IVec>, ViewError> {
        let next = guard(|| self.db.range::<&[u8], _>((Excluded(key), Unbounded)).next().transpose())?;
        Ok(next.map(|(next, _)| next).filter(|next| next.first() == key.first()))
    }

    /// sled's rows, from the page of a key on.
    fn rows_from(&self, key: &[u8]) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), ViewError>> + use<> {
        let page = if self.tables.is_packed(key) { self.page(key) } else { Ok(None) };
        let (start, failed) = match page {
            Ok(page) => (page.map_or_else(|| key.to_vec(), |(page, _)| page.to_vec()), None),
            Err(error) => (Vec::new(), Some(Err(error))),
        };
        let mut rows = self.db.range(start..);
        failed.into_iter().chain(std::iter::from_fn(move || guard(|| rows.next().transpose()).transpose()))
    }

    /// What sled is given for changes: entries as rows of their own, and packed pages as they are with their other entries.
    fn rows_of<'a>(&self, changes: Vec<(&'a [u8], Option<&'a [u8]>)>) -> Result<Vec<Row<'a>>, ViewError> {
        let (mut rows, mut changes) = (Vec::new(), changes.into_iter().peekable());
        while let Some((key, value)) = changes.peek().copied() {
            if !self.tables.is_packed(key) {
                rows.push((Cow::Borrowed(key), value.map(Cow::Borrowed)));
                changes.next();
                continue;
            }
            let (first, mut entries) = match self.page(key)? {
                Some((first, page)) => (first.to_vec(), pages::decode(&page)?.into_iter().collect()),
                None => (key.to_vec(), PageEntries::new()),
            };
            let until = self.next_page(&first)?;
            let is_in = |key: &[u8]| key.first() == first.first() && until.as_ref().is_none_or(|until| key < &**until);
            while let Some((key, value)) = changes.next_if(|(key, _)| is_in(key)) {
                match value {
                    Some(value) => drop(entries.insert(key.to_vec(), value.to_vec())),
                    None => drop(entries.remove(key)),
                }
            }
            let pages = pages::rows(first, &entries).into_iter();
            rows.extend(pages.map(|(key, page)| (Cow::Owned(key), page.map(Cow::Owned))));
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
            // sled does not sync it: what it flushed could be gone after a power cut.
            sync_tree(&self.dir)?;
            self.sum.store(about.sum, Ordering::Relaxed);
            Ok(self.redo.clear()?)
        })
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        if !self.tables.is_packed(key) {
            return guard(|| Ok(self.db.get(key)?.map(|value| value.to_vec())));
        }
        self.find_from(self.page(key)?, key)
    }

    fn range<'a>(&'a self, range: Range<'a>) -> Entries<'a> {
        let Range { prefix, after, .. } = range;
        let from = after.filter(|after| *after >= prefix).unwrap_or(prefix);
        let mut rows = self.rows_from(from).peekable();
        let mut in_page = Vec::<ViewEntry>::new().into_iter();
        let entries = std::iter::from_fn(move || {
            loop {
                if let Some(entry) = in_page.next() {
                    return Some(Ok(entry));
                }
                match rows.next()? {
                    Ok((key, page)) if self.tables.is_packed(&key) => match pages::decode(&page) {
                        Ok(mut held) => {
                            // What has moved to the next page may be in this one still.
                            if let Some(Ok((next, _))) = rows.peek() {
                                held.retain(|(other, _)| {
                                    next.first() != key.first() || other.as_slice() < next.as_ref()
                                });
                            }
                            in_page = held.into_iter();
                        }
                        Err(error) => return Some(Err(error.into())),
                    },
                    row => return Some(row.map(|(key, value)| (key.to_vec(), range.value(&value)))),
                }
            }
        });
        let is_before = move |key: &[u8]| key < prefix || after.is_some_and(|after| key <= after) || key == ABOUT_KEY;
        let entries = entries.skip_while(move |entry| entry.as_ref().is_ok_and(|(key, _)| is_before(key)));
        let is_in = move |key: &[u8]| key.starts_with(prefix);
        Box::new(entries.take_while(move |entry| entry.as_ref().map_or(true, |(key, _)| is_in(key))))
    }

    fn prepare<'a>(&self, batch: Batch<'a>) -> Result<Prepared<'a>, ViewError> {
        let rows = self.rows_of(batch.changes)?;
        let about = About { origin: batch.origin, applied: batch.applied, sum: self.sum_with(&rows)? };
        Ok(Prepared { base: batch.base, about, rows })
    }

    fn commit(&self, prepared: &Prepared<'_>) -> Result<(), ViewError> {
        guard(|| Ok(self.redo.write(prepared.base, prepared.about, prepared.rows())?))?;
        self.write(prepared.about, prepared.rows())
    }
}

/// sled locks its file and unlocks it only when its last user closes it. A child process that was being started when sled
/// was last closed is such a user for a moment. The views' directory is locked by this process, so there is no other user.
fn wait_until_free(file: &Path) {
    for _ in 0..LOCK_TRIES_MAX {
        if !file.exists() || !matches!(Lock::take(file), Ok(None)) {
            return;
        }
        std::thread::park_timeout(LOCK_RETRY_DELAY);
    }
}

/// sled panics on some kinds of damage instead of returning an error.
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
        sled::Error::Io(io) if weirgate_types::is_out_of_space(io) => ViewError::Full(error.to_string()),
        _ => ViewError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::Epoch;

    use std::io::ErrorKind;

    use super::*;
    use crate::table::Table;

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guard::<()>(|| panic!("number {}", 7)).expect_err("a panic");
        assert_eq!(error, ViewError::Failed("sled panicked: number 7".into()));
    }

    #[test]
    fn a_full_disk_is_distinguished_from_other_failures() {
        let found = |kind: ErrorKind| guard::<()>(|| Err(sled::Error::Io(kind.into()))).expect_err("an error");
        assert!(matches!(found(ErrorKind::StorageFull), ViewError::Full(_)));
        assert!(matches!(found(ErrorKind::QuotaExceeded), ViewError::Full(_)));
        assert!(matches!(found(ErrorKind::PermissionDenied), ViewError::Failed(_)));
    }

    #[test]
    fn a_row_moved_during_a_look_up_is_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let tables = Tables::new(&[Table { name: b'K', packed: true }]);
        let store = SledStore::open(&dir.path().join("sled"), tables, 1 << 20).expect("sled");
        let entries: PageEntries = (0..100).map(|n| (vec![b'K', n], vec![n; 40])).collect();
        let pages = pages::rows(vec![b'K', 0], &entries);
        let origin = Origin { log: Epoch([3; 16]), epoch: Epoch([3; 16]) };
        let about = About { origin, applied: Position(1), sum: 0 };
        let rows = pages.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        store.write(about, rows).expect("written");
        let before_it = store.page(b"K\0").expect("no error");
        let [missed, passed] = [before_it, None].map(|page| store.find_from(page, b"K\x50").expect("no error"));
        assert_eq!([missed, passed], [Some(vec![0x50; 40]), Some(vec![0x50; 40])]);
        assert_eq!(store.get(b"K\xf0").expect("no error"), None);
    }
}
