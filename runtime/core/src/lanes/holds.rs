//! Keys that are on hold: none of their deliveries begins an attempt, in whichever lane it is. Deliveries whose turn it would
//! be are set aside, and queued again when the hold ends.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{KeyHash, Position};

use super::Lanes;

/// The keys on hold, each with its deliveries that were set aside.
#[derive(Debug, Default)]
pub struct KeyHolds(BTreeMap<KeyHash, BTreeSet<Position>>);

impl KeyHolds {
    pub fn has(&self, key: KeyHash) -> bool {
        self.0.contains_key(&key)
    }
}

impl Lanes {
    pub fn hold_key(&mut self, key: KeyHash) {
        self.holds.0.entry(key).or_default();
    }

    pub fn is_on_hold(&self, key: KeyHash) -> bool {
        self.holds.has(key)
    }

    /// The hold ends: what was set aside may run. Deliveries that were closed meanwhile are gone.
    pub fn end_hold(&mut self, key: KeyHash) {
        for position in self.holds.0.remove(&key).unwrap_or_default() {
            let Some(row) = self.open.get(&position) else { continue };
            let lane = row.lane;
            if row.parallel && !self.calls.is_discarded(position) {
                self.queues.list(position, row);
            }
            self.settle(lane);
        }
    }

    /// Whether an attempt of the key is running. Discarded ones are not: nothing of them is committed.
    pub fn runs_key(&self, key: KeyHash) -> bool {
        let rows = self.calls.deliveries().filter_map(|position| self.open.get(&position));
        { rows }.any(|row| row.key == key && row.is_running())
    }

    /// Takes a runnable delivery. Those of keys on hold are set aside.
    pub fn pop_runnable(&mut self) -> Option<Position> {
        loop {
            let position = self.queues.pop_runnable()?;
            if !self.set_aside(position) {
                return Some(position);
            }
        }
    }

    /// Takes a runnable delivery that has not been tried. Those of keys on hold are set aside.
    pub fn pop_fresh(&mut self) -> Option<Position> {
        loop {
            let position = self.queues.pop_fresh()?;
            if !self.set_aside(position) {
                return Some(position);
            }
        }
    }

    fn set_aside(&mut self, position: Position) -> bool {
        let key = self.open.get(&position).map(|row| row.key);
        let Some(aside) = key.and_then(|key| self.holds.0.get_mut(&key)) else { return false };
        aside.insert(position);
        true
    }
}
