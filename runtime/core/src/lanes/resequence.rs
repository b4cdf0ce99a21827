//! Lanes whose events are put back into order: which number is next in each, and what waits for it.
//!
//! Such a lane is in memory by rank and split as all are: what is on disk comes after what is in memory, so the first
//! part on disk may be reloaded alone. The next number is kept with the views, one for each lane there ever was; memory has
//! those that it needs, and wants those that it lacks.

use std::collections::{BTreeMap, HashMap};

use weirgate_types::{KeyHash, Position};

use super::{Lane, Lanes};
use crate::{DeliveryPhase, DeliveryRow, Next, Rank};

/// So many numbers of lanes that are not in memory are remembered, or as many as there are lanes that are.
const IDLE_MAX: usize = 16_384;

/// The numbers that are next.
#[derive(Debug, Default)]
pub struct Resequencer {
    /// The number of a lane's first event; `None` where nothing is put back into order.
    first: Option<u64>,
    /// Never iterated but to forget, so its order is nobody's concern.
    next: HashMap<KeyHash, u64>,
}

/// Whether the number of a delivery is next in its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceState {
    Due,
    /// Earlier ones are missing, and waited for until then.
    Missing {
        due_ms: u64,
    },
    /// Memory does not have the number that is next.
    Unknown,
}

impl Resequencer {
    pub fn sequence_state(&self, row: &DeliveryRow) -> SequenceState {
        let waiting = row.waiting_number().filter(|_| self.first.is_some());
        let Some((number, due_ms)) = waiting else { return SequenceState::Due };
        match self.next.get(&row.lane) {
            None => SequenceState::Unknown,
            Some(next) if number <= *next => SequenceState::Due,
            Some(_) => SequenceState::Missing { due_ms },
        }
    }

    /// Whether a delivery may begin once the one before it in its lane is closed.
    pub fn follows(&self, before: &DeliveryRow, row: &DeliveryRow) -> bool {
        let before = before.sequence.and_then(|sequence| sequence.number);
        let number = row.waiting_number().map(|(number, _)| number);
        let is_right_behind =
            before.is_some_and(|before| number.is_some_and(|number| number <= before.saturating_add(1)));
        is_right_behind || self.sequence_state(row) == SequenceState::Due
    }

    /// The phase in which a waiting delivery is spilled: the first of a lane is found there by its time.
    pub fn spilled_phase(&self, row: &DeliveryRow, is_first: bool) -> DeliveryPhase {
        match self.sequence_state(row) {
            SequenceState::Missing { due_ms } if is_first => DeliveryPhase::OutOfOrder { due_ms },
            _ if matches!(row.phase, DeliveryPhase::OutOfOrder { .. }) => DeliveryPhase::Ready,
            _ => row.phase,
        }
    }
}

impl Lane {
    /// The index of a delivery of this rank. Most are the last.
    pub fn index_of(&self, open: &BTreeMap<Position, DeliveryRow>, rank: Rank) -> usize {
        let is_before = |other: &Position| open.get(other).is_some_and(|row| row.rank(*other) < rank);
        match self.positions.back() {
            Some(last) if !is_before(last) => self.positions.partition_point(is_before),
            _ => self.positions.len(),
        }
    }
}

impl Lanes {
    /// The same of a handler that puts events back into order, `first` being the number of a lane's first event.
    pub fn resequencing(self, first: Option<u64>) -> Self {
        Self { resequencer: Resequencer { first, ..Resequencer::default() }, ..self }
    }

    /// From now on this is the first number, or events are not put back into order any more.
    pub fn resequence(&mut self, first: Option<u64>) {
        if self.resequencer.first == first {
            return;
        }
        // A lane in which nothing was kept yet begins with another number now.
        self.resequencer = Resequencer { first, ..Resequencer::default() };
        let lanes: Vec<_> = self.by_key.keys().copied().collect();
        for lane in lanes {
            self.settle(lane);
        }
    }

    /// The number that is next in a lane was read; `None` where none was ever kept.
    pub fn learn_next(&mut self, lane: KeyHash, kept: Option<u64>) {
        let Some(first) = self.resequencer.first else { return };
        let next = kept.unwrap_or(first);
        let known = self.resequencer.next.entry(lane).or_insert(next);
        *known = next.max(*known);
        self.settle(lane);
    }

    /// The delivery is done with, so the number after its own is next. Answers what of that is to be kept.
    pub fn pass(&mut self, row: &DeliveryRow) -> Option<(KeyHash, Next)> {
        let number = row.sequence?.number?;
        self.raise_next(row.lane, number.saturating_add(1))
    }

    fn raise_next(&mut self, lane: KeyHash, at_least: u64) -> Option<(KeyHash, Next)> {
        let next = Next { at_least, first: self.resequencer.first? };
        if let Some(known) = self.resequencer.next.get_mut(&lane) {
            *known = next.over(Some(*known))?;
            self.settle(lane);
        }
        Some((lane, next))
    }

    /// What comes to a spilled lane may be what the others there wait for.
    pub(super) fn want_if_it_may_be_next(&mut self, row: &DeliveryRow) {
        if row.sequence.is_some() && !self.by_key.contains_key(&row.lane) {
            self.spilled_lanes.want(row.lane);
        }
    }

    /// The rank of a delivery in memory has changed.
    pub(super) fn move_in_lane(&mut self, position: Position, lane: KeyHash) {
        let Some(rank) = self.rank(position) else { return };
        let Some(lane) = self.by_key.get_mut(&lane) else { return };
        let first = lane.positions.front().copied();
        lane.positions.retain(|other| *other != position);
        let index = lane.index_of(&self.open, rank);
        lane.positions.insert(index, position);
        if let Some((first, row)) = first.and_then(|first| Some((first, self.open.get(&first)?)))
            && lane.positions.front() != Some(&first)
        {
            self.queues.unlist(first, row);
        }
    }

    /// A gap that has been waited for until then: the delivery behind it, the number that was expected, and its own. The
    /// record that says that it is passed follows at once.
    pub fn pop_gap(&mut self, until_ms: u64) -> Option<(Position, u64, u64)> {
        loop {
            let position = self.queues.pop_gap(until_ms)?;
            let Some(row) = self.open.get(&position) else { continue };
            let expected = self.resequencer.next.get(&row.lane).copied();
            if let (Some(expected), Some((found, _))) = (expected, row.waiting_number()) {
                return Some((position, expected, found));
            }
        }
    }

    /// When the next gap has been waited for long enough.
    pub fn next_gap_ms(&self) -> Option<u64> {
        self.queues.next_gap_ms()
    }

    /// A gap was passed: the number behind it is next. Answers what of that is to be kept.
    pub fn gap_passed(&mut self, position: Position, lane: KeyHash, found: u64) -> Option<(KeyHash, Next)> {
        self.queues.gap_passed(position);
        self.raise_next(lane, found)
    }

    /// Everything that was kept can be read now, so numbers of lanes that are not in memory need not be remembered.
    pub fn forget_idle(&mut self) {
        if self.resequencer.next.len() > self.by_key.len().saturating_add(self.by_key.len().max(IDLE_MAX)) {
            let by_key = &self.by_key;
            self.resequencer.next.retain(|lane, _| by_key.contains_key(lane));
        }
    }
}
