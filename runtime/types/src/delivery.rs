//! A delivery's identity and the ways in which an attempt can fail.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{HandlerName, IdError, Position};

/// One event for one handler; written `<handler>@<position of the event>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryId {
    pub handler: HandlerName,
    pub position: Position,
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.handler, self.position)
    }
}

impl FromStr for DeliveryId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = || IdError::DeliveryId(text.chars().take(80).collect());
        let (handler, position) = text.split_once('@').ok_or_else(wrong)?;
        let is_number = position.bytes().all(|byte| byte.is_ascii_digit());
        Ok(Self {
            handler: handler.parse().map_err(|_| wrong())?,
            position: Position(position.parse().ok().filter(|_| is_number).ok_or_else(wrong)?),
        })
    }
}

/// What may help a failed delivery. The guest returns it; see `failure` in `sdk/wit/handler.wit`.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// A later attempt may succeed.
    Transient,
    /// An attempt with corrected data may succeed.
    Correctable,
    /// No attempt will succeed.
    Permanent,
}

/// The source of a failure.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The handler returned it.
    Handler,
    /// The component trapped.
    Trap,
    /// CPU or wall-clock time ran out.
    Timeout,
    /// The component asked for more memory than its limit.
    Memory,
    /// Too many or too large effects, or too many host calls.
    EffectLimit,
    /// A call that the contract does not allow, for instance with an empty state name.
    Contract,
    /// The runtime stopped during the attempt.
    Interrupted,
    /// The breaker of a host that the handler called is open.
    CircuitOpen,
    /// An earlier event of its key failed in the same batch, or the batch had too many effects, so no effects of this one
    /// were kept.
    NotReached,
    /// The component could not migrate the key's state.
    Migration,
}

/// Why an attempt did not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailure {
    pub class: FailureClass,
    pub kind: FailureKind,
    /// A message for people, at most 4 KiB.
    pub message: String,
    /// Correctable failures: the problem with the data, for the person who corrects it.
    pub what_is_wrong: Option<String>,
    /// Transient failures: the handler's hint of when to retry.
    pub retry_after_ms: Option<u64>,
}

impl AttemptFailure {
    /// A failure found by the runtime, not by the handler; these are transient until the attempts are used up.
    #[must_use]
    pub fn found(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Transient,
            kind,
            message: message.into(),
            what_is_wrong: None,
            retry_after_ms: None,
        }
    }
}
