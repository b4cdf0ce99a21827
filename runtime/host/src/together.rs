//! Limits of the effects of all deliveries of one call: they stay in memory until the call has ended, and are committed in
//! records of limited size.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::failure::Stop;

/// Maximum total size of the effects of one call, in bytes, with the runtime's additions to each emitted event. More than
/// one delivery can have.
pub(crate) const EFFECTS_BYTES_MAX: u64 = 10 << 20;
/// Maximum total size of the log lines of one call, in bytes. As much as one delivery can have.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Counters for all items of one call. Clones share them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Together(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    effects: AtomicU64,
    log: AtomicU64,
}

impl Together {
    /// Counts effects.
    ///
    /// # Errors
    /// They exceed the limit of one call.
    pub(crate) fn count_effects(&self, added: u64, replaced: u64) -> Result<(), Stop> {
        // Only one thread works on a call, so there is no race.
        let before = self.0.effects.load(Ordering::Relaxed);
        let now = before.saturating_sub(replaced).saturating_add(added);
        self.0.effects.store(now, Ordering::Relaxed);
        if now > EFFECTS_BYTES_MAX { Err(Stop::Together) } else { Ok(()) }
    }

    /// Counts a log line of this size, if there is room for it.
    pub(crate) fn takes_line(&self, bytes: usize) -> bool {
        let now = self.0.log.load(Ordering::Relaxed).saturating_add(bytes as u64);
        let fits = now <= LOG_BYTES_MAX;
        if fits {
            self.0.log.store(now, Ordering::Relaxed);
        }
        fits
    }
}
