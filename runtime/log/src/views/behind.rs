//! The thread that carries changes to sled, behind whoever writes them; and how the two wait for each other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};
use weirgate_types::Position;

use super::{
    Change, ViewError, ViewOptions,
    disk::{About, Disk},
    memory::Memory,
    place::Place,
};
use crate::Epoch;

/// What the views' users and the thread share.
pub struct Shared {
    pub disk: Disk,
    pub memory: RwLock<Memory>,
    place: Arc<Place>,
    epoch: Epoch,
    options: ViewOptions,
    control: Mutex<Control>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes those who wait for a flush.
    done: Condvar,
    failure: OnceLock<ViewError>,
}

#[derive(Default)]
struct Control {
    stop: bool,
    urgent: bool,
    /// The number of the last generation that is in sled.
    flushed: u64,
}

impl Shared {
    pub fn new(disk: Disk, place: Arc<Place>, about: About, options: ViewOptions) -> Self {
        Self {
            disk,
            memory: RwLock::new(Memory::new(about.applied)),
            place,
            epoch: about.epoch,
            options,
            control: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            failure: OnceLock::new(),
        }
    }

    /// The failure that ended the views, if one did.
    pub fn check(&self) -> Result<(), ViewError> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Keep the views' first failure, and pass this one on.
    pub fn failed<T>(&self, result: Result<T, ViewError>) -> Result<T, ViewError> {
        if let Err(failure) = &result
            && self.failure.set(failure.clone()).is_ok()
        {
            tracing::error!(%failure, "the views failed");
            // At once: the process may not get to close them.
            self.place.mark_failed();
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
            memory.open_bytes()
        };
        if bytes >= self.options.flush_bytes {
            self.wake(|control| control.urgent = true);
        }
        if bytes >= self.options.pending_bytes_max {
            self.wait(|_| self.memory.read().open_bytes() < self.options.pending_bytes_max)?;
        }
        Ok(())
    }

    /// Wait until all that was written is in sled.
    pub fn settle(&self) -> Result<(), ViewError> {
        let generation = self.memory.read().generation();
        self.wake(|control| control.urgent = true);
        self.wait(|control| control.flushed >= generation)
    }

    pub fn stop(&self) {
        self.wake(|control| control.stop = true);
    }

    fn wake(&self, change: impl FnOnce(&mut Control)) {
        change(&mut self.control.lock());
        self.work.notify_all();
    }

    fn wait(&self, mut until: impl FnMut(&Control) -> bool) -> Result<(), ViewError> {
        let mut control = self.control.lock();
        loop {
            self.check()?;
            if until(&control) {
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

    fn flush(&self) -> Result<(), ViewError> {
        self.check()?;
        let (number, generation) = {
            let mut memory = self.memory.write();
            (memory.generation(), memory.begin_flush())
        };
        if let Some(generation) = generation {
            // Whoever waits for room has it from here on. Through the lock, so that none is just about to wait.
            drop(self.control.lock());
            self.done.notify_all();
            self.disk.apply(self.epoch, &generation)?;
            self.memory.write().end_flush();
        }
        self.control.lock().flushed = number;
        self.done.notify_all();
        Ok(())
    }
}
