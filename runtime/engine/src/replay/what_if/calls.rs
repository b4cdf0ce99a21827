//! The outbound calls of a delivery of the fork: answered from the record where they are the same, otherwise as the policy says.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use weirgate_host::{BoundSecret, Outbound, OutboundCall, Processor, RecordedStep, Source, StateError};
use weirgate_types::{DeliveryId, Digest, Position, StepAnswer, StepRequest, StepResult, Stepped};

use super::{
    late::LateCall,
    outside::{MayCall, Outside, ReplayAnswer, is_safe},
};

/// What a call gets that the log holds no answer for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingAnswers {
    /// The delivery fails in the fork, and its key is reported.
    #[default]
    Fail,
    /// The last answer that the delivery got for a step of this name.
    Last,
    /// The answer of the called host, where the call only reads (GET, HEAD); others fail.
    Call,
}

/// The calls of a delivery of the fork. Clones share what was asked for.
#[derive(Clone)]
pub struct ForkCalls(Arc<Mutex<Calls>>);

struct Calls {
    recorded: Vec<RecordedCall>,
    missing: MissingAnswers,
    asking: Option<Asking>,
    /// The call that is being made.
    sending: Option<UnansweredCall>,
    unanswered: Vec<UnansweredCall>,
    /// The first call that was made and got no final answer.
    failed: Option<NoAnswer>,
    /// A call was not made because no more are allowed.
    is_over: bool,
}

struct RecordedCall {
    step: String,
    request: StepRequest,
    result: StepResult,
    requests: u32,
    /// The name of the step that got its answer in the fork, if one did.
    used_as: Option<String>,
    of: Origin,
}

/// Who made a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Delivery,
    /// An earlier replay.
    Replay,
    ThisReplay,
    /// A delivery of this event, which a replay has appended: it came late.
    Late(Position),
}

/// A call of a late delivery: its event, the step, and the digest of the request.
pub type LateStep = (Position, String, Digest);

/// How calls without a recorded answer are made.
#[derive(Clone)]
pub struct Asking {
    pub outside: Arc<dyn Outside>,
    pub may_call: MayCall,
    pub delivery: DeliveryId,
    /// How many more calls the replay may make.
    pub left: Arc<AtomicU64>,
    /// How long a request may take.
    pub time_max: Duration,
    /// It cuts requests off when the replay is to end.
    pub processor: Arc<dyn Processor>,
}

/// Why a call has no answer to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    pub reason: String,
    /// It was not made, because the breaker of its host is open.
    pub is_open: bool,
}

/// A call of the fork that the log holds no answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredCall {
    pub step: String,
    pub request: StepRequest,
}

/// A call with its final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredCall {
    pub step: String,
    pub request: StepRequest,
    pub answer: StepAnswer,
}

/// A recorded call that the fork does not make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmadeCall {
    pub step: String,
    pub request: StepRequest,
    /// `None`: none came, and the request may have arrived.
    pub answer: Option<StepAnswer>,
}

impl From<AnsweredCall> for UnmadeCall {
    fn from(AnsweredCall { step, request, answer }: AnsweredCall) -> Self {
        Self { step, request, answer: Some(answer) }
    }
}

impl ForkCalls {
    /// `recorded` are the delivery's calls of all its attempts, in order; `given` are answers of replays.
    #[must_use]
    pub fn new(
        recorded: impl IntoIterator<Item = Stepped>,
        given: impl IntoIterator<Item = ReplayAnswer>,
        missing: MissingAnswers,
        asking: Option<Asking>,
    ) -> Self {
        let call = |Stepped { step, request, result, requests, .. }: Stepped| RecordedCall {
            step,
            request,
            result,
            requests,
            used_as: None,
            of: Origin::Delivery,
        };
        let of_replay = |ReplayAnswer { is_own, step, request, answer }: ReplayAnswer| RecordedCall {
            step,
            request,
            result: StepResult::Answered(answer),
            requests: 1,
            used_as: None,
            of: if is_own { Origin::ThisReplay } else { Origin::Replay },
        };
        let mut recorded: Vec<_> = recorded.into_iter().map(call).collect();
        recorded.extend(given.into_iter().map(of_replay));
        let (sending, unanswered, failed) = (None, Vec::new(), None);
        let calls = Calls { recorded, missing, asking, sending, unanswered, failed, is_over: false };
        Self(Arc::new(Mutex::new(calls)))
    }

