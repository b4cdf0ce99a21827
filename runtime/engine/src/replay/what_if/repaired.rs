//! Earlier repairs in a what-if: which of them stand in the fork, and which its own deliveries take the place of.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use weirgate_types::{KeyRepaired, Position, Repaired};

use super::{
    lane::Both,
    notes::{Examined, Fails},
    request::Runs,
    run::{Fork, LaneId, NOTHING},
    substitutes::Substitute,
    walk::Walk,
};
use crate::replay::ReplayError;

/// A set of handlers and keys, by their hashes: there may be millions.
#[derive(Default)]
pub struct Lanes {
    hashes: HashSet<u64>,
    state: RandomState,
}

impl Lanes {
    pub fn insert(&mut self, lane: &LaneId) {
        self.hashes.insert(self.state.hash_one(lane));
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.hashes.capacity().saturating_mul(size_of::<u64>() + 1)
    }

    pub fn has(&self, lane: &LaneId) -> bool {
        self.hashes.contains(&self.state.hash_one(lane))
    }
}

impl Fork<'_> {
    /// Whether a receiver was folded again because of this handler's keys; in the fork, receivers have the right events from the beginning.
    fn was_folded(&self, walk: &Walk, repaired: &Repaired, lane: &LaneId) -> Result<bool, ReplayError> {
        let is_receiver = self.cascade.is_some() && repaired.handler != self.request.handler;
        // Where no other event has reached it, all stands.
        let is_reached = is_receiver && repaired.through > self.after && self.examined.contains_key(lane);
        Ok(is_reached && walk.handler_of(repaired.replay)? == self.request.handler)
    }

    /// Whether the selection takes all deliveries that an earlier repair has taken.
    fn takes_all_of(&self, walk: &Walk, repaired: &Repaired) -> Result<bool, ReplayError> {
        let earlier = walk.selection_of(repaired.replay)?;
        Ok(repaired.from > self.after && self.request.selection.takes_all_of(&earlier))
    }

    /// What an earlier repair wrote is part of what stands, and not of the fork, where its handler's deliveries are executed again.
    pub(super) fn repaired(&mut self, walk: &Walk, position: Position, repaired: &Repaired) -> Result<(), ReplayError> {
        let lane = (repaired.handler.clone(), repaired.key.clone());
        let is_own = repaired.handler == self.request.handler && repaired.through > self.after;
        let is_without = match self.request.runs {
            // Of a key that is not executed again, all stands.
            Runs::Candidate(_) => {
                let is_executed = is_own && self.selected.has(&lane) && self.may_differ(&lane);
                is_executed || self.was_folded(walk, repaired, &lane)?
            }
            Runs::Without(replay) => repaired.replay == replay && !repaired.is_undo,
        };
        let mut examined = self.open_lane(&lane);
        let fork = if is_without { &NOTHING } else { &repaired.effects };
        let (recorded, first_emitted) = (&repaired.effects, position.next());
        let (event, at, depth) = (repaired.from, position, repaired.depth);
        let both = Both { event, at, depth, recorded, first_emitted, fork };
        let value = |name: &str| Ok(walk.state(&lane)?.get(name).cloned());
        let timer = |name: &str| walk.timer(&lane, name);
        let pairs = examined.lane.fold::<ReplayError>(both, value, timer)?;
        if is_without {
            examined.lane.unset(&repaired.unset, position);
        }
        if self.cascade.is_some() {
            self.substitutes.emitted((&repaired.effects, fork), (None, first_emitted), &pairs, &lane);
        }
        let handed_over = repaired.corrected.as_ref().and_then(|event| KeyRepaired::from_data(&event.data).ok());
        match (handed_over.filter(|_| is_without), &self.request.runs) {
            (Some(handed_over), Runs::Candidate(_)) => examined.settle(&handed_over),
            // Without the repair its handler would not have been asked to compensate it.
            (Some(_), Runs::Without(_)) => {
                self.substitutes.insert(position, Substitute { event: None, cause: lane.clone() });
            }
            // What stands in the fork too was compensated there too.
            (None, _) => {}
        }
        if let (true, Runs::Without(replay)) = (is_without, &self.request.runs) {
            examined.notes.unmade(walk.answers_of(*replay, &lane)?);
        }
        if is_own && is_without && matches!(self.request.runs, Runs::Candidate(_)) {
            if repaired.is_undo {
                examined.notes.repairs_left_out.remove(&repaired.replay);
            } else if !self.takes_all_of(walk, repaired)? {
                examined.notes.repairs_left_out.insert(repaired.replay, Fails::repaired(repaired));
            }
        }
        if is_without && examined.lane.is_same() && examined.notes.fails().is_none() {
            // What differed on the way was repaired.
            examined = Examined::default();
        }
        if !examined.is_same() {
            examined.notes.begin(repaired.from);
            examined.notes.through = position;
            self.keep(lane, examined)?;
        }
        Ok(())
    }
}
