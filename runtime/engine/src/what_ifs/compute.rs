//! Computes a what-if and its plan.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use weirgate_history::HistoryError;
use weirgate_types::Position;

use super::{
    Bounded, Computed, Known, Summary, outside::Live, parts::planned_parts, receivers, stands::Now, unowned::Unowned,
};
use crate::{
    handle::{Shared, StoredRepairs},
    replay::{KeyPlan, Load, MayCall, MissingAnswers, Progress, ReplayError, Runs, Sources, WhatIf, plan_digest},
};

/// Until the index of the history is looked at again.
const INDEX_PAUSE: Duration = Duration::from_millis(500);

pub fn compute(shared: &Arc<Shared>, known: &Known) -> Result<Computed, ReplayError> {
    let progress = Bounded::new(&known.watch, &known.request);
    compute_from(&sources(shared, known, false)?, &known.request, &progress)
}

pub fn compute_from(sources: &Sources, request: &WhatIf, progress: &dyn Progress) -> Result<Computed, ReplayError> {
    let mut examination = sources.examine(request, progress)?;
    let parts = planned_parts(&examination, request);
    let stands = Now::new(sources, &request.handler, &parts).through(request.through);
    let (mut plans, mut unowned) = (BTreeMap::new(), Unowned::default());
    for (key, examined) in examination.own(&request.handler) {
        progress.go_on(request.through, 0)?;
        let plan = KeyPlan::new(key, examined, request.asked_at_ms, &stands)?;
        unowned.add((&request.handler, key), examined, &plan);
        if !plan.is_nothing() {
            plans.insert(key.clone(), plan);
        }
    }
    let receivers = receivers::plans(sources, request, &examination, (progress, &mut unowned))?;
    let same = unowned.take_out_of(&mut examination, request);
    let digest = receivers::digest(plan_digest(&plans), &receivers);
    let summary = Summary::of(&request.handler, &examination, &plans).without(same);
    let bytes = examination
        .bytes()
        .saturating_add(plans.values().chain(receivers.values()).map(KeyPlan::bytes).fold(0, u64::saturating_add));
    Ok(Computed { examination, plans, receivers, digest, summary, bytes })
}

/// Which calls a replay may make that no record has an answer for; `is_allowed`: its plan was approved with calls.
pub fn may_call(request: &WhatIf, is_allowed: bool) -> MayCall {
    match (&request.runs, request.missing_answers) {
        (Runs::Without(_), _) => MayCall::Nothing,
        _ if is_allowed => MayCall::All,
        (_, MissingAnswers::Call) => MayCall::Safe,
        (_, MissingAnswers::Fail | MissingAnswers::Last) => MayCall::Nothing,
    }
}

/// What a replay reads. Waits until the history is indexed. Calls without a recorded answer are made where the request says so, or
/// where the approver of its plan does.
pub fn sources(shared: &Arc<Shared>, known: &Known, calls_allowed: bool) -> Result<Sources, ReplayError> {
    let Known { request, watch, id, .. } = known;
    let may_call = may_call(request, calls_allowed);
    let outside = Arc::new(Live::new(shared, id.replay));
    loop {
        let look = Arc::new(shared.indexing.history.look());
        match look.of_handlers(Position::ZERO, 1) {
            Err(HistoryError::NotReady { .. }) if watch.is_cancelled() => return Err(ReplayError::Cancelled),
            Err(HistoryError::NotReady { .. }) => thread::park_timeout(INDEX_PAUSE),
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let modules = Arc::clone(shared.modules.host()) as Arc<dyn Load>;
                let repairs = StoredRepairs { views: shared.statuses.views.clone(), hasher: shared.keys };
                let repairs = Arc::new(repairs);
                let deployments = Arc::clone(&shared.what_ifs.deployments);
                return Ok(Sources { look, modules, outside, may_call, calls_left: None, repairs, deployments });
            }
        }
    }
}
