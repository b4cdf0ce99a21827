//! A replay in an answer: what was asked, how far it is, what was found, and what came of the plan.

use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;
use utoipa::ToSchema;
use weirgate_engine::{
    Applied, Computed, Known, PlanId, ReplayRow, ReplayState, Story, Summary, VersionNumbers, WhatIfItem,
    WhatIfProgress,
    replay::{Bound, Runs, WhatIf},
};
use weirgate_types::{Digest, HandlerName, Position};

use super::{
    super::times::rfc3339,
    ReplayId,
    approval::{ApprovalItem, BegunItem, EndedItem, Refused},
    parts::Cut,
};

/// What a candidate would have done with a handler's recorded deliveries, or what would be without the repairs of a replay (an undo).
#[derive(Serialize, ToSchema)]
pub struct ReplayItem {
    #[schema(value_type = ReplayId, inline)]
    id: String,
    #[schema(value_type = HandlerName)]
    handler: String,
    /// `requested` (not computed since the start of the server), `computing`, `ready`, `failed`, `approved`, `applying`,
    /// `applied-in-part` (nothing runs, and keys of the plan are left), `applied`, `undone-in-part`, `undone` or `cancelled`.
    state: &'static str,
    /// Absent for an undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<CandidateItem>,
    selection: SelectionItem,
    /// `fail`, `last` or `call`.
    #[schema(value_type = String)]
    missing_answers: weirgate_engine::replay::MissingAnswers,
    bounds: BoundsItem,
    /// The last position that is looked at.
    through: u64,
    /// Who asked, and why.
    actor: String,
    reason: String,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    asked_at: String,
    asked_at_ms: u64,
    /// The newest approval of the plan; absent if there is none, and in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalItem>,
    /// Who asked to apply what that approved, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun: Option<BegunItem>,
    /// Who ended it, for instance by a cancel, and why; an application ends in the name of who asked for it. Absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<EndedItem>,
    /// While it is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    /// Why it could not be computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Once it is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Found>,
    /// Number of keys that are repaired; of an undo, of those whose repair is taken back.
    repaired: u64,
    /// What the last application came to, or has come to so far; absent if there was none since the start of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<Application>,
}

#[derive(Serialize, ToSchema)]
pub struct CandidateItem {
    #[schema(value_type = Digest)]
    digest: String,
    /// The number of the version, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
}

/// Which deliveries the candidate handles; what is absent does not matter.
#[derive(Serialize, ToSchema)]
pub struct SelectionItem {
    after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<u64>,
    /// RFC 3339, and in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    types: Vec<String>,
    /// `completed` or `dead-lettered`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    outcome: Option<weirgate_engine::replay::Closed>,
    /// The number of the version that ended them, or was in force and did not take the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    /// Conditions on the event's data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filter: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_state: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub struct BoundsItem {
    keys: u64,
    cpu_seconds: u64,
    bytes: u64,
    calls: u64,
}

#[derive(Serialize, ToSchema)]
pub struct Progress {
    /// The position that is looked at. Where changed events reach other handlers, the range is passed a second time.
    at: u64,
    /// Of both passes: at 50 it is done, or begins with the second one.
    percent: u64,
    /// Number of executed deliveries.
    executed: u64,
    /// Processor time that was used, in milliseconds.
    cpu_ms: u64,
    /// An estimate of how long both passes still take, in milliseconds: as long as what was passed took, for each position.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_ms: Option<u64>,
}

/// What was found, in numbers. The plan is what applying it appends.
#[derive(Serialize, ToSchema)]
pub struct Found {
    /// Number of executed deliveries.
    executed: u64,
    /// Number of keys on which the handler comes to something else.
    keys: u64,
    /// Number of those on which a delivery fails that completed; they cannot be repaired.
    keys_failing: u64,
    /// Number of those of which it is not known, because the breaker of a called host was open: ask again when it is closed.
    keys_not_examined: u64,
    /// Number of handlers and keys that changed events reach, and that come to something else then.
    receivers: u64,
    /// The plan's digest: what is approved.
    #[schema(value_type = Digest)]
    plan: String,
    /// Number of keys of the plan.
    planned_keys: u64,
    values: u64,
    statuses: u64,
    events: u64,
    timers: u64,
    /// Number of timers that were due in the past; they are set only if that is approved.
    past_timers: u64,
    /// Number of emitted events and calls that cannot be taken back.
    stays: u64,
    /// Number of calls that the log has no answer for.
    unanswered_calls: u64,
    /// Number of planned keys that an application repairs only if it may make calls.
    keys_needing_calls: u64,
    /// What was left out; absent if all was examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_examined: Option<NotExamined>,
    /// What was left out at the receivers of events alone: the plan does not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    receivers_not_examined: Option<NotExamined>,
}

