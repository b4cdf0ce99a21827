//! Earlier repairs in a what-if: which of them stand in the fork, and which its own deliveries take the place of.

use std::{
    collections::{BTreeSet, HashSet},
    hash::{BuildHasher, RandomState},
};

use weirgate_types::{Effects, Event, KeyRepaired, LoggedEvent, Position, Repaired};

use super::{
    asked::Asked,
    deployments::InForce,
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

/// Keys of the handler whose earlier repairs the fork's own deliveries take the place of.
#[derive(Default)]
pub struct Settled {
    lanes: BTreeSet<LaneId>,
    bytes: usize,
}

impl Settled {
    fn take(&mut self, lane: &LaneId, is_undo: bool) {
        let bytes = lane.1.len().saturating_add(2 * size_of::<LaneId>());
        if is_undo && self.lanes.remove(lane) {
            self.bytes = self.bytes.saturating_sub(bytes);
        } else if !is_undo && self.lanes.insert(lane.clone()) {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn into_lanes(self) -> BTreeSet<LaneId> {
        self.lanes
    }
}

/// Replays of the handler of which some keys' repairs stand in the fork.
#[derive(Default)]
pub struct Standing {
    replays: BTreeSet<Position>,
    /// The receivers of events that these repairs have handed over: for them, the log has these events, and no longer has them.
    receivers: Lanes,
}

impl Standing {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.receivers.bytes().saturating_add(self.replays.len().saturating_mul(2 * size_of::<Position>()))
    }
}

/// What of an earlier repair is in the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Has {
    All,
    /// Its events: they are not withdrawn, and the undo of the repair has dealt with them. What a repair wrote is in the fork no more than
    /// what its undo wrote: that returned what the repair has changed.
    Events,
    /// The fork's own deliveries take its place, or it is asked what would be without it.
    Nothing,
}

impl Fork {
    /// What of an earlier repair is in the fork: what it wrote is part of what stands, and not of the fork, where its handler's deliveries
    /// are executed again.
    fn has(&self, walk: &Walk, repaired: &Repaired, lane: &LaneId) -> Result<Has, ReplayError> {
        if let Runs::Without(replay) = self.request.runs {
            return Ok(match repaired.replay == replay {
                true if repaired.is_undo => Has::Events,
                true => Has::Nothing,
                // Where another one has repaired the same key, that would come back with what either has written. What was undone of other
                // keys leaves nothing, or what its own undo could not take back.
                false if walk.is_undone(repaired.replay, lane)? && walk.has_repaired(replay, lane)? => Has::Events,
                false => Has::All,
            });
        }
        let without = |is_without| if is_without { Has::Nothing } else { Has::All };
        let (is_own, is_undone) = (repaired.handler == self.request.handler, || walk.is_undone(repaired.replay, lane));
        // Neither it nor its undo can be left out alone.
        if is_own && is_undone()? {
            let is_executed = self.cascade.as_ref().is_none_or(|differing| differing.contains(lane));
            return Ok(without(is_executed && self.request.selection.names(&lane.1)));
        }
        // It took nothing of the selected range.
        if repaired.through <= self.begin.selection {
            return Ok(Has::All);
        }
        let asked = walk.asked(repaired.replay)?;
        Ok(without(match is_own {
            // Of a key that is not executed again, all stands; and what it came to when another handler's replay folded it again, with
            // other events than the log has.
            true => {
                let is_standing_fold = !asked.is_of(&self.request.handler);
                self.selected.has(lane) && self.may_differ(lane) && !is_standing_fold
            }
            // A receiver that was folded again because of this handler's keys: in the fork, receivers have the right events from the
            // beginning; and what was undone leaves nothing. Where some of these keys stand as they were repaired, and no other event has
            // reached it, all stands.
            false => {
                self.takes_fold_back(&asked, repaired.replay)
                    || self.reached.has(lane) && (asked.is_of(&self.request.handler) || is_undone()?)
            }
        }))
    }

    /// Whether the fork has all keys right for which a replay has folded receivers again.
    fn takes_fold_back(&self, asked: &Asked, replay: Position) -> bool {
        self.cascade.is_some()
            && asked.is_of(&self.request.handler)
            && !self.standing.replays.contains(&replay)
            && asked.is_taken_with_all_keys_by(&self.request.selection, self.begin.selection)
    }

    /// Notes repairs of the handler's keys that are in the fork, and receivers that were folded again because of them.
    fn note_standing(&mut self, walk: &Walk, repaired: &Repaired, lane: &LaneId, has: Has) -> Result<(), ReplayError> {
        if repaired.is_undo || walk.is_undone(repaired.replay, lane)? {
            return Ok(());
        }
        let is_own = lane.0 == self.request.handler;
        self.has_folds |= !is_own && walk.asked(repaired.replay)?.is_of(&self.request.handler);
        if !is_own || has != Has::All || self.cascade.is_none() {
            return Ok(());
        }
        self.standing.replays.insert(repaired.replay);
        let handed_over = handed_over(repaired).map(|handed_over| handed_over.emitted_before).unwrap_or_default();
        for LoggedEvent { event, .. } in handed_over {
            let takes = |in_force: &InForce| in_force.interest.matches(&event.r#type, &event.source);
            for (handler, _) in self.in_force.iter().filter(|(_, in_force)| takes(in_force)) {
                self.standing.receivers.insert(&(handler.clone(), event.key().to_owned()));
            }
        }
        Ok(())
    }

    /// Whether the selection takes all deliveries that an earlier repair has taken.
    fn takes_all_of(&self, walk: &Walk, repaired: &Repaired, lane: &LaneId) -> Result<bool, ReplayError> {
        let is_no_less = || {
            let asked = walk.asked(repaired.replay)?;
            Ok::<_, ReplayError>(asked.is_taken_whole_by(&self.request.selection))
        };
        Ok(repaired.from > self.begin.selection && (!self.left_out.has(lane) || is_no_less()?))
    }

    /// Takes an earlier repair.
    pub(super) fn repaired(&mut self, walk: &Walk, position: Position, repaired: &Repaired) -> Result<(), ReplayError> {
        let lane = (repaired.handler.clone(), repaired.key.clone());
        let has = self.has(walk, repaired, &lane)?;
        let is_without = has == Has::Nothing;
        if matches!(self.request.runs, Runs::Candidate(_)) {
            self.note_standing(walk, repaired, &lane, has)?;
        }
        let mut examined = self.open_lane(&lane);
        self.note_folded(walk, repaired, &lane, &mut examined)?;
        let events;
        let fork = match has {
            Has::All => &repaired.effects,
            Has::Events => {
                events = Effects { emitted: repaired.effects.emitted.clone(), ..Effects::default() };
                &events
            }
            Has::Nothing => &NOTHING,
        };
        let (recorded, first_emitted) = (&repaired.effects, position.next());
        let (event, at, depth) = (repaired.from, position, repaired.depth);
        let both = Both { event, at, depth, recorded, first_emitted, fork };
        let value = |name: &str| Ok(walk.state(&lane)?.get(name).cloned());
        let timer = |name: &str| walk.timer(&lane, name);
        let part = |subject: &str| walk.part_before(&lane, subject, position);
        let pairs = examined.lane.fold::<ReplayError>(both, value, timer, part)?;
        if has != Has::All {
            examined.lane.unset::<ReplayError>(&repaired.unset, position, part)?;
        }
        examined.lane.forget_moved(&lane.1, &repaired.effects.status);
        if !repaired.effects.state.is_empty() {
            examined.state_version = match has {
                Has::All => examined.state_version.map(|_| repaired.state_version),
                Has::Events | Has::Nothing => examined.state_version.or(walk.state_version(&lane)?),
            };
        }
        if self.cascade.is_some() {
            self.substitutes.emitted((&repaired.effects, fork), (None, first_emitted), &pairs, (&lane, false));
        }
        if is_without && self.cascade.is_none() && lane.0 == self.request.handler {
            self.settled.take(&lane, repaired.is_undo);
        }
        if is_without {
            self.left_out_repair(walk, (position, repaired), &lane, &mut examined)?;
        }
        if let Runs::Without(replay) = self.request.runs
            && (has == Has::All || has == Has::Events && repaired.is_undo)
            && !examined.is_same()
            && let Some(handed_over) = handed_over(repaired)
        {
            examined.settle_both(&handed_over, |event| emitted_by(event) == Some(replay));
        }
        if has != Has::All && !examined.lane.differs() && examined.notes.fails().is_none() {
            examined = examined.repaired();
        }
        if !examined.is_same() {
            examined.notes.begin(repaired.from);
            examined.notes.through = position;
            self.keep(lane, examined)?;
        }
        Ok(())
    }

    /// What a key came to when another handler's replay repaired it stands, unless it comes to something else before that: what that would be
    /// with the events of the other replay is not known. The same for a receiver that its own replay has repaired.
    fn note_folded(
        &self,
        walk: &Walk,
        repaired: &Repaired,
        lane: &LaneId,
        examined: &mut Examined,
    ) -> Result<(), ReplayError> {
        let is_own = repaired.handler == self.request.handler;
        let is_asked = matches!(self.request.runs, Runs::Candidate(_)) && (is_own || self.cascade.is_some());
        if !is_asked || !examined.lane.differs() {
            return Ok(());
        }
        let is_of_the_handlers = walk.asked(repaired.replay)?.is_of(&self.request.handler);
        if !is_of_the_handlers && !walk.is_undone(repaired.replay, lane)? {
            let fails = if is_own { Fails::folded(repaired) } else { Fails::repaired_otherwise(repaired) };
            examined.notes.repairs_left_out.insert(repaired.replay, fails);
        }
        Ok(())
    }

    /// What follows from a repair that is not in the fork.
    fn left_out_repair(
        &mut self,
        walk: &Walk,
        (position, repaired): (Position, &Repaired),
        lane: &LaneId,
        examined: &mut Examined,
    ) -> Result<(), ReplayError> {
        let was_undone = walk.is_undone(repaired.replay, lane)?;
        if was_undone {
            examined.lane.undone(&repaired.effects.timers);
        }
        let is_undone = was_undone && !repaired.is_undo;
        match (handed_over(repaired), &self.request.runs) {
            (Some(handed_over), Runs::Candidate(_)) if !is_undone => examined.settle(&handed_over),
            // Its handler would not have been asked to compensate it; of a repair that was undone, that was undone too.
            (Some(handed_over), runs) => {
                if matches!(runs, Runs::Without(_)) {
                    let is_undone =
                        |event: &Event| emitted_by(event).map_or(Ok(false), |replay| walk.is_undone(replay, lane));
                    examined.no_longer_settled(&handed_over, is_undone)?;
                }
                self.substitutes.insert(position, Substitute { event: None, cause: lane.clone(), is_unknown: false });
            }
            // What it has appended is not handed over with what comes now.
            (None, Runs::Candidate(_)) => {
                examined.notes.is_handed_over_in_part |= !repaired.effects.emitted.is_empty() && !is_undone;
                if lane.0 != self.request.handler && !repaired.is_undo && !is_undone {
                    examined.notes.left_standing = Some(position);
                }
            }
            (None, Runs::Without(_)) => {}
        }
        match self.request.runs {
            Runs::Without(replay) => {
                let answered = walk.answers_of(replay, lane)?.into_iter();
                examined.notes.unmade(answered.map(|(by, call)| (by, call.into())));
            }
            Runs::Candidate(_) if is_undone => {}
            // Events that other keys no longer emit are there again for it.
            Runs::Candidate(_) if lane.0 != self.request.handler => {
                let takes_other_keys = !repaired.is_undo && self.standing.receivers.has(lane);
                if takes_other_keys && walk.asked(repaired.replay)?.is_of(&self.request.handler) {
                    examined.notes.repairs_left_out.insert(repaired.replay, Fails::repaired_with_others(repaired));
                }
            }
            Runs::Candidate(_) if repaired.is_undo => {
                examined.notes.repairs_left_out.remove(&repaired.replay);
            }
            Runs::Candidate(_) => {
                if !self.takes_all_of(walk, repaired, lane)? {
                    examined.notes.repairs_left_out.insert(repaired.replay, Fails::repaired(repaired));
                }
            }
        }
        Ok(())
    }
}

/// What a repair has handed over to its handler.
fn handed_over(repaired: &Repaired) -> Option<KeyRepaired> {
    KeyRepaired::from_data(&repaired.corrected.as_ref()?.data).ok()
}

/// The replay that appended an event.
fn emitted_by(event: &Event) -> Option<Position> {
    Some(Position(event.extensions.get("replayid")?.as_str().parse().ok()?))
}
