//! Computes a what-if and its plan.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, thread, time::Duration};

use weirgate_history::HistoryError;
use weirgate_types::Position;

use super::{Bounded, Computed, Known, Summary, outside::Live, receivers, stands::Now, unowned::Unowned};
use crate::{
    handle::{Shared, undone_in},
    replay::{
        Examination, KeyIsRepaired, KeyPlan, Load, MayCall, MissingAnswers, Parts, Progress, ReplayError, Runs,
        Sources, WhatIf, plan_digest,
    },
};

/// Until the index of the history is looked at again.
const INDEX_PAUSE: Duration = Duration::from_millis(500);

pub fn compute(shared: &Arc<Shared>, known: &Known) -> Result<Computed, ReplayError> {
    let progress = Bounded::new(&known.watch, &known.request);
    compute_from(&sources(shared, known, false)?, &known.request, &progress)
}

pub fn compute_from(sources: &Sources, request: &WhatIf, progress: &dyn Progress) -> Result<Computed, ReplayError> {
    let mut examination = sources.examine(request, progress)?;
    let parts = planned_parts(&examination, request.through);
    let stands = Now::new(sources, &request.handler, &parts).through(request.through);
    let (mut plans, mut unowned) = (BTreeMap::new(), Unowned::default());
    for (key, examined) in &examination.alone {
        progress.go_on(request.through, 0)?;
        let plan = KeyPlan::new(key, examined, request.asked_at_ms, &stands)?;
        unowned.add(key, examined, &plan);
        if !plan.is_nothing() {
            plans.insert(key.clone(), plan);
        }
    }
    let same = unowned.take_out_of(&mut examination, &request.handler);
    let receivers = receivers::plans(sources, request, &examination, progress)?;
    let digest = receivers::digest(plan_digest(&plans), &receivers);
    let summary = Summary::of(&request.handler, &examination, &plans).without(same);
    let bytes = examination
        .bytes()
        .saturating_add(plans.values().chain(receivers.values()).map(KeyPlan::bytes).fold(0, u64::saturating_add));
    Ok(Computed { examination, plans, receivers, digest, summary, bytes })
}

/// The parts that keys write, where all are repaired that have a plan.
pub fn planned_parts(examination: &Examination, through: Position) -> Parts<'_> {
    let examined = examination.alone.iter().map(|(key, examined)| (key.as_str(), &**examined));
    let Ok(parts) = Parts::new(examined, through, |_, examined| {
        let is_repaired = if examined.notes.fails().is_none() { KeyIsRepaired::Now } else { KeyIsRepaired::No };
        Ok::<_, Infallible>(is_repaired)
    });
    parts
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
    let outside = Arc::new(Live::new(shared, id.replay, &request.handler)?);
    loop {
        let look = Arc::new(shared.indexing.history.look());
        match look.of_handlers(Position::ZERO, 1) {
            Err(HistoryError::NotReady { .. }) if watch.is_cancelled() => return Err(ReplayError::Cancelled),
            Err(HistoryError::NotReady { .. }) => thread::park_timeout(INDEX_PAUSE),
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let modules = Arc::clone(shared.modules.host()) as Arc<dyn Load>;
                let is_undone = undone_in(shared.statuses.views.clone(), shared.keys);
                let deployments = Arc::clone(&shared.what_ifs.deployments);
                return Ok(Sources { look, modules, outside, may_call, calls_left: None, is_undone, deployments });
            }
        }
    }
}
