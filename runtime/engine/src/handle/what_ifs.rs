//! What-ifs and their plans: asked for, looked at, approved, applied, taken back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weirgate_types::{Digest, HandlerName, Manifest, Position};

use super::{Handle, Shared, Story, differences::receivers_of, replays, versions};
use crate::{
    Audit, Refusal, ReplayItem, ReplayStep, StorageError,
    replay::{Bounds, KeyPlan, MissingAnswers, Runs, Selection, WhatIf},
    replays::check_text,
    what_ifs::{Computed, Known, PlanId},
};

/// What is asked.
#[derive(Debug, Clone)]
pub struct AskedWhatIf {
    pub handler: HandlerName,
    pub candidate: AskedCandidate,
    /// Its `version` is set by the number below.
    pub selection: Selection,
    /// Only deliveries that the version of this number handled.
    pub handled_by: Option<u32>,
    pub missing_answers: MissingAnswers,
    pub bounds: Bounds,
}

/// What runs in place of what ran.
#[derive(Debug, Clone)]
pub enum AskedCandidate {
    /// The version in force.
    InForce,
    /// A version, by its number.
    Version(u32),
    /// A module that was uploaded, with a manifest.
    Module(Digest, Box<Manifest>),
}

/// A replay, or its undo, with what is known of it in this process.
#[derive(Clone)]
pub struct WhatIfItem {
    pub id: PlanId,
    pub item: ReplayItem,
    pub request: Arc<WhatIf>,
    pub versions: VersionNumbers,
    /// Empty in a list.
    pub story: Story,
    /// `None`: it was not asked for since the start, or it was cancelled.
    pub known: Option<Known>,
}

/// The versions that a what-if is about, by number.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct VersionNumbers {
    /// `None`: the candidate is not a version.
    pub candidate: Option<u32>,
    /// That of the selection.
    pub handled_by: Option<u32>,
}

/// A page of replays, the newest first.
#[derive(Clone)]
pub struct WhatIfPage {
    pub what_ifs: Vec<WhatIfItem>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Position>,
}

/// What the approver chose where the plan left a choice.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Choices {
    /// Only these keys; absent: all keys of the plan.
    pub keys: Option<Vec<String>>,
    /// Whether timers of the fork that were due in the past fire.
    pub fire_past: bool,
    /// Whether calls are made that the log holds no answer for, where the fork goes on after them.
    pub allow_calls: bool,
    /// The receivers whose keys are folded again; of an undo, those that were.
    pub fold_again: Vec<HandlerName>,
}

impl Handle {
    pub(crate) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Records a what-if, and begins to compute it.
    ///
    /// # Errors
    /// There is no such handler, version or module, the selection is wrong, or too many others wait.
    pub async fn ask_what_if(&self, asked: AskedWhatIf, audit: Audit) -> Result<WhatIfItem, Refusal> {
        let AskedWhatIf { handler, candidate, mut selection, handled_by, missing_answers, bounds } = asked;
        if !self.0.what_ifs.has_room() {
            return Err(Refusal::TooManyWhatIfs);
        }
        selection.check().map_err(Refusal::Selection)?;
        if let Some(number) = handled_by {
            selection.version = Some(self.version_of_number(&handler, number).await?.0);
        }
        let candidate = self.what_if_candidate(&handler, candidate).await?;
        if missing_answers == MissingAnswers::Call {
            self.check_may_call(&candidate).await?;
        }
        let (runs, through) = (Runs::Candidate(candidate), self.head());
        let request =
            WhatIf { handler: handler.clone(), runs, selection, missing_answers, bounds, through, asked_at_ms: 0 };
        let request = serde_json::to_string(&request).map_err(StorageError::encode("a what-if"))?;
        let replay = self.step_replay(ReplayStep::Request { handler, request }, audit).await?;
        self.what_if(PlanId { replay, is_undo: false }).await
    }

    /// A what-if; begins to compute it if it is not known, unless it has ended. For an undo: what would be without the replay's
    /// repairs. Its plan takes them back.
    ///
    /// # Errors
    /// There is no such replay; it has repaired nothing that could be undone, or its undo was not asked for.
    pub async fn what_if(&self, id: PlanId) -> Result<WhatIfItem, Refusal> {
        self.looked_at(id, is_open).await
    }

    /// A what-if, and begins to compute it where it is not known and is `wanted`.
    async fn looked_at(&self, id: PlanId, wanted: impl FnOnce(&WhatIfItem) -> bool) -> Result<WhatIfItem, Refusal> {
        // Before the row: an application that ends meanwhile has its end in that.
        let mut known = self.0.what_ifs.get(id);
        let mut found = self.what_if_as_it_is(id).await?;
        // What it has repaired since is taken back, too: the undo is asked for anew, up to now.
        if id.is_undo && found.item.row.is_undo_outdated(found.request.through) && self.0.what_ifs.forget(id) {
            (known, found) = (None, self.what_if_as_it_is(id).await?);
        }
        if known.is_none() && wanted(&found) {
            known = self.0.what_ifs.try_begin(id, self.to_compute(&found).await?, &self.0);
        }
        Ok(match known {
            Some(known) => WhatIfItem { request: Arc::clone(&known.request), known: Some(known), ..found },
            None => found,
        })
    }

