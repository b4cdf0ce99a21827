//! Whether what is known of a replay has changed. Pure.

use std::sync::{Arc, atomic::Ordering};

use super::{Applied, Known};

/// What is shown of a replay that is known, without what is long: while that is the same, so is the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMark {
    /// Another one after it was forgotten and begun again.
    watch: usize,
    /// How far it is while it is computed, and then whether that failed.
    result: Result<bool, [u64; 5]>,
    applied: Option<AppliedMark>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AppliedMark {
    is_running: bool,
    /// Keys that were looked at, repaired, folded, that wait, and that were refused, and timers that were past.
    counts: [u64; 6],
    has_failed: bool,
}

impl KnownMark {
    pub fn of(known: &Known) -> Self {
        let watch = &known.watch;
        let progress = [&watch.at, &watch.passed, &watch.executed, &watch.cpu_ms, &watch.elapsed_ms];
        Self {
            watch: Arc::as_ptr(watch).addr(),
            result: match &known.result {
                Some(result) => Ok(result.is_ok()),
                None => Err(progress.map(|value| value.load(Ordering::Relaxed))),
            },
            applied: known.applied.as_ref().map(AppliedMark::of),
        }
    }
}

impl AppliedMark {
    fn of(Applied { is_running, looked_at, repaired, folded, waiting, past_timers, refused, error }: &Applied) -> Self {
        let counts = [*looked_at, *repaired, *folded, *waiting, refused.count, *past_timers];
        Self { is_running: *is_running, counts, has_failed: error.is_some() }
    }
}