/// Events after a position were not examined, because a limit was reached.
#[derive(Serialize, ToSchema)]
pub struct NotExamined {
    limit: &'static str,
    after: u64,
}

impl NotExamined {
    pub fn of(Bound { what, at }: Bound) -> Self {
        Self { limit: what, after: at.0 }
    }
}

#[derive(Serialize, ToSchema)]
pub struct Application {
    running: bool,
    /// Number of the plan's keys, of those that were looked at, and of those that were repaired.
    keys: u64,
    looked_at: u64,
    repaired: u64,
    /// Number of keys of receivers that were folded again, or whose folding was taken back.
    folded: u64,
    /// Number of keys that wait until a host may be called: its breaker is open.
    waiting: u64,
    /// Number of timers that were not set, because they were due when their key was repaired: they go off only if that is approved.
    past_timers: u64,
    /// Keys that were not repaired, and why.
    refused: Cut<Refused>,
    /// The error that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl ReplayItem {
    pub fn of(item: WhatIfItem) -> Self {
        let WhatIfItem { id, item, request, versions, story: Story { undo, decided, refused, ended }, known } = item;
        let approval = decided.as_ref().map(ApprovalItem::of);
        let (actor, reason) = match (undo, &approval) {
            (Some(undo), _) => (undo.actor, undo.reason),
            // A log of an earlier build does not say who asked for the undo.
            (None, Some(approval)) if id.is_undo => (approval.actor.clone(), approval.reason.clone()),
            (None, _) => (item.requested.actor, item.requested.reason),
        };
        let begun = decided.and_then(|decided| decided.begun);
        let result = known.as_ref().and_then(|known| known.result.as_ref());
        let computed = result.and_then(|result| result.as_ref().ok());
        let applied = known.as_ref().and_then(|known| known.applied.as_ref());
        let is_computing = known.as_ref().filter(|known| known.result.is_none());
        Self {
            id: id.to_string(),
            handler: request.handler.to_string(),
            state: state(id, &item.row, known.as_ref()),
            candidate: candidate(&request.runs, versions),
            selection: SelectionItem::of(&request, versions),
            missing_answers: request.missing_answers,
            bounds: BoundsItem {
                keys: request.bounds.keys,
                cpu_seconds: request.bounds.cpu_seconds,
                bytes: request.bounds.bytes,
                calls: request.bounds.calls,
            },
            through: request.through.0,
            actor,
            reason,
            asked_at: rfc3339(request.asked_at_ms),
            asked_at_ms: request.asked_at_ms,
            approval,
            begun: begun.map(BegunItem::of),
            ended: ended.map(|ended| EndedItem::of(ended, refused)),
            progress: is_computing.map(|known| Progress::of(&known.watch, request.through)),
            error: result.and_then(|result| result.as_ref().err().cloned()),
            found: computed.map(|computed| Found::of(computed)),
            repaired: if id.is_undo { item.row.keys_undone } else { item.row.keys },
            application: applied.map(|applied| Application::of(applied, computed.map(|computed| computed.summary))),
        }
    }

    /// A replay that was cancelled just now. The log does not know of an undo that was not approved.
    pub fn cancelled(item: WhatIfItem) -> Self {
        Self { state: ReplayState::Cancelled.word(), ..Self::of(item) }
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The row tells of a replay or of its undo: of what was approved last.
fn state(id: PlanId, row: &ReplayRow, known: Option<&Known>) -> &'static str {
    let state = if id.is_undo { row.state } else { row.state_of_application() };
    // One that was withdrawn may be asked for again.
    let is_asked_again = state == ReplayState::Cancelled && row.undo_requested.is_some();
    match state {
        _ if id.is_undo && (!row.undoes || is_asked_again) => computed(known),
        ReplayState::Requested => computed(known),
        state => state.word(),
    }
}

fn computed(known: Option<&Known>) -> &'static str {
    match known.map(|known| &known.result) {
        None => "requested",
        Some(None) => "computing",
        Some(Some(Ok(_))) => "ready",
        Some(Some(Err(_))) => "failed",
    }
}

