//! Applies a replay, key by key: each is held, looked at again, and repaired by one record. What came since the what-if is part of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_types::{Position, ReplayEnd};

use super::{
    Apply, Bounded, Known, PlanId,
    compute::sources,
    repair::{Looked, Part},
};
use crate::{
    Refusal,
    handle::{Handle, Shared},
    replay::{Examined, LaneId, Progress as _, ReplayError, Sources, WhatIf},
    replays::ReplayStep,
};

/// How often a key is looked at again that changes meanwhile.
const TRIES_MAX: u32 = 5;
/// Maximum number of records of one key.
const PARTS_MAX: u32 = 10_000;
/// Maximum number of keys that are listed with the reason why they were not repaired.
const REFUSED_MAX: usize = 1_000;

/// What an application came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Applied {
    pub is_running: bool,
    /// Keys of the plan that were looked at, and those that were repaired.
    pub looked_at: u64,
    pub repaired: u64,
    /// Keys of receivers that were folded again, or whose folding was taken back.
    pub folded: u64,
    /// Keys that were not repaired, and why.
    pub refused: BTreeMap<String, String>,
    /// The error that ended it.
    pub error: Option<String>,
}

/// What came of a key.
enum KeyEnd {
    Repaired,
    /// It stands as the fork has it.
    Nothing,
    Refused(String),
}

pub fn apply(shared: &Arc<Shared>, id: PlanId, known: &Known, asked: &Apply) -> Result<(), ReplayError> {
    // The writer's answers are awaited on this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (handle, request) = (Handle::of(shared), &*known.request);
    Applying { runtime, handle, shared, id, known, request, asked }.all()
}

pub struct Applying<'a> {
    pub runtime: tokio::runtime::Runtime,
    pub handle: Handle,
    pub shared: &'a Arc<Shared>,
    pub id: PlanId,
    pub known: &'a Known,
    pub request: &'a WhatIf,
    pub asked: &'a Apply,
}

impl Applying<'_> {
    fn all(&self) -> Result<(), ReplayError> {
        let Some(computed) = self.known.result.as_ref().and_then(|result| result.as_ref().ok()) else {
            return Err(ReplayError::NotComputed);
        };
        let own = computed.plans.keys().filter(|key| self.is_asked_for(key));
        let mut lanes: Vec<LaneId> = own.map(|key| (self.request.handler.clone(), key.clone())).collect();
        if self.id.is_undo {
            lanes.extend(computed.receivers.keys().filter(|(_, key)| self.is_asked_for(key)).cloned());
        }
        let (mut standing, mut refused) = (BTreeSet::new(), 0_usize);
        for lane in lanes {
            let end = self.key(&lane)?;
            refused += usize::from(matches!(end, KeyEnd::Refused(_)));
            self.note(&lane, &end);
            if !matches!(end, KeyEnd::Refused(_)) {
                standing.insert(lane.1);
            }
        }
        if !self.id.is_undo && !self.asked.choices.fold_again.is_empty() {
            let folded = self.fold(standing)?;
            refused += folded.refused.len();
            self.shared.what_ifs.change(self.id, |known| {
                let applied = known.applied.get_or_insert_with(Applied::default);
                applied.folded += u64::try_from(folded.repaired.len()).unwrap_or(u64::MAX);
                applied.refused.extend(folded.refused.into_iter().take(REFUSED_MAX));
            });
        }
        if self.asked.choices.keys.is_none() && refused == 0 {
            let end = if self.id.is_undo { ReplayEnd::Undone } else { ReplayEnd::Applied };
            let step = ReplayStep::End { replay: self.id.replay, end };
            self.runtime.block_on(self.handle.step_replay(step, self.asked.audit.clone()))?;
        }
        Ok(())
    }

    /// Notes what came of a key, for those who follow the replay.
    fn note(&self, (handler, key): &LaneId, end: &KeyEnd) {
        self.shared.what_ifs.change(self.id, |known| {
            let applied = known.applied.get_or_insert_with(|| Applied { is_running: true, ..Applied::default() });
            let is_own = *handler == self.request.handler;
            applied.looked_at += u64::from(is_own);
            match end {
                KeyEnd::Repaired if is_own => applied.repaired += 1,
                KeyEnd::Repaired => applied.folded += 1,
                KeyEnd::Refused(reason) if applied.refused.len() < REFUSED_MAX => {
                    let name = if is_own { key.clone() } else { format!("{handler} {key}") };
                    applied.refused.insert(name, reason.clone());
                }
                KeyEnd::Nothing | KeyEnd::Refused(_) => {}
            }
        });
    }

    fn is_asked_for(&self, key: &str) -> bool {
        self.asked.choices.keys.as_ref().is_none_or(|keys| keys.iter().any(|one| one == key))
    }

    fn key(&self, lane: &LaneId) -> Result<KeyEnd, ReplayError> {
        let (mut end, mut tries) = (KeyEnd::Nothing, 0);
        let mut part = 0;
        while part < PARTS_MAX {
            match self.part(lane, part) {
                Ok(Part::Whole) => return Ok(KeyEnd::Repaired),
                Ok(Part::More) => {
                    (end, tries) = (KeyEnd::Repaired, 0);
                    part += 1;
                }
                Ok(Part::Nothing) => return Ok(end),
                Ok(Part::Refused(reason)) => return Ok(KeyEnd::Refused(reason)),
                // It changed meanwhile, or took too long.
                Err(ReplayError::Refused(refusal)) if is_busy(&refusal) && tries < TRIES_MAX => tries += 1,
                Err(ReplayError::Refused(refusal)) if is_busy(&refusal) => {
                    return Ok(KeyEnd::Refused(refusal.to_string()));
                }
                Err(ReplayError::Refused(refusal)) if matches!(*refusal, Refusal::KeyFinishes { .. }) => {
                    return Ok(KeyEnd::Refused(refusal.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(end)
    }

    /// Looks at a key, holds it, takes in what came meanwhile, and appends one record.
    fn part(&self, lane: &LaneId, part: u32) -> Result<Part, ReplayError> {
        let (handler, key) = lane;
        let (mut through, mut found) = self.look(lane)?;
        let hold = self.runtime.block_on(self.handle.hold_key(handler.clone(), key.clone()))?;
        let look = self.shared.indexing.history.look();
        if !look.of_lane(handler, key, through, 1)?.is_empty() {
            (through, found) = self.look(lane)?;
        }
        match &found {
            Some(examined) => self.append(&Looked { lane, through, examined, part }, hold),
            None => Ok(Part::Nothing),
        }
    }

    pub fn sources(&self) -> Result<Sources, ReplayError> {
        sources(self.shared, self.known, self.asked.choices.allow_calls)
    }

    /// The key as it stands now.
    fn look(&self, (handler, key): &LaneId) -> Result<(Position, Option<Examined>), ReplayError> {
        let sources = self.sources()?;
        let through = sources.look.log().head();
        let request = WhatIf { handler: handler.clone(), through, ..self.request.clone() };
        let progress = Bounded::new(&self.known.watch, &request);
        progress.go_on(through, 0)?;
        Ok((through, sources.examine_key(&request, key, &progress)?))
    }
}

/// Whether the key can be tried again: an attempt of it ran for too long.
pub fn is_busy(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::HoldOver | Refusal::KeyOnHold(_))
}
