//! The inputs of an attempt in memory: its state, and the results of its calls.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use weirgate_host::{BoundSecret, Outbound, OutboundCall, ReadState, RecordedStep, Source, StateError};
use weirgate_types::{StepRequest, StepResult, Stepped};

/// The state that a number of consecutive reads saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateView {
    /// Number of reads; the last view is that of all others.
    pub count: u32,
    pub values: Vec<(String, Vec<u8>)>,
}

impl StateView {
    pub fn bytes(&self) -> usize {
        self.values.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// An outbound call and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    request: StepRequest,
    pub result: StepResult,
    requests: u32,
}

impl Step {
    /// `change` is applied to the answer's body.
    pub fn of(stepped: Stepped, change: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let Stepped { step: name, request, mut result, requests, .. } = stepped;
        if let StepResult::Answered(answer) = &mut result {
            answer.body = change(&answer.body);
        }
        Self { name, request, result, requests }
    }
}

/// A state in memory.
pub struct MemoryState {
    views: Vec<(u32, BTreeMap<String, Vec<u8>>)>,
    read: Mutex<u32>,
}

impl MemoryState {
    pub fn new(views: &[StateView]) -> Self {
        let views = views.iter().map(|view| (view.count, view.values.iter().cloned().collect()));
        Self { views: views.collect(), read: Mutex::new(0) }
    }

    fn next_view(&self) -> Option<&BTreeMap<String, Vec<u8>>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = 0_u32;
        let of_read = |(count, _): &&(u32, _)| {
            before = before.saturating_add(*count);
            *read < before
        };
        let view = self.views.iter().find(of_read).or(self.views.last());
        *read = read.saturating_add(1);
        view.map(|(_, values)| values)
    }
}

impl ReadState for MemoryState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.next_view().and_then(|values| values.get(name)).cloned())
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        let values = self.next_view().into_iter().flat_map(|values| values.range(prefix.to_owned()..));
        Ok(values.map(|(name, _)| name.clone()).take_while(|name| name.starts_with(prefix)).take(limit).collect())
    }
}

/// The calls of an attempt that is executed again: their results are the recorded ones, and nothing is sent. Clones share what was repeated.
#[derive(Clone)]
pub struct MemoryCalls(Arc<Mutex<Calls>>);

struct Calls {
    before: Vec<Step>,
    own: VecDeque<Step>,
    /// Those that were repeated, with their requests.
    repeated: Vec<Step>,
    /// Whether another request than the recorded one gets its result.
    any_request: bool,
    /// Whether they may come in another order than the recorded one.
    any_order: bool,
}

impl MemoryCalls {
    pub fn new(before: Vec<Step>, own: Vec<Step>) -> Self {
        let own = own.into();
        Self(Arc::new(Mutex::new(Calls { before, own, repeated: Vec::new(), any_request: false, any_order: false })))
    }

    /// A step gets its result whatever its request is, and keeps the request.
    pub fn of_any_request(self) -> Self {
        self.calls().any_request = true;
        self
    }

    /// Calls may be made in another order than the recorded one: for a candidate.
    pub fn in_any_order(self) -> Self {
        self.calls().any_order = true;
        self
    }

    /// The steps that were made again, and those that were not.
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let calls = self.calls();
        let names = |steps: &mut dyn Iterator<Item = &Step>| steps.map(|step| step.name.clone()).collect();
        (names(&mut calls.repeated.iter()), names(&mut calls.own.iter()))
    }

    /// The answers of earlier attempts and the own calls, with the requests that were made.
    pub fn into_steps(self) -> (Vec<Step>, Vec<Step>) {
        let calls = self.calls();
        (calls.before.clone(), calls.repeated.iter().chain(&calls.own).cloned().collect())
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound for MemoryCalls {
    fn recorded(&self, step: &str, request: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        let mut calls = self.calls();
        let any_request = calls.any_request;
        let Some(known) = calls.before.iter_mut().find(|known| known.name == step) else { return Ok(None) };
        if any_request {
            known.request = request.clone();
        }
        let request = known.request.clone();
        Ok(known.result.finished().cloned().map(|answer| RecordedStep { request, answer }))
    }

    /// A component makes its calls one after another, so the next one has to be the next recorded one.
    fn source(&self, step: &str, request: &StepRequest) -> Result<Source, StateError> {
        let mut calls = self.calls();
        let any_request = calls.any_request;
        let is_it = |next: &Step| next.name == step && (any_request || next.request == *request);
        let depth = if calls.any_order { calls.own.len() } else { 1 };
        let found = calls.own.iter().take(depth).position(is_it);
        let Some(mut next) = found.and_then(|at| calls.own.remove(at)) else { return Ok(Source::Nothing) };
        next.request = request.clone();
        calls.repeated.push(next.clone());
        Ok(Source::Record(OutboundCall { request: next.request, result: next.result, requests: next.requests }))
    }

    fn recorded_size(&self) -> (usize, usize) {
        let calls = self.calls();
        let answers = calls.before.iter().filter_map(|known| known.result.finished().zip(Some(&known.name)));
        let bytes = answers.map(|(answer, step)| answer.size_of_step(step)).sum();
        (calls.before.len(), bytes)
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
