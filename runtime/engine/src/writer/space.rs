//! Whether the disk has room: for new events and attempts, and for the batch that is being committed. Owns the minimum and
//! the reserve, and tells the server whether it is ready.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{Metrics, ballast::Ballast};

/// With this many bytes beyond the minimum the disk is not asked again for a while. Nothing writes as much in that time.
const AMPLE_BYTES: u64 = 1 << 30;
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Reports how many bytes are free beyond the minimum that new events leave; `None` if there is no room for them, or it is unknown.
pub type FreeSpace = Box<dyn Fn() -> Option<u64> + Send>;

/// See the module documentation.
pub struct DiskSpace {
    free_space: FreeSpace,
    ballast: Ballast,
    /// Whether the disk had room when it was asked last.
    has_room: bool,
    /// When the disk is asked again, by the monotonic clock.
    ask_at: Duration,
    /// Whether there is room for new events and for handlers' writes, as of the beginning of this pass.
    has_space: bool,
    /// Whether the last commit found the disk full.
    is_full: bool,
    is_ready: Arc<AtomicBool>,
}

impl DiskSpace {
    pub fn new(free_space: FreeSpace, ballast: Ballast) -> Self {
        let is_ready = Arc::new(AtomicBool::new(true));
        let (has_room, ask_at) = (true, Duration::ZERO);
        Self { free_space, ballast, has_room, ask_at, has_space: true, is_full: false, is_ready }
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
    pub fn look(&mut self, now: Duration, is_short: bool, metrics: &Metrics) -> Option<bool> {
        let has_space = self.has_room(now) && !is_short;
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

    /// Asking is a call of the kernel, which passes with little to do would notice.
    fn has_room(&mut self, now: Duration) -> bool {
        if now >= self.ask_at {
            let free = (self.free_space)();
            self.has_room = free.is_some();
            self.ask_at = if free.is_some_and(|free| free >= AMPLE_BYTES) { now + ASK_EVERY } else { now };
        }
        self.has_room
    }

    /// A commit found no space. Returns whether the reserve was released, so that it can be tried again at once.
    pub fn exhausted(&mut self, error: &io::Error) -> bool {
        self.ask_at = Duration::ZERO;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_disk_with_ample_room_is_asked_now_and_then_and_another_each_time() {
        let free = Arc::new(Mutex::new((Some(AMPLE_BYTES), 0)));
        let asked = Arc::clone(&free);
        let measure = move || {
            let mut free = asked.lock().expect("no panic");
            free.1 += 1;
            free.0
        };
        let mut space = DiskSpace::new(Box::new(measure), Ballast::default());
        let (metrics, ms) = (Metrics::default(), Duration::from_millis);
        let set = |bytes| free.lock().expect("no panic").0 = bytes;
        let times = || free.lock().expect("no panic").1;
        assert_eq!([5, 6, 104].map(|now| space.look(ms(now), false, &metrics)), [None; 3]);
        assert_eq!(times(), 1);
        set(Some(AMPLE_BYTES - 1));
        assert_eq!([105, 106, 107].map(|now| space.look(ms(now), false, &metrics)), [None; 3]);
        assert_eq!(times(), 4);
        set(None);
        assert_eq!([108, 109].map(|now| space.look(ms(now), false, &metrics)), [Some(false), None]);
        set(Some(AMPLE_BYTES));
        assert_eq!([110, 111].map(|now| space.look(ms(now), false, &metrics)), [Some(true), None]);
        assert_eq!(
            space.look(ms(112), true, &metrics),
            Some(false),
            "what is behind the log is short of space at once"
        );
        assert_eq!(times(), 7);
        space.exhausted(&io::ErrorKind::StorageFull.into());
        space.look(ms(113), false, &metrics);
        assert_eq!(times(), 8, "a commit found it full");
    }
}
