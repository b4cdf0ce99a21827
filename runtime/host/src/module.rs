//! A loaded module, and calls of it, each in its own instance.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    time::Duration,
};

use serde::Serialize;
use wasmtime::{Store, UpdateDeadline};
use weirgate_types::{CallLimits, Digest, FailureClass};

use crate::{
    BatchReport, Call, CallError, CallReport, Outbound, OwnProcessor, Processor, ReadState, StateError,
    attempt::{Attempt, Item, Setup},
    call::block_behind_failures,
    clock::{Deadline, Reading},
    entry::{Answers, Entry},
    failure,
    lines::Log,
    outbound::{Network, Seen, Steps},
    ticker::Ticker,
};

/// Maximum number of bytes that one host call may move out of the guest's memory.
const HOSTCALL_BYTES_MAX: usize = 4 << 20;

/// The description of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    pub digest: Digest,
    pub bytes: u64,
    /// The names of what it imports, for instance `weirgate:handler/state@0.1.0`.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// A module that can be called. Cheap to clone; it may outlive its [`crate::Host`].
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    info: ModuleInfo,
    entry: Entry,
    ticker: Ticker,
    network: Arc<Network>,
}

/// A weak reference to a module.
pub(crate) struct WeakModule(Weak<Loaded>);

impl WeakModule {
    pub(crate) fn upgrade(&self) -> Option<Module> {
        self.0.upgrade().map(Module)
    }
}

impl Module {
    pub(crate) fn new(info: ModuleInfo, entry: Entry, ticker: Ticker, network: Arc<Network>) -> Self {
        Self(Arc::new(Loaded { info, entry, ticker, network }))
    }

    /// A reference that finds the module while it is in use, without keeping it.
    pub(crate) fn downgrade(&self) -> WeakModule {
        WeakModule(Arc::downgrade(&self.0))
    }

    #[must_use]
    pub fn info(&self) -> &ModuleInfo {
        &self.0.info
    }

