//! Queues of the deliveries that no other of their lane blocks, by what they wait for.

use std::collections::BTreeSet;

use weirgate_types::Position;

use crate::bugs::bug;
use crate::{DeliveryPhase, DeliveryRow};

/// Until when those wait that wait for a decision.
const UNTIL_DECIDED: u64 = u64::MAX;
/// While there are fresh ones, every fourth slot goes to a retry: retries that all come due at once do not slow down
/// what works.
const AGAIN_EVERY: u8 = 4;

#[derive(Debug, Default)]
pub struct Queues {
    /// May run, for the first time.
    fresh: BTreeSet<Position>,
    /// May run again.
    again: BTreeSet<Position>,
    /// May run at a time.
    retrying: BTreeSet<(u64, Position)>,
    /// Wait for somebody: for a correction, or for what becomes of a dead letter.
    resting: BTreeSet<Position>,
    /// Wait for missing numbers, until a time.
    gaps: BTreeSet<(u64, Position)>,
    /// They do not any longer: the record that says so follows.
    passing: BTreeSet<Position>,
    /// Done, and what they emit may leave.
    released: BTreeSet<Position>,
    /// They are about to leave: the record that says so follows.
    releasing: BTreeSet<Position>,
    /// Those of `retrying`, `resting` and `gaps` whose lanes may be spilled, by when they wait until. Kept apart, so that
    /// what has to stay in memory is not looked through for what may go.
    movable: BTreeSet<(u64, Position)>,
    /// Counts what was taken, for [`AGAIN_EVERY`].
    taken: u8,
}

impl Queues {
    pub fn list(&mut self, position: Position, row: &DeliveryRow) {
        match row.phase {
            DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. } if row.is_fresh() => {
                self.unlist_gap(position, row);
                self.fresh.insert(position);
            }
            DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. } => drop(self.again.insert(position)),
            // One whose time has come stays where it went then.
            DeliveryPhase::Retrying { .. } if self.again.contains(&position) => {}
            DeliveryPhase::Retrying { due_ms, .. } => {
                self.retrying.insert((due_ms, position));
                self.list_movable(position, row, due_ms);
            }
            DeliveryPhase::AwaitingCorrection | DeliveryPhase::Held => {
                self.resting.insert(position);
                self.list_movable(position, row, UNTIL_DECIDED);
            }
            DeliveryPhase::Running | DeliveryPhase::Withheld { .. } => {}
        }
    }

    fn list_movable(&mut self, position: Position, row: &DeliveryRow, until_ms: u64) {
        if !row.parallel && (!row.is_correctable() || bug!(PutsAwayCorrected)) {
            self.movable.insert((until_ms, position));
        }
    }

    /// The first of its lane, whose number is not next.
    pub fn list_gap(&mut self, position: Position, due_ms: u64) {
        if !self.passing.contains(&position) {
            self.gaps.insert((due_ms, position));
            self.movable.insert((due_ms, position));
        }
    }

    fn unlist_gap(&mut self, position: Position, row: &DeliveryRow) {
        if let Some(sequence) = row.sequence {
            self.gaps.remove(&(sequence.due_ms, position));
            self.movable.remove(&(sequence.due_ms, position));
        }
    }

    pub fn pop_gap(&mut self, until_ms: u64) -> Option<Position> {
        let gap = self.gaps.first().copied().filter(|(due_ms, _)| *due_ms <= until_ms)?;
        self.gaps.remove(&gap);
        self.movable.remove(&gap);
        self.passing.insert(gap.1);
        Some(gap.1)
    }

    pub fn next_gap_ms(&self) -> Option<u64> {
        self.gaps.first().map(|(due_ms, _)| *due_ms)
    }

    pub fn gap_passed(&mut self, position: Position) {
        self.passing.remove(&position);
    }

    /// What a delivery that is the first of its lane emitted may leave.
    pub fn release(&mut self, position: Position, row: &DeliveryRow) {
        if matches!(row.phase, DeliveryPhase::Withheld { .. })
            && (bug!(ReleasedAgain) || !self.releasing.contains(&position))
        {
            self.released.insert(position);
        }
    }

    pub fn unlist(&mut self, position: Position, row: &DeliveryRow) {
        for set in [&mut self.fresh, &mut self.again, &mut self.resting, &mut self.released] {
            set.remove(&position);
        }
        self.movable.remove(&(UNTIL_DECIDED, position));
        if let DeliveryPhase::Retrying { due_ms, .. } = row.phase {
            self.retrying.remove(&(due_ms, position));
            self.movable.remove(&(due_ms, position));
        }
        self.unlist_gap(position, row);
    }

    pub fn runnable(&self) -> usize {
        self.fresh.len() + self.again.len()
    }

    pub fn is_runnable(&self, position: Position) -> bool {
        self.fresh.contains(&position) || self.again.contains(&position)
    }

    pub fn next_due_ms(&self) -> Option<u64> {
        self.retrying.first().map(|(due_ms, _)| *due_ms)
    }

    pub fn count_waiting(&self) -> (usize, usize) {
        (self.retrying.len(), self.resting.len())
    }

    pub fn pop_runnable(&mut self) -> Option<Position> {
        self.taken = (self.taken + 1) % AGAIN_EVERY;
        let is_turn_of_again = self.fresh.is_empty() || self.taken == 0;
        let (first, second) =
            if is_turn_of_again { (&mut self.again, &mut self.fresh) } else { (&mut self.fresh, &mut self.again) };
        first.pop_first().or_else(|| second.pop_first())
    }

    pub fn pop_fresh(&mut self) -> Option<Position> {
        self.fresh.pop_first()
    }

    pub fn pop_released(&mut self) -> Option<Position> {
        let position = self.released.pop_first()?;
        self.releasing.insert(position);
        Some(position)
    }

    /// The delivery is no longer open.
    pub fn forget(&mut self, position: Position) {
        self.releasing.remove(&position);
        self.passing.remove(&position);
    }

    pub fn release_due(&mut self, now_ms: u64) {
        while let Some((due_ms, position)) = self
            .retrying
            .first()
            .copied()
            .filter(|(due_ms, _)| *due_ms <= now_ms + if bug!(RetriesEarly) { 20 } else { 0 })
        {
            self.retrying.remove(&(due_ms, position));
            self.movable.remove(&(due_ms, position));
            self.again.insert(position);
        }
    }

    /// The one that waits longest, of those that `may` be chosen.
    pub fn longest_waiting(&self, may: impl Fn(&Position) -> bool) -> Option<Position> {
        self.movable.iter().rev().map(|(_, position)| *position).find(may)
    }
}
