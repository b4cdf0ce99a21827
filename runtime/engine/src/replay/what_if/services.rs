//! What a delivery of the fork reads: its key's state, and the answers to its calls. Nothing is sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use weirgate_host::{BoundSecret, Outbound, OutboundCall, ReadState, RecordedStep, Source, StateError};
use weirgate_types::{StepAnswer, StepRequest, StepResult, Stepped};

/// What a call gets that the log holds no answer for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingAnswers {
    /// The delivery fails in the fork, and its key is reported.
    #[default]
    Fail,
    /// The last answer that the delivery got for a step of this name.
    Last,
}

/// The state of a key in the fork: what differs over what the log holds.
pub struct ForkState {
    base: Box<dyn ReadState>,
    differs: BTreeMap<String, Option<Vec<u8>>>,
    names: Names,
}

/// The names of the values that were read, shared by clones.
#[derive(Debug, Default, Clone)]
pub struct Names(Arc<Mutex<Read>>);

#[derive(Debug, Default)]
struct Read {
    names: BTreeSet<String>,
    prefixes: Vec<String>,
}

impl Names {
    /// Whether the value was read, or listed.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let read = self.read();
        read.names.contains(name) || read.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForkState {
    #[must_use]
    pub fn new(base: Box<dyn ReadState>, differs: &BTreeMap<String, Option<Vec<u8>>>, names: &Names) -> Self {
        Self { base, differs: differs.clone(), names: names.clone() }
    }
}

impl ReadState for ForkState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.names.read().names.insert(name.to_owned());
        // The base is read in any case: how many reads it has seen may decide what it holds.
        let stands = self.base.get(name)?;
        Ok(self.differs.get(name).cloned().unwrap_or(stands))
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        self.names.read().prefixes.push(prefix.to_owned());
        let removed = self.differs.values().filter(|value| value.is_none()).count();
        let stands = self.base.list(prefix, limit.saturating_add(removed))?;
        let mut names: BTreeSet<String> = stands.into_iter().collect();
        for (name, value) in self.differs.iter().filter(|(name, _)| name.starts_with(prefix)) {
            match value {
                Some(_) => names.insert(name.clone()),
                None => names.remove(name),
            };
        }
        Ok(names.into_iter().take(limit).collect())
    }
}

/// The calls of a delivery of the fork. Clones share what was asked for.
#[derive(Clone)]
pub struct ForkCalls(Arc<Mutex<Calls>>);

struct Calls {
    recorded: Vec<RecordedCall>,
    missing: MissingAnswers,
    unanswered: Vec<UnansweredCall>,
}

struct RecordedCall {
    step: String,
    request: StepRequest,
    result: StepResult,
    requests: u32,
    is_used: bool,
}

/// A call of the fork that the log holds no answer for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredCall {
    pub step: String,
    pub request: StepRequest,
}

/// A call that the log holds, with its final answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredCall {
    pub step: String,
    pub request: StepRequest,
    pub answer: StepAnswer,
}

impl ForkCalls {
    /// `recorded` are the delivery's calls of all its attempts, in order.
    #[must_use]
    pub fn new(recorded: impl IntoIterator<Item = Stepped>, missing: MissingAnswers) -> Self {
        let call = |Stepped { step, request, result, requests, .. }: Stepped| RecordedCall {
            step,
            request,
            result,
            requests,
            is_used: false,
        };
        let recorded = recorded.into_iter().map(call).collect();
        Self(Arc::new(Mutex::new(Calls { recorded, missing, unanswered: Vec::new() })))
    }

    /// The recorded calls that reached their host with a final answer, and were not made in the fork.
    #[must_use]
    pub fn not_made(&self) -> Vec<AnsweredCall> {
        let calls = self.calls();
        let not_made = calls.recorded.iter().filter(|call| !call.is_used).filter_map(|call| {
            let answer = call.result.finished()?.clone();
            Some(AnsweredCall { step: call.step.clone(), request: call.request.clone(), answer })
        });
        not_made.collect()
    }

