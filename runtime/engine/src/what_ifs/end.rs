//! How an application ends, and what is recorded of that.

use std::{collections::BTreeMap, thread};

use weirgate_types::{HandlerName, ReplayEnd};

use super::{
    Apply, Computed, Known, PlanId,
    apply::{Applying, LOOK, REASON_CHARS_MAX, Refused},
    chain,
    looks::Looks,
    parts::last_repair,
    stands::Now,
};
use crate::{
    Audit, Refusal,
    handle::Handle,
    replay::{Folding, KeyPlan, LaneId, ReplayError},
    replays::ReplayStep,
};

/// Records what an application did not repair, and how it ended. One that an error ends does not go on at the next start, which would be
/// without anyone asking. One that the process stops does; one that is cancelled has its end in the log.
pub fn record_end(
    runtime: &tokio::runtime::Runtime,
    handle: &Handle,
    (id, known, asked): (PlanId, &Known, &Apply),
    (ended, refused): (Result<ReplayEnd, ReplayError>, Option<Refused>),
) -> Result<(), ReplayError> {
    let (end, audit) = match &ended {
        Err(ReplayError::Cancelled) => return ended.map(drop),
        Err(ReplayError::Refused(refusal)) if matches!(**refusal, Refusal::Stopped) => return ended.map(drop),
        Ok(end) => (*end, asked.audit.clone()),
        Err(error) => {
            let reason = chain(error).chars().take(REASON_CHARS_MAX).collect();
            (ReplayEnd::InPart, Audit { reason, ..asked.audit.clone() })
        }
    };
    let record = |step: ReplayStep| {
        loop {
            match runtime.block_on(handle.step_replay(step.clone(), audit.clone())) {
                Err(Refusal::Busy) if !known.watch.is_cancelled() => thread::park_timeout(LOOK),
                recorded => return recorded,
            }
        }
    };
    let replay = id.replay;
    let refused = refused.map(|refused| record(refused.step(replay))).transpose();
    let recorded = refused.and_then(|_| record(ReplayStep::End { replay, end }));
    ended?;
    recorded?;
    Ok(())
}

impl Applying<'_> {
    /// Whether all keys of the plan are repaired, now or before, no receiver is left to be approved, and no undo of another replay has brought
    /// back what the plan does not have.
    pub fn is_whole(&self, computed: &Computed) -> Result<bool, ReplayError> {
        let (handler, through) = (&self.request.handler, self.request.through);
        let row = self.runtime.block_on(self.handle.replay(self.id.replay))?.row;
        let is_outdated = match self.id.is_undo {
            true => row.is_undo_outdated(through),
            false => row.is_undone_beside_since(through),
        };
        match is_outdated {
            // The plan of all keys is not that any more.
            true if self.asked.choices.keys.is_none() && row.is_undone_beside_since(through) => {
                return Err(Refusal::UndoneSince { replay: self.id.replay, through }.into());
            }
            true => return Ok(false),
            false => {}
        }
        if self.asked.choices.keys.is_none() {
            return Ok(true);
        }
        let folds = |(receiver, _): &LaneId| self.asked.choices.fold_again.contains(receiver);
        if !self.id.is_undo && !computed.receivers.keys().all(folds) {
            // They may be approved yet.
            return Ok(false);
        }
        let own = computed.plans.keys().map(|key| (handler.clone(), key.clone()));
        let receivers = computed.receivers.keys().filter(|_| self.id.is_undo).cloned();
        let others: Vec<LaneId> = own.chain(receivers).filter(|(_, key)| !self.is_asked_for(key)).collect();
        let stored = (&self.shared.statuses.views, &self.shared.keys);
        let (mut repaired, mut others_left) = (Vec::new(), Vec::new());
        for lane in others {
            let was_repaired = last_repair(stored, self.id, (&lane.0, &lane.1))?.is_some();
            if was_repaired { repaired.push(lane) } else { others_left.push(lane) }
        }
        // Mostly the first of these says that something is left. Of one that was repaired, a part may be.
        let mut of_batches = BTreeMap::new();
        for lane in others_left.iter().chain(&repaired) {
            if self.is_left(lane, &mut of_batches)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an application would append something for a key. The keys of a handler that takes batches are looked at together, once.
    fn is_left(
        &self,
        lane: &LaneId,
        of_batches: &mut BTreeMap<HandlerName, Option<Looks>>,
    ) -> Result<bool, ReplayError> {
        if !of_batches.contains_key(&lane.0) {
            let looks = || Looks::new(Folding::of_all(self.id.replay, self.request, None));
            of_batches.insert(lane.0.clone(), self.takes_batches(&lane.0)?.then(looks));
        }
        let mut of_key;
        let looks = match of_batches.get_mut(&lane.0).and_then(Option::as_mut) {
            Some(looks) => looks,
            None => {
                of_key = Looks::new(Folding::of_key(self.id.replay, self.request, lane));
                &mut of_key
            }
        };
        self.look_on(looks)?;
        let Some(examined) = looks.examined_of(lane) else { return Ok(false) };
        let sources = self.sources()?;
        let stands = Now::new(&sources, &lane.0, self.parts.repaired(&lane.0));
        let plan = KeyPlan::new(&lane.1, examined, self.request.asked_at_ms, &stands)?;
        Ok(!plan.is_empty() || plan.refused.is_some())
    }
}