    /// With calls of late deliveries, which come before those of replays: what followed from their answers is in the log.
    #[must_use]
    pub fn with_late(self, late: Vec<LateCall>) -> Self {
        let of_late = late.into_iter().map(|LateCall { by, call }| {
            let Stepped { step, request, result, requests, .. } = call;
            RecordedCall { step, request, result, requests, used_as: None, of: Origin::Late(by) }
        });
        let mut calls = self.calls();
        let own = calls.recorded.iter().take_while(|call| call.of == Origin::Delivery).count();
        calls.recorded.splice(own..own, of_late);
        drop(calls);
        self
    }

    /// The recorded calls that have, or may have, reached their host, and were not made in the fork; of those that replays made, and of those
    /// without a final answer, only the ones that may have changed something.
    #[must_use]
    pub fn not_made(&self) -> Vec<UnmadeCall> {
        self.calls().not_made().into_iter().map(RecordedCall::unmade).collect()
    }

    /// Whether all recorded calls were made, and no others.
    #[must_use]
    pub fn is_as_recorded(&self) -> bool {
        let calls = self.calls();
        calls.unanswered.is_empty() && calls.failed.is_none() && calls.not_made().is_empty()
    }

    /// The calls that this replay made, now or before.
    #[must_use]
    pub fn made(&self) -> Vec<AnsweredCall> {
        let calls = self.calls();
        let made = calls.recorded.iter().filter(|call| call.is_used() && call.of == Origin::ThisReplay);
        made.filter_map(RecordedCall::answered).collect()
    }

    /// The calls of late deliveries that the delivery makes in the fork.
    #[must_use]
    pub fn late(&self) -> Vec<LateStep> {
        let calls = self.calls();
        let late = calls.recorded.iter().filter(|call| call.is_used()).filter_map(|call| match call.of {
            Origin::Late(by) => Some((by, call.step.clone(), call.request.digest)),
            _ => None,
        });
        late.collect()
    }

    #[must_use]
    pub fn unanswered(&self) -> Vec<UnansweredCall> {
        self.calls().unanswered.clone()
    }

    /// Why a call that was made has no answer to go on with.
    #[must_use]
    pub fn failed(&self) -> Option<NoAnswer> {
        self.calls().failed.clone()
    }

    /// Whether the replay may make no more calls.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.calls().is_over
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not held while a call is made.
    fn asking(&self) -> Option<Asking> {
        self.calls().asking.clone()
    }
}

impl RecordedCall {
    fn is_used(&self) -> bool {
        self.used_as.is_some()
    }

    /// Whether a step of the fork gets its answer. A final answer stands for all attempts; without one, each call gets the result of the next.
    fn answers(&self, step: &str, request: &StepRequest) -> bool {
        let is_free = match &self.used_as {
            None => true,
            Some(used_as) => used_as == step && self.result.finished().is_some(),
        };
        is_free && self.request == *request
    }

    fn answered(&self) -> Option<AnsweredCall> {
        let answer = self.result.finished()?.clone();
        Some(AnsweredCall { step: self.step.clone(), request: self.request.clone(), answer })
    }

    fn unmade(&self) -> UnmadeCall {
        let answer = match &self.result {
            StepResult::Answered(answer) => Some(answer.clone()),
            _ => None,
        };
        UnmadeCall { step: self.step.clone(), request: self.request.clone(), answer }
    }

    /// Whether the request may have arrived at its host without a final answer.
    fn may_have_arrived(&self) -> bool {
        let is_open = self.result.finished().is_none();
        is_open && matches!(self.result, StepResult::Answered(_) | StepResult::TimedOut | StepResult::TooLarge)
    }

    /// Whether both are the same call, made again.
    fn is_again(&self, other: &Self) -> bool {
        self.step == other.step && self.request == other.request
    }

    fn repeated(&self, request: &StepRequest) -> Source {
        let (result, requests) = (self.result.clone(), self.requests);
        Source::Record(OutboundCall { request: request.clone(), result, requests })
    }
}

impl Calls {
    fn not_made(&self) -> Vec<&RecordedCall> {
        let counts = |(index, call): &(usize, &RecordedCall)| {
            if matches!(call.of, Origin::Late(_)) {
                // They are the late delivery's, which the fork has not.
                return false;
            }
            let may_change = !is_safe(&call.request.method);
            let (before, after) = self.recorded.split_at(*index);
            let is_known = |other: &RecordedCall| other.is_used() || other.result.finished().is_some();
            match call.result.finished() {
                Some(_) => call.of == Origin::Delivery || may_change,
                // Of one that was made again, what it came to at last.
                None => {
                    may_change
                        && call.may_have_arrived()
                        && !before.iter().any(|other| call.is_again(other) && is_known(other))
                        && !after
                            .iter()
                            .skip(1)
                            .any(|other| call.is_again(other) && (is_known(other) || other.may_have_arrived()))
                }
            }
        };
        self.recorded
            .iter()
            .enumerate()
            .filter(|(_, call)| !call.is_used())
            .filter(counts)
            .map(|(_, call)| call)
            .collect()
    }

