//! How an application ends, and what is recorded of that.

use std::thread;

use weirgate_types::ReplayEnd;

use super::{
    Apply, Computed, Known, PlanId,
    apply::{Applying, LOOK, REASON_CHARS_MAX, Refused},
    chain,
    parts::was_repaired,
};
use crate::{
    Audit, Refusal,
    handle::Handle,
    replay::{LaneId, ReplayError},
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
    /// Whether all keys of the plan are repaired, now or before, and nothing is left to be approved, or would be part of a plan that is made now.
    pub fn is_whole(&self, computed: &Computed) -> Result<bool, ReplayError> {
        let (handler, through) = (&self.request.handler, self.request.through);
        let row = self.runtime.block_on(self.handle.replay(self.id.replay))?.row;
        let is_outdated = match self.id.is_undo {
            true => row.is_undo_outdated(through),
            false => row.is_undone_beside_since(through),
        };
        if is_outdated {
            return Ok(false);
        }
        if self.asked.choices.keys.is_none() {
            return Ok(true);
        }
        let folds = |(receiver, _): &LaneId| self.asked.choices.fold_again.contains(receiver);
        if !self.id.is_undo && !computed.receivers.keys().all(folds) {
            // They may be approved yet.
            return Ok(false);
        }
        let known = (&self.shared.statuses.views, &self.shared.keys);
        let receivers = computed.receivers.keys().filter(|_| self.id.is_undo).map(|(of, key)| (of, key));
        for (of, key) in computed.plans.keys().map(|key| (handler, key)).chain(receivers) {
            if !self.is_asked_for(key) && !was_repaired(known, self.id, (of, key))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
