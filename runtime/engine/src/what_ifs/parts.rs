//! The parts of statuses that the keys of a replay write: its handler's, and those of receivers that are folded again.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{HandlerName, KeyHasher, Position};
use weirgate_views::Views;

use super::{Computed, PlanId, apply::Applying};
use crate::{
    StorageError, keys,
    replay::{
        Examination, Examined, KeyIsRepaired, KeyStatuses, Lane, LaneId, Parts, ReplayError, StatusSides, WhatIf,
    },
};

/// The parts of statuses that keys write, as they were planned and as they are repaired: of the handler's, and by handler of receivers.
pub struct HandlerParts<'a> {
    handler: HandlerName,
    planned: Parts<'a>,
    repaired: Parts<'a>,
    planned_of_receivers: BTreeMap<HandlerName, Parts<'a>>,
    /// Of an undo: what a fold repairs is known when it is looked at.
    repaired_of_receivers: BTreeMap<HandlerName, Parts<'a>>,
    none: Parts<'a>,
    /// What the handler's keys have of parts, where one of them needs a call and others write a part of the same: what that one comes to is
    /// known when it is repaired.
    contested: Vec<KeyStatuses<'a>>,
    through: Position,
}

/// What keys that needed a call have come to, of each as it was looked at last before it was repaired.
#[derive(Default)]
pub struct Called(BTreeMap<String, (BTreeMap<String, StatusSides>, Position)>);

impl Called {
    pub fn repaired(&mut self, key: &str, examined: &Examined, through: Position) {
        let status = examined.lane.status().iter().chain(examined.lane.moved());
        let status = status.map(|(subject, sides)| (subject.clone(), sides.clone())).collect();
        self.0.insert(key.to_owned(), (status, through));
    }
}

impl<'a> HandlerParts<'a> {
    pub fn new(
        stored: (&Views, &KeyHasher),
        (id, request): (PlanId, &WhatIf),
        (computed, of_receivers): (&'a Computed, &[(&'a LaneId, &'a Examined)]),
        keys: Option<&BTreeSet<&str>>,
    ) -> Result<Self, ReplayError> {
        let own = repaired_keys(stored, (id, request), computed, keys)?;
        Ok(Self {
            handler: request.handler.clone(),
            planned: planned_parts(&computed.examination, request),
            contested: contested(&own, |key| computed.plans.get(key).is_some_and(|plan| plan.needs.is_some())),
            through: request.through,
            repaired: Parts::new(own.into_iter(), request.through).repaired_by(id.replay, id.is_undo),
            planned_of_receivers: planned_of_receivers(of_receivers, request.through),
            repaired_of_receivers: match id.is_undo {
                true => undone_parts(stored, (id, request), of_receivers, keys)?,
                false => BTreeMap::new(),
            },
            none: Parts::default(),
        })
    }

    /// Those of a handler, as they were planned.
    pub fn planned(&self, handler: &HandlerName) -> &Parts<'a> {
        if *handler == self.handler {
            return &self.planned;
        }
        self.planned_of_receivers.get(handler).unwrap_or(&self.none)
    }

    /// The same as they are repaired.
    pub fn repaired(&self, handler: &HandlerName) -> &Parts<'a> {
        if *handler == self.handler {
            return &self.repaired;
        }
        self.repaired_of_receivers.get(handler).unwrap_or(&self.none)
    }

    /// The same of a key, where another one that writes a part of the same needed a call and was repaired since.
    pub fn after<'c>(&'c self, called: &'c Called, (handler, key): &LaneId, id: PlanId) -> Option<Parts<'c>> {
        let is_contested = self.contested.iter().any(|one| one.key == key);
        if called.0.is_empty() || !is_contested || *handler != self.handler {
            return None;
        }
        let (known, now): (Vec<&KeyStatuses<'c>>, Vec<_>) =
            self.contested.iter().partition(|one| !called.0.contains_key(one.key));
        let now: BTreeSet<&str> = now.into_iter().map(|one| one.key).collect();
        let now = now.into_iter().filter_map(|key| {
            let (status, through) = called.0.get(key)?;
            Some(KeyStatuses { key, status, repaired: KeyIsRepaired::Before, through: *through })
        });
        let all = known.into_iter().copied().chain(now);
        Some(Parts::new(all, self.through).repaired_by(id.replay, id.is_undo))
    }
}

