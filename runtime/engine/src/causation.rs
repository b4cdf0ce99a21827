//! The causation depth: how many emissions led to an event.

use weirgate_host::CallError;
use weirgate_types::{AttemptFailure, CallLimits, Effects, FailureClass, FailureKind};

/// An attempt at an event of this depth that emits beyond its handler's limit fails permanently: a handler that reacts to its
/// own emissions would never stop.
pub fn check(result: &mut Result<Effects, CallError>, depth: u32, limits: &CallLimits) {
    let max = limits.causation_depth;
    let emits = result.as_ref().is_ok_and(|effects| !effects.emitted.is_empty());
    if !emits || depth < max {
        return;
    }
    let reason = format!("too many emissions lead to what it emits: at most {max} (limits.causation_depth)");
    let failure = AttemptFailure::found(FailureKind::EffectLimit, reason);
    *result = Err(CallError::Failed(AttemptFailure { class: FailureClass::Permanent, ..failure }));
}
