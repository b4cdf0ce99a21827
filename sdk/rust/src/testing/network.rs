//! The network of a test: an answer for each step, and the requests made.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::{
    limits::{OUTBOUND_CALLS_MAX, STEP_NAME_BYTES_MAX, at_most, check_attribute, end},
    typed::typed,
};
use crate::{HttpError, Request, Response, http};

/// The test's answers, by step name.
pub(super) type Answers = BTreeMap<String, Result<Response, HttpError>>;

/// A call that a handler made, also in a failed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub step: String,
    pub request: Request,
    /// The test's answer, if there was one.
    pub answer: Option<Response>,
}

impl Asked {
    /// The first header with that name, case-insensitive. Secrets appear as the handler named them.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        http::find(&self.request.headers, name)
    }

    /// The body, parsed as JSON.
    ///
    /// # Panics
    /// There is no body, or it is not a `T`.
    #[must_use]
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        typed(self.request.body.as_deref().unwrap_or_default(), &format!("the body of step {}", self.step))
    }
}

/// The answers and requests of one call.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) answers: Answers,
    pub(super) asked: Vec<Asked>,
}

impl Network {
    /// A finished step is requested once; its answer is kept.
    pub(super) fn fetch(&mut self, step: &str, request: Request) -> Result<Response, HttpError> {
        check_attribute("a step's name", step, STEP_NAME_BYTES_MAX);
        let answer = self.answers.get(step).cloned();
        let finished = matches!(&answer, Some(Ok(answer)) if !matches!(answer.status, 408 | 425 | 429 | 500..));
        let first = self.asked.iter().find(|asked| asked.step == step).filter(|_| finished);
        if let Some(Asked { request: first, .. }) = first {
            check_same(step, first, &request);
        } else {
            at_most("outbound calls", self.asked.len() + 1, OUTBOUND_CALLS_MAX, "limits.outbound_calls");
            let answered = answer.as_ref().and_then(|answer| answer.as_ref().ok()).cloned();
            self.asked.push(Asked { step: step.to_owned(), request: request.clone(), answer: answered });
        }
        answer.unwrap_or_else(|| {
            let Request { method, url, .. } = request;
            panic!("the test has no answer to step {step:?}, {method} {url}; give one with `.answer({step:?}, ...)`")
        })
    }
}

/// An answer belongs to its request; the time that a call may take is not a part of that.
fn check_same(step: &str, first: &Request, request: &Request) {
    if *first != (Request { timeout_ms: first.timeout_ms, ..request.clone() }) {
        let Request { method, url, .. } = first;
        end(format!(
            "the step `{step}` was finished with another request ({method} {url}); another request needs another step name"
        ));
    }
}