    #[must_use]
    pub fn unanswered(&self) -> Vec<UnansweredCall> {
        self.calls().unanswered.clone()
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound for ForkCalls {
    /// Unlike a live attempt, one of the fork may make another request under the name of a finished step: that is a difference.
    fn recorded(&self, _: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        Ok(None)
    }

    fn source(&self, step: &str, request: &StepRequest) -> Result<Source, StateError> {
        let mut calls = self.calls();
        let missing = calls.missing;
        // A final answer stands for all attempts; without one, each call gets the result of the next.
        let is_same = |call: &RecordedCall| call.step == step && call.request == *request;
        let index =
            calls.recorded.iter().position(|call| is_same(call) && (call.result.finished().is_some() || !call.is_used));
        if let Some(found) = index.and_then(|index| calls.recorded.get_mut(index)) {
            found.is_used = true;
            let (result, requests) = (found.result.clone(), found.requests);
            return Ok(Source::Record(OutboundCall { request: request.clone(), result, requests }));
        }
        calls.unanswered.push(UnansweredCall { step: step.to_owned(), request: request.clone() });
        let last = calls.recorded.iter().rev().find(|call| call.step == step && call.result.finished().is_some());
        Ok(match (missing, last) {
            (MissingAnswers::Last, Some(last)) => {
                let (result, requests) = (last.result.clone(), last.requests);
                Source::Record(OutboundCall { request: request.clone(), result, requests })
            }
            _ => Source::Nothing,
        })
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

#[cfg(test)]
mod tests {
    use weirgate_types::{DeliveryId, Digest, Position};

    use super::*;

    struct Base(BTreeMap<String, Vec<u8>>);

    impl ReadState for Base {
        fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
            Ok(self.0.get(name).cloned())
        }

        fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
            let names = self.0.keys().filter(|name| name.starts_with(prefix));
            Ok(names.take(limit).cloned().collect())
        }
    }

    #[test]
    fn differing_values_are_read_over_the_recorded_ones() {
        let base = Base(["a", "b", "c"].map(|name| (name.to_owned(), vec![1])).into());
        let differs = [("a".to_owned(), None), ("b".to_owned(), Some(vec![2])), ("d".to_owned(), Some(vec![3]))].into();
        let names = Names::default();
        let state = ForkState::new(Box::new(base), &differs, &names);
        let get = |name| state.get(name).expect("it can be read");
        assert_eq!([get("a"), get("b"), get("c"), get("d")], [None, Some(vec![2]), Some(vec![1]), Some(vec![3])]);
        assert_eq!(state.list("", 9).expect("it can be read"), ["b", "c", "d"]);
        assert_eq!(state.list("", 2).expect("it can be read"), ["b", "c"], "as many as were asked for");
        assert!(names.has("a") && names.has("x"), "all names were listed");
        let unlisted = Names::default();
        assert!(!unlisted.has("a"));
    }

    fn request(digest: u8) -> StepRequest {
        StepRequest { method: "POST".into(), url: "https://pay.example/".into(), digest: Digest([digest; 32]) }
    }

    fn stepped(step: &str, digest: u8, status: u16) -> Stepped {
        let answer = StepAnswer { status, headers: Vec::new(), body: vec![digest] };
        Stepped {
            delivery: DeliveryId { handler: "pay".parse().expect("a name"), position: Position(1) },
            attempt: 1,
            step: step.into(),
            request: request(digest),
            result: StepResult::Answered(answer),
            requests: 1,
            previous: None,
            at_ms: 0,
        }
    }

    fn status(source: &Source) -> Option<u16> {
        match source {
            Source::Record(OutboundCall { result: StepResult::Answered(answer), .. }) => Some(answer.status),
            _ => None,
        }
    }

    #[test]
    fn the_same_request_gets_the_recorded_answers_and_another_one_none() {
        let recorded = [stepped("charge", 1, 503), stepped("charge", 1, 200), stepped("refund", 2, 200)];
        let calls = ForkCalls::new(recorded.clone(), MissingAnswers::Fail);
        let ask = |calls: &ForkCalls, step, digest| calls.source(step, &request(digest)).expect("an answer");
        assert_eq!(status(&ask(&calls, "charge", 1)), Some(503));
        assert_eq!(status(&ask(&calls, "charge", 1)), Some(200));
        assert_eq!(status(&ask(&calls, "charge", 1)), Some(200), "a final answer stands");
        assert_eq!(ask(&calls, "charge", 7), Source::Nothing, "105 is not 100");
        assert_eq!(calls.unanswered(), [UnansweredCall { step: "charge".into(), request: request(7) }]);
        assert_eq!(calls.not_made().iter().map(|call| call.step.as_str()).collect::<Vec<_>>(), ["refund"]);
        let calls = ForkCalls::new(recorded, MissingAnswers::Last);
        assert_eq!(status(&ask(&calls, "charge", 7)), Some(200));
        assert_eq!(ask(&calls, "other", 1), Source::Nothing, "no step of this name has an answer");
        assert_eq!(calls.unanswered().len(), 2);
    }
}
