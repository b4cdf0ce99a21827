//! Undos are asked for, approved plans applied, and replays cancelled. Each is durable before it is answered; an application that was begun
//! goes on after a restart, until it ends.

use std::sync::Arc;

use tokio::sync::oneshot;
use weirgate_log::LogReader;
use weirgate_types::{
    ApplyBegun, Position, Record, RepairsRefused, ReplayApproved, ReplayEnd, ReplayEnded, UndoRequested,
};

use super::{
    Handle, Shared, WhatIfItem, blocking, replays,
    what_ifs::{Choices, check_handler, is_applied, request_of},
};
use crate::{
    Audit, Decisions, Refusal, ReplayItem, ReplayState, ReplayStep, StorageError,
    command::Command,
    replay::{MissingAnswers, Runs, Selection, WhatIf},
    what_ifs::{Apply, Decision, PlanId, chain},
};

/// How many of the newest what-ifs are computed again at a start, if they are open.
const RESUMED_MAX: usize = 4;

/// The newest decisions about a plan: its approval, and the request to apply it.
#[derive(Debug, Clone)]
pub struct Decided {
    pub approved: ReplayApproved,
    pub choices: Choices,
    /// `None`: it was not applied since it was approved.
    pub begun: Option<ApplyBegun>,
}

/// What the log says of a plan beside the request: of an undo, who asked for it, and what was decided.
#[derive(Debug, Default, Clone)]
pub struct Story {
    /// `None`: it was not asked for, or that was withdrawn.
    pub undo: Option<UndoRequested>,
    /// `None`: it was not approved.
    pub decided: Option<Decided>,
    /// What the last application did not repair; `None`: nothing, or it has not ended.
    pub refused: Option<RepairsRefused>,
    /// `None`: it has not ended.
    pub ended: Option<ReplayEnded>,
}

impl Story {
    pub(super) fn read(log: &LogReader, item: &ReplayItem, is_undo: bool) -> Result<Self, StorageError> {
        let undo = match item.row.undo_requested.filter(|_| is_undo).map(|position| log.read(position)).transpose()? {
            Some(Some((_, Record::UndoRequested(undo)))) => Some(undo),
            _ => None,
        };
        let decisions = item.row.decisions(is_undo);
        let refused = match decisions.refused.map(|position| log.read(position)).transpose()? {
            Some(Some((_, Record::RepairsRefused(refused)))) => Some(refused),
            _ => None,
        };
        let ended = match decisions.ended.map(|position| log.read(position)).transpose()? {
            Some(Some((_, Record::ReplayEnded(ended)))) => Some(ended),
            _ => None,
        };
        Ok(Self { undo, decided: Decided::read(log, decisions)?, refused, ended })
    }

    /// What would be without the replay's repairs, as it was asked for; what is approved is the plan up to a position. `None`: neither was.
    /// Looks at what is behind `after`.
    pub(super) fn undo_of(&self, request: WhatIf, item: &ReplayItem, after: Position) -> Option<WhatIf> {
        let approved = self.decided.as_ref().map(|decided| &decided.approved);
        let is_decided = item.row.undoes && item.row.undo_requested < item.row.approved;
        let approved_through = approved.filter(|_| is_decided || self.undo.is_none()).map(|approved| approved.through);
        let approved_through = approved_through.filter(|through| !item.row.is_undo_outdated(*through));
        let through = approved_through.or_else(|| item.row.undo_through())?;
        // A log of an earlier build does not say when it was asked for.
        let asked_at_ms = self.undo.as_ref().map(|undo| undo.at_ms).or_else(|| approved.map(|one| one.at_ms))?;
        let selection = Selection { after, ..Selection::default() };
        Some(WhatIf { runs: Runs::Without(item.replay), selection, through, asked_at_ms, ..request })
    }

    /// The reason of who asked: for the undo, or for the replay.
    fn asked_for(&self, item: &ReplayItem) -> String {
        self.undo.as_ref().map_or(&item.requested.reason, |undo| &undo.reason).clone()
    }
}

