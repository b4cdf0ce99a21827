//! Executes the attempts of one call on given inputs.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, thread, time::Duration};

use serde::{Deserialize, Serialize};
use weirgate_host::{Call, CallError, Host, Module, ModuleError, Outbound, OwnProcessor, Processor, ReadState};
use weirgate_types::{CallLimits, Capabilities, Correction, DeliveryId, Digest, Event, HostCall, Manifest};

use super::{ReplayError, compare::Repeated};
use crate::causation;

/// Time limits are multiplied by this: a replay beside other work must not time out where the attempt did not.
const TIME_FACTOR: u64 = 50;
/// The same for the CPU time of a candidate, which may loop: caches are cold beside other work.
const CANDIDATE_CPU_FACTOR: u64 = 2;
const TIME_MS_MAX: u64 = 300_000;
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// A module with the settings of a deployment.
#[derive(Debug)]
pub struct Executable {
    code: Code,
    pub state_version: u32,
    config: Arc<BTreeMap<String, String>>,
    limits: CallLimits,
    capabilities: Capabilities,
}

#[derive(Debug)]
enum Code {
    Module(Module),
    #[cfg(any(test, feature = "sim"))]
    Function(Function),
}

/// Where modules come from.
pub trait Load: Send + Sync {
    /// The module of a digest, with the settings of a manifest.
    ///
    /// # Errors
    /// It is missing, or cannot be loaded.
    fn load_for(&self, digest: Digest, manifest: &Manifest) -> Result<Executable, ModuleError>;
}

impl Load for Host {
    fn load_for(&self, digest: Digest, manifest: &Manifest) -> Result<Executable, ModuleError> {
        Ok(Executable::new(self.load(digest)?, manifest))
    }
}

/// A handler as a function of the deliveries of a call, of what each of them reads, and of its outbound calls.
#[cfg(any(test, feature = "sim"))]
pub type HandlerFunction =
    dyn Fn(&[Call<'_>], &[Services]) -> Vec<Result<weirgate_types::Effects, CallError>> + Send + Sync;

#[cfg(any(test, feature = "sim"))]
struct Function {
    function: Arc<HandlerFunction>,
    is_batch: bool,
}

#[cfg(any(test, feature = "sim"))]
impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Function")
    }
}

/// What all attempts of a call have in common, and each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallInput<'a> {
    pub at_ms: u64,
    pub wall_ms: u64,
    pub items: Vec<ItemInput<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemInput<'a> {
    pub delivery: DeliveryId,
    pub attempt: u32,
    /// As it was delivered: with its correction. A what-if borrows it from the record.
    pub event: Cow<'a, Event>,
    /// Its causation depth.
    pub depth: u32,
    /// The version of the key's state that is migrated first.
    pub migrate_from: Option<u32>,
}

/// What a call came to.
#[derive(Debug, Default)]
pub struct Execution {
    /// In the order of its items.
    pub repeated: Vec<Repeated>,
    pub correction: Option<Correction>,
    /// The hosts that were called: recorded calls are none.
    pub hosts: Vec<HostCall>,
}

/// Where an attempt reads its state, and the results of its calls.
pub type Services = (Box<dyn ReadState>, Box<dyn Outbound>);

impl Executable {
    pub(crate) fn new(module: Module, manifest: &Manifest) -> Self {
        Self::of(Code::Module(module), manifest)
    }

    fn of(code: Code, manifest: &Manifest) -> Self {
        let (config, limits) = (Arc::new(manifest.config.clone()), patient(manifest.limits));
        let (state_version, capabilities) = (manifest.state_version, manifest.capabilities.clone());
        Self { code, state_version, config, limits, capabilities }
    }

    #[cfg(any(test, feature = "sim"))]
    pub fn of_function(function: Arc<HandlerFunction>, manifest: &Manifest) -> Self {
        Self::of(Code::Function(Function { function, is_batch: manifest.batch.is_some() }), manifest)
    }

    /// A version that is not deployed yet. It gets its own limits, but for the time that it waits for a processor.
    pub(crate) fn into_candidate(self, manifest: &Manifest) -> Self {
        let cpu_ms = manifest.limits.cpu_ms.saturating_mul(CANDIDATE_CPU_FACTOR);
        Self { limits: CallLimits { cpu_ms, ..self.limits }, ..self }
    }

    /// Whether it may make outbound calls.
    pub(crate) fn makes_calls(&self) -> bool {
        !self.capabilities.hosts.is_empty()
    }

