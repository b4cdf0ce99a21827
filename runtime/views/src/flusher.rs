//! The flusher: a thread that carries changes to the store, behind their writers; and how the two wait for each other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use weirgate_types::Position;

use crate::{
    about::{About, Origin},
    change::Change,
    directory::Directory,
    error::ViewError,
    free_space::FreeSpace,
    memtable::Memtable,
    options::ViewOptions,
    store::Store,
    table::Tables,
};

/// State shared by the views' users and the flusher.
///
/// The locks of `memtable` and `control` are never held together: one is released before the other is taken.
pub struct Flusher {
    /// Read by all who look, taken when the views are closed.
    store: RwLock<Option<Box<dyn Store>>>,
    pub tables: Tables,
    pub memtable: RwLock<Memtable>,
    /// What waits in memory, as of the last change to it. A writer that waits for room looks here, not into `memtable`.
    open_bytes: AtomicUsize,
    /// `None` in simulations.
    directory: Option<Arc<Directory>>,
    free_space: FreeSpace,
    origin: Origin,
    options: ViewOptions,
    control: Mutex<Control>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes those who wait for a flush.
    done: Condvar,
    failure: OnceLock<ViewError>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Control {
    stop: bool,
    urgent: bool,
    /// The number of the last generation that is in the store.
    flushed: u64,
    /// Number of rounds of the flusher, with or without a flush.
    looks: u64,
}

impl Flusher {
    pub fn new(
        (store, tables): (Box<dyn Store>, Tables),
        directory: Option<Arc<Directory>>,
        free_space: FreeSpace,
        about: About,
        options: ViewOptions,
    ) -> Self {
        Self {
            store: RwLock::new(Some(store)),
            tables,
            memtable: RwLock::new(Memtable::new(tables, about.applied)),
            open_bytes: AtomicUsize::new(0),
            directory,
            free_space,
            origin: about.origin,
            options,
            control: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            failure: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// The store, kept open as long as this is held.
    pub fn store(&self) -> Result<MappedRwLockReadGuard<'_, dyn Store>, ViewError> {
        RwLockReadGuard::try_map(self.store.read(), Option::as_deref).map_err(|_| ViewError::Closed)
    }

    /// The failure that ended the views, if any, or that they are closed.
    pub fn check(&self) -> Result<(), ViewError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(ViewError::Closed);
        }
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Stores the views' first failure, and returns this one. Not to be called with a lock held.
    pub fn failed<T>(&self, result: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(failure) = &result
            && *failure != ViewError::Closed
            && self.failure.set(failure.clone()).is_ok()
        {
            tracing::error!(%failure, "the views failed");
            // Immediately: the process may not get to close them.
            if let Some(directory) = &self.directory {
                directory.mark_failed(failure);
            }
            drop(self.control.lock());
            self.done.notify_all();
        }
        result
    }

    /// Accepts changes. Waits while too many bytes are waiting.
    pub fn write(&self, changes: Vec<Change>, applied: Position) -> Result<(), ViewError> {
        self.check()?;
        let bytes = {
            let mut memtable = self.memtable.write();
            if applied < memtable.applied() {
                return Err(ViewError::Backwards { applied, written: memtable.applied() });
            }
            memtable.write(changes, applied);
            self.note_open_bytes(&memtable)
        };
        if bytes >= self.options.flush_bytes {
            self.wake(|control| control.urgent = true);
        }
        if bytes >= self.options.pending_bytes_max {
            let has_room = || self.open_bytes.load(Ordering::SeqCst) < self.options.pending_bytes_max;
            // If the disk has no room, the wait may never end; the writer has to continue, and writes little from then on.
            self.wait(|_| Ok(has_room() || self.free_space.is_short()))?;
        }
        Ok(())
    }

    /// Whether the disk has no room for waiting changes, and they use half of their limit.
    pub fn is_short_of_space(&self) -> bool {
        self.free_space.is_short() && self.open_bytes.load(Ordering::SeqCst) >= self.options.pending_bytes_max / 2
    }

    /// Under the lock of `memtable`, so that the latest count is the one that stays.
    fn note_open_bytes(&self, memtable: &Memtable) -> usize {
        let bytes = memtable.open_bytes();
        self.open_bytes.store(bytes, Ordering::SeqCst);
        bytes
    }

    /// Wait until all that was written is in the store, or the disk turns out to have no room for it.
    pub fn settle(&self) -> Result<(), ViewError> {
        let generation = self.memtable.read().written();
        let looks = self.control.lock().looks;
        self.wake(|control| control.urgent = true);
        self.wait(|control| {
            if control.flushed >= generation {
                return Ok(true);
            }
            // One round may have begun before this call.
            let looked = control.looks >= looks + 2;
            if looked && self.free_space.is_short() { Err(ViewError::NoSpace) } else { Ok(false) }
        })
    }

