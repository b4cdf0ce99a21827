//! Lanes: the open deliveries of one handler, in order per lane. Only the first of a lane may run.
//!
//! Deliveries that wait long are spilled: they stay on disk, and memory keeps only the lane's name.

mod calls;
mod discarded;
mod holds;
mod queues;
mod resequence;
mod spilled;

use std::collections::{BTreeMap, HashMap, VecDeque};

use weirgate_types::{KeyHash, Position};

use crate::{DeliveryPhase, DeliveryRow, DeliveryState, Rank};
use calls::Calls;
use holds::KeyHolds;
use queues::Queues;
use resequence::{Resequencer, SequenceState};
pub use spilled::Spilled;

/// All open deliveries of a handler.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Deliveries in memory.
    open: BTreeMap<Position, DeliveryRow>,
    /// The lanes in memory, each with its first deliveries. Never iterated, so the order does not matter.
    by_key: HashMap<KeyHash, Lane>,
    queues: Queues,
    resequencer: Resequencer,
    running: usize,
    calls: Calls,
    holds: KeyHolds,
    pub spilled: Spilled,
    /// Maximum number of deliveries of a lane in memory; the others are on disk.
    lane_max: usize,
}

/// The first deliveries of a lane, by rank.
#[derive(Debug, Default)]
struct Lane {
    positions: VecDeque<Position>,
    running: usize,
}

/// Where an inserted delivery is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    InMemory,
    Spilled,
}

impl Lanes {
    pub fn new(lane_max: usize) -> Self {
        Self { lane_max, ..Self::default() }
    }

    /// Number of deliveries in memory.
    pub fn in_memory(&self) -> usize {
        self.open.len()
    }

