//! Why an attempt failed, in the contract's three classes. Knows nothing of how a failed delivery is retried.

use std::{error::Error, fmt};

/// Why an attempt failed; the class decides what happens to the delivery.
///
/// Any ordinary error becomes a transient failure through `?`: most unexpected errors pass with time, and the others become
/// a dead letter once the attempts are used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A later attempt may succeed: retried with growing delays; later events of the key wait behind it. So it is not for
    /// waiting until one of those arrives: complete instead, and keep in the state what has to be done then.
    Transient {
        message: String,
        /// Not before this many milliseconds from now, if the handler overrides the retry policy.
        retry_after_ms: Option<u64>,
    },
    /// The data is wrong in a way that can be corrected.
    Correctable {
        message: String,
        /// The problem, in words for the person who corrects it.
        what_is_wrong: String,
    },
    /// No attempt will succeed: dead letter at once.
    Permanent { message: String },
}

impl Failure {
    /// A later attempt may succeed.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into(), retry_after_ms: None }
    }

    /// The data can be corrected; `what_is_wrong` says how.
    pub fn correctable(message: impl Into<String>, what_is_wrong: impl Into<String>) -> Self {
        Self::Correctable { message: message.into(), what_is_wrong: what_is_wrong.into() }
    }

    /// No attempt will succeed.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent { message: message.into() }
    }

    /// No attempt before this many milliseconds from now. Only transient failures are retried; for others it has no effect.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        if let Self::Transient { retry_after_ms, .. } = &mut self {
            *retry_after_ms = Some(milliseconds);
        }
        self
    }

    /// A message for people.
    #[must_use]
    pub fn message(&self) -> &str {
        let (Self::Transient { message, .. } | Self::Correctable { message, .. } | Self::Permanent { message }) = self;
        message
    }

    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    #[must_use]
    pub fn is_correctable(&self) -> bool {
        matches!(self, Self::Correctable { .. })
    }

    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transient { message, retry_after_ms: None } => write!(f, "transient: {message}"),
            Self::Transient { message, retry_after_ms: Some(ms) } => {
                write!(f, "transient: {message} (again after {ms} ms)")
            }
            Self::Correctable { message, what_is_wrong } => write!(f, "correctable: {message} ({what_is_wrong})"),
            Self::Permanent { message } => write!(f, "permanent: {message}"),
        }
    }
}

/// `?` on an ordinary error: transient, with the error and its causes as the message. To make this possible `Failure` is not
/// a `std::error::Error`.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::transient(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the rate is unknown")]
    struct UnknownRate(#[source] std::num::ParseIntError);

    #[test]
    fn an_ordinary_error_is_transient_and_lists_its_causes() {
        fn rate(text: &str) -> Result<u32, Failure> {
            Ok(text.parse().map_err(UnknownRate)?)
        }
        assert_eq!(rate("7"), Ok(7));
        let failure = rate("seven").expect_err("not a number");
        assert_eq!(failure, Failure::transient("the rate is unknown: invalid digit found in string"));
    }

    #[test]
    fn only_a_transient_failure_keeps_its_delay() {
        let transient = Failure::transient("busy").retry_after_ms(500);
        assert_eq!(transient.to_string(), "transient: busy (again after 500 ms)");
        assert_eq!(Failure::permanent("no").retry_after_ms(500), Failure::permanent("no"));
    }
}
