//! The handle on the views: reads merge what waits in memory with what the store holds; writes wait in memory.
//!
//! Knows neither how the store keeps entries nor when they are flushed.

use std::{path::Path, sync::Arc, thread::JoinHandle};

use parking_lot::Mutex;
use weirgate_types::{Epochs, Known, Position};

use crate::{
    about::{About, Origin},
    change::{Change, ViewEntry},
    directory::Directory,
    error::ViewError,
    flusher::Flusher,
    free_space::{self, FreeSpace},
    merge::Merge,
    opening::{self, Opening},
    options::ViewOptions,
    store::Range,
    table::Tables,
};

/// A handle on the views. Clones share the views; dropping the last one flushes and closes them.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    /// In a lock, so that any handle can end the thread; held only while it is being ended.
    thread: Mutex<Option<JoinHandle<()>>>,
    flusher: Arc<Flusher>,
    /// Where the files are, until its state says that they are whole.
    directory: Mutex<Option<Arc<Directory>>>,
}

impl Views {
    /// Open the views in `dir`, or begin empty ones; `log` is what the log is and where it ends. Views of another log or of an
    /// earlier epoch, damaged ones, and those that a power cut left as a mixture, are not used: they are moved aside or
    /// removed, with a warning.
    ///
    /// # Errors
    /// [`ViewError::Ahead`], with nothing changed; [`ViewError::Locked`]; [`ViewError::Io`] or [`ViewError::Failed`] if even
    /// empty views cannot be created.
    pub fn open(dir: &Path, tables: Tables, log: (&Epochs, Position), options: ViewOptions) -> Result<Self, ViewError> {
        let directory = Arc::new(Directory::open(dir, Directory::boot())?);
        let free_space = FreeSpace::new(free_space::of(dir.to_owned()));
        Self::open_in(directory, free_space, tables, log, options)
    }

    /// The applied position of the views in `dir`, whichever log they belong to; `None` if there are no readable views.
    ///
    /// # Errors
    /// [`ViewError::Locked`], [`ViewError::Io`].
    pub fn applied_in(dir: &Path, tables: Tables, options: &ViewOptions) -> Result<Option<Known>, ViewError> {
        if !dir.exists() {
            return Ok(None);
        }
        let directory = Directory::open(dir, Directory::boot())?;
        Ok(opening::applied_in(&directory, tables, options))
    }

    pub(crate) fn open_in(
        directory: Arc<Directory>,
        free_space: FreeSpace,
        tables: Tables,
        log: (&Epochs, Position),
        options: ViewOptions,
    ) -> Result<Self, ViewError> {
        let (store, applied) = Opening { directory: &directory, tables, log, options: &options }.open()?;
        let about = About { origin: Origin::of(log.0), applied, sum: 0 };
        let store = (Box::new(store) as Box<_>, tables);
        let flusher = Arc::new(Flusher::new(store, Some(Arc::clone(&directory)), free_space, about, options));
        let of_thread = Arc::clone(&flusher);
        let thread = std::thread::Builder::new().name("views".into()).spawn(move || of_thread.run());
        let thread = thread.map_err(ViewError::io("starting a thread for", &directory.files()))?;
        let (thread, directory) = (Mutex::new(Some(thread)), Mutex::new(Some(directory)));
        Ok(Self(Arc::new(Inner { thread, flusher, directory })))
    }

    /// Views that are flushed only when that is asked for, and have no directory.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn without_thread(flusher: Flusher) -> Self {
        Self(Arc::new(Inner { thread: Mutex::new(None), flusher: Arc::new(flusher), directory: Mutex::new(None) }))
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn flusher(&self) -> &Flusher {
        &self.0.flusher
    }

