//! Outbound calls of a simulated engine's attempts: the caller answers them.

use crossbeam_channel::Receiver;
use weirgate_types::{Digest, Record, StepAnswer, StepRequest, StepResult, Stepped};

use super::{Call, Engine};
use crate::{Refusal, command::Command, journaled_calls::answers_before};

/// A worker waits until a step of its call is durable.
#[derive(Debug)]
pub struct Step(Receiver<Result<(), Refusal>>);

impl Step {
    /// Whether it still waits: neither a reply nor the end of the channel has come.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.0.try_recv(), Err(crossbeam_channel::TryRecvError::Empty))
    }
}

impl Engine {
    /// A call in flight records the answer of a step.
    #[must_use]
    pub fn step(&self, call: &Call, step: &str) -> Option<Step> {
        let answer = StepAnswer { status: 200, headers: Vec::new(), body: Vec::new() };
        self.answer_step(call, 0, step.to_owned(), answer)
    }

    /// An outbound call of an attempt, the one at `index` of the call's items, is answered.
    #[must_use]
    pub fn answer_step(&self, call: &Call, index: usize, step: String, answer: StepAnswer) -> Option<Step> {
        let request =
            StepRequest { method: "POST".into(), url: "https://sim.example/".into(), digest: Digest([0; 32]) };
        self.answer_request(call, index, (step, request), answer)
    }

    /// The same, of a request.
    #[must_use]
    pub fn answer_request(
        &self,
        call: &Call,
        index: usize,
        (step, request): (String, StepRequest),
        answer: StepAnswer,
    ) -> Option<Step> {
        let item = call.0.items.get(index)?;
        let (reply, recorded) = crossbeam_channel::bounded(1);
        let (delivery, attempt, result) = (item.delivery.clone(), item.attempt, StepResult::Answered(answer));
        let stepped = Stepped { delivery, attempt, step, request, result, requests: 1, previous: None, at_ms: 0 };
        self.tell(Command::Step { stepped: Box::new(stepped), reply: Some(reply) });
        Some(Step(recorded))
    }

    /// The answer to a step that an earlier attempt at the delivery at `index` got.
    #[must_use]
    pub fn answered_before(&self, call: &Call, index: usize, step: &str) -> Option<Stepped> {
        let item = call.0.items.get(index)?;
        let answers = answers_before(self.log(), &item.delivery, item.carried.step).ok()?;
        match self.log().read(answers.get(step)?.0).ok()? {
            Some((_, Record::Stepped(stepped))) => Some(stepped),
            _ => None,
        }
    }
}
