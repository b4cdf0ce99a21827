//! Forgets identities that have left their window. How old records are is looked up now and then, so the end of the window by age is
//! exact to a thousandth of it.

use weirgate_log::{LogError, LogReader};
use weirgate_types::Position;

use super::Ingress;

/// Which part of the window by age passes between two looks.
const LOOKS_EACH_WINDOW: u64 = 1_024;
/// Maximum interval between two looks.
const LOOK_MS_MAX: u64 = 60_000;

impl Ingress {
    /// Forgets what has left the window, of a log that ends at `head`.
    pub fn forget(&mut self, log: &LogReader, head: Position, now_ms: u64) -> Result<(), LogError> {
        let floor = if now_ms < self.look_at_ms {
            self.window.floor_by_count(head)
        } else {
            self.look_at_ms = now_ms.saturating_add((self.window.age_ms / LOOKS_EACH_WINDOW).clamp(1, LOOK_MS_MAX));
            self.window.floor(log, head, now_ms)?
        };
        self.identities.forget(floor);
        Ok(())
    }
}
