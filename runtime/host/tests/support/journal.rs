//! An in-memory journal for outbound calls: it remembers the steps of one delivery over its attempts.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use weirgate_host::{BoundSecret, Outbound, OutboundCall, RecordedStep, Source, StateError};
use weirgate_types::StepRequest;

#[derive(Debug, Clone, Default)]
pub struct Journal(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
pub struct Kept {
    /// Set if it is not the tests' default.
    pub delivery: Option<String>,
    pub steps: BTreeMap<String, RecordedStep>,
    /// All calls that ended, in order.
    pub calls: Vec<(String, OutboundCall)>,
    /// Where the results of calls come from, in place of the network.
    pub record: Option<VecDeque<(String, OutboundCall)>>,
    /// The hosts whose breakers are open, and for how long.
    pub open: BTreeMap<String, u64>,
    /// The hosts that were checked, each time.
    pub permits: Vec<String>,
    pub secrets: BTreeMap<String, BoundSecret>,
    /// Whether nothing can be stored.
    pub broken: bool,
}

impl Journal {
    /// With the secret `psp`, bound to a header and to hosts.
    pub fn with_secret(value: &str, header: &str, hosts: &[String]) -> Self {
        let (value, header) = (Some(value.to_owned()), header.to_owned());
        let secret = BoundSecret { value, handlers: Vec::new(), hosts: hosts.to_vec(), header };
        let journal = Self::default();
        journal.with(|kept| kept.secrets.insert("psp".to_owned(), secret));
        journal
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.0.lock().expect("no panic"))
    }

    /// A new journal for an attempt that is executed again on what this one recorded.
    pub fn to_record(&self) -> Self {
        let record = self.with(|kept| kept.calls.iter().cloned().collect());
        let again = Self::default();
        again.with(|kept| kept.record = Some(record));
        again
    }

    pub fn steps(&self) -> Vec<String> {
        self.with(|kept| kept.steps.keys().cloned().collect())
    }
}

impl Outbound for Journal {
    fn recorded(&self, step: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        Ok(self.with(|kept| kept.steps.get(step).cloned()))
    }

    fn source(&self, step: &str, request: &StepRequest) -> Result<Source, StateError> {
        Ok(self.with(|kept| match &mut kept.record {
            None => Source::Network,
            Some(record) if record.front().is_some_and(|(name, call)| name == step && call.request == *request) => {
                record.pop_front().map_or(Source::Nothing, |(_, call)| Source::Record(call))
            }
            Some(_) => Source::Nothing,
        }))
    }

    fn recorded_size(&self) -> (usize, usize) {
        self.with(|kept| {
            let sizes = kept.steps.iter().map(|(step, known)| known.answer.size_of_step(step));
            (kept.steps.len(), sizes.sum())
        })
    }

    fn permit(&self, host: &str) -> Result<(), u64> {
        self.with(|kept| {
            kept.permits.push(host.to_owned());
            kept.open.get(host).map_or(Ok(()), |ms| Err(*ms))
        })
    }

    fn record(&self, step: &str, call: OutboundCall) -> Result<(), StateError> {
        self.with(|kept| {
            if kept.broken {
                return Err(StateError::new("the log is gone"));
            }
            if let Some(answer) = call.result.finished().cloned() {
                let known = RecordedStep { request: call.request.clone(), answer };
                assert!(kept.steps.insert(step.to_owned(), known).is_none(), "{step} was kept twice");
            }
            kept.calls.push((step.to_owned(), call));
            Ok(())
        })
    }

    fn secret(&self, name: &str) -> Option<BoundSecret> {
        self.with(|kept| kept.secrets.get(name).cloned())
    }

    fn idempotency_key(&self, step: &str) -> String {
        self.with(|kept| format!("{}/{step}", kept.delivery.as_deref().unwrap_or("hostile@42")))
    }
}
