//! What the deliveries of one call may leave behind together: they stay in memory until the call has ended, and are committed in
//! records that have a limit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::failure::Stop;

/// Effects of one call, in bytes, with what the runtime adds to each emitted event. More than one delivery can have.
pub(crate) const EFFECTS_BYTES_MAX: u64 = 10 << 20;
/// Log lines of one call, in bytes. As much as one delivery can have.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Counts for all items of one call. Clones count together.
#[derive(Debug, Default, Clone)]
pub(crate) struct Together(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    effects: AtomicU64,
    log: AtomicU64,
}

impl Together {
    /// Count effects.
    ///
    /// # Errors
    /// They are more than one call may have.
    pub(crate) fn count_effects(&self, added: u64, replaced: u64) -> Result<(), Stop> {
        // One thread works on a call, so nothing comes between.
        let before = self.0.effects.load(Ordering::Relaxed);
        let now = before.saturating_sub(replaced).saturating_add(added);
        self.0.effects.store(now, Ordering::Relaxed);
        if now > EFFECTS_BYTES_MAX { Err(Stop::Together) } else { Ok(()) }
    }

    /// Whether there is room for a log line of this size; it is counted then.
    pub(crate) fn takes_line(&self, bytes: usize) -> bool {
        let now = self.0.log.load(Ordering::Relaxed).saturating_add(bytes as u64);
        let fits = now <= LOG_BYTES_MAX;
        if fits {
            self.0.log.store(now, Ordering::Relaxed);
        }
        fits
    }
}