impl Decided {
    /// `None`: there is none, or the record is lost.
    pub(super) fn read(
        log: &LogReader,
        Decisions { approved, begun, .. }: Decisions,
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

    /// What is applied in whose name. Where the applier gives no reason, it is the approver's, or that of who asked.
    fn apply(self, position: Position, mut audit: Audit, asked_for: String) -> Apply {
        if audit.reason.is_empty() {
            audit.reason = Some(self.approved.reason).filter(|reason| !reason.is_empty()).unwrap_or(asked_for);
        }
        Apply { choices: self.choices, plan: self.approved.plan, approved: position, audit }
    }
}

impl Handle {
    /// Asks what would be without the repairs of a replay: that is durable before the answer. The same again changes nothing, until there are
    /// other repairs.
    ///
    /// # Errors
    /// There is no such replay, its handler was removed, or it has repaired nothing that could be undone.
    pub async fn undo(&self, replay: Position, audit: Audit) -> Result<WhatIfItem, Refusal> {
        let decision = self.0.what_ifs.decision().await;
        let (id, row) = (PlanId { replay, is_undo: true }, self.replay(replay).await?.row);
        if !row.has_repaired() {
            return Err(Refusal::NothingToUndo(replay));
        }
        if row.may_request_undo() {
            let step = ReplayStep::RequestUndo { replay };
            self.decide(decision, step, audit, move |shared| shared.what_ifs.forget(id)).await?;
        }
        self.what_if(id).await
    }

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
        // Twice is no more than once.
        if row.undoes == undoes && matches!(row.state, ReplayState::Applied | ReplayState::Undone) {
            return Ok(found);
        }
        let approved = row.approved.filter(|_| row.may_begin(undoes)).ok_or(Refusal::NotApproved(replay))?;
        if is_applied(&found) {
            return Ok(found);
        }
        check_handler(&found.item)?;
        self.check_in_force(&found.request).await?;
        let asked_for = found.story.asked_for(&found.item);
        let decided = found.story.decided.ok_or(StorageError::Missing { what: "approval", position: approved })?;
        let through = found.request.through;
        if decided.choices.keys.is_none() && !undoes && row.is_undone_beside_since(through) {
            return Err(Refusal::UndoneSince { replay, through });
        }
        let plan = self.computed(id).await?.digest;
        let (request, apply) = ((*found.request).clone(), decided.apply(approved, audit.clone(), asked_for));
        if !apply.is_of(plan) {
            return Err(Refusal::PlanChanged { replay, plan });
        }
        let begin = ReplayStep::Begin { replay, approved, undoes };
        let run = move |shared: &Arc<Shared>| begin_application(shared, id, request, apply);
        self.decide(decision, begin, audit, run).await??;
        self.what_if(id).await
    }

    /// Ends a replay: it is neither computed nor applied any further. Keys that are repaired stay so. An undo that is not approved is
    /// withdrawn, and the replay stays as it is.
    ///
    /// # Errors
    /// There is no such replay, or it has ended.
    pub async fn cancel_replay(&self, id: PlanId, audit: Audit) -> Result<WhatIfItem, Refusal> {
        let decision = self.0.what_ifs.decision().await;
        let (replay, found) = (id.replay, self.what_if_as_it_is(id).await?);
        // It has ended, and is computed again only to be looked at: nothing of that is in the log.
        if !found.item.row.is_open() && found.known.as_ref().is_some_and(|known| known.result.is_none()) {
            self.0.what_ifs.forget(id);
            return Ok(WhatIfItem { known: None, ..found });
        }
        if id.is_undo && !found.item.row.undoes {
            let end = ReplayStep::End { replay, end: ReplayEnd::UndoCancelled };
            self.decide(decision, end, audit, move |shared| shared.what_ifs.forget(id)).await?;
            return Ok(WhatIfItem { known: None, ..found });
        }
        let end = ReplayStep::End { replay, end: ReplayEnd::Cancelled };
        self.decide(decision, end, audit, move |shared| shared.what_ifs.cancel(replay)).await?;
        self.what_if_as_it_is(id).await
    }

    /// Goes on with the replays that were being applied when the process ended.
    pub(crate) fn resume_replays(&self) -> Result<(), StorageError> {
        let under_way = replays::under_way(&self.0.statuses)?;
        for item in under_way.into_iter().filter(|item| item.row.state == ReplayState::Applying) {
            let id = PlanId { replay: item.replay, is_undo: item.row.undoes };
            let read =
                || Ok::<_, StorageError>((Story::read(&self.0.statuses.log, &item, id.is_undo)?, request_of(&item)?));
            let (story, asked) = match read() {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(replay = %id, error = %chain(&error), "a replay does not go on: cancel it, or apply it again");
                    continue;
                }
            };
            let request = match id.is_undo {
                true => story.undo_of(asked, &item, replays::undo_after(&self.0.statuses.views, item.replay)?),
                false => Some(asked),
            };
            let asked_for = story.asked_for(&item);
            let Some(((position, decided), request)) = item.row.approved.zip(story.decided).zip(request) else {
                tracing::warn!(replay = %id, "a replay does not go on, since its approval is lost: approve it again");
                continue;
            };
            // A log of an earlier build does not say who asked: there it is the approver.
            let (actor, reason) = match &decided.begun {
                Some(begun) => (begun.actor.clone(), begun.reason.clone()),
                None => (decided.approved.actor.clone(), decided.approved.reason.clone()),
            };
            tracing::info!(replay = %id, handler = %request.handler, actor, "a replay goes on");
            let apply = decided.apply(position, Audit { actor, reason }, asked_for);
            // It cannot run yet.
            drop(begin_application(&self.0, id, request, apply));
        }
        Ok(())
    }

    /// Computes again what was asked last and may not have been computed when the process ended, unless that may call hosts.
    pub(crate) fn resume_what_ifs(&self) -> Result<(), StorageError> {
        let mut newest = replays::newest(&self.0.statuses, RESUMED_MAX)?;
        newest.retain(|item| item.row.state == ReplayState::Requested && check_handler(item).is_ok());
        for item in newest.iter().rev() {
            let request = request_of(item)?;
            if request.missing_answers != MissingAnswers::Call {
                self.0.what_ifs.begin(PlanId { replay: item.replay, is_undo: false }, request, &self.0);
            }
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
