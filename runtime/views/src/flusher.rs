//! The thread that carries changes to sled, behind whoever writes them; and how the two wait for each other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};
use weirgate_types::Position;

use crate::{
    Change, ViewError, ViewOptions,
    directory::Place,
    disk::{About, Disk, Origin},
    free_space::Space,
    memtable::Memory,
};
/// What the views' users and the thread share.
///
/// The two locks are never held together: whoever has one and wants the other lets go of it first.
pub struct Shared {
    /// Read by all who look, written when the views are closed.
    pub disk: RwLock<Disk>,
    pub memory: RwLock<Memory>,
    /// What waits in memory, as of the last change to it. Whoever waits for room looks here, not into `memory`.
    open_bytes: AtomicUsize,
    /// Absent in simulations, which have none.
    place: Option<Arc<Place>>,
    space: Space,
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
    /// The number of the last generation that is in sled.
    flushed: u64,
    /// How often the thread has come round, whether or not it flushed.
    looks: u64,
}

impl Shared {
    pub fn new(disk: Disk, place: Option<Arc<Place>>, space: Space, about: About, options: ViewOptions) -> Self {
        Self {
            disk: RwLock::new(disk),
            memory: RwLock::new(Memory::new(about.applied)),
            open_bytes: AtomicUsize::new(0),
            place,
            space,
            origin: about.origin,
            options,
            control: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            failure: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// The failure that ended the views, if one did, or that they are closed.
    pub fn check(&self) -> Result<(), ViewError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(ViewError::Closed);
        }
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Keep the views' first failure, and pass this one on. Not to be called with a lock held.
    pub fn failed<T>(&self, result: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(failure) = &result
            && *failure != ViewError::Closed
            && self.failure.set(failure.clone()).is_ok()
        {
            tracing::error!(%failure, "the views failed");
            // At once: the process may not get to close them.
            if let Some(place) = &self.place {
                place.mark_failed(failure);
            }
            drop(self.control.lock());
            self.done.notify_all();
        }
        result
    }

    /// Take changes in. Waits while too much is on its way.
    pub fn write(&self, changes: Vec<Change>, applied: Position) -> Result<(), ViewError> {
        self.check()?;
        let bytes = {
            let mut memory = self.memory.write();
            if applied < memory.applied() {
                return Err(ViewError::Backwards { applied, written: memory.applied() });
            }
            memory.write(changes, applied);
            self.note_open_bytes(&memory)
        };
        if bytes >= self.options.flush_bytes {
            self.wake(|control| control.urgent = true);
        }
        if bytes >= self.options.pending_bytes_max {
            let has_room = || self.open_bytes.load(Ordering::SeqCst) < self.options.pending_bytes_max;
            // Where the disk has no room, waiting may take for ever; the writer has to go on, and writes little from then on.
            self.wait(|_| Ok(has_room() || self.space.is_short()))?;
        }
        Ok(())
    }

    /// Whether the disk has no room for what waits, and half of what may wait does.
    pub fn is_short_of_space(&self) -> bool {
        self.space.is_short() && self.open_bytes.load(Ordering::SeqCst) >= self.options.pending_bytes_max / 2
    }

    /// Under the lock of `memory`, so that the latest count is the one that stays.
    fn note_open_bytes(&self, memory: &Memory) -> usize {
        let bytes = memory.open_bytes();
        self.open_bytes.store(bytes, Ordering::SeqCst);
        bytes
    }

    /// Wait until all that was written is in sled, or the disk turns out to have no room for it.
    pub fn settle(&self) -> Result<(), ViewError> {
        let generation = self.memory.read().written();
        let looks = self.control.lock().looks;
        self.wake(|control| control.urgent = true);
        self.wait(|control| {
            if control.flushed >= generation {
                return Ok(true);
            }
            // One look may have begun before this was called.
            let looked = control.looks >= looks + 2;
            if looked && self.space.is_short() { Err(ViewError::NoSpace) } else { Ok(false) }
        })
    }

    #[cfg(test)]
    pub fn looks(&self) -> u64 {
        self.control.lock().looks
    }

    pub fn stop(&self) {
        self.wake(|control| control.stop = true);
    }

    /// Refuse everything from here on, and let go of the files. The thread has ended.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        *self.disk.write() = Disk::Closed;
    }

    fn wake(&self, change: impl FnOnce(&mut Control)) {
        change(&mut self.control.lock());
        self.work.notify_all();
    }

    /// `until` is asked with the lock of `control` held, and must take no other.
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

    /// The thread: flush at intervals, when asked to, and at the end. If it panics, nobody waits for it forever.
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

    /// Flush what waits, as far as the disk has room. Answers the number of the newest generation that is in sled then.
    fn flush_open(&self) -> Result<u64, ViewError> {
        let newest = self.memory.read().written();
        loop {
            let (begun, written) = {
                let mut memory = self.memory.write();
                let begun = memory.begin_flush();
                self.note_open_bytes(&memory);
                (begun, memory.written())
            };
            let Some(generation) = begun else { return Ok(written) };
            // Whoever waits for room has it from here on. Through the lock, so that none is just about to wait.
            drop(self.control.lock());
            self.done.notify_all();
            let disk = self.disk.read();
            let flush = disk.plan(self.origin, &generation)?;
            if !self.space.suffices(flush.bytes()) {
                // A writer that waits for room is told that there is none for now.
                drop(self.control.lock());
                self.done.notify_all();
                return Ok(generation.number - 1);
            }
            disk.write(&flush)?;
            self.memory.write().end_flush();
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
    use crate::free_space;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn shared(dir: &std::path::Path, free: free_space::Measure) -> Shared {
        let place = Place::open(&dir.join("views"), None).expect("a place");
        place.mark_begun().expect("marked");
        let disk = Disk::open(&place.files(), 1 << 20).expect("a disk");
        let options = ViewOptions { flush_interval_ms: 1, pending_bytes_max: 1, ..ViewOptions::default() };
        let origin = Origin { log: Epoch([1; 16]), epoch: Epoch([1; 16]) };
        let about = About { origin, applied: Position::ZERO, sum: 0 };
        Shared::new(disk, Some(Arc::new(place)), Space::new(free), about, options)
    }

    /// A writer that waits for room must not hold `control` while it waits for `memory`: a reader of `memory` that meets
    /// an error takes `control`.
    #[test]
    fn whoever_waits_for_room_keeps_nobody_from_control() {
        let dir = tempfile::tempdir().expect("a directory");
        let shared = shared(dir.path(), Box::new(|| Some(0)));
        std::thread::scope(|scope| {
            let change = Change { key: b"a".into(), value: Some(b"1".into()), is_new: true };
            let writer = scope.spawn(|| shared.write(vec![change], Position(1)));
            while shared.open_bytes.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            let memory = shared.memory.write();
            let is_free = (0..1_000).all(|_| {
                shared.done.notify_all();
                std::thread::yield_now();
                shared.control.try_lock_for(DEADLINE).is_some()
            });
            drop(memory);
            let failure = ViewError::Failed("the test's end".into());
            assert_eq!(shared.failed::<()>(Err(failure.clone())), Err(failure.clone()));
            assert_eq!(writer.join().expect("no panic"), Err(failure));
            assert!(is_free, "the waiting writer held control while it waited for memory");
        });
    }
}
