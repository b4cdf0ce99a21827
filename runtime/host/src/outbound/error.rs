//! Why a call has no answer: as one of the contract's five errors for the guest, or as a reason that ends the guest's call.

use weirgate_types::{StepAnswer, StepResult};

use crate::failure::Stop;

/// The guest's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchError {
    Denied(String),
    Unreachable(String),
    TimedOut,
    TooLarge,
    /// The remaining open time of the breaker, in milliseconds.
    CircuitOpen(u64),
}

impl FetchError {
    /// Outbound calls are not available, whatever the manifest says.
    pub(crate) fn nowhere() -> Self {
        denied("other hosts may be called from `handle` and `handle-batch` only")
    }
}

/// Why a call was refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// The guest gets this error.
    Told(FetchError),
    /// The guest's call ends.
    TooManyCalls,
    /// It was cut off: the guest's call is not needed any more.
    Discarded,
}

pub(super) fn denied(message: impl Into<String>) -> FetchError {
    FetchError::Denied(message.into())
}

impl From<FetchError> for Refused {
    fn from(error: FetchError) -> Self {
        Self::Told(error)
    }
}

/// What is recorded of a call; nothing of one that was cut off.
pub(super) fn result_of(call: Result<StepAnswer, Refused>) -> Result<StepResult, Stop> {
    let error = match call {
        Ok(answer) => return Ok(StepResult::Answered(answer)),
        Err(Refused::TooManyCalls) => return Ok(StepResult::TooManyCalls),
        Err(Refused::Discarded) => return Err(Stop::Discarded),
        Err(Refused::Told(error)) => error,
    };
    Ok(match error {
        FetchError::Denied(message) => StepResult::Denied(message),
        FetchError::Unreachable(message) => StepResult::Unreachable(message),
        FetchError::TimedOut => StepResult::TimedOut,
        FetchError::TooLarge => StepResult::TooLarge,
        FetchError::CircuitOpen(open_ms) => StepResult::CircuitOpen(open_ms),
    })
}

/// The answer of a recorded call, or why it has none.
pub(super) fn answer_of(result: StepResult) -> Result<StepAnswer, Refused> {
    Err(match result {
        StepResult::Answered(answer) => return Ok(answer),
        StepResult::TooManyCalls => return Err(Refused::TooManyCalls),
        StepResult::Denied(message) => FetchError::Denied(message),
        StepResult::Unreachable(message) => FetchError::Unreachable(message),
        StepResult::TimedOut => FetchError::TimedOut,
        StepResult::TooLarge => FetchError::TooLarge,
        StepResult::CircuitOpen(open_ms) => FetchError::CircuitOpen(open_ms),
    }
    .into())
}