    /// What is computed: an undo looks at what is behind its replay, or behind an older one.
    async fn to_compute(&self, found: &WhatIfItem) -> Result<WhatIf, Refusal> {
        let mut request = (*found.request).clone();
        if found.id.is_undo {
            let (views, replay) = (self.0.statuses.views.clone(), found.id.replay);
            let after = self.0.queries.own_read(move || replays::undo_after(&views, replay)).await??;
            request.selection.after = after;
        }
        Ok(request)
    }

    /// A what-if, which is not computed for that.
    ///
    /// # Errors
    /// As for [`Self::what_if`].
    pub async fn what_if_as_it_is(&self, id: PlanId) -> Result<WhatIfItem, Refusal> {
        let known = self.0.what_ifs.peek(id);
        let item = self.replay(id.replay).await?;
        if id.is_undo && !item.row.has_repaired() {
            return Err(Refusal::NothingToUndo(id.replay));
        }
        let statuses = self.0.statuses.clone();
        let read = move || {
            let (request, story) = (request_of(&item)?, Story::read(&statuses.log, &item, id.is_undo)?);
            let versions = versions::numbers(&statuses, &request)?;
            Ok::<_, StorageError>((item, request, story, versions))
        };
        let (item, mut request, story, versions) = self.0.queries.own_read(read).await??;
        if id.is_undo {
            request = story.undo_of(request, &item, id.replay).ok_or_else(|| match check_handler(&item) {
                Err(replaced) => replaced,
                Ok(()) => Refusal::UndoNotRequested(id.replay),
            })?;
        }
        let request = known.as_ref().map_or_else(|| Arc::new(request), |known| Arc::clone(&known.request));
        Ok(WhatIfItem { id, item, request, versions, story, known })
    }

    /// Replays before one, the newest first; at most `limit`, and fewer if what was asked is large. None is computed for that.
    ///
    /// # Errors
    /// The views or the log cannot be read.
    pub async fn what_ifs(&self, before: Option<Position>, limit: usize) -> Result<WhatIfPage, Refusal> {
        let (items, next) = self.replays(before, limit).await?;
        let what_if = |(item, request, versions): (ReplayItem, WhatIf, VersionNumbers)| {
            let id = PlanId { replay: item.replay, is_undo: false };
            let (story, known) = (Story::default(), self.0.what_ifs.peek(id));
            WhatIfItem { id, request: Arc::new(request), versions, story, known, item }
        };
        Ok(WhatIfPage { what_ifs: items.into_iter().map(what_if).collect(), next })
    }

    /// Records that the plan of this digest may be applied. It takes the place of an earlier approval.
    ///
    /// # Errors
    /// The plan is another one by now, is empty or not whole, its candidate is not in force, or this or another replay of the handler is
    /// being applied.
    pub async fn approve(
        &self,
        id: PlanId,
        plan: Digest,
        mut choices: Choices,
        audit: Audit,
    ) -> Result<WhatIfItem, Refusal> {
        recorded(&choices)?;
        let _decision = self.0.what_ifs.decision().await;
        let found = self.what_if(id).await?;
        check_handler(&found.item)?;
        let (replay, row) = (id.replay, &found.item.row);
        if !row.may_be_approved(id.is_undo) {
            return Err(Refusal::ReplayState { replay, state: row.state });
        }
        let computed = self.computed(id).await?;
        if is_applied(&found) {
            return Err(Refusal::ReplayRuns(replay));
        }
        if computed.digest != plan {
            return Err(Refusal::PlanChanged { replay, plan: computed.digest });
        }
        if let Some(bound) = computed.examination.bound {
            return Err(Refusal::PlanNotWhole { replay, what: bound.what, at: bound.at });
        }
        // An undo without a plan ends the replay all the same: others have taken its place.
        if !id.is_undo && computed.plans.is_empty() && computed.receivers.is_empty() {
            return Err(Refusal::PlanIsEmpty(replay));
        }
        if id.is_undo {
            choices.fold_again = receivers_of(&computed);
        } else {
            for receiver in &choices.fold_again {
                self.handler(receiver.clone()).await?;
            }
        }
        self.check_fold(replay, &choices, &computed).await?;
        check_keys(replay, &choices, &computed)?;
        let version = self.check_in_force(&found.request).await?;
        if choices.keys.is_none() && !id.is_undo && row.is_undone_beside_since(found.request.through) {
            return Err(Refusal::UndoneSince { replay, through: found.request.through });
        }
        self.check_nothing_since(&found, &choices, version).await?;
        let choices = recorded(&choices)?;
        let (through, undoes) = (found.request.through, id.is_undo);
        self.step_replay(ReplayStep::Approve { replay, plan, through, choices, undoes, version }, audit).await?;
        self.what_if(id).await
    }

