//! Whether the disk has room: for new events and attempts, and for the batch that is being committed. Owns the minimum and
//! the reserve, and tells the server whether it is ready.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{Metrics, ballast::Ballast};

/// Reports whether there is room for new events.
pub type FreeSpace = Box<dyn Fn() -> bool + Send>;

/// See the module documentation.
pub struct DiskSpace {
    free_space: FreeSpace,
    ballast: Ballast,
    /// Whether there is room for new events and for handlers' writes, as of the beginning of this pass.
    has_space: bool,
    /// Whether the last commit found the disk full.
    is_full: bool,
    is_ready: Arc<AtomicBool>,
}

impl DiskSpace {
    pub fn new(free_space: FreeSpace, ballast: Ballast) -> Self {
        Self { free_space, ballast, has_space: true, is_full: false, is_ready: Arc::new(AtomicBool::new(true)) }
    }

    /// Whether the server accepts events, for readiness checks.
    pub fn readiness(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_ready)
    }

    pub fn has_space(&self) -> bool {
        self.has_space
    }

    /// Checks the disk; `is_short`: what is written behind the log waits for space. Returns whether there is space now, if that has
    /// changed.
    pub fn look(&mut self, is_short: bool, metrics: &Metrics) -> Option<bool> {
        let has_space = (self.free_space)() && !is_short;
        if has_space == self.has_space {
            return None;
        }
        self.has_space = has_space;
        self.is_ready.store(has_space, Ordering::Relaxed);
        metrics.disk_low.set(i64::from(!has_space));
        match has_space {
            true => {
                self.ballast.take();
                tracing::info!("there is disk space again: events are accepted, deliveries continue");
            }
            false => tracing::warn!("the disk is nearly full: no events are accepted, no deliveries begin"),
        }
        Some(has_space)
    }

    /// A commit found no space. Returns whether the reserve was released, so that it can be tried again at once.
    pub fn exhausted(&mut self, error: &io::Error) -> bool {
        if self.ballast.release() {
            return true;
        }
        self.is_ready.store(false, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_full, true) {
            let lack =
                if weirgate_types::is_out_of_space(error) { "the disk is full" } else { "no file descriptor is free" };
            tracing::error!(%error, "{lack}; no new events are accepted until there is space");
        }
        false
    }

    /// A commit succeeded.
    pub fn committed(&mut self) {
        if std::mem::take(&mut self.is_full) {
            self.is_ready.store(self.has_space, Ordering::Relaxed);
            tracing::info!("there is space again");
        }
    }
}
