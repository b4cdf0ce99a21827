//! The caller's part in outbound calls: it keeps the answers, knows the secrets, and says which hosts' breakers are open.

use weirgate_types::StepAnswer;

use super::BoundSecret;
use crate::StateError;

/// The engine's interface for outbound calls.
pub trait Outbound: Send {
    /// The answer that an earlier attempt at the delivery got for this step.
    ///
    /// # Errors
    /// It cannot be read now. The call ends and must not be committed.
    fn recorded(&self, step: &str) -> Result<Option<StepAnswer>, StateError>;

    /// Number of answers that earlier attempts at the delivery got, and their total size in bytes.
    fn recorded_size(&self) -> (usize, usize);

    /// Whether the host may be called now.
    ///
    /// # Errors
    /// For how many more milliseconds its breaker is open.
    fn permit(&self, host: &str) -> Result<(), u64>;

    /// Stores the answer to a step. Returns when it is durable.
    ///
    /// # Errors
    /// It cannot be stored now. The call ends and must not be committed.
    fn record(&self, step: &str, answer: &StepAnswer) -> Result<(), StateError>;

    /// A secret that is bound to the calling handler. Requested only if the manifest names it.
    fn secret(&self, name: &str) -> Option<BoundSecret>;

    /// For the `Idempotency-Key` header, stable over attempts.
    fn idempotency_key(&self, step: &str) -> String;
}

/// Nothing was recorded, nothing is stored, every host may be called and there are no secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOutbound;

impl Outbound for NoOutbound {
    fn recorded(&self, _: &str) -> Result<Option<StepAnswer>, StateError> {
        Ok(None)
    }

    fn recorded_size(&self) -> (usize, usize) {
        (0, 0)
    }

    fn permit(&self, _: &str) -> Result<(), u64> {
        Ok(())
    }

    fn record(&self, _: &str, _: &StepAnswer) -> Result<(), StateError> {
        Ok(())
    }

    fn secret(&self, _: &str) -> Option<BoundSecret> {
        None
    }

    fn idempotency_key(&self, step: &str) -> String {
        step.to_owned()
    }
}
