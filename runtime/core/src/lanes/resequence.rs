//! Lanes that are resequenced: the next number of each, and the deliveries that wait for it.
//!
//! Such a lane is kept in memory by rank and split like all lanes: the part on disk comes after the part in memory, so the
//! first part on disk may be reloaded alone. The next number is stored in the views, one for each lane that ever existed;
//! memory holds the needed ones and reloads missing ones.

use std::collections::{BTreeMap, HashMap};

use weirgate_types::{KeyHash, Position};

use super::{Lane, Lanes};
use crate::{DeliveryPhase, DeliveryRow, Next, Rank};

/// Maximum number of remembered next numbers of lanes that are not in memory; the number of lanes in memory, if that is
/// larger.
const IDLE_MAX: usize = 16_384;

/// The next numbers.
#[derive(Debug, Default)]
pub struct Resequencer {
    /// The number of a lane's first event; `None` if the handler does not resequence.
    first: Option<u64>,
    /// Iterated only to drop entries, so the order does not matter.
    next: HashMap<KeyHash, u64>,
}

/// Whether a delivery's number is next in its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceState {
    Due,
    /// Earlier ones are missing; the delivery waits for them until then.
    Missing {
        due_ms: u64,
    },
    /// The next number is not in memory.
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

    /// The phase under which a waiting delivery is spilled: the first of a lane is indexed by its due time.
    pub fn spilled_phase(&self, row: &DeliveryRow, is_first: bool) -> DeliveryPhase {
        match self.sequence_state(row) {
            SequenceState::Missing { due_ms } if is_first => DeliveryPhase::OutOfOrder { due_ms },
            _ if matches!(row.phase, DeliveryPhase::OutOfOrder { .. }) => DeliveryPhase::Ready,
            _ => row.phase,
        }
    }
}

impl Lane {
    /// The index of a delivery of this rank. Most are last.
    pub fn index_of(&self, open: &BTreeMap<Position, DeliveryRow>, rank: Rank) -> usize {
        let is_before = |other: &Position| open.get(other).is_some_and(|row| row.rank(*other) < rank);
        match self.positions.back() {
            Some(last) if !is_before(last) => self.positions.partition_point(is_before),
            _ => self.positions.len(),
        }
    }
}

impl Lanes {
    /// The same for a handler that resequences; `first` is the number of a lane's first event.
    pub fn resequencing(self, first: Option<u64>) -> Self {
        Self { resequencer: Resequencer { first, ..Resequencer::default() }, ..self }
    }

    /// Sets the first number, or with `None` turns resequencing off.
    pub fn resequence(&mut self, first: Option<u64>) {
        if self.resequencer.first == first {
            return;
        }
        // A lane without a stored number now begins with another one.
        self.resequencer = Resequencer { first, ..Resequencer::default() };
        let lanes: Vec<_> = self.by_key.keys().copied().collect();
        for lane in lanes {
            self.settle(lane);
        }
    }

    /// The next number of a lane was read; `None` if none was ever stored.
    pub fn learn_next(&mut self, lane: KeyHash, kept: Option<u64>) {
        let Some(first) = self.resequencer.first else { return };
        let next = kept.unwrap_or(first);
        let known = self.resequencer.next.entry(lane).or_insert(next);
        *known = next.max(*known);
        self.settle(lane);
    }

    /// The delivery is closed, so the number after its own is next. Returns what has to be stored.
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

    /// A delivery that is added to a spilled lane may be the one that the others there wait for.
    pub(super) fn want_if_it_may_be_next(&mut self, row: &DeliveryRow) {
        if row.sequence.is_some() && !self.by_key.contains_key(&row.lane) {
            self.spilled.want(row.lane);
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

    /// A gap whose wait ended by then: the delivery behind it, the expected number, and its own. The record that passes it
    /// follows at once.
    pub fn pop_gap(&mut self, until_ms: u64) -> Option<(Position, u64, u64)> {
        loop {
            let position = self.queues.pop_gap(until_ms)?;
            let Some(row) = self.open.get(&position) else { continue };
            // A gap behind it is being passed: the record of that makes this one due.
            let lane = self.by_key.get(&row.lane).map(|lane| &lane.positions).into_iter().flatten();
            if { lane }.any(|other| *other != position && self.queues.is_passing(*other)) {
                self.queues.gap_passed(position);
                continue;
            }
            let expected = self.resequencer.next.get(&row.lane).copied();
            if let (Some(expected), Some((found, _))) = (expected, row.waiting_number()) {
                return Some((position, expected, found));
            }
        }
    }

    /// When the wait for the next gap ends; includes those on disk if fewer than `runnable_max` are runnable already.
    pub fn next_gap_ms(&self, runnable_max: usize) -> Option<u64> {
        let spilled = self.spilled.next_due_ms().gaps.filter(|_| self.active() < runnable_max);
        self.queues.next_gap_ms().into_iter().chain(spilled).min()
    }

    /// A gap was passed: the number behind it is next. Returns what has to be stored.
    pub fn gap_passed(&mut self, position: Position, lane: KeyHash, found: u64) -> Option<(KeyHash, Next)> {
        self.queues.gap_passed(position);
        self.raise_next(lane, found)
    }

    /// Everything stored is readable now, so the numbers of lanes that are not in memory may be dropped.
    pub fn forget_idle(&mut self) {
        if self.resequencer.next.len() > self.by_key.len().saturating_add(self.by_key.len().max(IDLE_MAX)) {
            let by_key = &self.by_key;
            self.resequencer.next.retain(|lane, _| by_key.contains_key(lane));
        }
    }
}
