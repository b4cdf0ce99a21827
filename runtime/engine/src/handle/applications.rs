//! Approved plans are applied, and replays cancelled. Each is durable before it is answered; an application that was begun goes on after
//! a restart, until it ends.

use std::sync::Arc;

use tokio::sync::oneshot;
use weirgate_log::LogReader;
use weirgate_types::{ApplyBegun, Position, Record, ReplayApproved, ReplayEnd};

use super::{
    Handle, Shared, WhatIfItem, blocking, replays,
    what_ifs::{Choices, check_handler, is_applied, request_of, undo_of},
};
use crate::{
    Audit, Refusal, ReplayState, ReplayStep, StorageError,
    command::Command,
    replay::WhatIf,
    what_ifs::{Apply, Decision, PlanId},
};

/// The newest decisions about a plan: its approval, and the request to apply it.
#[derive(Debug, Clone)]
pub struct Decided {
    pub approved: ReplayApproved,
    pub choices: Choices,
    /// `None`: it was not applied since it was approved.
    pub begun: Option<ApplyBegun>,
}

impl Decided {
    /// `None`: there is none, or the record is lost.
    pub(super) fn read(
        log: &LogReader,
        (approved, begun): (Option<Position>, Option<Position>),
    ) -> Result<Option<Self>, StorageError> {
        let read = |position: Option<Position>| {
            Ok::<_, StorageError>(position.map(|position| log.read(position)).transpose()?.flatten())
        };
        let Some((_, Record::ReplayApproved(approved))) = read(approved)? else { return Ok(None) };
        let begun = match read(begun)? {
            Some((_, Record::ApplyBegun(begun))) => Some(begun),
            _ => None,
        };
        let choices = serde_json::from_str(&approved.choices);
        let choices = choices.map_err(StorageError::undecodable("the choices of an approval"))?;
        Ok(Some(Self { approved, choices, begun }))
    }

    /// What is applied in whose name. The reason is the approver's, where the applier gives none.
    fn apply(self, position: Position, mut audit: Audit) -> Apply {
        if audit.reason.is_empty() {
            audit.reason = self.approved.reason;
        }
        Apply { choices: self.choices, approved: position, audit }
    }
}

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
        check_handler(&found.item)?;
        self.check_in_force(&found.request).await?;
        let decided = found.decided.ok_or(StorageError::Missing { what: "approval", position: approved })?;
        self.computed(id).await?;
        let (request, apply) = ((*found.request).clone(), decided.apply(approved, audit.clone()));
        let begin = ReplayStep::Begin { replay, approved, undoes };
        let run = move |shared: &Arc<Shared>| begin_application(shared, id, request, apply);
        self.decide(decision, begin, audit, run).await??;
        self.what_if(id).await
    }

    /// Ends a replay: it is neither computed nor applied any further. Keys that are repaired stay so. An undo that is not approved is
    /// forgotten: the log does not know of it.
    ///
    /// # Errors
    /// There is no such replay, or it has ended.
    pub async fn cancel_replay(&self, id: PlanId, audit: Audit) -> Result<WhatIfItem, Refusal> {
        let decision = self.0.what_ifs.decision().await;
        let (replay, row) = (id.replay, self.what_if_as_it_is(id).await?.item.row);
        if id.is_undo && !row.undoes {
            self.0.what_ifs.forget(id);
        } else {
            let end = ReplayStep::End { replay, end: ReplayEnd::Cancelled };
            self.decide(decision, end, audit, move |shared| shared.what_ifs.cancel(replay)).await?;
        }
        self.what_if_as_it_is(id).await
    }

    /// Goes on with the replays that were being applied when the process ended.
    pub(crate) fn resume_replays(&self) -> Result<(), StorageError> {
        let under_way = replays::under_way(&self.0.statuses)?;
        for item in under_way.into_iter().filter(|item| item.row.state == ReplayState::Applying) {
            let id = PlanId { replay: item.replay, is_undo: item.row.undoes };
            let decided = Decided::read(&self.0.statuses.log, item.row.decisions(id.is_undo))?;
            let Some((position, decided)) = item.row.approved.zip(decided) else { continue };
            let mut request = request_of(&item)?;
            if id.is_undo {
                request = undo_of(request, id.replay, (decided.approved.through, decided.approved.at_ms));
            }
            // A log of an earlier build does not say who asked: there it is the approver.
            let (actor, reason) = match &decided.begun {
                Some(begun) => (begun.actor.clone(), begun.reason.clone()),
                None => (decided.approved.actor.clone(), decided.approved.reason.clone()),
            };
            tracing::info!(replay = %id, handler = %request.handler, actor, "a replay goes on");
            let apply = decided.apply(position, Audit { actor, reason });
            // It cannot run yet.
            drop(begin_application(&self.0, id, request, apply));
        }
        Ok(())
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
}

/// Applies a replay, once it is computed.
fn begin_application(shared: &Arc<Shared>, id: PlanId, request: WhatIf, apply: Apply) -> Result<(), Refusal> {
    shared.what_ifs.begin(id, request, shared);
    shared.what_ifs.apply(id, apply, shared)
}
