//! The views: keys and values derived from the log, written to sled behind whoever writes them, and disposable.
//!
//! Memory holds what sled does not have yet, so reads see everything written. sled holds a prefix: all changes up to one
//! position, stored with them. Knows nothing of what the keys mean, nor of the records they come from.

mod directory;
mod disk;
mod error;
mod flusher;
mod free_space;
mod lock;
#[cfg(any(test, feature = "sim"))]
mod memory;
mod memtable;
mod merge;
mod opening;
mod sled_store;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, thread::JoinHandle};

pub use error::ViewError;
#[cfg(any(test, feature = "sim"))]
pub use memory::SimRows;
use parking_lot::Mutex;
use weirgate_types::{Epochs, Known, Position};

use self::{
    directory::{Place, Trust},
    disk::{About, Disk, Found, Origin},
    flusher::Shared,
    free_space::Space,
    merge::{Entry, Merge},
    opening::{begin, open_old},
};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 2048;
/// The longest value, in bytes. Larger ones stay in the log, with their position here.
pub const VALUE_BYTES_MAX: usize = 4096;

/// A key and its value. sled holds many rows as one where their keys begin with a capital letter: that costs less memory, and more
/// of everything else, so it is for what there may be millions of that wait.
pub type ViewEntry = (Vec<u8>, Vec<u8>);

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: Vec<u8>,
    /// `None` removes the key.
    pub value: Option<Vec<u8>>,
    /// The caller knows that the key has no value. When it is removed again before it was flushed, sled never hears of
    /// it. Untrue, it brings removed values back.
    pub is_new: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewOptions {
    /// What sled may keep of its pages, by their size on disk. In memory they take three to four times as much.
    pub cache_bytes: u64,
    /// How long a change waits for sled at most, if sled keeps up.
    pub flush_interval_ms: u64,
    /// A flush begins early when so many bytes wait.
    pub flush_bytes: usize,
    /// Writers wait when so many bytes wait. Twice as many can be in memory: as much again may be on its way.
    pub pending_bytes_max: usize,
}

impl Default for ViewOptions {
    fn default() -> Self {
        let mib = 1024 * 1024;
        Self { cache_bytes: 64 << 20, flush_interval_ms: 1000, flush_bytes: 8 * mib, pending_bytes_max: 32 * mib }
    }
}

/// A handle on the views. Clones are the same views; the last one that goes flushes and closes them.
#[derive(Clone)]
pub struct Views(Arc<Inner>);

struct Inner {
    /// A lock so that whoever has a handle can end it; held by one who does, and by nobody else.
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
    /// Where the files are, until they are said to be whole.
    place: Mutex<Option<Arc<Place>>>,
}

impl Views {
    /// Open the views in `dir`, or begin empty ones. Those of another log or of an earlier epoch, those that are damaged, and
    /// those that a power cut left as a mixture, are not used: they are moved aside or removed, with a warning.
    ///
    /// # Errors
    /// [`ViewError::Ahead`], with nothing changed; [`ViewError::Locked`]; [`ViewError::Io`] or [`ViewError::Failed`] where not
    /// even empty views can be made.
    pub fn open(dir: &Path, log: &Epochs, head: Position, options: ViewOptions) -> Result<Self, ViewError> {
        let place = Arc::new(Place::open(dir, Place::boot())?);
        let space = Space::new(free_space::of(dir.to_owned()));
        Self::open_in(place, space, (log, head), options)
    }

    /// How far the views in `dir` have applied their log, whichever that is; none where there are none, or none that can be
    /// read.
    ///
    /// # Errors
    /// [`ViewError::Locked`], [`ViewError::Io`].
    pub fn applied_in(dir: &Path, options: &ViewOptions) -> Result<Option<Known>, ViewError> {
        if !dir.exists() {
            return Ok(None);
        }
        let place = Place::open(dir, Place::boot())?;
        if !matches!(place.judge(), Ok(Trust::Sound | Trust::Unsure)) {
            return Ok(None);
        }
        let found = Disk::open(&place.files(), options.cache_bytes).and_then(|disk| disk.found());
        Ok(match found {
            Ok(Found::Views(about)) => Some(about.known()),
            _ => None,
        })
    }

    /// `log` is what the log is and where it ends.
    fn open_in(
        place: Arc<Place>,
        space: Space,
        log: (&Epochs, Position),
        options: ViewOptions,
    ) -> Result<Self, ViewError> {
        let (disk, applied) = match open_old(&place, log, &options)? {
            Ok(Some(opened)) => opened,
            Ok(None) => (begin(&place, &options)?, Position::ZERO),
            Err(reason) => {
                place.clear(&reason)?;
                (begin(&place, &options)?, Position::ZERO)
            }
        };
        let origin = Origin::of(log.0);
        if applied == Position::ZERO {
            disk.say(origin)?;
        }
        let about = About { origin, applied, sum: 0 };
        let shared = Arc::new(Shared::new(disk, Some(Arc::clone(&place)), space, about, options));
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("views".into()).spawn(move || of_thread.run());
        let thread = thread.map_err(ViewError::io("starting a thread for", &place.files()))?;
        let (thread, place) = (Mutex::new(Some(thread)), Mutex::new(Some(place)));
        Ok(Self(Arc::new(Inner { thread, shared, place })))
    }

