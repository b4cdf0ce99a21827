//! The world outside of a fork, as far as a replay may reach it: answers that replays got before, and hosts that it may call.

use weirgate_host::{BoundSecret, StateError};
use weirgate_types::{DeliveryId, HandlerName, HostCall, StepAnswer, StepRequest};

/// Which calls are made that no record has an answer for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MayCall {
    #[default]
    Nothing,
    /// Those that only read: GET and HEAD.
    Safe,
    All,
}

impl MayCall {
    #[must_use]
    pub fn may(self, method: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Safe => is_safe(method),
            Self::All => true,
        }
    }
}

/// Whether a request of this method only reads.
#[must_use]
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// An answer that a replay got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayAnswer {
    /// Whether it was this replay.
    pub is_own: bool,
    pub step: String,
    pub request: StepRequest,
    pub answer: StepAnswer,
}

/// See the module documentation.
pub trait Outside: Send + Sync {
    /// The answers that count for a delivery: those of this replay, and of others whose plans were approved and not undone; the
    /// newest first.
    ///
    /// # Errors
    /// They cannot be read.
    fn answers(&self, delivery: &DeliveryId) -> Result<Vec<ReplayAnswer>, StateError>;

    /// Whether the host may be called now.
    ///
    /// # Errors
    /// For how many more milliseconds its breaker is open.
    fn permit(&self, handler: &HandlerName, host: &str) -> Result<(), u64>;

    /// Hosts were called: that counts for their breakers, as live calls do.
    fn called(&self, handler: &HandlerName, calls: Vec<HostCall>);

    fn secret(&self, handler: &HandlerName, name: &str) -> Option<BoundSecret>;

    /// Another one than that of the delivery's own call.
    fn idempotency_key(&self, delivery: &DeliveryId, step: &str) -> String;

    /// Stores an answer of this replay; returns when that is durable.
    ///
    /// # Errors
    /// It cannot be stored; the replay ends.
    fn record(
        &self,
        delivery: &DeliveryId,
        step: &str,
        request: &StepRequest,
        answer: &StepAnswer,
    ) -> Result<(), StateError>;
}

/// No answer is known, and no host may be called.
#[derive(Debug, Clone, Copy)]
pub struct NoOutside;

impl Outside for NoOutside {
    fn answers(&self, _: &DeliveryId) -> Result<Vec<ReplayAnswer>, StateError> {
        Ok(Vec::new())
    }

    fn permit(&self, _: &HandlerName, _: &str) -> Result<(), u64> {
        Ok(())
    }

    fn called(&self, _: &HandlerName, _: Vec<HostCall>) {}

    fn secret(&self, _: &HandlerName, _: &str) -> Option<BoundSecret> {
        None
    }

    fn idempotency_key(&self, delivery: &DeliveryId, step: &str) -> String {
        format!("{delivery}/{step}")
    }

    fn record(&self, _: &DeliveryId, _: &str, _: &StepRequest, _: &StepAnswer) -> Result<(), StateError> {
        Ok(())
    }
}
