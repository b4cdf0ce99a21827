//! An outbound call of an attempt: the request that a handler made under a step's name, and what came of it.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The request of a step, as the handler made it: secrets by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRequest {
    pub method: String,
    pub url: String,
    /// Covers method, URL, headers and body.
    pub digest: Digest,
}

/// What came of an outbound call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepResult {
    Answered(StepAnswer),
    /// Not sent: forbidden by the manifest, the rules for addresses or the form of the request.
    Denied(String),
    Unreachable(String),
    TimedOut,
    /// The answer was longer than allowed.
    TooLarge,
    /// Not sent: the host's breaker was open for this many more milliseconds.
    CircuitOpen(u64),
    /// The attempt was ended: it had made as many outbound calls as its limit allows.
    TooManyCalls,
}

/// The answer to an outbound call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl StepResult {
    /// The answer that later calls of the same step get, if the step is finished by it.
    #[must_use]
    pub fn finished(&self) -> Option<&StepAnswer> {
        match self {
            Self::Answered(answer) if answer.is_finished() => Some(answer),
            _ => None,
        }
    }
}

impl StepAnswer {
    /// Whether the answer is final. One that may change later (too early, too many requests, a server error) is not.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status < 500 && !matches!(self.status, 408 | 425 | 429)
    }

    /// Size of the answer with its step's name, in bytes.
    #[must_use]
    pub fn size_of_step(&self, step: &str) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        step.len() + headers.sum::<usize>() + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_may_change_later_is_not_final() {
        let status = |status| StepAnswer { status, headers: Vec::new(), body: Vec::new() }.is_finished();
        assert_eq!(
            [200, 302, 404, 408, 425, 429, 499, 500, 503].map(status),
            [true, true, true, false, false, false, true, false, false]
        );
    }
}
