//! Approved plans are applied, and replays cancelled. Each is durable before it is answered; an application that was begun goes on after
//! a restart, until its replay ends.

use std::sync::Arc;

use tokio::sync::oneshot;
use weirgate_types::{Position, Record, ReplayApproved, ReplayEnd};

use super::{
    Handle, Shared, WhatIfItem, blocking, replays,
    what_ifs::{Choices, is_applied, request_of, undo_of},
};
use crate::{
    Audit, Refusal, ReplayItem, ReplayState, ReplayStep, StorageError,
    command::Command,
    replay::WhatIf,
    what_ifs::{Apply, Decision, PlanId},
};

impl Handle {
    /// Applies what was approved of a plan. That is durable before the answer; the work continues after it, and after a restart.
    /// Changes nothing while it is being applied; begins it again where it has stopped without an end, for instance because keys
    /// were refused.
    ///
    /// # Errors
    /// It is not approved, it is not computed, or its candidate is not in force.
    pub async fn apply(&self, id: PlanId, audit: Audit) -> Result<WhatIfItem, Refusal> {
        let decision = self.0.what_ifs.decision().await;
        let found = self.what_if(id).await?;
        let (replay, undoes, row) = (id.replay, id.is_undo, &found.item.row);
        let approved = row.approved.filter(|_| row.may_begin(undoes)).ok_or(Refusal::NotApproved(replay))?;
        if is_applied(&found) {
            return Ok(found);
        }
        self.check_in_force(&found.request).await?;
        let choices = choices_of(&self.approval(approved).await?)?;
        self.computed(id).await?;
        let (request, apply) = ((*found.request).clone(), Apply { choices, audit: audit.clone() });
        let begin = ReplayStep::Begin { replay, approved, undoes };
        let run = move |shared: &Arc<Shared>| begin_application(shared, id, request, apply);
        self.decide(decision, begin, audit, run).await??;
        self.what_if(id).await
    }

    /// Ends a replay: it is neither computed nor applied any further. Keys that are repaired stay so.
    ///
    /// # Errors
    /// There is no such replay, or it has ended.
    pub async fn cancel_replay(&self, replay: Position, audit: Audit) -> Result<ReplayItem, Refusal> {
        let decision = self.0.what_ifs.decision().await;
        let end = ReplayStep::End { replay, end: ReplayEnd::Cancelled };
        self.decide(decision, end, audit, move |shared| shared.what_ifs.cancel(replay)).await?;
        self.replay(replay).await
    }

    /// Goes on with the replays that were being applied when the process ended.
    pub(crate) fn resume_replays(&self) -> Result<(), StorageError> {
        let under_way = replays::under_way(&self.0.statuses)?;
        for item in under_way.into_iter().filter(|item| item.row.state == ReplayState::Applying) {
            let Some((approved, audit)) = self.begun(&item)? else { continue };
            let id = PlanId { replay: item.replay, is_undo: item.row.undoes };
            let mut request = request_of(&item)?;
            if id.is_undo {
                request = undo_of(request, id.replay, approved.through);
            }
            let choices = choices_of(&approved)?;
            tracing::info!(replay = %id, handler = %request.handler, actor = audit.actor, "a replay goes on");
            // It cannot run yet.
            drop(begin_application(&self.0, id, request, Apply { choices, audit }));
        }
        Ok(())
    }

    /// What is being applied, and who asked for that; `None`: the records are lost. A log of an earlier build does not say who asked:
    /// there it is the approver.
    fn begun(&self, item: &ReplayItem) -> Result<Option<(ReplayApproved, Audit)>, StorageError> {
        let log = &self.0.statuses.log;
        let begun = match item.row.begun.map(|position| log.read(position)).transpose()?.flatten() {
            Some((_, Record::ApplyBegun(begun))) => Some(begun),
            _ => None,
        };
        let approved = begun.as_ref().map(|begun| begun.approved).or(item.row.approved);
        let Some((_, Record::ReplayApproved(approved))) =
            approved.map(|position| log.read(position)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        let audit = match begun {
            Some(begun) => Audit { actor: begun.actor, reason: begun.reason },
            None => Audit { actor: approved.actor.clone(), reason: approved.reason.clone() },
        };
        Ok(Some((approved, audit)))
    }

    /// Records a step, and then does what follows from it, also if the caller has gone meanwhile.
    async fn decide<T: Send + 'static>(
        &self,
        decision: Decision,
        step: ReplayStep,
        audit: Audit,
        follows: impl FnOnce(&Arc<Shared>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, durable) = oneshot::channel();
        self.send(Command::StepReplay { step: Box::new(step), audit, reply })?;
        let shared = Arc::clone(&self.0);
        blocking(move || {
            let _decision = decision;
            durable.blocking_recv().unwrap_or(Err(Refusal::Stopped))?;
            Ok(follows(&shared))
        })
        .await?
    }

    async fn approval(&self, position: Position) -> Result<ReplayApproved, Refusal> {
        let log = self.0.statuses.log.clone();
        let read = move || match log.read(position)? {
            Some((_, Record::ReplayApproved(approved))) => Ok(approved),
            _ => Err(StorageError::Missing { what: "approval", position }.into()),
        };
        self.0.queries.own_read(read).await?
    }
}

/// Applies a replay, once it is computed.
fn begin_application(shared: &Arc<Shared>, id: PlanId, request: WhatIf, apply: Apply) -> Result<(), Refusal> {
    shared.what_ifs.begin(id, request, shared);
    shared.what_ifs.apply(id, apply, shared)
}

fn choices_of(approved: &ReplayApproved) -> Result<Choices, StorageError> {
    serde_json::from_str(&approved.choices).map_err(StorageError::undecodable("the choices of an approval"))
}
