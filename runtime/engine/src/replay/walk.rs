//! A walk through a log from its beginning: at the end of each call, all inputs of its attempts are at hand.

use std::{collections::BTreeMap, sync::Arc};

use weirgate_host::{Host, ModuleError};
use weirgate_log::LogReader;
use weirgate_types::{Commit, Deployed, Epoch, Epochs, Manifest, Position, Record, RuntimeVersion, Stepped};

use super::{
    ReplayError,
    attempts::{Attempts, Begun, Ended, EndedCall},
    execute::{CallInput, Executable, ItemInput, Services},
    memory::{MemoryCalls, Step},
    past::{Past, PastState},
    recorded::RecordedCalls,
};
use crate::{StorageError, corrections, job::StoredRecord};

/// Maximum number of deployments in memory.
const DEPLOYMENTS_MAX: usize = 64;

pub struct Walk {
    log: LogReader,
    host: Arc<Host>,
    /// The record that it is at.
    at: Option<StoredRecord>,
    attempts: Attempts,
    past: Past,
    deployments: BTreeMap<Position, Arc<Deployment>>,
    epochs: Epochs,
    /// The epoch that records were lost of.
    lost: Option<Epoch>,
    /// What executed handlers there.
    pub runtime: RuntimeVersion,
}

/// A deployment with its module, unless that is missing.
pub struct Deployment {
    pub record: Deployed,
    pub executable: Option<Executable>,
}

/// What a walk meets.
pub trait Visit {
    /// A record, before its effects.
    fn record(&mut self, _: &Record) {}

    /// A call ended with the record at `position`.
    ///
    /// # Errors
    /// The walk ends.
    fn call(&mut self, walk: &mut Walk, position: Position, call: &EndedCall) -> Result<(), ReplayError>;
}

impl Walk {
    pub fn new((log, epochs): (LogReader, Epochs), host: Arc<Host>) -> Self {
        let (attempts, past) = (Attempts::default(), Past::default());
        Self {
            log,
            host,
            at: None,
            attempts,
            past,
            deployments: BTreeMap::new(),
            epochs,
            lost: None,
            runtime: RuntimeVersion::default(),
        }
    }

    /// Visits all records up to `through`.
    pub fn run(&mut self, through: Position, visit: &mut impl Visit) -> Result<(), ReplayError> {
        for read in self.log.clone().scan(Position::ZERO) {
            let (position, record) = read.map_err(StorageError::from)?;
            if position > through {
                break;
            }
            let record = Arc::new(record);
            self.at = Some(StoredRecord { first: position, record: Arc::clone(&record) });
            visit.record(&record);
            for call in self.attempts.apply(position, &record) {
                visit.call(self, position, &call)?;
            }
            self.pass(position, &record);
        }
        Ok(())
    }

    /// Takes over what a record changes for later attempts.
    fn pass(&mut self, position: Position, record: &Record) {
        match record {
            Record::Committed(_) | Record::Batched(_) | Record::Repaired(_) => {
                self.past.write(position, record, self.attempts.oldest().unwrap_or(position));
            }
            Record::Removed(removed) => self.past.remove(&removed.handler),
            Record::RuntimeChanged(changed) => self.runtime = changed.runtime.clone(),
            Record::Lost(_) => self.lost = Some(self.epochs.at(position)),
            _ => {}
        }
    }

    /// Whether attempts of the call may have read what a lost record wrote: those that began after it, and before the repair, which
    /// begins an epoch and rebuilds the state from what is left.
    pub fn may_lack_inputs(&self, call: &EndedCall) -> bool {
        call.iter().any(|ended| self.lost == Some(self.epochs.at(ended.begun.at)))
    }

    /// The commit that ended an attempt; `None` if it was discarded.
    pub fn commit(&self, ended: &Ended) -> Result<Option<Commit>, ReplayError> {
        let Some(position) = ended.commit else { return Ok(None) };
        // Nearly always the record that ended the call.
        let read = match self.at.as_ref().filter(|at| at.first == position) {
            Some(at) => Some(at.clone()),
            None => StoredRecord::read(&self.log, position).map_err(StorageError::from)?,
        };
        let commit = read.as_ref().and_then(|stored| stored.record.commit_of(&ended.begun.delivery));
        Ok(Some(commit.cloned().ok_or(StorageError::Missing { what: "commit", position })?))
    }

    pub fn input(&self, call: &EndedCall) -> Result<CallInput, ReplayError> {
        let (at_ms, wall_ms) = call.first().map_or((0, 0), |first| (first.begun.at_ms, first.begun.wall_ms));
        let items = call.iter().map(|ended| self.item(&ended.begun)).collect::<Result<_, _>>()?;
        Ok(CallInput { at_ms, wall_ms, items })
    }

    fn item(&self, begun: &Begun) -> Result<ItemInput, ReplayError> {
        let position = begun.delivery.position;
        let missing = || StorageError::Missing { what: "event", position };
        let stored = StoredRecord::read(&self.log, position).map_err(StorageError::from)?.ok_or_else(missing)?;
        let event = stored.event(position).ok_or_else(missing)?;
        let corrected = corrections::as_delivered(&self.log, event, begun.carried.correction)?;
        Ok(ItemInput {
            delivery: begun.delivery.clone(),
            attempt: begun.attempt,
            depth: stored.depth_at(position),
            event: corrected.unwrap_or_else(|| event.clone()),
        })
    }

    pub fn services(&self, begun: &Begun, commit: &Commit) -> Result<Services, ReplayError> {
        let RecordedCalls { before, own } = self.calls(begun)?;
        let steps = |calls: Vec<Stepped>| calls.into_iter().map(|call| Step::of(call, <[u8]>::to_vec)).collect();
        Ok((Box::new(self.state(begun, commit)), Box::new(MemoryCalls::new(steps(before), steps(own)))))
    }

    pub fn state(&self, begun: &Begun, commit: &Commit) -> PastState {
        let of = (commit.handler.clone(), commit.key.clone());
        PastState::new(&self.past, &self.log, of, begun.at, &commit.reads)
    }

    pub fn calls(&self, begun: &Begun) -> Result<RecordedCalls, ReplayError> {
        Ok(RecordedCalls::read(&self.log, begun)?)
    }

    pub fn deployment(&mut self, position: Position) -> Result<Arc<Deployment>, ReplayError> {
        if let Some(deployment) = self.deployments.get(&position) {
            return Ok(Arc::clone(deployment));
        }
        let Some((_, Record::Deployed(record))) = self.log.read(position).map_err(StorageError::from)? else {
            return Err(ReplayError::NoDeployment(position));
        };
        let manifest = Manifest::from_record(&record.manifest)
            .map_err(|error| ReplayError::Manifest { position, reason: error.to_string() })?;
        let executable = match self.host.load(record.digest) {
            Ok(module) => Some(Executable::new(module, &manifest)),
            Err(ModuleError::Missing(_)) => None,
            Err(source) => return Err(ReplayError::Module { digest: record.digest, source }),
        };
        let deployment = Arc::new(Deployment { record, executable });
        if self.deployments.len() >= DEPLOYMENTS_MAX {
            self.deployments.pop_first();
        }
        self.deployments.insert(position, Arc::clone(&deployment));
        Ok(deployment)
    }
}