    #[cfg(test)]
    pub fn looks(&self) -> u64 {
        self.control.lock().looks
    }

    pub fn stop(&self) {
        self.wake(|control| control.stop = true);
    }

    /// Refuses everything from here on, and releases the files. The thread has ended.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.store.write().take());
    }

    fn wake(&self, change: impl FnOnce(&mut Control)) {
        change(&mut self.control.lock());
        self.work.notify_all();
    }

    /// `until` is called with the lock of `control` held, and must take no other.
    fn wait(&self, until: impl Fn(&Control) -> Result<bool, ViewError>) -> Result<(), ViewError> {
        let mut control = self.control.lock();
        loop {
            self.check()?;
            if until(&control)? {
                return Ok(());
            }
            self.done.wait(&mut control);
        }
    }

    /// The flusher: flushes at intervals, when requested, and at the end. If it panics, waiting callers get an error.
    pub fn run(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.flush_until_stopped())).is_err() {
            let _ = self.failed::<()>(Err(ViewError::Failed("the thread that flushes them panicked".into())));
        }
    }

    fn flush_until_stopped(&self) {
        loop {
            let stop = {
                let mut control = self.control.lock();
                if !control.urgent && !control.stop {
                    self.work.wait_for(&mut control, Duration::from_millis(self.options.flush_interval_ms));
                }
                control.urgent = false;
                control.stop
            };
            if self.failed(self.flush()).is_err() || stop {
                return;
            }
        }
    }

    pub fn flush(&self) -> Result<(), ViewError> {
        self.check()?;
        let flushed = self.flush_open()?;
        let mut control = self.control.lock();
        control.flushed = flushed;
        control.looks += 1;
        drop(control);
        self.done.notify_all();
        Ok(())
    }

    /// Flush what waits, as far as the disk has room. Answers the number of the newest generation that is in the store then.
    fn flush_open(&self) -> Result<u64, ViewError> {
        let newest = self.memtable.read().written();
        loop {
            let (begun, written) = {
                let mut memtable = self.memtable.write();
                let begun = memtable.begin_flush();
                self.note_open_bytes(&memtable);
                (begun, memtable.written())
            };
            let Some(generation) = begun else { return Ok(written) };
            // Writers that wait for room have it from here on. Under the lock, so that none is just about to wait.
            drop(self.control.lock());
            self.done.notify_all();
            let store = self.store()?;
            let prepared = store.prepare(generation.batch(self.origin))?;
            if !self.free_space.suffices(prepared.bytes()) {
                // A writer that waits for room gets an error: there is none for now.
                drop(self.control.lock());
                self.done.notify_all();
                return Ok(generation.number - 1);
            }
            store.commit(&prepared)?;
            self.memtable.write().end_flush();
            if generation.number >= newest {
                return Ok(generation.number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::Epoch;

    use super::*;
    use crate::{free_space, sled_store::SledStore, table::Table};

    const DEADLINE: Duration = Duration::from_secs(10);

    fn flusher(dir: &std::path::Path, free: free_space::Measure) -> Flusher {
        let directory = Directory::open(&dir.join("views"), None).expect("a directory");
        directory.mark_begun().expect("marked");
        let tables = Tables::new(&[Table { name: b'a', packed: false }]);
        let store = SledStore::open(&directory.files(), tables, 1 << 20).expect("a store");
        let options = ViewOptions { flush_interval_ms: 1, pending_bytes_max: 1, ..ViewOptions::default() };
        let origin = Origin { log: Epoch([1; 16]), epoch: Epoch([1; 16]) };
        let about = About { origin, applied: Position::ZERO, sum: 0 };
        Flusher::new((Box::new(store), tables), Some(Arc::new(directory)), FreeSpace::new(free), about, options)
    }

    /// A writer that waits for room must not hold `control` while it waits for `memtable`: a reader of `memtable` that meets
    /// an error takes `control`.
    #[test]
    fn waiting_for_room_does_not_hold_the_control_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let flusher = flusher(dir.path(), Box::new(|| Some(0)));
        std::thread::scope(|scope| {
            let change = Change::insert_new("a", "1");
            let writer = scope.spawn(|| flusher.write(vec![change], Position(1)));
            while flusher.open_bytes.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let memtable = flusher.memtable.write();
            let is_free = (0..1_000).all(|_| {
                flusher.done.notify_all();
                std::thread::yield_now();
                flusher.control.try_lock_for(DEADLINE).is_some()
            });
            drop(memtable);
            let failure = ViewError::Failed("the test's end".into());
            assert_eq!(flusher.failed::<()>(Err(failure.clone())), Err(failure.clone()));
            assert_eq!(writer.join().expect("no panic"), Err(failure));
            assert!(is_free, "the waiting writer held control while it waited for the memtable");
        });
    }
}
