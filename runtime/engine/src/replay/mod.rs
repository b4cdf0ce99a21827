//! Replay: attempts of the log are executed again, on what the log holds of their inputs. No effect is kept and no host is
//! called.
//!
//! An attempt that is recorded as reproducible comes to the same result, bit for bit: the same failure, or the same state,
//! status, events and timers, and the same log lines.

mod attempts;
mod compare;
mod past;
mod recorded;

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use weirgate_host::{Call, CallError, Host, Module, ModuleError, Outbound, OwnProcessor, Processor, ReadState};
use weirgate_log::LogReader;
use weirgate_types::{
    CallLimits, Commit, Correction, DeliveryCommand, DeliveryId, Digest, Event, Manifest, Position, Record,
};

use crate::{StorageError, corrections, job::StoredRecord};
use attempts::{Attempts, Begun, Ended, EndedCall};
pub use compare::{Differs, Part};
use compare::{Repeated, correction_difference, differences};
use past::{Past, PastState};
use recorded::RecordedCalls;

/// Time limits are multiplied by this: a replay beside other work must not time out where the attempt did not.
const TIME_FACTOR: u64 = 50;
const TIME_MS_MAX: u64 = 300_000;
/// Maximum number of differences that a verification keeps; the others are counted.
const DIFFERENCES_KEPT_MAX: usize = 100;
/// Maximum number of versions and modules in memory.
const VERSIONS_MAX: usize = 64;
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Attempts that were executed again.
    pub executed: u64,
    /// Attempts recorded as not reproducible: ended by time, by a stop or by a lack of memory.
    pub not_reproducible: u64,
    /// Attempts whose module is not there any more.
    pub without_module: u64,
    /// Attempts that differ.
    pub different: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// An attempt that came to another result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub delivery: DeliveryId,
    pub attempt: u32,
    /// The record of its commit.
    pub commit: Position,
    pub digest: Digest,
    pub parts: Vec<Differs>,
}

/// Why a verification ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the deployment at position {0} is not in the log")]
    NoDeployment(Position),
    #[error("the manifest of the deployment at position {position} cannot be read: {reason}")]
    Manifest { position: Position, reason: String },
    #[error("module {digest} cannot be loaded")]
    Module { digest: Digest, source: ModuleError },
    #[error("{delivery} cannot be executed")]
    Call { delivery: DeliveryId, source: CallError },
}

/// A deployment, loaded.
struct Version {
    module: Option<Module>,
    config: Arc<BTreeMap<String, String>>,
    limits: CallLimits,
    manifest: Manifest,
}

/// Executes the attempts of a log again, in its order.
pub struct Verification {
    log: LogReader,
    host: Arc<Host>,
    processor: Arc<dyn Processor>,
    attempts: Attempts,
    past: Past,
    versions: BTreeMap<Position, Arc<Version>>,
    /// Corrections that the hook of an executed attempt made; the record of it may follow.
    corrected: BTreeMap<DeliveryId, (Difference, Correction)>,
    result: Verified,
}

impl Verification {
    #[must_use]
    pub fn new(log: LogReader, host: Arc<Host>) -> Self {
        Self {
            log,
            host,
            processor: Arc::new(OwnProcessor),
            attempts: Attempts::default(),
            past: Past::default(),
            versions: BTreeMap::new(),
            corrected: BTreeMap::new(),
            result: Verified::default(),
        }
    }

    /// Executes all attempts again whose commits lie in `after + 1 ..= through`. Reads the log from its beginning, because it
    /// needs the state as it was.
    ///
    /// # Errors
    /// The log cannot be read, a module cannot be loaded, or the host cannot execute it.
    pub fn run(mut self, after: Position, through: Position) -> Result<Verified, ReplayError> {
        for read in self.log.clone().scan(Position::ZERO) {
            let (position, record) = read.map_err(StorageError::from)?;
            if position > through {
                break;
            }
            self.compare_correction(&record);
            for call in self.attempts.apply(position, &record) {
                if position > after {
                    self.repeat(&call)?;
                }
            }
            let oldest = self.attempts.oldest().unwrap_or(position);
            record.commits().iter().for_each(|commit| self.past.write(position, commit, oldest));
        }
        Ok(self.result)
    }