/// What keys have of the parts that a key writes which needs a call, and others as well, and of all that these write.
fn contested<'a>(keys: &[KeyStatuses<'a>], needs_call: impl Fn(&str) -> bool) -> Vec<KeyStatuses<'a>> {
    let mut writers = BTreeMap::<&str, BTreeSet<&str>>::new();
    for one in keys {
        for subject in one.status.keys() {
            writers.entry(subject).or_default().insert(one.key);
        }
    }
    let is_shared = |subject: &&String| writers.get(subject.as_str()).is_some_and(|keys| keys.len() > 1);
    let calling = keys.iter().filter(|one| needs_call(one.key));
    let shared: BTreeSet<&str> =
        calling.flat_map(|one| one.status.keys().filter(is_shared)).map(String::as_str).collect();
    let of_any = |one: &KeyStatuses<'_>, subjects: &BTreeSet<&str>| {
        one.status.keys().any(|subject| subjects.contains(subject.as_str()))
    };
    let beside: BTreeSet<&str> = keys.iter().filter(|one| of_any(one, &shared)).map(|one| one.key).collect();
    let theirs = keys.iter().filter(|one| beside.contains(one.key));
    let subjects: BTreeSet<&str> = theirs.flat_map(|one| one.status.keys()).map(String::as_str).collect();
    keys.iter().filter(|one| of_any(one, &subjects)).copied().collect()
}

/// The parts that keys write, where all are repaired that have a plan.
pub fn planned_parts<'a>(examination: &'a Examination, request: &WhatIf) -> Parts<'a> {
    let own = examination.own(&request.handler);
    parts_of(own.map(|(key, examined)| (key.as_str(), &**examined)), request.through)
}

/// The same of these keys.
fn parts_of<'a>(examined: impl Iterator<Item = (&'a str, &'a Examined)>, through: Position) -> Parts<'a> {
    let keys = examined.flat_map(|(key, examined)| {
        let is_repaired = if examined.notes.fails().is_none() { KeyIsRepaired::Now } else { KeyIsRepaired::No };
        statuses(key, &examined.lane, is_repaired, through)
    });
    Parts::new(keys, through)
}

/// The statuses of a key that differ, or were set by another record.
fn statuses<'a>(key: &'a str, lane: &'a Lane, repaired: KeyIsRepaired, through: Position) -> [KeyStatuses<'a>; 2] {
    [lane.status(), lane.moved()].map(|status| KeyStatuses { key, status, repaired, through })
}

/// The parts that keys of receivers write, by receiver, where all are repaired that can be.
pub fn planned_of_receivers<'a>(
    lanes: &[(&'a LaneId, &'a Examined)],
    through: Position,
) -> BTreeMap<HandlerName, Parts<'a>> {
    let of_receiver = lanes.chunk_by(|((one, _), _), ((next, _), _)| one == next);
    let parts = of_receiver.filter_map(|lanes| {
        let ((receiver, _), _) = lanes.first()?;
        Some((receiver.clone(), parts_of(lanes.iter().map(|((_, key), examined)| (key.as_str(), *examined)), through)))
    });
    parts.collect()
}

/// What keys have of parts. Those keys are repaired that are approved now (`keys`; `None`: all), were before, or need no repair.
fn repaired_keys<'a>(
    stored: (&Views, &KeyHasher),
    (id, request): (PlanId, &WhatIf),
    computed: &'a Computed,
    keys: Option<&BTreeSet<&str>>,
) -> Result<Vec<KeyStatuses<'a>>, StorageError> {
    let examined = computed.examination.own(&request.handler).map(|(key, examined)| (key.as_str(), &**examined));
    let has_plan = |key: &str| computed.plans.contains_key(key);
    keys_repaired(stored, (id, &request.handler, request.through), examined, (has_plan, keys))
}

/// The same as parts, for the simulator.
#[cfg(feature = "sim")]
pub fn repaired_parts<'a>(
    stored: (&Views, &KeyHasher),
    (id, request): (PlanId, &WhatIf),
    computed: &'a Computed,
    keys: Option<&BTreeSet<&str>>,
) -> Result<Parts<'a>, ReplayError> {
    let repaired = repaired_keys(stored, (id, request), computed, keys)?;
    Ok(Parts::new(repaired.into_iter(), request.through).repaired_by(id.replay, id.is_undo))
}

/// The same of receivers, by receiver, where an undo takes back that they were folded.
fn undone_parts<'a>(
    stored: (&Views, &KeyHasher),
    (id, request): (PlanId, &WhatIf),
    lanes: &[(&'a LaneId, &'a Examined)],
    keys: Option<&BTreeSet<&str>>,
) -> Result<BTreeMap<HandlerName, Parts<'a>>, ReplayError> {
    let mut parts = BTreeMap::new();
    for of_receiver in lanes.chunk_by(|((one, _), _), ((next, _), _)| one == next) {
        let Some(((receiver, _), _)) = of_receiver.first() else { continue };
        let examined = of_receiver.iter().map(|((_, key), examined)| (key.as_str(), *examined));
        let repaired = keys_repaired(stored, (id, receiver, request.through), examined, (|_: &str| true, keys))?;
        let of_receiver = Parts::new(repaired.into_iter(), request.through).repaired_by(id.replay, id.is_undo);
        parts.insert(receiver.clone(), of_receiver);
    }
    Ok(parts)
}

