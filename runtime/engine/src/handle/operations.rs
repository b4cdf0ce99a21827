//! Operations: one command for all dead letters that fit a filter, paced, with its progress to be looked at. They end
//! with the process; what they had decided by then is in the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use weirgate_types::DeliveryId;

use super::{CommandRequest, DeadLetterFilter, Handle};
use crate::{Audit, Refusal};

/// So many operations are remembered.
const KEPT_MAX: usize = 100;
const PAGE: usize = 100;

#[derive(Default)]
pub(super) struct Operations {
    /// A std mutex: held for a map's operation.
    known: Mutex<BTreeMap<u64, Operation>>,
}

/// An operation and how far it is.
#[derive(Debug, Clone)]
pub struct Operation {
    pub id: u64,
    /// The command's word.
    pub command: &'static str,
    pub actor: String,
    pub reason: String,
    pub state: OperationState,
    /// How many deliveries were decided about, and how many of those were refused: they had ended or were running.
    pub done: u64,
    pub refused: u64,
    /// What stopped it.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    Running,
    Done,
    Cancelled,
    Failed,
}

impl OperationState {
    /// The state's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl Operations {
    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, Operation>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, command: &'static str, audit: &Audit) -> u64 {
        let mut known = self.known();
        let id = known.last_key_value().map_or(1, |(last, _)| last + 1);
        let Audit { actor, reason } = audit.clone();
        let state = OperationState::Running;
        known.insert(id, Operation { id, command, actor, reason, state, done: 0, refused: 0, error: None });
        if known.len() > KEPT_MAX {
            known.pop_first();
        }
        id
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = self.known().get_mut(&id) {
            change(operation);
        }
    }

    fn is_running(&self, id: u64) -> bool {
        self.known().get(&id).is_some_and(|operation| operation.state == OperationState::Running)
    }
}

impl Handle {
    /// Begin an operation; the future that comes with its id carries it out, and ends with it.
    pub fn begin_operation(
        &self,
        filter: DeadLetterFilter,
        request: CommandRequest,
        audit: Audit,
        per_second: u32,
    ) -> (u64, impl Future<Output = ()> + Send + use<>) {
        let id = self.0.operations.begin(request.word(), &audit);
        let handle = self.clone();
        let work = async move {
            let result = handle.carry_out(id, filter, request, audit, per_second).await;
            handle.0.operations.change(id, |operation| match result {
                _ if operation.state != OperationState::Running => {}
                Ok(()) => operation.state = OperationState::Done,
                Err(refusal) => {
                    (operation.state, operation.error) = (OperationState::Failed, Some(refusal.to_string()));
                }
            });
        };
        (id, work)
    }

    /// # Errors
    /// There is no such operation.
    pub fn operation(&self, id: u64) -> Result<Operation, Refusal> {
        self.0.operations.known().get(&id).cloned().ok_or(Refusal::UnknownOperation(id))
    }

    /// The newest operations, the oldest first.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.0.operations.known().values().cloned().collect()
    }

    /// Decide about no more deliveries.
    ///
    /// # Errors
    /// There is no such operation.
    pub fn cancel_operation(&self, id: u64) -> Result<Operation, Refusal> {
        self.0.operations.change(id, |operation| {
            if operation.state == OperationState::Running {
                operation.state = OperationState::Cancelled;
            }
        });
        self.operation(id)
    }

    async fn carry_out(
        &self,
        id: u64,
        filter: DeadLetterFilter,
        request: CommandRequest,
        audit: Audit,
        per_second: u32,
    ) -> Result<(), Refusal> {
        let pause = Duration::from_secs(1) / per_second.max(1);
        // What becomes a dead letter again meanwhile is not its concern: it goes through the store once.
        let mut after = None::<DeliveryId>;
        loop {
            let scan = self.0.queries.own_scan().await?;
            let page = self.dead_letters_in(scan, filter.clone(), after, PAGE).await?;
            for dead_letter in page.dead_letters {
                if !self.0.operations.is_running(id) {
                    return Ok(());
                }
                let answer = self.command_delivery(dead_letter.delivery, request.clone(), audit.clone()).await;
                let is_refused = match answer {
                    Ok(_) => false,
                    Err(
                        Refusal::NotOpen(_)
                        | Refusal::Running(_)
                        | Refusal::Changed(_)
                        | Refusal::NotADeadLetter(_)
                        | Refusal::Correction(_),
                    ) => true,
                    Err(refusal) => return Err(refusal),
                };
                self.0.operations.change(id, |operation| {
                    operation.done += 1;
                    operation.refused += u64::from(is_refused);
                });
                tokio::time::sleep(pause).await;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

impl CommandRequest {
    /// The command's word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Correct(_) => "correct",
            Self::Skip => "skip",
            Self::Resolve(_) => "resolve",
            Self::Discard => "discard",
            Self::DeadLetter => "dead-letter",
        }
    }
}