    /// Number of open deliveries.
    pub fn len(&self) -> usize {
        self.open.len() + self.spilled.rows()
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// Number of calls in flight.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The call that a running delivery is in.
    pub fn call_of(&self, position: Position) -> Option<Position> {
        self.calls.of(position)
    }

    /// Sets the maximum number of deliveries of a lane in memory.
    pub fn set_lane_max(&mut self, lane_max: usize) {
        self.lane_max = lane_max;
    }

    /// Number of deliveries that are runnable or running.
    pub fn active(&self) -> usize {
        self.queues.runnable() + self.running
    }

    /// The first delivery in memory.
    pub fn first_open(&self) -> Option<Position> {
        self.open.first_key_value().map(|(position, _)| *position)
    }

    pub fn get(&self, position: Position) -> Option<&DeliveryRow> {
        self.open.get(&position)
    }

    /// The deliveries in memory.
    pub fn rows(&self) -> impl Iterator<Item = &DeliveryRow> {
        self.open.values()
    }

    /// When the next delivery that waits for a retry may run; includes those on disk if fewer than `runnable_max` are
    /// runnable already.
    pub fn next_due_ms(&self, runnable_max: usize) -> Option<u64> {
        let spilled = self.spilled.next_due_ms().retries.filter(|_| self.active() < runnable_max);
        self.queues.next_due_ms().into_iter().chain(spilled).min()
    }

    /// Number of deliveries in memory that wait for a time, and that wait for an operator or a correction.
    pub fn count_waiting(&self) -> (usize, usize) {
        self.queues.count_waiting()
    }

    /// Opens a delivery. It is kept where its predecessors of the lane are: in memory or on disk.
    pub fn insert(&mut self, position: Position, row: DeliveryRow) -> Inserted {
        // A delivery that a replay finds running has to be ended.
        if !row.parallel && !row.is_running() && self.belongs_on_disk(position, &row) {
            self.want_if_it_may_be_next(&row);
            self.spilled.put_late(position, row);
            return Inserted::Spilled;
        }
        self.insert_in_memory(position, row);
        Inserted::InMemory
    }

    fn belongs_on_disk(&self, position: Position, row: &DeliveryRow) -> bool {
        let lane_in_memory = self.by_key.get(&row.lane);
        let last = lane_in_memory.and_then(|lane| lane.positions.back()).and_then(|last| self.rank(*last));
        let is_full = lane_in_memory.is_some_and(|lane| lane.positions.len() >= self.lane_max);
        last.is_none_or(|last| row.rank(position) > last) && (is_full || self.spilled.holds(row.lane))
    }

    fn rank(&self, position: Position) -> Option<Rank> {
        self.open.get(&position).map(|row| row.rank(position))
    }

    pub fn insert_in_memory(&mut self, position: Position, row: DeliveryRow) {
        self.close(position);
        let lane = self.by_key.entry(row.lane).or_default();
        let index = lane.index_of(&self.open, row.rank(position));
        let first = lane.positions.front().copied();
        lane.positions.insert(index, position);
        if row.is_running() {
            lane.running += 1;
            self.running += 1;
            self.calls.begin(position, position);
        }
        if let Some((first, first_row)) = first.and_then(|first| Some((first, self.open.get(&first)?)))
            && index == 0
            && !first_row.parallel
        {
            self.queues.unlist(first, first_row);
        }
        let lane = row.lane;
        if row.parallel && !self.calls.is_discarded(position) {
            self.queues.list(position, &row);
        }
        self.open.insert(position, row);
        self.settle(lane);
    }

    /// A spilled row was reloaded. If it is the first of its lane and was not spilled as such, it has become due.
    pub fn restore_spilled(&mut self, row: &DeliveryRow) {
        let is_first = !self.spilled.holds(row.lane) && !self.by_key.contains_key(&row.lane);
        self.spilled.put(row);
        let may_be_next = row.sequence.is_some() && !self.by_key.contains_key(&row.lane);
        if is_first && !row.leads || may_be_next && row.phase == DeliveryPhase::Ready {
            self.spilled.want_rest_of(row.lane);
        }
    }

    /// The deliveries right behind `first` in its lane that may share a call: a batch that begins with it may include them.
    pub fn followers(&self, first: Position, most: usize) -> Vec<Position> {
        let Some(row) = self.open.get(&first).filter(|row| !row.parallel && row.may_share()) else {
            return Vec::new();
        };
        let Some(lane) = self.by_key.get(&row.lane) else { return Vec::new() };
        let behind = lane.positions.iter().skip_while(|position| **position != first).skip(1);
        let mut before = row;
        let follows = |position: &Position| {
            let next =
                self.open.get(position).filter(|next| next.may_share() && self.resequencer.follows(before, next));
            let next = next.filter(|next| !self.holds.has(next.key));
            before = next.unwrap_or(before);
            next.is_some()
        };
        behind.copied().take_while(follows).take(most).collect()
    }

    /// A delivery that was taken does not run now.
    pub fn put_back(&mut self, position: Position) {
        if let Some(row) = self.open.get(&position) {
            self.queues.list(position, row);
        }
    }

    /// Takes a delivery whose emissions may be released now.
    pub fn pop_released(&mut self) -> Option<(Position, Position)> {
        let position = self.queues.pop_released()?;
        match self.open.get(&position)?.phase {
            DeliveryPhase::Withheld { commit } => Some((position, commit)),
            _ => None,
        }
    }

    /// An attempt begins in a call.
    pub fn start(&mut self, position: Position, call: Position, start: impl FnOnce(&mut DeliveryRow)) {
        if self.open.contains_key(&position) {
            self.calls.begin(position, call);
            self.change(position, start);
        }
    }

    /// Changes a row in memory and queues it accordingly.
    pub fn change(&mut self, position: Position, change: impl FnOnce(&mut DeliveryRow)) -> Option<&DeliveryRow> {
        let row = self.open.get_mut(&position)?;
        self.queues.unlist(position, row);
        let (rank, was_running) = (row.rank(position), row.is_running());
        change(row);
        let is_running = row.is_running();
        match is_running {
            true => self.calls.begin(position, position),
            false => self.calls.end(position),
        }
        if row.parallel && !self.calls.is_discarded(position) {
            self.queues.list(position, row);
        }
        let (lane, is_moved) = (row.lane, rank != row.rank(position));
        if is_running != was_running {
            self.count_running(lane, is_running);
        }
        if is_moved {
            self.move_in_lane(position, lane);
        }
        self.settle(lane);
        self.open.get(&position)
    }

    /// The delivery is closed; the next of its lane may run.
    pub fn close(&mut self, position: Position) -> Option<DeliveryRow> {
        let row = self.open.remove(&position)?;
        self.queues.unlist(position, &row);
        self.queues.forget(position);
        self.calls.end(position);
        if row.is_running() {
            self.count_running(row.lane, false);
        }
        self.leave(position, &row);
        Some(row)
    }

    fn count_running(&mut self, lane: KeyHash, is_more: bool) {
        let one = |count: usize| if is_more { count + 1 } else { count - 1 };
        self.running = one(self.running);
        if let Some(lane) = self.by_key.get_mut(&lane) {
            lane.running = one(lane.running);
        }
    }

    fn leave(&mut self, position: Position, row: &DeliveryRow) {
        let key = row.lane;
        let Some(lane) = self.by_key.get_mut(&key) else { return };
        let index = lane.index_of(&self.open, row.rank(position));
        if lane.positions.get(index) == Some(&position) {
            lane.positions.remove(index);
        } else {
            lane.positions.retain(|other| *other != position);
        }
        if !lane.positions.is_empty() {
            return self.settle(key);
        }
        self.by_key.remove(&key);
        self.spilled.want_rest_of(key);
    }

    /// Queues the first of a lane, unless another of the lane still runs, or a discarded attempt does.
    fn settle(&mut self, key: KeyHash) {
        let Some(lane) = self.by_key.get(&key) else { return };
        let Some(first) = lane.positions.front().copied() else { return };
        let Some(row) = self.open.get(&first) else { return };
        let waits_for_call = match row.parallel {
            true => self.calls.is_discarded(first),
            false => lane.running > 0 || self.calls.hold(key),
        };
        if waits_for_call {
            return self.queues.unlist(first, row);
        }
        match self.resequencer.sequence_state(row) {
            SequenceState::Due => {
                self.queues.list(first, row);
                self.queues.release(first, row);
            }
            SequenceState::Missing { due_ms } => {
                self.queues.unlist(first, row);
                self.queues.list_gap(first, due_ms);
            }
            SequenceState::Unknown => {
                self.queues.unlist(first, row);
                self.spilled.want(key);
            }
        }
    }

    /// Makes the deliveries runnable whose time has come.
    pub fn release_due(&mut self, now_ms: u64) {
        self.queues.release_due(now_ms);
    }

    /// The deliveries whose attempt is running, in order of position.
    pub fn running_now(&self) -> Vec<Position> {
        self.open.iter().filter(|(_, row)| row.is_running()).map(|(position, _)| *position).collect()
    }

    /// The deliveries that await correction and have been offered one.
    pub fn correctable_now(&self) -> Vec<(Position, Position)> {
        let waiting = self.open.iter().filter(|(_, row)| row.is_correctable());
        waiting.filter_map(|(position, row)| Some((*position, row.offered?))).collect()
    }

    /// The deliveries of a lane that are in memory, in order.
    pub fn of_lane(&self, lane: KeyHash) -> Vec<Position> {
        self.by_key.get(&lane).map(|lane| lane.positions.iter().copied().collect()).unwrap_or_default()
    }

    /// Number of deliveries that wait behind an open one: of those in memory, with one more for all that are on disk.
    pub fn behind(&self, position: Position) -> usize {
        let Some(row) = self.open.get(&position).filter(|row| !row.parallel) else { return 0 };
        let in_memory = self.by_key.get(&row.lane).map_or(0, |lane| lane.positions.len());
        in_memory.saturating_sub(1) + usize::from(self.spilled.holds(row.lane))
    }

    /// The first delivery of a lane that is in memory.
    pub fn first_of_lane(&self, lane: KeyHash) -> Option<Position> {
        self.by_key.get(&lane)?.positions.front().copied()
    }

    /// Spills long waits until at most `most` waiting deliveries are in memory. Returns the spilled ones.
    pub fn spill_excess(&mut self, most: usize) -> Vec<(Position, DeliveryRow)> {
        let mut spilled = Vec::new();
        if self.open.len().saturating_sub(self.active()) <= most {
            return spilled;
        }
        // Spills some more, so that the next delivery does not cause another round.
        let most = most - most / 4;
        while self.open.len().saturating_sub(self.active()) > most {
            let Some(position) = self.queues.longest_waiting(|position| self.is_movable(*position)) else { break };
            let Some(lane) = self.open.get(&position).map(|row| row.lane) else { break };
            self.spill(lane, &mut spilled);
        }
        spilled
    }

    /// Whether a delivery and its lane may be spilled; one that is about to be corrected stays in memory.
    fn is_movable(&self, position: Position) -> bool {
        let Some(row) = self.open.get(&position).filter(|row| !row.parallel) else { return false };
        let lane = self.by_key.get(&row.lane).into_iter().flat_map(|lane| &lane.positions);
        let mut rows = lane.filter_map(|position| self.open.get(position));
        !rows.any(DeliveryRow::is_correctable)
    }

    fn spill(&mut self, key: KeyHash, spilled: &mut Vec<(Position, DeliveryRow)>) {
        let Some(lane) = self.by_key.remove(&key) else { return };
        for (index, position) in lane.positions.into_iter().enumerate() {
            if let Some(row) = self.open.remove(&position) {
                self.queues.unlist(position, &row);
                let leads = index == 0;
                let row =
                    DeliveryRow { spilled: true, leads, phase: self.resequencer.spilled_phase(&row, leads), ..row };
                self.spilled.put_late(position, row.clone());
                spilled.push((position, row));
            }
        }
    }

    /// The phase of a delivery in memory.
    pub fn state(&self, position: Position, row: &DeliveryRow) -> DeliveryState {
        let lane = self.by_key.get(&row.lane);
        let first = lane.and_then(|lane| lane.positions.front()).copied().unwrap_or(position);
        let is_busy = lane.is_some_and(|lane| lane.running > 0) && !row.is_running();
        if !row.parallel && (first != position || is_busy) && !row.is_running() {
            return DeliveryState::Blocked(self.blocker(lane, first));
        }
        match self.resequencer.sequence_state(row) {
            SequenceState::Due if self.queues.is_runnable(position) => DeliveryState::Ready,
            SequenceState::Due => DeliveryState::of(row),
            SequenceState::Missing { due_ms } => DeliveryState::OutOfOrder { due_ms },
            SequenceState::Unknown => DeliveryState::Ready,
        }
    }

    /// The delivery that blocks a lane: the running one, else the first.
    fn blocker(&self, lane: Option<&Lane>, first: Position) -> Position {
        let positions = lane.into_iter().filter(|lane| lane.running > 0).flat_map(|lane| &lane.positions);
        let mut running =
            positions.copied().filter(|position| self.open.get(position).is_some_and(DeliveryRow::is_running));
        running.next().unwrap_or(first)
    }

    /// The open deliveries in memory after a position, in order.
    pub fn states(&self, after: Position) -> impl Iterator<Item = (Position, &DeliveryRow, DeliveryState)> {
        let range = self.open.range(after.next()..);
        range.map(|(position, row)| (*position, row, self.state(*position, row)))
    }
}

#[cfg(test)]
mod tests;
