//! The steps of one delivery in one call: looked up, otherwise sent through all checks, and recorded when finished.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weirgate_types::{CallLimits, Capabilities, HostCall, StepAnswer, StepRequest, StepResult};

use super::{
    Network, Outbound, OutboundCall, RecordedStep, Request, Source,
    cut::{self, Exchange},
    error::{FetchError, Refused, answer_of, result_of},
    redirect::{self, REDIRECTS_MAX},
    request::Outgoing,
    secrets::Secrets,
};
use crate::{
    Grant, Processor,
    clock::Deadline,
    failure::{Stop, contract, effect_limit},
};

/// Maximum number of recorded answers of one delivery, over all its attempts.
pub(crate) const RECORDED_STEPS_MAX: usize = 1_024;
/// Maximum total size of recorded answers before another call, in bytes; the last one may exceed it by its own limit.
const RECORDED_BYTES_MAX: usize = 16 << 20;

pub(crate) struct Steps {
    network: Arc<Network>,
    engine: Box<dyn Outbound>,
    capabilities: Capabilities,
    /// Created with the first step that is sent.
    secrets: Option<Secrets>,
    /// The finished steps of this attempt.
    answers: BTreeMap<String, RecordedStep>,
    answers_bytes: usize,
    /// The bytes of the finished steps in the budget.
    held: Vec<Grant>,
    /// The bytes of the answer that was read last.
    reading: Option<Grant>,
    answer_bytes_max: u64,
    calls: u32,
    calls_max: u32,
    seen: Seen,
}

/// What the call learnt about the called hosts.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Each called host, and whether all its answers were successful.
    hosts: BTreeMap<String, bool>,
    /// The open time of the breaker of a host that the guest tried to call, in milliseconds; the longest.
    pub(crate) open_ms: Option<u64>,
}

impl Steps {
    pub(crate) fn new(
        network: Arc<Network>,
        engine: Box<dyn Outbound>,
        capabilities: &Capabilities,
        limits: &CallLimits,
    ) -> Self {
        Self {
            network,
            engine,
            capabilities: capabilities.clone(),
            secrets: None,
            answers: BTreeMap::new(),
            answers_bytes: 0,
            held: Vec::new(),
            reading: None,
            answer_bytes_max: limits.outbound_bytes,
            calls: 0,
            calls_max: limits.outbound_calls,
            seen: Seen::default(),
        }
    }

    pub(crate) fn finish(self) -> Seen {
        self.seen
    }

    /// Total size of the held answers.
    pub(crate) fn answers_bytes(&self) -> usize {
        self.answers_bytes
    }

