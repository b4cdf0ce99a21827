//! Attempts on their way to a worker and back: one, or those of a batch, in one call.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use weirgate_host::{CallError, Module};
use weirgate_log::{LogError, LogReader};
use weirgate_types::{
    AttemptFailure, CallLimits, Capabilities, Carried, Correction, DeliveryId, Digest, Effects, Event, FailureKind,
    HandlerName, HostCall, LogLine, Position, Record, StateReads,
};

use crate::lost;

/// The input of a worker's call.
#[derive(Debug)]
pub struct Job {
    pub handler: HandlerName,
    /// What the attempts of one call share: the position of the first.
    pub call: Position,
    /// The time that the guest sees: that of the attempts' records.
    pub at_ms: u64,
    /// The time from which timers that it starts are counted.
    pub wall_ms: u64,
    pub deployed: Arc<DeployedHandler>,
    pub items: Vec<JobItem>,
}

/// One attempt of a call.
#[derive(Debug)]
pub struct JobItem {
    pub delivery: DeliveryId,
    pub attempt: u32,
    pub carried: Carried,
    /// The record that holds the event, if it is still in memory; otherwise the worker reads it.
    pub stored: Option<StoredRecord>,
}

/// A record and its position.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    pub first: Position,
    pub record: Arc<Record>,
}

impl StoredRecord {
    /// The record that covers a position, if there is one.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn read(log: &LogReader, position: Position) -> Result<Option<Self>, LogError> {
        Ok(log.read(position)?.map(|(first, record)| match record {
            Record::Lost(lost) => Self { first: position, record: Arc::new(lost::stand_in(position, lost.at_ms)) },
            record => Self { first, record: Arc::new(record) },
        }))
    }

    /// The event at a position that the record covers.
    pub fn event(&self, position: Position) -> Option<&Event> {
        self.record.event_at(position.0.checked_sub(self.first.0)?)
    }

    /// The causation depth of the event at a position that the record covers.
    pub fn depth_at(&self, position: Position) -> u32 {
        position.0.checked_sub(self.first.0).map_or(0, |offset| self.record.depth_at(offset))
    }
}

/// A deployed handler.
#[derive(Debug)]
pub struct DeployedHandler {
    /// The position of its `Deployed` record.
    pub version: Position,
    pub digest: Digest,
    /// The version of the state that it reads and writes.
    pub state_version: u32,
    pub module: Module,
    pub config: Arc<BTreeMap<String, String>>,
    pub limits: CallLimits,
    pub capabilities: Capabilities,
    /// Whether deliveries of a key may overlap: then the log says what each read of the state saw.
    pub overlaps: bool,
    /// Whether its attempts are discarded, because another version was deployed.
    pub discarded: AtomicBool,
}

impl DeployedHandler {
    /// Calls in flight end at their next tick, and queued ones are not made.
    pub fn discard(&self) {
        self.discarded.store(true, Ordering::Relaxed);
    }

    pub fn is_discarded(&self) -> bool {
        self.discarded.load(Ordering::Relaxed)
    }
}

/// What a call returned.
#[derive(Debug)]
pub struct CallResult {
    pub handler: HandlerName,
    /// The version that was called.
    pub deployed: Arc<DeployedHandler>,
    /// The CPU time of the call, in microseconds.
    pub cpu_us: u64,
    /// Whether the same inputs give the same results.
    pub reproducible: bool,
    pub items: Vec<ItemResult>,
    /// The hosts that were called.
    pub hosts: Vec<HostCall>,
}

impl CallResult {
    /// The results of a job's items, of a call that took no time and called no host.
    pub fn of(job: &Job, items: Vec<ItemResult>) -> Self {
        let (handler, deployed) = (job.handler.clone(), Arc::clone(&job.deployed));
        Self { handler, deployed, cpu_us: 0, reproducible: true, items, hosts: Vec::new() }
    }

    /// The part of one attempt in the call's CPU time.
    pub fn cpu_us_of_each(&self) -> u32 {
        let items = u64::try_from(self.items.len()).unwrap_or(u64::MAX).max(1);
        u32::try_from(self.cpu_us / items).unwrap_or(u32::MAX)
    }
}

/// What it returned for one attempt.
#[derive(Debug)]
pub struct ItemResult {
    pub position: Position,
    pub attempt: u32,
    pub stored: StoredRecord,
    pub result: Result<Effects, CallError>,
    pub log: Vec<LogLine>,
    /// What its reads of the state saw, if deliveries of its key may overlap.
    pub reads: Vec<StateReads>,
    /// The version of the key's state that the call migrated.
    pub migrated_from: Option<u32>,
    /// The answer of the handler's hook to a correctable failure.
    pub correction: Option<Correction>,
}

/// The failure that is recorded for a call's error.
pub fn recorded_failure(error: &CallError) -> AttemptFailure {
    match error {
        CallError::Failed(failure) => failure.clone(),
        CallError::Blocked | CallError::MigratedMeanwhile | CallError::TooMuchTogether | CallError::Discarded => {
            AttemptFailure::found(FailureKind::NotReached, error.to_string())
        }
        // Workers do not send these; if one came, the attempt would count as not made.
        CallError::State(_) | CallError::Busy | CallError::Unrecorded(_) => {
            AttemptFailure::found(FailureKind::Interrupted, error.to_string())
        }
    }
}
