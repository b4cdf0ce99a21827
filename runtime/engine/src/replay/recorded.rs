//! The outbound calls of an attempt that is executed again: their results come from the log, and nothing is sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use weirgate_host::{BoundSecret, Outbound, OutboundCall, RecordedStep, Source, StateError};
use weirgate_log::LogReader;
use weirgate_types::{Position, Record, StepRequest, Stepped};

use super::attempts::Begun;
use crate::{StorageError, journaled_calls::answers_before};

/// What the log holds of an attempt's calls.
pub struct RecordedCalls {
    log: LogReader,
    /// Final answers of earlier attempts: where they are, and their sizes, by step.
    before: BTreeMap<String, (Position, usize)>,
    /// The attempt's own calls that were not repeated yet, in order.
    own: Mutex<VecDeque<Position>>,
}

impl RecordedCalls {
    /// # Errors
    /// The log cannot be read.
    pub fn new(log: &LogReader, begun: &Begun) -> Result<Self, StorageError> {
        let before = answers_before(log, &begun.delivery, begun.carried.step)?;
        let own = Mutex::new(begun.steps.iter().copied().collect());
        Ok(Self { log: log.clone(), before, own })
    }

    /// The final answers of earlier attempts.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn all_before(&self) -> Result<Vec<Stepped>, StateError> {
        self.before.values().map(|(position, _)| self.read(*position)).collect()
    }

    /// The attempt's own calls that were not repeated yet.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn all_own(&self) -> Result<Vec<Stepped>, StateError> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().map(|position| self.read(*position)).collect()
    }

    fn read(&self, position: Position) -> Result<Stepped, StateError> {
        match self.log.read(position).map_err(StateError::new)? {
            Some((_, Record::Stepped(stepped))) => Ok(stepped),
            _ => Err(StateError::new(StorageError::Missing { what: "step", position })),
        }
    }
}

impl Outbound for RecordedCalls {
    fn recorded(&self, step: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        let Some((position, _)) = self.before.get(step) else { return Ok(None) };
        let Stepped { request, result, .. } = self.read(*position)?;
        Ok(result.finished().cloned().map(|answer| RecordedStep { request, answer }))
    }

    /// A component makes its calls one after another, so the next one has to be the next recorded one.
    fn source(&self, step: &str, request: &StepRequest) -> Result<Source, StateError> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(position) = own.front() else { return Ok(Source::Nothing) };
        let stepped = self.read(*position)?;
        if stepped.step != step || stepped.request != *request {
            return Ok(Source::Nothing);
        }
        own.pop_front();
        let Stepped { request, result, requests, .. } = stepped;
        Ok(Source::Record(OutboundCall { request, result, requests }))
    }

    fn recorded_size(&self) -> (usize, usize) {
        (self.before.len(), self.before.values().map(|(_, bytes)| bytes).sum())
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
