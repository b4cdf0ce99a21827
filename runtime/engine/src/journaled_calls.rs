//! An attempt's outbound calls, as seen by the log and the breakers.

use std::{collections::BTreeMap, sync::Arc};

use crossbeam_channel::{Sender, bounded};
use weirgate_host::{BoundSecret, Outbound, OutboundCall, RecordedStep, StateError};
use weirgate_log::{Epochs, LogReader};
use weirgate_types::{DeliveryId, Position, Record, StepRequest, Stepped};

use crate::{Refusal, StorageError, command::Command, host_breakers::HostBreakers, secrets::Secrets};

/// Shared by all attempts.
#[derive(Clone)]
pub struct CallServices {
    pub epochs: Arc<Epochs>,
    pub log: LogReader,
    pub commands: Sender<Command>,
    pub host_breakers: Arc<HostBreakers>,
    pub secrets: Arc<Secrets>,
}

/// One attempt's outbound calls.
pub struct JournaledCalls {
    call_services: CallServices,
    delivery: DeliveryId,
    attempt: u32,
    /// Where the log holds the answers of earlier attempts, and their sizes, by step. Each is read when it is requested, so
    /// only one is in memory at a time.
    recorded: BTreeMap<String, (Position, usize)>,
}

impl JournaledCalls {
    /// `newest` is the record of the newest answer of an earlier attempt.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn new(
        call_services: &CallServices,
        delivery: &DeliveryId,
        attempt: u32,
        newest: Option<Position>,
    ) -> Result<Self, StorageError> {
        let recorded = answers_before(&call_services.log, delivery, newest)?;
        Ok(Self { call_services: call_services.clone(), delivery: delivery.clone(), attempt, recorded })
    }
}

/// Where the log holds the final answers of earlier attempts, and their sizes, by step; `newest` is the newest of them.
///
/// # Errors
/// The log cannot be read.
pub fn answers_before(
    log: &LogReader,
    delivery: &DeliveryId,
    newest: Option<Position>,
) -> Result<BTreeMap<String, (Position, usize)>, StorageError> {
    let (mut recorded, mut next) = (BTreeMap::new(), newest);
    while let Some(position) = next {
        match log.read(position)? {
            Some((_, Record::Stepped(stepped))) => {
                let bytes = stepped.result.finished().map_or(0, |answer| answer.size_of_step(&stepped.step));
                next = stepped.previous.filter(|previous| *previous < position);
                recorded.entry(stepped.step).or_insert((position, bytes));
            }
            // The call is made again, with the same idempotency key; so are those whose answers were linked from it.
            Some((_, Record::Lost(_))) => {
                tracing::warn!(%delivery, %position, "the answer of a step was lost");
                next = None;
            }
            _ => return Err(StorageError::Missing { what: "step", position }),
        }
    }
    Ok(recorded)
}

impl Outbound for JournaledCalls {
    fn recorded(&self, step: &str, _: &StepRequest) -> Result<Option<RecordedStep>, StateError> {
        let Some((position, _)) = self.recorded.get(step) else { return Ok(None) };
        match self.call_services.log.read(*position).map_err(StateError::new)? {
            Some((_, Record::Stepped(Stepped { request, result, .. }))) => {
                Ok(result.finished().cloned().map(|answer| RecordedStep { request, answer }))
            }
            _ => Err(StateError::new(StorageError::Missing { what: "step", position: *position })),
        }
    }

    fn recorded_size(&self) -> (usize, usize) {
        (self.recorded.len(), self.recorded.values().map(|(_, bytes)| bytes).sum())
    }

    fn permit(&self, host: &str) -> Result<(), u64> {
        self.call_services.host_breakers.permit(&self.delivery.handler, host)
    }

    fn record(&self, step: &str, call: OutboundCall) -> Result<(), StateError> {
        let (reply, durable) = bounded(1);
        let is_final = call.result.finished().is_some();
        let OutboundCall { request, result, requests } = call;
        let (delivery, attempt, step) = (self.delivery.clone(), self.attempt, step.to_owned());
        let ended = Stepped { delivery, attempt, step, request, result, requests, previous: None, at_ms: 0 };
        let command = Command::Step { stepped: Box::new(ended), reply: is_final.then_some(reply) };
        let stopped = || StateError::new(Refusal::Stopped);
        self.call_services.commands.send(command).map_err(|_| stopped())?;
        // Another attempt does not use the other results. They come into the log before this attempt's commit.
        if !is_final {
            return Ok(());
        }
        durable.recv().map_err(|_| stopped())?.map_err(StateError::new)
    }

    fn secret(&self, name: &str) -> Option<BoundSecret> {
        self.call_services.secrets.of(&self.delivery.handler, name).cloned()
    }

    /// Another log gives other keys, because an external system may outlive this log. So does another epoch, in which
    /// positions may be reused; what happened before keeps its keys.
    fn idempotency_key(&self, step: &str) -> String {
        format!("{}/{}/{step}", self.call_services.epochs.at(self.delivery.position), self.delivery)
    }
}