    /// Records up to here are applied. The caller writes the changes of the later ones.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.0.flusher.memtable.read().applied()
    }

    /// The key's value, as last written.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        let flusher = self.open_flusher()?;
        let waiting = flusher.memtable.read().get(key);
        match waiting {
            Some(value) => Ok(value),
            // What the memtable does not know, the store knows; and at worst a newer write than was there a moment ago.
            None => flusher.failed(flusher.store().and_then(|store| store.get(key))),
        }
    }

    /// As [`Views::get`], as of one moment: the records up to the returned position are applied, and no later ones. Writers wait
    /// for it.
    ///
    /// # Errors
    /// As for [`Views::get`].
    pub fn get_as_of(&self, key: &[u8]) -> Result<(Position, Option<Vec<u8>>), ViewError> {
        let flusher = self.open_flusher()?;
        let (as_of, value) = {
            let memtable = flusher.memtable.read();
            let stored = || flusher.store().and_then(|store| store.get(key));
            (memtable.applied(), memtable.get(key).map_or_else(stored, Ok))
        };
        Ok((as_of, flusher.failed(value)?))
    }

    /// The first `limit` keys that begin with `prefix`, sorted, as of one moment: see [`Views::get_as_of`].
    ///
    /// # Errors
    /// As for [`Views::get`].
    pub fn scan_keys_as_of(&self, prefix: &[u8], limit: usize) -> Result<(Position, Vec<Vec<u8>>), ViewError> {
        let (as_of, entries) = self.merged(Range { prefix, after: None, keys_only: true }, limit)?;
        Ok((as_of, entries.into_iter().map(|(key, _)| key).collect()))
    }

    /// Up to `limit` entries whose keys begin with `prefix` and come after `after`, sorted by key, as of one moment. Writers
    /// wait for it: read a page at a time.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<ViewEntry>, ViewError> {
        Ok(self.merged(Range { prefix, after, keys_only: false }, limit)?.1)
    }

    /// As [`Views::scan`], the keys only: no value is copied.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn scan_keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ViewError> {
        let (_, entries) = self.merged(Range { prefix, after, keys_only: true }, limit)?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    fn merged(&self, range: Range<'_>, limit: usize) -> Result<(Position, Vec<ViewEntry>), ViewError> {
        let flusher = self.open_flusher()?;
        let (as_of, entries) = {
            // Held throughout, so that no generation comes or goes: then the store changes only where the memtable covers it.
            let memtable = flusher.memtable.read();
            let entries = flusher.store().and_then(|store| {
                let [open, flushing] = memtable.range(range).map(|changes| changes.map(Ok));
                let stored = store.range(range).map(|entry| entry.map(|(key, value)| (key, Some(value))));
                let newest = Merge::new(open, Merge::new(flushing, stored));
                let live = newest.filter_map(|entry| entry.map(|(key, value)| Some((key, value?))).transpose());
                live.take(limit).collect()
            });
            (memtable.applied(), entries)
        };
        Ok((as_of, flusher.failed(entries)?))
    }

    /// Write changes, all of which follow from the records up to `applied`; these must be durable in the log. Seen by
    /// reads at once, and flushed together or not at all. Memory only; waits when the flusher is too far behind, but not while
    /// the disk has no room for it: see [`Views::is_short_of_space`].
    ///
    /// # Errors
    /// [`ViewError::Key`], [`ViewError::Table`], [`ViewError::ValueTooLarge`], [`ViewError::Backwards`]: nothing was written;
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn write(&self, changes: Vec<Change>, applied: Position) -> Result<(), ViewError> {
        changes.iter().try_for_each(|change| change.check(&self.0.flusher.tables))?;
        self.open_flusher()?.write(changes, applied)
    }

    /// Whether the disk has no room for what waits to be flushed, and much waits. Nothing more should be written then but what
    /// has to be: it waits in memory.
    #[must_use]
    pub fn is_short_of_space(&self) -> bool {
        self.0.flusher.is_short_of_space()
    }

    /// Wait until everything written is in the store. Not needed before a drop, which does the same.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`]; [`ViewError::NoSpace`] while the disk is full: nothing is lost then,
    /// because the next start writes the missing changes again.
    pub fn settle(&self) -> Result<(), ViewError> {
        self.open_flusher()?.settle()
    }

    /// Flushes waiting changes, marks the files as whole, and releases them, even if other handles exist: for those the
    /// views are closed.
    ///
    /// # Errors
    /// As for [`Views::settle`]. The views are closed even then, without the changes that were not flushed.
    pub fn close(&self) -> Result<(), ViewError> {
        let settled = match self.0.thread.lock().is_some() {
            true => self.settle(),
            false => self.open_flusher().and_then(Flusher::flush),
        };
        self.0.close();
        settled
    }

    fn open_flusher(&self) -> Result<&Flusher, ViewError> {
        self.0.flusher.check().map(|()| &*self.0.flusher)
    }
}

impl Inner {
    /// The thread flushes once more; then the store is closed, and only then can its files be synced.
    fn close(&self) {
        self.flusher.stop();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the views' thread panicked");
        }
        self.flusher.close();
        let directory = self.directory.lock().take();
        if let Some(Err(error)) = directory.map(|directory| directory.close()) {
            tracing::warn!(%error, "the views are flushed but may not outlive a power cut");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