fn candidate(runs: &Runs, versions: VersionNumbers) -> Option<CandidateItem> {
    match runs {
        Runs::Candidate(candidate) => {
            Some(CandidateItem { digest: candidate.module.to_string(), version: versions.candidate })
        }
        Runs::Without(_) => None,
    }
}

impl SelectionItem {
    fn of(request: &WhatIf, versions: VersionNumbers) -> Self {
        let selection = request.selection.clone();
        Self {
            after: selection.after.0,
            through: selection.through.map(|through| through.0),
            since: selection.since_ms.map(rfc3339),
            since_ms: selection.since_ms,
            until: selection.until_ms.map(rfc3339),
            until_ms: selection.until_ms,
            keys: selection.keys,
            types: selection.types,
            outcome: selection.outcome,
            version: versions.handled_by,
            filter: selection.filter.iter().map(ToString::to_string).collect(),
            read_state: selection.read_state,
        }
    }
}

impl Progress {
    fn of(watch: &WhatIfProgress, through: Position) -> Self {
        let [from, at, done, executed] =
            [&watch.from, &watch.at, &watch.passed, &watch.executed].map(|value| value.load(Relaxed));
        let [cpu_ms, elapsed_ms] = [&watch.cpu_ms, &watch.elapsed_ms].map(|value| value.load(Relaxed));
        // The range may be passed twice.
        let all = through.0.saturating_sub(from).saturating_mul(2);
        let left_ms = (done > 0 && elapsed_ms > 0).then(|| {
            let left = u128::from(elapsed_ms) * u128::from(all.saturating_sub(done)) / u128::from(done);
            u64::try_from(left).unwrap_or(u64::MAX)
        });
        let percent = u128::from(done.min(all)) * 100 / u128::from(all.max(1));
        Self { at, percent: u64::try_from(percent).unwrap_or(100), executed, cpu_ms, left_ms }
    }
}

impl Found {
    fn of(computed: &Computed) -> Self {
        let summary = computed.summary;
        Self {
            executed: computed.examination.executed,
            keys: summary.keys,
            keys_failing: summary.keys_failing,
            keys_not_examined: summary.keys_not_examined,
            receivers: summary.receivers,
            plan: computed.digest.to_string(),
            planned_keys: summary.planned,
            values: summary.values,
            statuses: summary.statuses,
            events: summary.events,
            timers: summary.timers,
            past_timers: summary.past_timers,
            stays: summary.stays,
            unanswered_calls: summary.unanswered_calls,
            keys_needing_calls: summary.keys_needing_calls,
            not_examined: computed.examination.bound.map(NotExamined::of),
            receivers_not_examined: computed.examination.cascade_bound.map(NotExamined::of),
        }
    }
}

impl Application {
    fn of(applied: &Applied, found: Option<Summary>) -> Self {
        let refused = |(key, reason): (&String, &String)| Refused { key: key.clone(), reason: reason.clone() };
        Self {
            running: applied.is_running,
            keys: found.map_or(0, |found| found.planned),
            looked_at: applied.looked_at,
            repaired: applied.repaired,
            folded: applied.folded,
            waiting: applied.waiting,
            past_timers: applied.past_timers,
            refused: Cut::of_many(applied.refused.first.iter().map(refused), applied.refused.count),
            error: applied.error.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(from: u64, passed: u64, elapsed_ms: u64, through: u64) -> (u64, Option<u64>) {
        let watch = WhatIfProgress::default();
        for (value, is) in [(&watch.from, from), (&watch.passed, passed), (&watch.elapsed_ms, elapsed_ms)] {
            value.store(is, Relaxed);
        }
        let Progress { percent, left_ms, .. } = Progress::of(&watch, Position(through));
        (percent, left_ms)
    }

    #[test]
    fn progress_is_a_share_of_the_range() {
        for (from, at, elapsed_ms, through, expected) in [
            (0, 0, 0, 0, (0, None)),
            (0, 50, 1_000, 100, (25, Some(3_000))),
            (100, 50, 500, 200, (25, Some(1_500))),
            (100, 100, 500, 200, (50, Some(500))),
            (100, 0, 500, 200, (0, None)),
            (0, 200, 500, 100, (100, Some(0))),
            (0, u64::MAX, u64::MAX, 1, (100, Some(0))),
            (0, 1, u64::MAX, u64::MAX, (0, Some(u64::MAX))),
        ] {
            assert_eq!(progress(from, at, elapsed_ms, through), expected);
        }
    }
}
