//! Lanes: the open deliveries of one handler, in order per key. Only the first of a lane may run.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use weirgate_types::{KeyHash, Position};

use crate::{DeliveryRow, DeliveryState};

/// All open deliveries of a handler.
#[derive(Debug, Default)]
pub struct Lanes {
    open: BTreeMap<Position, DeliveryRow>,
    /// By key, in order of position; a running delivery is always the first. Never iterated, so its order is nobody's
    /// concern.
    by_key: HashMap<KeyHash, VecDeque<Position>>,
    /// First of their lane and free to run.
    runnable: BTreeSet<Position>,
    /// First of their lane, to be tried again at a time.
    retrying: BTreeSet<(u64, Position)>,
    running: usize,
}

impl Lanes {
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// How many could run or do run, parked and retrying ones left out.
    pub fn active(&self) -> usize {
        self.runnable.len() + self.running
    }

    pub fn first_open(&self) -> Option<Position> {
        self.open.first_key_value().map(|(position, _)| *position)
    }

    pub fn get(&self, position: Position) -> Option<&DeliveryRow> {
        self.open.get(&position)
    }

    pub fn next_due_ms(&self) -> Option<u64> {
        self.retrying.first().map(|(due_ms, _)| *due_ms)
    }

    pub fn count_retrying(&self) -> usize {
        self.retrying.len()
    }

    /// Open a delivery.
    pub fn insert(&mut self, position: Position, row: DeliveryRow) {
        self.running += usize::from(row.running);
        self.enter(position, &row);
        self.open.insert(position, row);
    }

    /// Take the first that may run.
    pub fn pop_runnable(&mut self) -> Option<Position> {
        self.runnable.pop_first()
    }

    /// An attempt begins.
    pub fn start(&mut self, position: Position, attempt: u32) -> Option<&DeliveryRow> {
        self.change(position, |row| (row.attempt, row.running, row.due_ms) = (attempt, true, 0))
    }

    /// An attempt ended, and another is to follow at `due_ms`.
    pub fn retry(&mut self, position: Position, due_ms: u64) -> Option<&DeliveryRow> {
        self.change(position, |row| (row.running, row.due_ms) = (false, due_ms))
    }

    /// The delivery is no longer open; the next of its key may run.
    pub fn finish(&mut self, position: Position) -> Option<DeliveryRow> {
        let row = self.open.get(&position)?.clone();
        self.leave(position, &row);
        self.running -= usize::from(row.running);
        self.open.remove(&position)
    }

    /// Change a row, and give it the place in its lane that it then has.
    fn change(&mut self, position: Position, change: impl FnOnce(&mut DeliveryRow)) -> Option<&DeliveryRow> {
        let mut row = self.open.get(&position)?.clone();
        self.leave(position, &row);
        self.running -= usize::from(row.running);
        change(&mut row);
        self.running += usize::from(row.running);
        self.enter(position, &row);
        self.open.insert(position, row);
        self.open.get(&position)
    }

    /// Take a place in the lane: one that runs the first, any other that of its position, but never before one that runs.
    fn enter(&mut self, position: Position, row: &DeliveryRow) {
        let lane = self.by_key.entry(row.key).or_default();
        let first = lane.front().copied();
        let first_runs = first.is_some_and(|first| self.open.get(&first).is_some_and(|row| row.running));
        let place = match row.running {
            true => 0,
            false => lane.partition_point(|other| *other < position).max(usize::from(first_runs)),
        };
        lane.insert(place, position);
        if place == 0 {
            if let Some(first) = first {
                self.unlist(first);
            }
            self.list(position, row);
        }
    }

    /// Leave the lane to those behind.
    fn leave(&mut self, position: Position, row: &DeliveryRow) {
        self.unlist(position);
        let Some(lane) = self.by_key.get_mut(&row.key) else { return };
        if lane.front() == Some(&position) {
            lane.pop_front();
        } else {
            lane.retain(|other| *other != position);
        }
        match lane.front().copied() {
            None => drop(self.by_key.remove(&row.key)),
            Some(first) => {
                if let Some(row) = self.open.get(&first).cloned() {
                    self.list(first, &row);
                }
            }
        }
    }

    /// Let those run whose time has come.
    pub fn release_due(&mut self, now_ms: u64) {
        while let Some((due_ms, position)) = self.retrying.first().copied().filter(|(due_ms, _)| *due_ms <= now_ms) {
            self.retrying.remove(&(due_ms, position));
            self.runnable.insert(position);
        }
    }

    /// Those whose attempt is under way, in order of position.
    pub fn running_now(&self) -> Vec<(Position, u32)> {
        self.open.iter().filter(|(_, row)| row.running).map(|(position, row)| (*position, row.attempt)).collect()
    }

