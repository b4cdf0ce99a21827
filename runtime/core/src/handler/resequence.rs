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
        if self.mode == Mode::Paused {
            return None;
        }
        // The missing events may be in the log already but not scanned.
        let until_ms = if self.sees_all(head) { now_ms } else { self.seen_ms };
        let (position, expected, found) = self.lanes.pop_gap(until_ms)?;
        Some(Gap { delivery: self.id(position), expected, found })
    }

    /// When the next gap is passed unless its events arrive first.
    pub fn next_gap_ms(&self, head: Position) -> Option<u64> {
        self.lanes.next_gap_ms().filter(|_| self.sees_all(head))
    }

    /// Whether it has scanned everything that it is going to scan.
    fn sees_all(&self, head: Position) -> bool {
        self.scanned == head || self.mode == Mode::Draining
    }
}