    /// Where the answer to a call comes from that no record has.
    fn missing(&mut self, call: UnansweredCall) -> Source {
        // Those of replays came later, and are the newest first.
        let of_replays = self.recorded.iter().filter(|known| known.of != Origin::Delivery);
        let of_delivery = self.recorded.iter().rev().filter(|known| known.of == Origin::Delivery);
        let mut known = of_replays.chain(of_delivery);
        let last = known.find(|known| known.step == call.step && known.result.finished().is_some());
        if let (MissingAnswers::Last, Some(last)) = (self.missing, last) {
            let source = last.repeated(&call.request);
            self.unanswered.push(call);
            return source;
        }
        if let Some(asking) = self.asking.as_ref().filter(|asking| asking.may_call.may(&call.request.method)) {
            let take = |left: u64| left.checked_sub(1);
            self.is_over = asking.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err();
            if !self.is_over {
                self.sending = Some(call);
                return Source::Network;
            }
        }
        self.unanswered.push(call);
        Source::Nothing
    }
}

impl Outbound for ForkCalls {
    /// Unlike a live attempt, one of the fork may make another request under the name of a finished step: that is a difference.
    fn recorded(&self, _: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        Ok(None)
    }

    fn source(&self, step: &str, request: &StepRequest) -> Result<Source, StateError> {
        let mut calls = self.calls();
        // The same request is the same call, also where the step has another name now.
        let place = |is_named: &dyn Fn(&RecordedCall) -> bool| {
            calls.recorded.iter().position(|call| is_named(call) && call.answers(step, request))
        };
        let index = place(&|call| call.step == step).or_else(|| place(&|_| true));
        if let Some(found) = index.and_then(|index| calls.recorded.get_mut(index)) {
            found.used_as = Some(step.to_owned());
            return Ok(found.repeated(request));
        }
        Ok(calls.missing(UnansweredCall { step: step.to_owned(), request: request.clone() }))
    }

    fn recorded_size(&self) -> (usize, usize) {
        (0, 0)
    }

    fn permit(&self, host: &str) -> Result<(), u64> {
        self.asking().map_or(Ok(()), |asking| asking.outside.permit(&asking.delivery.handler, host))
    }

    /// Only what came of a call that was made is new.
    fn record(&self, step: &str, call: OutboundCall) -> Result<(), StateError> {
        let Some((asking, made)) = self.asking().zip(self.calls().sending.take()) else { return Ok(()) };
        let OutboundCall { result, requests, .. } = call;
        if let Some(answer) = result.finished() {
            asking.outside.record(&asking.delivery, step, &made.request, answer)?;
            let UnansweredCall { step, request } = made;
            let (used_as, of) = (Some(step.clone()), Origin::ThisReplay);
            self.calls().recorded.push(RecordedCall { step, request, result, requests, used_as, of });
            return Ok(());
        }
        let StepRequest { method, url, .. } = &made.request;
        let reason = format!("{method} {url} (step `{step}`) {}", without_answer(&result));
        let is_open = matches!(result, StepResult::CircuitOpen(_));
        self.calls().failed.get_or_insert(NoAnswer { reason, is_open });
        Ok(())
    }

    fn secret(&self, name: &str) -> Option<BoundSecret> {
        self.asking().and_then(|asking| asking.outside.secret(&asking.delivery.handler, name))
    }

    fn idempotency_key(&self, step: &str) -> String {
        self.asking().map_or_else(|| step.to_owned(), |asking| asking.outside.idempotency_key(&asking.delivery, step))
    }

    fn cut_by(&self) -> Option<Arc<dyn Processor>> {
        self.asking().map(|asking| asking.processor)
    }

    fn request_time_max(&self) -> Option<Duration> {
        self.asking().map(|asking| asking.time_max)
    }
}

/// What came of a call that has no final answer.
fn without_answer(result: &StepResult) -> String {
    match result {
        StepResult::Answered(answer) => format!("was answered {}, which may change later", answer.status),
        StepResult::Denied(reason) => format!("may not be made: {reason}"),
        StepResult::Unreachable(reason) => format!("reached no host: {reason}"),
        StepResult::TimedOut => "got no answer in time".to_owned(),
        StepResult::TooLarge => "got too large an answer".to_owned(),
        // Without the time that is left: it would make another plan of it each time.
        StepResult::CircuitOpen(_) => "was not made: the breaker of the host is open".to_owned(),
        StepResult::TooManyCalls => "was not made: the delivery has made all the calls that it may make".to_owned(),
    }
}

#[cfg(test)]
mod tests;
