//! Queues of the deliveries that no other of their lane blocks, by what they wait for.

use std::collections::BTreeSet;

use weirgate_types::Position;

use crate::{DeliveryPhase, DeliveryRow};

/// The due time of deliveries that wait for an operator's command.
const UNTIL_DECIDED: u64 = u64::MAX;
/// Every fourth slot goes to a retry while untried deliveries wait: retries that come due together do not slow down new
/// deliveries, and are not starved by them.
const AGAIN_EVERY: u8 = 4;

#[derive(Debug, Default)]
pub struct Queues {
    /// Runnable, and may share a call: not tried yet, or only in attempts that were discarded.
    fresh: BTreeSet<Position>,
    /// Runnable alone, most of them again.
    again: BTreeSet<Position>,
    /// Waiting for a time, then runnable.
    retrying: BTreeSet<(u64, Position)>,
    /// Waiting for a correction or for an operator's command on a dead letter.
    resting: BTreeSet<Position>,
    /// Waiting for missing numbers, until a time.
    gaps: BTreeSet<(u64, Position)>,
    /// The wait for missing numbers is over; the record of it follows.
    passing: BTreeSet<Position>,
    /// Completed, with emissions that may be released.
    released: BTreeSet<Position>,
    /// Emissions being released; the record of it follows.
    releasing: BTreeSet<Position>,
    /// The entries of `retrying`, `resting` and `gaps` whose lanes may be spilled, by due time. Kept separately, so that
    /// choosing what to spill does not scan entries that have to stay in memory.
    movable: BTreeSet<(u64, Position)>,
    /// Counts taken deliveries, for [`AGAIN_EVERY`].
    taken: u8,
}

impl Queues {
    pub fn list(&mut self, position: Position, row: &DeliveryRow) {
        match row.phase {
            DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. } if row.may_share() => {
                self.unlist_gap(position, row);
                self.fresh.insert(position);
            }
            DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. } => drop(self.again.insert(position)),
            // A delivery whose time has come was moved to `again` then.
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
        if !row.parallel && !row.is_correctable() {
            self.movable.insert((until_ms, position));
        }
    }

    /// The first delivery of its lane, whose number is not next.
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

    pub fn is_passing(&self, position: Position) -> bool {
        self.passing.contains(&position)
    }

    pub fn gap_passed(&mut self, position: Position) {
        self.passing.remove(&position);
    }

    /// The emissions of a delivery that is first of its lane may be released.
    pub fn release(&mut self, position: Position, row: &DeliveryRow) {
        if matches!(row.phase, DeliveryPhase::Withheld { .. }) && !self.releasing.contains(&position) {
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

    /// The delivery is closed.
    pub fn forget(&mut self, position: Position) {
        self.releasing.remove(&position);
        self.passing.remove(&position);
    }

    pub fn release_due(&mut self, now_ms: u64) {
        while let Some((due_ms, position)) = self.retrying.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.retrying.remove(&(due_ms, position));
            self.movable.remove(&(due_ms, position));
            self.again.insert(position);
        }
    }

    /// The delivery with the latest due time among those that `may` be chosen.
    pub fn longest_waiting(&self, may: impl Fn(&Position) -> bool) -> Option<Position> {
        self.movable.iter().rev().map(|(_, position)| *position).find(may)
    }
}
