//! How a handler resequences the events of a key: which number is next, and how long to wait for it.

use weirgate_types::{Mode, Position};

use super::Handler;
use crate::{EventHead, Gap, Sequence};

impl Handler {
    /// The sequence position of an event that is being opened.
    pub(super) fn sequence_of(&self, head: &EventHead) -> Option<Sequence> {
        let policy = self.manifest.resequence?;
        Some(Sequence { number: head.sequence, due_ms: head.at_ms.saturating_add(policy.gap_timeout_ms) })
    }

    /// The next gap to pass now. `head` is the log's.
    pub fn next_gap(&mut self, now_ms: u64, head: Position) -> Option<Gap> {
        let (position, expected, found) = self.lanes.pop_gap(self.gaps_until_ms(now_ms, head)?)?;
        Some(Gap { delivery: self.id(position), expected, found })
    }

    /// Gaps that are due by then may be passed now.
    pub fn gaps_until_ms(&self, now_ms: u64, head: Position) -> Option<u64> {
        let until_ms = match self.sees_all(head) {
            true => now_ms,
            // The missing events may be in the log already but not scanned.
            false => self.seen_ms.min(now_ms),
        };
        Some(until_ms).filter(|_| self.mode != Mode::Paused)
    }

    /// When the next gap is passed unless its events arrive first.
    pub fn next_gap_ms(&self, head: Position, runnable_max: usize) -> Option<u64> {
        self.lanes.next_gap_ms(runnable_max).filter(|_| self.sees_all(head))
    }

    /// Whether it has scanned everything that it is going to scan.
    fn sees_all(&self, head: Position) -> bool {
        self.scanned == head || self.mode == Mode::Draining
    }
}