    /// Receivers can be folded again whose manifests allow it, also those that have no plan: one that comes to the same in the fork may come to
    /// something else once it gets what is appended, and what is behind one that fails there is not known. And only if all was examined.
    async fn check_fold(&self, replay: Position, choices: &Choices, computed: &Computed) -> Result<(), Refusal> {
        let planned = receivers_of(computed);
        for handler in choices.fold_again.iter().filter(|handler| !planned.contains(handler)) {
            let is_allowed = self.handler(handler.clone()).await?.manifest.fold_again;
            // What another replay has made of it stands in the fork, though it may follow from what this one changes.
            let (views, receiver) = (self.0.statuses.views.clone(), handler.clone());
            let read = move || replays::is_repaired_by_another(&views, replay, &receiver);
            if !is_allowed || self.0.queries.own_read(read).await?? {
                return Err(Refusal::NotFoldable { replay, handler: handler.clone() });
            }
        }
        match computed.examination.cascade_bound.filter(|_| !choices.fold_again.is_empty()) {
            Some(bound) => Err(Refusal::PlanNotWhole { replay, what: bound.what, at: bound.at }),
            None => Ok(()),
        }
    }

    /// Deliveries that an earlier version has handled since the what-if looked are of keys that its plan may not have: the whole of it is not
    /// approved then. Named keys are looked at again when they are repaired.
    async fn check_nothing_since(
        &self,
        found: &WhatIfItem,
        choices: &Choices,
        version: Option<Position>,
    ) -> Result<(), Refusal> {
        let (through, handler) = (found.request.through, found.request.handler.clone());
        let Some(version) = version.filter(|version| *version > through && choices.keys.is_none()) else {
            return Ok(());
        };
        let look = self.history().look();
        let first = move || look.of_commits(&handler, through, 1);
        let first = self.0.queries.own_read(first).await??;
        match first.first().is_some_and(|first| *first < version) {
            true => Err(Refusal::HandledSince { replay: found.id.replay, through, version }),
            false => Ok(()),
        }
    }

    /// What a what-if found; that of one that has ended is computed again, too.
    pub(super) async fn computed(&self, id: PlanId) -> Result<Arc<Computed>, Refusal> {
        let replay = id.replay;
        let wanted = |found: &WhatIfItem| is_open(found) || found.request.missing_answers != MissingAnswers::Call;
        match self.looked_at(id, wanted).await?.known.map(|known| known.result) {
            Some(Some(Ok(computed))) => Ok(computed),
            Some(Some(Err(reason))) => Err(Refusal::ReplayFailed { replay, reason }),
            Some(None) => Err(Refusal::ReplayNotReady(replay)),
            None if !self.0.what_ifs.has_room() => Err(Refusal::TooManyWhatIfs),
            None => Err(Refusal::ReplayOver(replay)),
        }
    }
}

/// Whether something may still be decided about it.
fn is_open(found: &WhatIfItem) -> bool {
    let row = &found.item.row;
    row.is_open() || row.may_be_approved(true)
}

/// The choices as the approval holds them, if they are not too large for it.
fn recorded(choices: &Choices) -> Result<String, Refusal> {
    let text = serde_json::to_string(choices).map_err(StorageError::encode("the choices"))?;
    check_text("the choices of an approval", &text).map(|()| text)
}

/// Only keys of the plan can be repaired, and one of them has to be.
fn check_keys(replay: Position, choices: &Choices, computed: &Computed) -> Result<(), Refusal> {
    if let Some(unknown) = choices.keys.iter().flatten().find(|key| !computed.plans.contains_key(*key)) {
        return Err(Refusal::KeyNotPlanned { replay, key: unknown.clone() });
    }
    let may = |plan: &KeyPlan| plan.may_be_repaired(choices.allow_calls);
    let is_any = match &choices.keys {
        Some(keys) => keys.iter().filter_map(|key| computed.plans.get(key)).any(may),
        None => computed.plans.is_empty() || computed.plans.values().any(may),
    };
    if is_any { Ok(()) } else { Err(Refusal::NoKeyCanBeRepaired(replay)) }
}

/// Whether it is being applied, or waits for that.
pub(super) fn is_applied(found: &WhatIfItem) -> bool {
    let applied = found.known.as_ref().and_then(|known| known.applied.as_ref());
    applied.is_some_and(|applied| applied.is_running)
}

/// A replay is of the handler that it was asked for.
pub(super) fn check_handler(item: &ReplayItem) -> Result<(), Refusal> {
    match item.is_handler_removed {
        true => Err(Refusal::HandlerReplaced { handler: item.row.handler.clone(), replay: item.replay }),
        false => Ok(()),
    }
}

pub(super) fn request_of(item: &ReplayItem) -> Result<WhatIf, StorageError> {
    let request: WhatIf =
        serde_json::from_str(&item.requested.request).map_err(StorageError::undecodable("a what-if"))?;
    Ok(WhatIf { asked_at_ms: item.requested.at_ms, ..request })
}