    /// The answer to a step: the contract's `fetch`. `time_left` is the remaining time of the whole call.
    pub(crate) fn fetch(
        &mut self,
        step: &str,
        request: Request,
        time_left: Duration,
    ) -> Result<Result<StepAnswer, FetchError>, Stop> {
        let made = request.to_record();
        let known = self.answers.get(step).cloned();
        let known = known.map_or_else(|| self.engine.recorded(step, &made), |known| Ok(Some(known)))?;
        if let Some(known) = known {
            return check_same(step, &known.request, &made).map(|()| Ok(known.answer));
        }
        self.check_recorded()?;
        let call = match self.engine.source(step, &made)? {
            Source::Network => self.send(step, request, made, time_left)?,
            Source::Record(call) => self.repeat(call),
            Source::Nothing => return Err(Stop::Unrecorded(step.to_owned())),
        };
        let (result, room) = (call.result.clone(), self.reading.take());
        self.keep(step, call, room)?;
        match answer_of(result) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Refused::Told(error)) => Ok(Err(error)),
            Err(Refused::TooManyCalls) => {
                Err(effect_limit("too many outbound calls", self.calls_max, "limits.outbound_calls"))
            }
            Err(Refused::Discarded) => Err(Stop::Discarded),
        }
    }

    fn send(
        &mut self,
        step: &str,
        request: Request,
        made: StepRequest,
        time_left: Duration,
    ) -> Result<OutboundCall, Stop> {
        let secrets = self.secrets.take();
        let secrets = secrets.unwrap_or_else(|| Secrets::load(&self.capabilities.secrets, &*self.engine));
        let before = self.calls;
        let result = self.ask(step, request, time_left, &secrets).map_err(|refused| match refused {
            Refused::Told(error) => Refused::Told(secrets.hide_in_error(error)),
            other => other,
        });
        self.secrets = Some(secrets);
        Ok(OutboundCall { request: made, result: result_of(result)?, requests: self.calls - before })
    }

    /// A recorded call counts like one that is made.
    fn repeat(&mut self, call: OutboundCall) -> OutboundCall {
        self.calls = self.calls.saturating_add(call.requests);
        if let StepResult::CircuitOpen(open_ms) = call.result {
            self.seen.open_ms = self.seen.open_ms.max(Some(open_ms));
        }
        call
    }

    /// Each attempt reads all answers of the delivery, so their number is limited: an attempt that uses new step names each
    /// time benefits from none of the earlier calls.
    fn check_recorded(&self) -> Result<(), Stop> {
        // A journal in memory counts this attempt's answers as well; the engine's counts earlier ones.
        let (steps, bytes) = self.engine.recorded_size();
        if steps.saturating_add(self.answers.len()) >= RECORDED_STEPS_MAX {
            let what = "too many recorded answers; a step that is asked for again needs its earlier name";
            return Err(effect_limit(what, RECORDED_STEPS_MAX, "fixed"));
        }
        if bytes.saturating_add(self.answers_bytes) >= RECORDED_BYTES_MAX {
            return Err(effect_limit("too many bytes of recorded answers", RECORDED_BYTES_MAX, "fixed"));
        }
        Ok(())
    }

    /// Recorded first, and a final answer is then kept for the rest of this attempt.
    fn keep(&mut self, step: &str, call: OutboundCall, room: Option<Grant>) -> Result<(), Stop> {
        let request = call.request.clone();
        let answer = call.result.finished().cloned();
        self.engine.record(step, call)?;
        let Some(answer) = answer else { return Ok(()) };
        let bytes = answer.size_of_step(step);
        self.answers_bytes += bytes;
        self.held.extend(room.map(|mut room| {
            room.shrink_to(bytes);
            room
        }));
        self.answers.insert(step.to_owned(), RecordedStep { request, answer });
        Ok(())
    }

    /// Sends the request, and those of its redirects.
    fn ask(
        &mut self,
        step: &str,
        request: Request,
        time_left: Duration,
        secrets: &Secrets,
    ) -> Result<StepAnswer, Refused> {
        let own = request.timeout_ms.map_or(time_left, |ms| Duration::from_millis(ms.into()));
        let most = self.engine.request_time_max().unwrap_or(time_left);
        let deadline = Deadline::within(own.min(time_left).min(most));
        let mut request = Outgoing::check(request, secrets, &self.engine.idempotency_key(step))?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = secrets.hide(self.exchange(&request, &deadline)?);
            match redirect::next(&request, &answer)? {
                Some(next) => request = next,
                None => return Ok(answer),
            }
        }
        Err(FetchError::Unreachable(format!("there are more than {REDIRECTS_MAX} redirects")).into())
    }

    /// One request to one host, through all checks.
    fn exchange(&mut self, request: &Outgoing, deadline: &Deadline) -> Result<StepAnswer, Refused> {
        request.target.is_listed(&self.capabilities.hosts)?;
        if deadline.left().is_none() {
            return Err(FetchError::TimedOut.into());
        }
        // The answer that a redirect has replaced is released.
        self.reading = None;
        let cut_by = self.engine.cut_by();
        let room = self.room(deadline, cut_by.as_deref())?;
        let host = request.target.host_and_port();
        if let Err(open_ms) = self.engine.permit(&host) {
            self.seen.open_ms = self.seen.open_ms.max(Some(open_ms));
            return Err(FetchError::CircuitOpen(open_ms).into());
        }
        if self.calls >= self.calls_max {
            return Err(Refused::TooManyCalls);
        }
        self.calls += 1;
        let answer_bytes_max = self.answer_bytes_max;
        let (answer, room) = match cut_by {
            None => (self.network.exchange(request, deadline, answer_bytes_max), Some(room)),
            Some(processor) => {
                let exchange = Exchange { request, deadline: *deadline, answer_bytes_max, room };
                cut::exchange(&self.network, exchange, &*processor).ok_or(Refused::Discarded)?
            }
        };
        self.reading = room;
        self.seen.note(host, &answer);
        Ok(answer?)
    }

    /// The bytes for reading an answer.
    fn room(&self, deadline: &Deadline, cut_by: Option<&dyn Processor>) -> Result<Grant, Refused> {
        let Some(processor) = cut_by else { return Ok(self.network.room_for(self.answer_bytes_max, deadline)?) };
        while let Some(left) = deadline.left() {
            if processor.is_discarded() {
                return Err(Refused::Discarded);
            }
            let soon = Deadline::within(left.min(cut::LOOK));
            if let Ok(room) = self.network.room_for(self.answer_bytes_max, &soon) {
                return Ok(room);
            }
        }
        Err(FetchError::TimedOut.into())
    }
}

impl Seen {
    /// Merges what two deliveries of one call learnt.
    pub(crate) fn and(mut self, other: Self) -> Self {
        for (host, good) in other.hosts {
            *self.hosts.entry(host).or_insert(true) &= good;
        }
        self.open_ms = self.open_ms.max(other.open_ms);
        self
    }

    pub(crate) fn host_calls(self) -> Vec<HostCall> {
        self.hosts.into_iter().map(|(host, is_success)| HostCall { host, is_success }).collect()
    }

    fn note(&mut self, host: String, answer: &Result<StepAnswer, FetchError>) {
        let good = match answer {
            Ok(answer) => answer.status < 500,
            Err(FetchError::TooLarge) => true,
            Err(FetchError::Unreachable(_) | FetchError::TimedOut) => false,
            // It was not called.
            Err(FetchError::Denied(_) | FetchError::CircuitOpen(_)) => return,
        };
        *self.hosts.entry(host).or_insert(true) &= good;
    }
}

/// The answer of a step belongs to its request: a charge of 100 does not answer one of 105.
fn check_same(step: &str, known: &StepRequest, made: &StepRequest) -> Result<(), Stop> {
    if known == made {
        return Ok(());
    }
    Err(contract(format!(
        "the step `{step}` was finished with another request ({} {}); another request needs another step name",
        known.method, known.url
    )))
}
