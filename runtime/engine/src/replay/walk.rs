//! A walk through a log from its beginning: at the end of each call, all inputs of its attempts are at hand.

use std::sync::Arc;

use weirgate_host::Host;
use weirgate_log::LogReader;
use weirgate_types::{Commit, Epoch, Epochs, Position, Record, RuntimeVersion};

use super::{
    ReplayError,
    attempts::{Attempts, Ended, EndedCall},
    inputs::{Inputs, States},
    past::Past,
};
use crate::{StorageError, job::StoredRecord};

pub struct Walk {
    pub inputs: Inputs,
    /// The record that it is at.
    at: Option<StoredRecord>,
    attempts: Attempts,
    past: Past,
    epochs: Epochs,
    /// The epoch that records were lost of.
    lost: Option<Epoch>,
    /// What executed handlers there.
    pub runtime: RuntimeVersion,
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
            inputs: Inputs::new(log, host, States::Past(past.clone())),
            at: None,
            attempts,
            past,
            epochs,
            lost: None,
            runtime: RuntimeVersion::default(),
        }
    }

    /// Visits all records up to `through`.
    pub fn run(&mut self, through: Position, visit: &mut impl Visit) -> Result<(), ReplayError> {
        for read in self.inputs.log().clone().scan(Position::ZERO) {
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
        // Nearly always in the record that ended the call.
        self.inputs.commit(ended, self.at.as_ref())
    }
}
