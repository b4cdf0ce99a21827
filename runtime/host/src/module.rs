//! A loaded module and one call of it, in an instance of its own.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use serde::Serialize;
use wasmtime::{Store, UpdateDeadline};
use weirgate_types::{AttemptFailure, CallLimits, Digest, FailureClass, FailureKind};

use crate::{
    Call, CallError, CallReport, ReadState, StateError,
    attempt::{Attempt, Setup},
    clock::Reading,
    contract::bindings::{Handler, HandlerPre, weirgate::handler::types},
    ending, lines,
    ticker::Ticker,
};

/// How many bytes one host call may move out of the guest's memory.
const HOSTCALL_BYTES_MAX: usize = 4 << 20;
/// The longest wait a guest may ask for before its next attempt: one day.
const RETRY_AFTER_MS_MAX: u64 = 86_400_000;

/// What is known of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleInfo {
    pub digest: Digest,
    pub bytes: u64,
    /// The names of what it imports, for instance `weirgate:handler/state@0.1.0`.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// A module that is ready to be called. Cheap to clone; it may outlive its [`crate::Host`].
#[derive(Clone)]
pub struct Module(Arc<Loaded>);

struct Loaded {
    info: ModuleInfo,
    pre: HandlerPre<Attempt>,
    ticker: Ticker,
}

/// A module that goes when nobody else holds it.
pub(crate) struct WeakModule(Weak<Loaded>);

impl WeakModule {
    pub(crate) fn upgrade(&self) -> Option<Module> {
        self.0.upgrade().map(Module)
    }
}

/// What the guest answered, or how it ended.
type Answer = wasmtime::Result<Result<(), types::Failure>>;

impl Module {
    pub(crate) fn new(info: ModuleInfo, pre: HandlerPre<Attempt>, ticker: Ticker) -> Self {
        Self(Arc::new(Loaded { info, pre, ticker }))
    }

    /// For whoever wants to find the module again without keeping it.
    pub(crate) fn downgrade(&self) -> WeakModule {
        WeakModule(Arc::downgrade(&self.0))
    }

    #[must_use]
    pub fn info(&self) -> &ModuleInfo {
        &self.0.info
    }

    /// One attempt, in a fresh instance, on the calling thread. Does not panic, and ends soon (about 10 ms) after one
    /// of the call's limits is met, unless `state` takes longer to answer.
    #[must_use]
    pub fn call(&self, call: &Call<'_>, state: Box<dyn ReadState>) -> CallReport {
        let started = Reading::now();
        let setup = Setup {
            limits: call.limits,
            key: call.key,
            config: Arc::clone(call.config),
            delivery: Some(call.delivery),
            at_ms: call.at_ms,
        };
        let (result, attempt) = self.enter(Attempt::new(setup, state, started), |store| {
            let handler = self.0.pre.instantiate(&mut *store)?;
            handle(&handler, store, call)
        });
        let memory_bytes_peak = attempt.memory.bytes_peak();
        let (log, log_lines_dropped) = attempt.log.finish();
        let result = result.map(|()| attempt.effects.finish(call));
        CallReport { result, log, log_lines_dropped, cpu: started.cpu_since(), memory_bytes_peak }
    }

    /// Make an instance and drop it, to see whether it starts within `limits`.
    pub(crate) fn try_start(&self, limits: &CallLimits) -> Result<(), CallError> {
        let setup = Setup { limits, key: "", config: Arc::default(), delivery: None, at_ms: 0 };
        let attempt = Attempt::new(setup, Box::new(NoState), Reading::now());
        let (result, _) = self.enter(attempt, |store| self.0.pre.instantiate(&mut *store).map(|_| Ok(())));
        result
    }

    /// Run with a store of its own, and say how it went and what it left.
    fn enter(
        &self,
        attempt: Attempt,
        run: impl FnOnce(&mut Store<Attempt>) -> Answer,
    ) -> (Result<(), CallError>, Attempt) {
        let mut store = self.store(attempt);
        let answer = {
            let _running = self.0.ticker.running();
            // After a panic nothing of the store is looked at but its data, which is whole.
            catch_unwind(AssertUnwindSafe(|| run(&mut store)))
        };
        let mut attempt = store.into_data();
        let result = match answer {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(failure))) => Err(CallError::Failed(named(failure))),
            Ok(Err(error)) => Err(ending::classify(&error, &mut attempt)),
            Err(panic) => Err(ending::panicked(&*panic)),
        };
        (result, attempt)
    }

    fn store(&self, attempt: Attempt) -> Store<Attempt> {
        let mut store = Store::new(self.0.pre.engine(), attempt);
        store.limiter(|attempt| &mut attempt.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            store.data().check_time()?;
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

fn handle(handler: &Handler, store: &mut Store<Attempt>, call: &Call<'_>) -> Answer {
    let Call { event, delivery, .. } = *call;
    let event = types::Event {
        id: event.id.clone(),
        source: event.source.clone(),
        type_: event.r#type.clone(),
        subject: event.subject.clone(),
        time: event.time.clone(),
        data_content_type: event.data_content_type.clone(),
        extensions: event.extensions.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        data: event.data.clone(),
    };
    let delivery = types::Delivery {
        id: delivery.to_string(),
        handler: delivery.handler.to_string(),
        position: delivery.position.0,
        key: call.key.to_owned(),
        attempt: call.attempt,
    };
    handler.call_handle(store, &event, &delivery)
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

/// The failure that the guest named.
fn named(failure: types::Failure) -> AttemptFailure {
    let (class, message) = match &failure {
        types::Failure::Transient(transient) => (FailureClass::Transient, &transient.message),
        types::Failure::Correctable(correctable) => (FailureClass::Correctable, &correctable.message),
        types::Failure::Permanent(message) => (FailureClass::Permanent, message),
    };
    let mut named = AttemptFailure { class, ..AttemptFailure::found(FailureKind::Handler, lines::message(message)) };
    match failure {
        types::Failure::Transient(transient) => {
            named.retry_after_ms = transient.retry_after_ms.map(|wait| wait.min(RETRY_AFTER_MS_MAX));
        }
        types::Failure::Correctable(correctable) => {
            named.what_is_wrong = Some(lines::message(&correctable.what_is_wrong));
        }
        types::Failure::Permanent(_) => {}
    }
    named
}
