//! The outside as a test makes it: an answer for each step, and what was asked.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{
    limits::{OUTBOUND_CALLS_MAX, STEP_NAME_BYTES_MAX, at_most, check_attribute},
    run::typed,
};
use crate::{HttpError, Request, Response, http};

/// What the test answers, by the step's name.
pub(super) type Answers = BTreeMap<String, Result<Response, HttpError>>;

/// A call that a handler made, of a failed delivery too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub step: String,
    pub request: Request,
}

impl Asked {
    /// The first header of that name, in any case. Secrets stand there as the handler named them.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        http::find(&self.request.headers, name)
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// There is none, or it is not a `T`.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        typed(self.request.body.as_deref().unwrap_or_default(), &format!("the body of step {}", self.step))
    }
}

/// What is answered and what was asked during one call.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) answers: Answers,
    pub(super) asked: Vec<Asked>,
}

impl Network {
    /// A finished step is asked for once; its answer is kept.
    pub(super) fn fetch(&mut self, step: &str, request: Request) -> Result<Response, HttpError> {
        check_attribute("a step's name", step, STEP_NAME_BYTES_MAX);
        let answer = self.answers.get(step).cloned();
        let finished = matches!(&answer, Some(Ok(answer)) if !matches!(answer.status, 408 | 425 | 429 | 500..));
        if !(finished && self.asked.iter().any(|asked| asked.step == step)) {
            at_most("outbound calls", self.asked.len() + 1, OUTBOUND_CALLS_MAX, "limits.outbound_calls");
            self.asked.push(Asked { step: step.to_owned(), request: request.clone() });
        }
        answer.unwrap_or_else(|| {
            let Request { method, url, .. } = request;
            panic!("the test has no answer to step {step:?}, {method} {url}; give one with `.answer({step:?}, ...)`")
        })
    }
}
