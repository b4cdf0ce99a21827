//! `http`: outbound calls as steps of the delivery.

use weirgate_types::StepAnswer;

use super::{
    bindings::weirgate::handler::http::{Error, Host, Request, Response},
    check_attribute,
};
use crate::{
    attempt::Attempt,
    outbound::{self, FetchError},
};

const STEP_BYTES_MAX: usize = 256;

impl Host for Attempt {
    fn fetch(&mut self, step: String, request: Request) -> wasmtime::Result<Result<Response, Error>> {
        self.host_call()?;
        check_attribute("a step's name", &step, STEP_BYTES_MAX)?;
        let Request { method, url, headers, body, timeout_ms } = request;
        let request = outbound::Request { method, url, headers, body, timeout_ms };
        let answer = self.fetch(&step, request)?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

impl From<StepAnswer> for Response {
    fn from(answer: StepAnswer) -> Self {
        let StepAnswer { status, headers, body } = answer;
        Self { status, headers, body }
    }
}

impl From<FetchError> for Error {
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