    /// Executes the attempts of one call again.
    fn repeat(&mut self, call: &EndedCall) -> Result<(), ReplayError> {
        let commits = call.iter().map(|ended| self.commit(ended)).collect::<Result<Vec<_>, _>>()?;
        let attempts = commits.iter().flatten().count() as u64;
        // What a discarded attempt came to is not recorded, but the others of its call may depend on it.
        if commits.iter().any(|commit| commit.as_ref().is_none_or(|commit| !commit.reproducible)) {
            self.result.not_reproducible += attempts;
            return Ok(());
        }
        let commits: Vec<Commit> = commits.into_iter().flatten().collect();
        let Some(first) = call.first() else { return Ok(()) };
        let version = self.version(first.begun.version)?;
        let Some(module) = &version.module else {
            self.result.without_module += attempts;
            return Ok(());
        };
        let (repeated, correction) = self.execute(module, &version, call, &commits)?;
        self.result.executed += attempts;
        for ((ended, commit), repeated) in call.iter().zip(&commits).zip(&repeated) {
            let found = Difference {
                delivery: ended.begun.delivery.clone(),
                attempt: commit.attempt,
                commit: ended.commit.unwrap_or_default(),
                digest: commit.digest,
                parts: differences(commit, repeated),
            };
            if !found.parts.is_empty() {
                self.differs(found);
            } else if let Some(correction) = correction.clone() {
                self.corrected.insert(found.delivery.clone(), (found, correction));
            }
        }
        Ok(())
    }

    fn differs(&mut self, found: Difference) {
        self.result.different += 1;
        if self.result.differences.len() < DIFFERENCES_KEPT_MAX {
            self.result.differences.push(found);
        }
    }

    /// The decision that a hook's correction led to follows its attempt's commit, unless another correction came first.
    fn compare_correction(&mut self, record: &Record) {
        let Record::DeliveryDecided(decided) = record else { return };
        let Some((found, now)) = self.corrected.remove(&decided.delivery) else { return };
        let DeliveryCommand::Correct(recorded) = &decided.command else { return };
        if decided.actor == weirgate_core::HOOK
            && let Some(part) = correction_difference(recorded, &now)
        {
            self.differs(Difference { parts: vec![part], ..found });
        }
    }

    fn commit(&self, ended: &Ended) -> Result<Option<Commit>, ReplayError> {
        let Some(position) = ended.commit else { return Ok(None) };
        let read = StoredRecord::read(&self.log, position).map_err(StorageError::from)?;
        let commit = read.as_ref().and_then(|stored| stored.record.commit_of(&ended.begun.delivery));
        Ok(Some(commit.cloned().ok_or(StorageError::Missing { what: "commit", position })?))
    }

    fn execute(
        &self,
        module: &Module,
        version: &Version,
        call: &EndedCall,
        commits: &[Commit],
    ) -> Result<(Vec<Repeated>, Option<Correction>), ReplayError> {
        let inputs = call.iter().map(|ended| self.input(&ended.begun)).collect::<Result<Vec<_>, _>>()?;
        let begun = call.first().map(|ended| &ended.begun);
        let calls: Vec<_> = call
            .iter()
            .zip(&inputs)
            .map(|(ended, input)| Call {
                event: &input.event,
                delivery: &ended.begun.delivery,
                key: input.event.key(),
                attempt: ended.begun.attempt,
                at_ms: begun.map_or(0, |begun| begun.at_ms),
                wall_ms: begun.map_or(0, |begun| begun.wall_ms),
                config: &version.config,
                limits: &version.limits,
                capabilities: &version.manifest.capabilities,
                processor: &self.processor,
            })
            .collect();
        let (mut repeated, correction) = loop {
            let states = call.iter().zip(commits).map(|(ended, commit)| self.state(&ended.begun, commit)).collect();
            let outbound = call.iter().map(|ended| self.outbound(&ended.begun)).collect::<Result<_, _>>()?;
            let (results, correction) = run(module, &calls, states, outbound);
            match results.first() {
                Some(Repeated { result: Err(CallError::Busy), .. }) => thread::park_timeout(BUSY_PAUSE),
                _ => break (results, correction),
            }
        };
        for ((one, input), ended) in repeated.iter_mut().zip(&inputs).zip(call) {
            if let Err(source @ CallError::State(_)) = &one.result {
                let (delivery, source) = (ended.begun.delivery.clone(), source.clone());
                return Err(ReplayError::Call { delivery, source });
            }
            crate::causation::check(&mut one.result, input.depth, &version.limits);
        }
        Ok((repeated, correction))
    }