    /// Whether it may call no other hosts than these, with no other secrets.
    pub(crate) fn reaches_no_more_than(&self, other: &Capabilities) -> bool {
        let is_in = |ours: &[String], theirs: &[String]| ours.iter().all(|one| theirs.contains(one));
        is_in(&self.capabilities.hosts, &other.hosts) && is_in(&self.capabilities.secrets, &other.secrets)
    }

    /// Whether it takes several deliveries per call.
    pub(crate) fn is_batch(&self) -> bool {
        match &self.code {
            Code::Module(module) => module.is_batch(),
            #[cfg(any(test, feature = "sim"))]
            Code::Function(function) => function.is_batch,
        }
    }

    /// `services` are those of the item at an index; asked for again if the host has no room at first.
    pub(crate) fn execute(
        &self,
        call: &CallInput<'_>,
        services: impl Fn(usize) -> Result<Services, ReplayError>,
    ) -> Result<(Vec<Repeated>, Option<Correction>), ReplayError> {
        let processor: Arc<dyn Processor> = Arc::new(OwnProcessor);
        let Execution { repeated, correction, .. } = self.execute_for(&processor, call, services)?;
        Ok((repeated, correction))
    }

    /// The same, as long as `processor` does not discard it.
    pub(crate) fn execute_for(
        &self,
        processor: &Arc<dyn Processor>,
        call: &CallInput<'_>,
        services: impl Fn(usize) -> Result<Services, ReplayError>,
    ) -> Result<Execution, ReplayError> {
        let calls: Vec<_> = call.items.iter().map(|item| self.call(call, item, processor)).collect();
        let mut execution = loop {
            let services = (0..call.items.len()).map(&services).collect::<Result<Vec<_>, _>>()?;
            let execution = self.run(&calls, services);
            match execution.repeated.first() {
                Some(Repeated { result: Err(CallError::Busy), .. }) if !processor.is_discarded() => {
                    thread::park_timeout(BUSY_PAUSE);
                }
                _ => break execution,
            }
        };
        for (one, item) in execution.repeated.iter_mut().zip(&call.items) {
            if let Err(source @ CallError::State(_)) = &one.result {
                return Err(ReplayError::Call { delivery: item.delivery.clone(), source: source.clone() });
            }
            causation::check(&mut one.result, item.depth, &self.limits);
        }
        Ok(execution)
    }

    fn call<'a>(
        &'a self,
        call: &CallInput<'_>,
        item: &'a ItemInput<'_>,
        processor: &'a Arc<dyn Processor>,
    ) -> Call<'a> {
        Call {
            event: &item.event,
            delivery: &item.delivery,
            key: item.event.key(),
            attempt: item.attempt,
            at_ms: call.at_ms,
            wall_ms: call.wall_ms,
            config: &self.config,
            limits: &self.limits,
            migrate_from: item.migrate_from,
            capabilities: &self.capabilities,
            processor,
        }
    }

    fn run(&self, calls: &[Call<'_>], mut services: Vec<Services>) -> Execution {
        let module = match &self.code {
            Code::Module(module) => module,
            #[cfg(any(test, feature = "sim"))]
            Code::Function(function) => return function.run(calls, &services),
        };
        if let ([call], false) = (calls, module.is_batch())
            && let Some((state, outbound)) = services.pop()
        {
            let report = module.call(call, state, outbound);
            let repeated = vec![Repeated { result: report.result, log: report.log }];
            return Execution { repeated, correction: report.correction, hosts: report.hosts };
        }
        let (states, outbound) = services.into_iter().unzip();
        let report = module.call_batch(calls, states, outbound);
        let repeated = report.results.into_iter().zip(report.logs).map(|(result, log)| Repeated { result, log });
        Execution { repeated: repeated.collect(), correction: None, hosts: report.hosts }
    }
}

#[cfg(any(test, feature = "sim"))]
impl Function {
    fn run(&self, calls: &[Call<'_>], services: &[Services]) -> Execution {
        let results = (self.function)(calls, services);
        let repeated = results.into_iter().map(|result| Repeated { result, log: Vec::new() });
        Execution { repeated: repeated.collect(), ..Execution::default() }
    }
}

/// The same limits with more time.
fn patient(limits: CallLimits) -> CallLimits {
    let more = |ms: u64| ms.saturating_mul(TIME_FACTOR).min(TIME_MS_MAX);
    CallLimits { cpu_ms: more(limits.cpu_ms), wall_ms: more(limits.wall_ms), ..limits }
}
