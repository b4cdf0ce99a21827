//! Whether what a key comes to is what was approved of it. Pure.

use crate::replay::KeyPlan;

/// Why a key is not repaired that comes to something else than what was approved.
const OTHERWISE: &str = "it comes to something else than in the approved plan, though no event of it has come since: ask again what would be, \
                         and compare the plans; its deliveries may not be deterministic, or the runtime is another version";

/// Why one is not repaired that had no plan then.
const HAD_NONE: &str =
    "no plan could be made for it when the others were approved, which is not so any more: ask again what would be";

/// Why a key is not repaired of which nothing has come since its plan was approved: it comes to something else. `None` is a plan that says
/// nothing. A key that needed a call was approved for what that is answered, one behind a handler that failed for what that emits; one that is refused
/// now has its own reason.
pub fn is_otherwise(approved: Option<&KeyPlan>, now: Option<&KeyPlan>) -> Option<String> {
    let was_unknown = approved.is_some_and(|plan| plan.needs.is_some() || plan.is_behind);
    let is_refused = now.is_some_and(|plan| plan.refused.is_some());
    let says = |plan: Option<&KeyPlan>| plan.filter(|plan| !plan.is_nothing()).map(KeyPlan::digest);
    let is_agreed = was_unknown || is_refused || says(approved) == says(now);
    let reason = if approved.is_some_and(|plan| plan.refused.is_some()) { HAD_NONE } else { OTHERWISE };
    (!is_agreed).then(|| reason.to_owned())
}

#[cfg(test)]
mod tests {
    use weirgate_types::{Digest, Position, StateWrite, StepRequest};

    use super::*;
    use crate::replay::UnansweredCall;

    fn plan(value: &str) -> KeyPlan {
        let state = vec![StateWrite { name: "total".into(), value: Some(value.as_bytes().to_vec()) }];
        KeyPlan { key: "k".into(), state, ..KeyPlan::default() }
    }

    #[test]
    fn what_was_approved_is_appended_and_nothing_else() {
        let (approved, other) = (plan("7"), plan("8"));
        let nothing = KeyPlan { key: "k".into(), ..KeyPlan::default() };
        let refused = KeyPlan { refused: Some("it fails".into()), ..nothing.clone() };
        let request =
            StepRequest { method: "GET".into(), url: "https://rates.example".into(), digest: Digest([7; 32]) };
        let call = UnansweredCall { step: "rate".into(), request };
        let needs = KeyPlan { needs: Some((Position(1), call)), ..refused.clone() };
        let behind = KeyPlan { is_behind: true, ..refused.clone() };
        for (approved, now, is_otherwise_now) in [
            (Some(&approved), Some(&approved), false),
            (Some(&approved), Some(&other), true),
            (Some(&approved), None, true),
            (Some(&approved), Some(&nothing), true),
            (None, Some(&other), true),
            (None, Some(&nothing), false),
            (None, None, false),
            (Some(&approved), Some(&refused), false),
            (Some(&refused), Some(&other), true),
            (Some(&needs), Some(&other), false),
            (Some(&behind), Some(&other), false),
        ] {
            assert_eq!(is_otherwise(approved, now).is_some(), is_otherwise_now, "{approved:?} {now:?}");
        }
        assert_eq!(is_otherwise(Some(&refused), Some(&other)).as_deref(), Some(HAD_NONE));
    }
}
