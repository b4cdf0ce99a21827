//! Receivers of changed events that may be folded again, and what would be appended for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use weirgate_types::{Digest, HandlerName, Manifest};

use super::stands::Now;
use crate::replay::{
    Examination, Examined, KeyPlan, LaneId, Parts, Progress, ReplayError, Runs, Sources, WhatIf, in_force,
};

/// By handler and key: of a what-if, receivers whose manifests allow it; of an undo, those that the replay has folded.
pub fn plans(
    sources: &Sources,
    request: &WhatIf,
    examination: &Examination,
    progress: &dyn Progress,
) -> Result<BTreeMap<LaneId, KeyPlan>, ReplayError> {
    let lanes: Vec<(&LaneId, &Arc<Examined>)> = match &request.runs {
        Runs::Without(_) => examination.others.iter().collect(),
        Runs::Candidate(_) => {
            let allowed = allowed(sources, request)?;
            examination.cascade.iter().filter(|((handler, _), _)| allowed.contains(handler)).collect()
        }
    };
    let (mut plans, parts) = (BTreeMap::new(), Parts::default());
    for (lane, examined) in lanes {
        progress.go_on(request.through, 0)?;
        let stands = Now::new(sources, &lane.0, &parts).through(request.through);
        let plan = KeyPlan::new(&lane.1, examined, request.asked_at_ms, &stands)?;
        if !plan.is_nothing() {
            plans.insert(lane.clone(), plan);
        }
    }
    Ok(plans)
}

fn allowed(sources: &Sources, request: &WhatIf) -> Result<BTreeSet<HandlerName>, ReplayError> {
    let mut allowed = BTreeSet::new();
    for (handler, (position, deployed)) in in_force(&sources.look, request.through)? {
        let manifest = Manifest::from_record(&deployed.manifest)
            .map_err(|error| ReplayError::Manifest { position, reason: error.to_string() })?;
        if manifest.fold_again && handler != request.handler {
            allowed.insert(handler);
        }
    }
    Ok(allowed)
}

/// Identifies the plan of the handler's keys and those of receivers; where there are none of these, it is that of the keys.
pub fn digest(own: Digest, receivers: &BTreeMap<LaneId, KeyPlan>) -> Digest {
    if receivers.is_empty() {
        return own;
    }
    let mut hash = Sha256::new_with_prefix(own.0);
    for ((handler, _), plan) in receivers {
        hash.update(u64::try_from(handler.as_str().len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(handler.as_str());
        hash.update(plan.digest().0);
    }
    Digest(hash.finalize().into())
}