    /// Records up to here are in. The caller writes what those that follow change.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.0.shared.memory.read().applied()
    }

    /// The key's value, as last written.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        let shared = self.shared()?;
        let in_memory = shared.memory.read().get(key);
        match in_memory {
            Some(value) => Ok(value),
            // What memory does not know, sled knows; and at worst a newer write than was there a moment ago.
            None => shared.failed(shared.disk.read().get(key)),
        }
    }

    /// Up to `limit` entries whose keys begin with `prefix` and come after `after`, sorted by key, as of one moment.
    /// Writers wait for it: ask for a page, not for everything.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<ViewEntry>, ViewError> {
        self.merged(prefix, after, limit, <[u8]>::to_vec)
    }

    /// As [`Views::scan`], the keys only: no value is copied.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn scan_keys(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>, ViewError> {
        let entries = self.merged(prefix, after, limit, |_| ())?;
        Ok(entries.into_iter().map(|(key, ())| key).collect())
    }

    fn merged<T>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        keep: impl Fn(&[u8]) -> T + Copy,
    ) -> Result<Vec<(Vec<u8>, T)>, ViewError> {
        let shared = self.shared()?;
        let entries = {
            // Held throughout, so that no generation comes or goes: then sled changes only where memory covers it.
            let (memory, disk) = (shared.memory.read(), shared.disk.read());
            let [open, flushing] = memory.range(prefix, after, keep).map(|changes| changes.map(Entry::Ok));
            let on_disk = disk.range(prefix, after, keep).map(|entry| entry.map(|(key, kept)| (key, Some(kept))));
            let newest = Merge::new(open, Merge::new(flushing, on_disk));
            let live = newest.filter_map(|entry| entry.map(|(key, kept)| Some((key, kept?))).transpose());
            live.take(limit).collect()
        };
        shared.failed(entries)
    }

    /// Write changes, all of which follow from the records up to `applied`; these must be durable in the log. Seen by
    /// reads at once, and flushed together or not at all. Memory only; waits when sled is too far behind, but not while
    /// the disk has no room for it: see [`Views::is_short_of_space`].
    ///
    /// # Errors
    /// [`ViewError::Key`], [`ViewError::ValueTooLarge`], [`ViewError::Backwards`]: nothing was written;
    /// [`ViewError::Failed`], [`ViewError::Full`].
    pub fn write(&self, changes: Vec<Change>, applied: Position) -> Result<(), ViewError> {
        for change in &changes {
            check_key(&change.key)?;
            let bytes = change.value.as_ref().map_or(0, Vec::len);
            if bytes > VALUE_BYTES_MAX {
                return Err(ViewError::ValueTooLarge { bytes, max: VALUE_BYTES_MAX });
            }
        }
        self.shared()?.write(changes, applied)
    }

    /// Whether the disk has no room for what waits for sled, and much waits. Nothing more should be written then but what has to
    /// be: it waits in memory.
    #[must_use]
    pub fn is_short_of_space(&self) -> bool {
        self.0.shared.is_short_of_space()
    }

    /// Wait until everything written is in sled. Not needed before a drop, which does the same.
    ///
    /// # Errors
    /// [`ViewError::Failed`], [`ViewError::Full`]; [`ViewError::NoSpace`] while the disk is full, and then nothing is lost but time: whoever
    /// opens the views next writes again what they lack.
    pub fn settle(&self) -> Result<(), ViewError> {
        self.shared()?.settle()
    }

    /// Write what waits, say that the files are whole, and let go of them, whoever else still has a handle: to them the
    /// views are closed.
    ///
    /// # Errors
    /// As for [`Views::settle`]. The views are closed all the same, and behind what was written.
    pub fn close(&self) -> Result<(), ViewError> {
        let settled = match self.0.thread.lock().is_some() {
            true => self.settle(),
            false => self.shared().and_then(|shared| shared.flush()),
        };
        self.0.close();
        settled
    }

    fn shared(&self) -> Result<&Arc<Shared>, ViewError> {
        self.0.shared.check().map(|()| &self.0.shared)
    }
}

fn check_key(key: &[u8]) -> Result<(), ViewError> {
    match key.first() {
        Some(1..) if key.len() <= KEY_BYTES_MAX => Ok(()),
        _ => Err(ViewError::Key { bytes: key.len(), max: KEY_BYTES_MAX }),
    }
}

impl Inner {
    /// The thread flushes once more; then sled ends, and only then can its files be synced.
    fn close(&self) {
        self.shared.stop();
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the flusher panicked");
        }
        self.shared.close();
        let place = self.place.lock().take();
        if let Some(Err(error)) = place.map(|place| place.close()) {
            tracing::warn!(%error, "the views are flushed, but may not survive a power cut");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
