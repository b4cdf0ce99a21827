//! The inputs of recorded attempts, as the log holds them: events and corrections, versions, state and answers of calls.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use weirgate_history::Look;
use weirgate_host::ModuleError;
use weirgate_log::LogReader;
use weirgate_types::{Commit, Deployed, Manifest, Position, Record, Stepped};

use super::{
    ReplayError,
    attempts::{Begun, Ended, EndedCall},
    execute::{CallInput, Executable, ItemInput, Load, Services},
    memory::{MemoryCalls, Step},
    past::{KeyInPast, Past},
    recorded::RecordedCalls,
    recorded_state::{KeyInHistory, RecordedState},
};
use crate::{StorageError, corrections, job::StoredRecord};

/// Maximum number of deployments in memory.
const DEPLOYMENTS_MAX: usize = 64;

/// See the module documentation.
pub struct Inputs {
    log: LogReader,
    modules: Arc<dyn Load>,
    states: States,
    deployments: BTreeMap<Position, Arc<Deployment>>,
}

/// Where the state of handlers is read.
pub enum States {
    /// Gathered by a walk through the log.
    Past(Past),
    /// Looked up, each value as of any position.
    History(Arc<Look>),
}

/// A deployment with its module, unless that is missing.
pub struct Deployment {
    pub record: Deployed,
    pub executable: Option<Executable>,
}

impl Inputs {
    pub fn new(log: LogReader, modules: Arc<dyn Load>, states: States) -> Self {
        Self { log, modules, states, deployments: BTreeMap::new() }
    }

    pub fn log(&self) -> &LogReader {
        &self.log
    }

    /// The commit that ended an attempt; `None` if it was discarded. `at` is a record that was read already.
    pub fn commit(&self, ended: &Ended, at: Option<&StoredRecord>) -> Result<Option<Commit>, ReplayError> {
        let Some(stored) = self.commit_record(ended, at)? else { return Ok(None) };
        let commit = stored.record.commit_of(&ended.begun.delivery);
        Ok(Some(commit.cloned().ok_or(StorageError::Missing { what: "commit", position: stored.first })?))
    }

    /// The record with the commit that ended an attempt; `None` if it was discarded. `at` is a record that was read already.
    pub fn commit_record(&self, ended: &Ended, at: Option<&StoredRecord>) -> Result<Option<StoredRecord>, ReplayError> {
        let Some(position) = ended.commit else { return Ok(None) };
        if let Some(at) = at.filter(|at| at.first == position) {
            return Ok(Some(at.clone()));
        }
        let read = StoredRecord::read(&self.log, position).map_err(StorageError::from)?;
        Ok(Some(read.ok_or(StorageError::Missing { what: "commit", position })?))
    }

    /// `commits` are those of its attempts, where they have one.
    pub fn call<'a>(
        &self,
        call: &EndedCall,
        commits: impl IntoIterator<Item = Option<&'a Commit>>,
    ) -> Result<CallInput<'static>, ReplayError> {
        let (at_ms, wall_ms) = call.first().map_or((0, 0), |first| (first.begun.at_ms, first.begun.wall_ms));
        let items = call.iter().zip(commits);
        let items = items.map(|(ended, commit)| self.item(&ended.begun, commit.and_then(|one| one.migrated_from)));
        Ok(CallInput { at_ms, wall_ms, items: items.collect::<Result<_, _>>()? })
    }

    fn item(&self, begun: &Begun, migrate_from: Option<u32>) -> Result<ItemInput<'static>, ReplayError> {
        let position = begun.delivery.position;
        let missing = || StorageError::Missing { what: "event", position };
        let stored = StoredRecord::read(&self.log, position).map_err(StorageError::from)?.ok_or_else(missing)?;
        let event = stored.event(position).ok_or_else(missing)?;
        let corrected = corrections::as_delivered(&self.log, event, begun.carried.correction)?;
        Ok(ItemInput {
            delivery: begun.delivery.clone(),
            attempt: begun.attempt,
            depth: stored.depth_at(position),
            migrate_from,
            event: Cow::Owned(corrected.unwrap_or_else(|| event.clone())),
        })
    }

    pub fn services(&self, begun: &Begun, commit: &Commit) -> Result<Services, ReplayError> {
        Ok((Box::new(self.state(begun, commit)), Box::new(self.memory_calls(begun)?)))
    }

    /// The answers of an attempt's outbound calls.
    pub fn memory_calls(&self, begun: &Begun) -> Result<MemoryCalls, ReplayError> {
        let RecordedCalls { before, own } = self.calls(begun)?;
        let steps = |calls: Vec<Stepped>| calls.into_iter().map(|call| Step::of(call, <[u8]>::to_vec)).collect();
        Ok(MemoryCalls::new(steps(before), steps(own)))
    }

    pub fn state(&self, begun: &Begun, commit: &Commit) -> RecordedState {
        let of = (commit.handler.clone(), commit.key.clone());
        match &self.states {
            States::Past(past) => {
                RecordedState::new(KeyInPast::new(past.clone(), self.log.clone(), of), begun.at, &commit.reads)
            }
            States::History(look) => {
                RecordedState::new(KeyInHistory::new(Arc::clone(look), of), begun.at, &commit.reads)
            }
        }
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
        let executable = match self.modules.load_for(record.digest, &manifest) {
            Ok(executable) => Some(executable),
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
