//! How an application ends, and what is recorded of that.

use std::thread;

use weirgate_types::ReplayEnd;

use super::{
    Apply, Computed, Known, PlanId,
    apply::{Applying, LOOK, REASON_CHARS_MAX, Refused},
    chain,
};
use crate::{Audit, Refusal, handle::Handle, replay::ReplayError, replays::ReplayStep};

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
    /// Whether all keys of the plan were approved, and the undo is one of all repairs.
    pub fn is_whole(&self, computed: &Computed) -> Result<bool, ReplayError> {
        if self.id.is_undo {
            let row = self.runtime.block_on(self.handle.replay(self.id.replay))?.row;
            let mut receivers = computed.receivers.keys();
            if row.is_undo_outdated(self.request.through) || !receivers.all(|(_, key)| self.is_asked_for(key)) {
                return Ok(false);
            }
        }
        Ok(computed.plans.keys().all(|key| self.is_asked_for(key)))
    }
}
