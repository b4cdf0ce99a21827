//! Receivers of changed events that may be folded again, and what would be appended for them.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use weirgate_types::{Digest, HandlerName, Manifest};

use super::{parts::planned_of_receivers, stands::Now, unowned::Unowned};
use crate::replay::{Examination, Examined, KeyPlan, LaneId, Progress, ReplayError, Runs, Sources, WhatIf, in_force};

/// By handler and key: of a what-if, receivers whose manifests allow it; of an undo, those that the replay has folded.
pub fn plans(
    sources: &Sources,
    request: &WhatIf,
    examination: &Examination,
    (progress, unowned): (&dyn Progress, &mut Unowned),
) -> Result<BTreeMap<LaneId, KeyPlan>, ReplayError> {
    let lanes = lanes(sources, request, examination)?;
    let parts = planned_of_receivers(&lanes, request.through);
    let mut plans = BTreeMap::new();
    for (lane, examined) in lanes {
        let Some(parts) = parts.get(&lane.0) else { continue };
        progress.go_on(request.through, 0)?;
        let stands = Now::new(sources, &lane.0, parts).through(request.through);
        let plan = KeyPlan::new(&lane.1, examined, request.asked_at_ms, &stands)?;
        unowned.add((&lane.0, &lane.1), examined, &plan);
        if !plan.is_nothing() {
            plans.insert(lane.clone(), plan);
        }
    }
    Ok(plans)
}

/// What differs on keys of receivers that may be folded again, or were.
pub fn lanes<'a>(
    sources: &Sources,
    request: &WhatIf,
    examination: &'a Examination,
) -> Result<Vec<(&'a LaneId, &'a Examined)>, ReplayError> {
    let (differ, allowed) = match &request.runs {
        Runs::Without(_) => (&examination.others, None),
        Runs::Candidate(_) => (&examination.cascade, Some(allowed(sources, request)?)),
    };
    let is_allowed = |handler: &HandlerName| {
        *handler != request.handler && allowed.as_ref().is_none_or(|allowed| allowed.contains(handler))
    };
    let lanes = differ.iter().chain(&examination.moved).filter(|((handler, _), _)| is_allowed(handler));
    let sorted: BTreeMap<&LaneId, &Examined> = lanes.map(|(lane, examined)| (lane, &**examined)).collect();
    Ok(sorted.into_iter().collect())
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
