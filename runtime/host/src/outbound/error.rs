//! Why a call has no answer: as one of the contract's five errors for the guest, or as a reason that ends the guest's call.

use weirgate_types::StepResult;

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
}

pub(super) fn denied(message: impl Into<String>) -> FetchError {
    FetchError::Denied(message.into())
}

impl From<FetchError> for Refused {
    fn from(error: FetchError) -> Self {
        Self::Told(error)
    }
}

impl From<FetchError> for StepResult {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Denied(message) => Self::Denied(message),
            FetchError::Unreachable(message) => Self::Unreachable(message),
            FetchError::TimedOut => Self::TimedOut,
            FetchError::TooLarge => Self::TooLarge,
            FetchError::CircuitOpen(open_ms) => Self::CircuitOpen(open_ms),
        }
    }
}