/// What differs of the statuses of a handler's keys, and whether they are repaired.
fn keys_repaired<'a>(
    stored: (&Views, &KeyHasher),
    (id, handler, through): (PlanId, &HandlerName, Position),
    examined: impl Iterator<Item = (&'a str, &'a Examined)>,
    (has_plan, keys): (impl Fn(&str) -> bool, Option<&BTreeSet<&str>>),
) -> Result<Vec<KeyStatuses<'a>>, StorageError> {
    let mut repaired = Vec::new();
    let sets_any = |lane: &Lane| !(lane.status().is_empty() && lane.moved().is_empty());
    for (key, examined) in examined.filter(|(_, examined)| sets_any(&examined.lane)) {
        let is_approved = keys.is_none_or(|keys| keys.contains(key));
        let is_repaired = match has_plan(key) {
            _ if examined.notes.fails().is_some() => KeyIsRepaired::No,
            // Without a plan, it stands as the fork has it.
            false => KeyIsRepaired::Before,
            true if is_approved => KeyIsRepaired::Now,
            true if last_repair(stored, id, (handler, key))?.is_some() => KeyIsRepaired::Before,
            true => KeyIsRepaired::No,
        };
        repaired.extend(statuses(key, &examined.lane, is_repaired, through));
    }
    Ok(repaired)
}

/// Where the replay has repaired a key last, now or before; of its undo, where that has taken it back.
pub fn last_repair(
    (views, hasher): (&Views, &KeyHasher),
    id: PlanId,
    (handler, key): (&HandlerName, &str),
) -> Result<Option<Position>, StorageError> {
    let of_key = keys::repairs_of_lane(id.replay, id.is_undo, (handler, hasher.hash(key)));
    let rows = views.scan_keys(&of_key, None, usize::MAX)?;
    Ok(rows.last().and_then(|row| keys::repair_of(row)).map(|last| last.position))
}

/// What differs of the statuses that keys of receivers set, of each as it was looked at last before it was repaired.
pub struct Claims(BTreeMap<LaneId, Claim>);

struct Claim {
    status: BTreeMap<String, StatusSides>,
    repaired: KeyIsRepaired,
    /// Up to where it was looked at; of one that is repaired, where that is.
    through: Position,
}

impl Claims {
    /// Those of keys that an earlier application has folded, as they were planned.
    pub fn of_folded(applying: &Applying<'_>) -> Result<Self, ReplayError> {
        let mut claims = Self(BTreeMap::new());
        let stored = (&applying.shared.statuses.views, &applying.shared.keys);
        let Examination { cascade, moved, .. } = &applying.computed()?.examination;
        for (lane, examined) in cascade.iter().chain(moved).filter(|(lane, _)| lane.0 != applying.request.handler) {
            if let Some(last) = last_repair(stored, applying.id, (&lane.0, &lane.1))? {
                claims.insert(lane, examined, (KeyIsRepaired::Before, last));
            }
        }
        Ok(claims)
    }

    fn insert(&mut self, lane: &LaneId, examined: &Examined, (repaired, through): (KeyIsRepaired, Position)) {
        let status = examined.lane.status().iter().chain(examined.lane.moved());
        let status = status.map(|(subject, sides)| (subject.clone(), sides.clone())).collect();
        self.0.insert(lane.clone(), Claim { status, repaired, through });
    }

    /// Takes what differs now, as it was looked at up to a position; returns the keys.
    pub fn take<'a>(
        &mut self,
        examined: impl Iterator<Item = (&'a LaneId, &'a Examined)>,
        through: Position,
    ) -> Vec<LaneId> {
        // Others may have come to the same meanwhile.
        self.0.retain(|_, claim| claim.repaired == KeyIsRepaired::Before);
        let mut lanes = Vec::new();
        for (lane, examined) in examined {
            let is_repaired = if examined.notes.fails().is_none() { KeyIsRepaired::Now } else { KeyIsRepaired::No };
            self.insert(lane, examined, (is_repaired, through));
            lanes.push(lane.clone());
        }
        lanes
    }

    /// Keys were repaired that had been looked at up to a position.
    pub fn repaired(&mut self, lanes: impl IntoIterator<Item = (LaneId, Position)>) {
        for (lane, through) in lanes {
            if let Some(claim) = self.0.get_mut(&lane) {
                (claim.repaired, claim.through) = (KeyIsRepaired::Before, through);
            }
        }
    }

    /// By receiver.
    pub fn parts(&self, id: PlanId, through: Position) -> BTreeMap<HandlerName, Parts<'_>> {
        let mut of_receivers: BTreeMap<HandlerName, Vec<KeyStatuses<'_>>> = BTreeMap::new();
        for ((receiver, key), Claim { status, repaired, through }) in &self.0 {
            let statuses = KeyStatuses { key, status, repaired: *repaired, through: *through };
            of_receivers.entry(receiver.clone()).or_default().push(statuses);
        }
        let parts = of_receivers.into_iter().map(|(receiver, keys)| {
            (receiver, Parts::new(keys.into_iter(), through).repaired_by(id.replay, id.is_undo))
        });
        parts.collect()
    }
}