    /// Whether the component takes several deliveries per call.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        self.0.entry.is_batch()
    }

    /// Whether the component takes `weirgate.key.repaired`: attempts at others fail for good.
    #[must_use]
    pub fn has_on_corrected(&self) -> bool {
        self.0.entry.compensates()
    }

    /// Whether the component migrates state of earlier versions.
    #[must_use]
    pub fn migrates(&self) -> bool {
        self.0.entry.migrates()
    }

    /// One attempt, in a fresh instance, on the calling thread. A component that takes batches gets a batch of one delivery.
    /// Does not panic, and ends soon (about 10 ms) after one of the call's limits is reached, unless `state` or `outbound`
    /// takes longer to answer.
    ///
    /// After a correctable failure, the component's correction hook, if any, is called in another instance with the same
    /// time limit.
    #[must_use]
    pub fn call(&self, call: &Call<'_>, state: Box<dyn ReadState>, outbound: Box<dyn Outbound>) -> CallReport {
        let started = Reading::now();
        let attempt = Attempt::new(setup(call), state, Some(self.steps(call, outbound)), started);
        let (answers, attempt) = self.handle(std::slice::from_ref(call), attempt);
        let answer = answers.and_then(|answers| answers.into_iter().next().unwrap_or(Ok(())));
        let (memory_bytes_peak, reproducible) = (attempt.memory.bytes_peak(), attempt.is_reproducible());
        let Item { effects, state, steps, log, .. } = attempt.item;
        let seen = steps.map(Steps::finish).unwrap_or_default();
        let answer = answer.map_err(|error| failure::at_open_circuit(error, seen.open_ms));
        let mut report = CallReport {
            result: answer.map(|()| effects.finish(call)),
            correction: None,
            log: Vec::new(),
            log_lines_dropped: 0,
            cpu: Duration::ZERO,
            memory_bytes_peak,
            reproducible,
            hosts: seen.host_calls(),
        };
        let log = self.correct(call, &mut report, state, log);
        (report.log, report.log_lines_dropped) = log.finish();
        report.cpu = started.cpu_since();
        report
    }

    /// Several attempts in one fresh instance, with the time and memory limits of the first one. `states` and `outbound` are
    /// those of the calls, in the same order.
    ///
    /// An item reads its key's state with the writes of earlier items. So if one fails, the later ones of its key end with
    /// [`CallError::Blocked`]. If any item has met an open circuit, all transient failures of the batch count as caused by
    /// it: one outbound call may be made for all of them.
    ///
    /// # Panics
    /// The numbers of states or `outbound` differ from the number of calls.
    #[must_use]
    pub fn call_batch(
        &self,
        calls: &[Call<'_>],
        states: Vec<Box<dyn ReadState>>,
        outbound: Vec<Box<dyn Outbound>>,
    ) -> BatchReport {
        assert_eq!((calls.len(), calls.len()), (states.len(), outbound.len()), "each call has its own");
        let started = Reading::now();
        let mut report = BatchReport::default();
        let steps = calls.iter().zip(outbound).map(|(call, outbound)| Some(self.steps(call, outbound)));
        let mut given = calls.iter().map(setup).zip(states).zip(steps);
        let Some(((setup, state), steps)) = given.next() else { return report };
        let mut attempt = Attempt::new(setup, state, steps, started);
        given.for_each(|((setup, state), steps)| attempt.add(setup, state, steps));
        let (answers, attempt) = self.handle(calls, attempt);
        let answers = match answers {
            Ok(answers) => block_behind_failures(answers, calls),
            Err(error) => vec![Err(error); calls.len()],
        };
        (report.memory_bytes_peak, report.reproducible) = (attempt.memory.bytes_peak(), attempt.is_reproducible());
        let mut items: Vec<Item> = attempt.into_items().collect();
        let steps = items.iter_mut().filter_map(|item| item.steps.take());
        let seen = steps.map(Steps::finish).fold(Seen::default(), Seen::and);
        for ((item, answer), call) in items.into_iter().zip(answers).zip(calls) {
            let answer = answer.map_err(|error| failure::at_open_circuit(error, seen.open_ms));
            report.results.push(answer.map(|()| item.effects.finish(call)));
            let (lines, dropped) = item.log.finish();
            report.logs.push(lines);
            report.log_lines_dropped.push(dropped);
        }
        report.hosts = seen.host_calls();
        report.cpu = started.cpu_since();
        report
    }

    /// Creates an instance and drops it, to check that it starts within `limits`.
    pub(crate) fn try_start(&self, limits: &CallLimits) -> Result<(), CallError> {
        let processor: Arc<dyn Processor> = Arc::new(OwnProcessor);
        let (config, delivery, event) = (Arc::default(), None, None);
        let setup = Setup { limits, key: "", config, delivery, event, at_ms: 0, wall_ms: 0, processor };
        let attempt = Attempt::new(setup, Box::new(NoState), None, Reading::now());
        let (result, _) = self.enter(attempt, |store| self.0.entry.start(store).map(drop));
        result
    }

    fn steps(&self, call: &Call<'_>, outbound: Box<dyn Outbound>) -> Steps {
        Steps::new(Arc::clone(&self.0.network), outbound, call.capabilities, call.limits)
    }

    /// The guest's result for each call, or the failure of all of them.
    fn handle(&self, calls: &[Call<'_>], attempt: Attempt) -> (Result<Answers, CallError>, Attempt) {
        self.enter(attempt, |store| self.0.entry.handle(store, calls))
    }

    /// Calls the correction hook after a correctable failure. Lines that the guest logs or prints meanwhile are added to the
    /// same log. It calls no other host.
    fn correct(&self, call: &Call<'_>, report: &mut CallReport, state: Box<dyn ReadState>, mut log: Log) -> Log {
        let failure = match &report.result {
            Err(CallError::Failed(failure)) if failure.class == FailureClass::Correctable => failure,
            _ => return log,
        };
        if !self.0.entry.corrects() {
            return log;
        }
        let mut attempt = Attempt::new(setup(call), state, None, Reading::now());
        log.end_call();
        attempt.item.log = log;
        let (answer, mut attempt) = self.enter(attempt, |store| self.0.entry.correct(store, call, failure));
        report.memory_bytes_peak = report.memory_bytes_peak.max(attempt.memory.bytes_peak());
        report.reproducible &= attempt.is_reproducible();
        match answer {
            Ok(correction) => report.correction = correction,
            Err(error) => attempt.item.log.remark(&format!("`on-correctable` gave no correction: {error}")),
        }
        attempt.item.log
    }

    /// Runs with its own store, and returns the result and the store's data.
    fn enter<T>(
        &self,
        attempt: Attempt,
        run: impl FnOnce(&mut Store<Attempt>) -> wasmtime::Result<T>,
    ) -> (Result<T, CallError>, Attempt) {
        let mut store = self.store(attempt);
        let answer = {
            let _running = self.0.ticker.running();
            // After a panic only the store's data is used, which is consistent.
            catch_unwind(AssertUnwindSafe(|| run(&mut store)))
        };
        let mut attempt = store.into_data();
        let result = match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure::classify(&error, &mut attempt)),
            Err(panic) => {
                attempt.depends_on_machine();
                Err(failure::panicked(&*panic))
            }
        };
        (result, attempt)
    }

    fn store(&self, mut attempt: Attempt) -> Store<Attempt> {
        let deadline = Deadline::within(attempt.wall_left());
        attempt.memory.draw_from(self.0.network.budget(), deadline);
        let mut store = Store::new(self.0.entry.engine(), attempt);
        store.limiter(|attempt| &mut attempt.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().check_time()?;
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Module").field(&self.0.info.digest).finish()
    }
}

fn setup<'a>(call: &Call<'a>) -> Setup<'a> {
    Setup {
        limits: call.limits,
        key: call.key,
        config: Arc::clone(call.config),
        delivery: Some(call.delivery),
        event: Some(call.event),
        at_ms: call.at_ms,
        wall_ms: call.wall_ms,
        processor: Arc::clone(call.processor),
    }
}

/// A component that is only started has no deliveries behind it.
struct NoState;

impl ReadState for NoState {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }

    fn list(&self, _: &str, _: usize) -> Result<Vec<String>, StateError> {
        Ok(Vec::new())
    }
}
