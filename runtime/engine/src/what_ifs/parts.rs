//! The parts of statuses that the keys of a replay write: its handler's, and those of receivers that are folded again.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{HandlerName, KeyHasher, Position};
use weirgate_views::Views;

use super::{Computed, PlanId, apply::Applying};
use crate::{
    StorageError, keys,
    replay::{Examination, Examined, KeyIsRepaired, Lane, LaneId, Parts, ReplayError, StatusSides, WhatIf},
};

/// A key, what differs of the statuses that it sets, and whether it is repaired.
type KeyStatus<'a> = (&'a str, &'a BTreeMap<String, StatusSides>, KeyIsRepaired);

/// The parts of statuses that keys write, as they were planned and as they are repaired: of the handler's, and by handler of receivers.
pub struct HandlerParts<'a> {
    handler: HandlerName,
    planned: Parts<'a>,
    repaired: Parts<'a>,
    planned_of_receivers: BTreeMap<HandlerName, Parts<'a>>,
    /// Of an undo: what a fold repairs is known when it is looked at.
    repaired_of_receivers: BTreeMap<HandlerName, Parts<'a>>,
    none: Parts<'a>,
}

impl<'a> HandlerParts<'a> {
    pub fn new(
        stored: (&Views, &KeyHasher),
        (id, request): (PlanId, &WhatIf),
        (computed, of_receivers): (&'a Computed, &[(&'a LaneId, &'a Examined)]),
        keys: Option<&BTreeSet<&str>>,
    ) -> Result<Self, ReplayError> {
        Ok(Self {
            handler: request.handler.clone(),
            planned: planned_parts(&computed.examination, request),
            repaired: repaired_parts(stored, (id, request), computed, keys)?,
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
        statuses(key, &examined.lane, is_repaired)
    });
    Parts::new(keys, through)
}

/// The statuses of a key that differ, or were set by another record.
fn statuses<'a>(key: &'a str, lane: &'a Lane, repaired: KeyIsRepaired) -> [KeyStatus<'a>; 2] {
    [lane.status(), lane.moved()].map(|status| (key, status, repaired))
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

/// The parts that keys write. Those keys are repaired that are approved now (`keys`; `None`: all), were before, or need no repair.
pub fn repaired_parts<'a>(
    stored: (&Views, &KeyHasher),
    (id, request): (PlanId, &WhatIf),
    computed: &'a Computed,
    keys: Option<&BTreeSet<&str>>,
) -> Result<Parts<'a>, ReplayError> {
    let examined = computed.examination.own(&request.handler).map(|(key, examined)| (key.as_str(), &**examined));
    let has_plan = |key: &str| computed.plans.contains_key(key);
    let repaired = keys_repaired(stored, (id, &request.handler), examined, (has_plan, keys))?;
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
        let repaired = keys_repaired(stored, (id, receiver), examined, (|_: &str| true, keys))?;
        let of_receiver = Parts::new(repaired.into_iter(), request.through).repaired_by(id.replay, id.is_undo);
        parts.insert(receiver.clone(), of_receiver);
    }
    Ok(parts)
}

/// What differs of the statuses of a handler's keys, and whether they are repaired.
fn keys_repaired<'a>(
    stored: (&Views, &KeyHasher),
    (id, handler): (PlanId, &HandlerName),
    examined: impl Iterator<Item = (&'a str, &'a Examined)>,
    (has_plan, keys): (impl Fn(&str) -> bool, Option<&BTreeSet<&str>>),
) -> Result<Vec<KeyStatus<'a>>, StorageError> {
    let mut repaired = Vec::new();
    let sets_any = |lane: &Lane| !(lane.status().is_empty() && lane.moved().is_empty());
    for (key, examined) in examined.filter(|(_, examined)| sets_any(&examined.lane)) {
        let is_approved = keys.is_none_or(|keys| keys.contains(key));
        let is_repaired = match has_plan(key) {
            _ if examined.notes.fails().is_some() => KeyIsRepaired::No,
            // Without a plan, it stands as the fork has it.
            false => KeyIsRepaired::Before,
            true if is_approved => KeyIsRepaired::Now,
            true if was_repaired(stored, id, (handler, key))? => KeyIsRepaired::Before,
            true => KeyIsRepaired::No,
        };
        repaired.extend(statuses(key, &examined.lane, is_repaired));
    }
    Ok(repaired)
}

/// Whether the replay has repaired a key, now or before; of its undo, whether that has taken it back.
pub fn was_repaired(
    (views, hasher): (&Views, &KeyHasher),
    id: PlanId,
    (handler, key): (&HandlerName, &str),
) -> Result<bool, StorageError> {
    let of_key = keys::repairs_of_lane(id.replay, id.is_undo, (handler, hasher.hash(key)));
    Ok(!views.scan_keys(&of_key, None, 1)?.is_empty())
}

/// What differs of the statuses that keys of receivers set, and whether they are repaired: of each as it was looked at last before that.
pub struct Claims(BTreeMap<HandlerName, BTreeMap<String, (BTreeMap<String, StatusSides>, KeyIsRepaired)>>);

impl Claims {
    /// Those of keys that an earlier application has folded, as they were planned.
    pub fn of_folded(applying: &Applying<'_>) -> Result<Self, ReplayError> {
        let mut claims = Self(BTreeMap::new());
        let stored = (&applying.shared.statuses.views, &applying.shared.keys);
        let Examination { cascade, moved, .. } = &applying.computed()?.examination;
        for (lane, examined) in cascade.iter().chain(moved) {
            let (handler, key) = lane;
            if *handler != applying.request.handler && was_repaired(stored, applying.id, (handler, key))? {
                claims.insert(lane, examined, KeyIsRepaired::Before);
            }
        }
        Ok(claims)
    }

    fn insert(&mut self, (handler, key): &LaneId, examined: &Examined, repaired: KeyIsRepaired) {
        let status = statuses(key, &examined.lane, repaired).into_iter().flat_map(|(_, status, _)| status);
        let claim = (status.map(|(subject, sides)| (subject.clone(), sides.clone())).collect(), repaired);
        self.0.entry(handler.clone()).or_default().insert(key.clone(), claim);
    }

    /// Takes what differs now; returns the keys.
    pub fn take<'a>(&mut self, examined: impl Iterator<Item = (&'a LaneId, &'a Examined)>) -> Vec<LaneId> {
        let mut lanes = Vec::new();
        for (lane, examined) in examined {
            let is_repaired = if examined.notes.fails().is_none() { KeyIsRepaired::Now } else { KeyIsRepaired::No };
            self.insert(lane, examined, is_repaired);
            lanes.push(lane.clone());
        }
        lanes
    }

    pub fn repaired(&mut self, lanes: &BTreeSet<LaneId>) {
        for (handler, key) in lanes {
            if let Some((_, is_repaired)) = self.0.get_mut(handler).and_then(|keys| keys.get_mut(key)) {
                *is_repaired = KeyIsRepaired::Before;
            }
        }
    }

    pub fn parts(&self, id: PlanId, through: Position) -> BTreeMap<HandlerName, Parts<'_>> {
        let parts = self.0.iter().map(|(handler, keys)| {
            let keys = keys.iter().map(|(key, (status, repaired))| (key.as_str(), status, *repaired));
            (handler.clone(), Parts::new(keys, through).repaired_by(id.replay, id.is_undo))
        });
        parts.collect()
    }
}