    /// The open deliveries after a position, in order.
    pub fn states(&self, after: Position) -> impl Iterator<Item = (Position, &DeliveryRow, DeliveryState)> {
        let range = self.open.range(after.next()..);
        range.map(|(position, row)| (*position, row, self.state(*position, row)))
    }

    fn state(&self, position: Position, row: &DeliveryRow) -> DeliveryState {
        let first = self.by_key.get(&row.key).and_then(VecDeque::front).copied().unwrap_or(position);
        if first != position {
            DeliveryState::ParkedBehind(first)
        } else if row.running {
            DeliveryState::Running
        } else if self.retrying.contains(&(row.due_ms, position)) {
            DeliveryState::Retrying { due_ms: row.due_ms }
        } else {
            DeliveryState::Ready
        }
    }

    /// Put the first of a lane where it is found when its turn comes.
    fn list(&mut self, position: Position, row: &DeliveryRow) {
        if row.running {
        } else if row.due_ms > 0 {
            self.retrying.insert((row.due_ms, position));
        } else {
            self.runnable.insert(position);
        }
    }

    fn unlist(&mut self, position: Position) {
        self.runnable.remove(&position);
        if let Some(row) = self.open.get(&position) {
            self.retrying.remove(&(row.due_ms, position));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u64) -> DeliveryRow {
        DeliveryRow { key: KeyHash(key), attempt: 0, running: false, due_ms: 0 }
    }

    fn lanes(deliveries: &[(u64, u64)]) -> Lanes {
        let mut lanes = Lanes::default();
        for (position, key) in deliveries {
            lanes.insert(Position(*position), row(*key));
        }
        lanes
    }

    fn runnable(lanes: &Lanes) -> Vec<u64> {
        lanes.runnable.iter().map(|position| position.0).collect()
    }

    #[test]
    fn only_the_first_of_each_key_may_run() {
        let mut lanes = lanes(&[(1, 7), (2, 7), (3, 8)]);
        assert_eq!(runnable(&lanes), [1, 3]);
        lanes.start(Position(1), 1);
        assert_eq!(runnable(&lanes), [3]);
        lanes.finish(Position(1));
        assert_eq!(runnable(&lanes), [2, 3]);
    }

    #[test]
    fn a_retrying_delivery_holds_its_key_and_no_other() {
        let mut lanes = lanes(&[(1, 7), (2, 7), (3, 8)]);
        lanes.start(Position(1), 1);
        lanes.retry(Position(1), 50);
        assert_eq!(runnable(&lanes), [3]);
        let states: Vec<_> = lanes.states(Position::ZERO).map(|(_, _, state)| state).collect();
        let parked = DeliveryState::ParkedBehind(Position(1));
        assert_eq!(states, [DeliveryState::Retrying { due_ms: 50 }, parked, DeliveryState::Ready]);
        lanes.release_due(49);
        assert_eq!(runnable(&lanes), [3]);
        lanes.release_due(50);
        assert_eq!(runnable(&lanes), [1, 3]);
    }

    #[test]
    fn an_older_delivery_opened_again_goes_first_but_not_before_one_that_runs() {
        let mut waiting = lanes(&[(5, 7), (6, 7)]);
        waiting.insert(Position(2), row(7));
        assert_eq!(runnable(&waiting), [2]);

        let mut busy = lanes(&[(5, 7), (6, 7)]);
        busy.start(Position(5), 1);
        busy.insert(Position(2), row(7));
        assert_eq!(runnable(&busy), [] as [u64; 0]);
        busy.finish(Position(5));
        assert_eq!(runnable(&busy), [2]);
    }

    #[test]
    fn one_that_runs_is_first_also_when_the_rows_come_back_in_another_order() {
        let mut lanes = lanes(&[(2, 7)]);
        lanes.insert(Position(5), DeliveryRow { attempt: 1, running: true, ..row(7) });
        assert_eq!((runnable(&lanes), lanes.running()), (vec![], 1));
        lanes.retry(Position(5), 10);
        assert_eq!(runnable(&lanes), [2], "the older one goes first once the other does not run any more");
        lanes.release_due(10);
        assert_eq!(runnable(&lanes), [2]);
        lanes.finish(Position(2));
        lanes.release_due(10);
        assert_eq!(runnable(&lanes), [5]);
    }

    #[test]
    fn counts_return_to_zero() {
        let mut lanes = lanes(&[(1, 7), (2, 7)]);
        for position in [1, 2].map(Position) {
            lanes.start(position, 1);
            lanes.retry(position, 1);
            lanes.release_due(1);
            lanes.start(position, 2);
            assert_eq!(lanes.running(), 1);
            lanes.finish(position);
        }
        assert_eq!((lanes.len(), lanes.running(), lanes.active(), lanes.by_key.len()), (0, 0, 0, 0));
    }
}
