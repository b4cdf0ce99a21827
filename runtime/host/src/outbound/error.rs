//! Why a call has no answer: in the contract's five words for the guest, or in a way that ends the guest's own call.

use crate::failure::Stop;

/// What the guest is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchError {
    Denied(String),
    Unreachable(String),
    TimedOut,
    TooLarge,
    /// For how many more milliseconds.
    CircuitOpen(u64),
}

impl FetchError {
    /// Where nothing may be called, whatever the manifest says.
    pub(crate) fn nowhere() -> Self {
        denied("other hosts may be called from `handle` and `handle-batch` only")
    }
}

/// What a gate says to a call that does not pass it.
#[derive(Debug)]
pub(super) enum Refused {
    /// The guest is told.
    Told(FetchError),
    /// The guest does not go on.
    Stopped(Stop),
}

pub(super) fn denied(message: impl Into<String>) -> FetchError {
    FetchError::Denied(message.into())
}

impl From<FetchError> for Refused {
    fn from(error: FetchError) -> Self {
        Self::Told(error)
    }
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}
