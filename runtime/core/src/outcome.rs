//! The outcome of an attempt: the rules of failure classes and retry stages.

use weirgate_types::{AfterDeadLetter, AttemptFailure, FailureClass, FailureKind, Manifest, Outcome};

use crate::{DeliveryRow, Entropy, Now, backoff::next_retry};

/// Minimum delay, in milliseconds, after an attempt met an open circuit.
const CIRCUIT_MS_MIN: u64 = 100;

/// The outcome of a failed attempt at the delivery of `row`.
pub fn after_failure(
    manifest: &Manifest,
    row: &DeliveryRow,
    failure: &AttemptFailure,
    now: Now,
    entropy: &mut Entropy,
) -> Outcome {
    let (previous, failure) = (row.carried.failure, failure.clone());
    match (failure.class, failure.kind) {
        (_, FailureKind::NotReached) => {
            let due_ms = now.wall_ms;
            Outcome::Retry { delay_ms: 0, due_ms, stage: 0, spent: false, previous, failure }
        }
        (_, FailureKind::CircuitOpen) => {
            let wait_ms = failure.retry_after_ms.unwrap_or(0).max(CIRCUIT_MS_MIN);
            // Jitter, so that not all run at once when it closes.
            let delay_ms = wait_ms.saturating_add(entropy.up_to(wait_ms / 2));
            let due_ms = now.wall_ms.saturating_add(delay_ms);
            Outcome::Retry { delay_ms, due_ms, stage: 0, spent: false, previous, failure }
        }
        (FailureClass::Correctable, _) => Outcome::AwaitingCorrection { previous, failure },
        (FailureClass::Permanent, _) => dead_letter(manifest, row, failure),
        (FailureClass::Transient, _) => match next_retry(&manifest.retry, row.spent.saturating_add(1), entropy) {
            None => dead_letter(manifest, row, failure),
            Some((stage, delay_ms)) => {
                let delay_ms = delay_ms.max(failure.retry_after_ms.unwrap_or(0));
                let due_ms = now.wall_ms.saturating_add(delay_ms);
                Outcome::Retry { delay_ms, due_ms, stage, spent: true, previous, failure }
            }
        },
    }
}

fn dead_letter(manifest: &Manifest, row: &DeliveryRow, failure: AttemptFailure) -> Outcome {
    let held = manifest.after_dead_letter == AfterDeadLetter::Hold;
    Outcome::DeadLettered { held, carried: row.carried.clone(), state: Vec::new(), failure }
}

/// Whether a failure shows that the handler or something it depends on is out of order: those count for its breaker.
#[must_use]
pub fn is_breaking(failure: &AttemptFailure) -> bool {
    failure.class == FailureClass::Transient
        && !matches!(
            failure.kind,
            FailureKind::CircuitOpen | FailureKind::NotReached | FailureKind::Interrupted | FailureKind::Contract
        )
}
