//! The caller's part in outbound calls: it keeps the answers, knows the secrets, and says which hosts' breakers are open.

use std::{sync::Arc, time::Duration};

use weirgate_types::{StepAnswer, StepRequest, StepResult};

use super::BoundSecret;
use crate::{Processor, StateError};

/// A final answer, and the request that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStep {
    pub request: StepRequest,
    pub answer: StepAnswer,
}

/// An outbound call that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundCall {
    pub request: StepRequest,
    pub result: StepResult,
    /// Number of requests sent: one, and one for each redirect that was followed.
    pub requests: u32,
}

/// Where an outbound call takes its result from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From the called host.
    Network,
    /// From the record of the attempt that is executed again: nothing is sent.
    Record(OutboundCall),
    /// The attempt is executed again, and its record has no such call: it ends.
    Nothing,
}

/// The engine's interface for outbound calls.
pub trait Outbound: Send {
    /// The final answer that an earlier attempt at the delivery got for this step, whatever its request was; `request` is the
    /// present one.
    ///
    /// # Errors
    /// It cannot be read now. The call ends and must not be committed.
    fn recorded(&self, step: &str, request: &StepRequest) -> Result<Option<RecordedStep>, StateError>;

    /// Where the result of a call comes from that no earlier attempt has finished.
    ///
    /// # Errors
    /// As for `recorded`.
    fn source(&self, _step: &str, _request: &StepRequest) -> Result<Source, StateError> {
        Ok(Source::Network)
    }

    /// Number of answers that earlier attempts at the delivery got, and their total size in bytes.
    fn recorded_size(&self) -> (usize, usize);

    /// Whether the host may be called now.
    ///
    /// # Errors
    /// For how many more milliseconds its breaker is open.
    fn permit(&self, host: &str) -> Result<(), u64>;

    /// Stores what came of a step. With a final answer it returns when that is durable.
    ///
    /// # Errors
    /// It cannot be stored now. The call ends and must not be committed.
    fn record(&self, step: &str, call: OutboundCall) -> Result<(), StateError>;

    /// A secret that is bound to the calling handler. Requested only if the manifest names it.
    fn secret(&self, name: &str) -> Option<BoundSecret>;

    /// For the `Idempotency-Key` header, stable over attempts.
    fn idempotency_key(&self, step: &str) -> String;

    /// A request in flight is cut off once this discards the call; `None`: its end is awaited.
    fn cut_by(&self) -> Option<Arc<dyn Processor>> {
        None
    }

    /// How long a request may take at most, where that is less than the remaining time of its call.
    fn request_time_max(&self) -> Option<Duration> {
        None
    }
}

/// Nothing was recorded, nothing is stored, every host may be called and there are no secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOutbound;

impl Outbound for NoOutbound {
    fn recorded(&self, _: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        Ok(None)
    }

    fn recorded_size(&self) -> (usize, usize) {
        (0, 0)
    }

    fn permit(&self, _: &str) -> Result<(), u64> {
        Ok(())
    }

    fn record(&self, _: &str, _: OutboundCall) -> Result<(), StateError> {
        Ok(())
    }

    fn secret(&self, _: &str) -> Option<BoundSecret> {
        None
    }

    fn idempotency_key(&self, step: &str) -> String {
        step.to_owned()
    }
}