    /// The event as it was delivered, and its causation depth.
    fn input(&self, begun: &Begun) -> Result<Input, ReplayError> {
        let position = begun.delivery.position;
        let missing = || StorageError::Missing { what: "event", position };
        let stored = StoredRecord::read(&self.log, position).map_err(StorageError::from)?.ok_or_else(missing)?;
        let event = stored.event(position).ok_or_else(missing)?;
        let corrected = corrections::as_delivered(&self.log, event, begun.carried.correction)?;
        Ok(Input { depth: stored.depth_at(position), event: corrected.unwrap_or_else(|| event.clone()) })
    }

    fn state(&self, begun: &Begun, commit: &Commit) -> Box<dyn ReadState> {
        let of = (commit.handler.clone(), commit.key.clone());
        Box::new(PastState::new(&self.past, &self.log, of, begun.at, &commit.reads))
    }

    fn outbound(&self, begun: &Begun) -> Result<Box<dyn Outbound>, ReplayError> {
        Ok(Box::new(RecordedCalls::new(&self.log, begun)?))
    }

    /// The deployment at a position, with its module unless that is missing.
    fn version(&mut self, position: Position) -> Result<Arc<Version>, ReplayError> {
        if let Some(version) = self.versions.get(&position) {
            return Ok(Arc::clone(version));
        }
        let Some((_, Record::Deployed(deployed))) = self.log.read(position).map_err(StorageError::from)? else {
            return Err(ReplayError::NoDeployment(position));
        };
        let manifest = Manifest::from_record(&deployed.manifest)
            .map_err(|error| ReplayError::Manifest { position, reason: error.to_string() })?;
        let module = match self.host.load(deployed.digest) {
            Ok(module) => Some(module),
            Err(ModuleError::Missing(_)) => None,
            Err(source) => return Err(ReplayError::Module { digest: deployed.digest, source }),
        };
        let (config, limits) = (Arc::new(manifest.config.clone()), patient(manifest.limits));
        let version = Arc::new(Version { module, config, limits, manifest });
        if self.versions.len() >= VERSIONS_MAX {
            self.versions.pop_first();
        }
        self.versions.insert(position, Arc::clone(&version));
        Ok(version)
    }
}

/// The input of an attempt.
struct Input {
    event: Event,
    depth: u32,
}

fn run(
    module: &Module,
    calls: &[Call<'_>],
    mut states: Vec<Box<dyn ReadState>>,
    mut outbound: Vec<Box<dyn Outbound>>,
) -> (Vec<Repeated>, Option<Correction>) {
    if let ([call], false) = (calls, module.is_batch())
        && let (Some(state), Some(outbound)) = (states.pop(), outbound.pop())
    {
        let report = module.call(call, state, outbound);
        return (vec![Repeated { result: report.result, log: report.log }], report.correction);
    }
    let report = module.call_batch(calls, states, outbound);
    let repeated = report.results.into_iter().zip(report.logs).map(|(result, log)| Repeated { result, log });
    (repeated.collect(), None)
}

/// The same limits with more time.
fn patient(limits: CallLimits) -> CallLimits {
    let more = |ms: u64| ms.saturating_mul(TIME_FACTOR).min(TIME_MS_MAX);
    CallLimits { cpu_ms: more(limits.cpu_ms), wall_ms: more(limits.wall_ms), ..limits }
}
