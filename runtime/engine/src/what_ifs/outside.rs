//! What a replay reaches outside of its fork: the answers in the log, and the hosts that its handler may call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crossbeam_channel::Sender;
use tokio::sync::oneshot;
use weirgate_host::{BoundSecret, StateError};
use weirgate_log::{Epochs, LogReader};
use weirgate_types::{DeliveryId, HandlerName, HostCall, Position, Record, ReplayAnswered, StepAnswer, StepRequest};
use weirgate_views::Views;

use crate::{
    Audit, Refusal, StorageError,
    command::Command,
    handle::Shared,
    keys,
    replay::{Outside, ReplayAnswer},
    replays::{ReplayRow, ReplayState, ReplayStep},
};

/// See the module documentation.
pub struct Live {
    shared: Arc<Shared>,
    answers: Answers,
}

/// The answers that replays got, as far as they count for one of them.
pub struct Answers {
    views: Views,
    log: LogReader,
    epochs: Arc<Epochs>,
    replay: Position,
    /// Whether any answer is known for a handler: most have none, and need no look-up for each delivery.
    has_any: Mutex<BTreeMap<HandlerName, bool>>,
}

impl Answers {
    #[must_use]
    pub fn new((views, log, epochs): (&Views, &LogReader, &Arc<Epochs>), replay: Position) -> Self {
        let has_any = Mutex::default();
        Self { views: views.clone(), log: log.clone(), epochs: Arc::clone(epochs), replay, has_any }
    }

    /// Those for a delivery.
    pub fn of(&self, delivery: &DeliveryId) -> Result<Vec<ReplayAnswer>, StateError> {
        match self.has_any(&delivery.handler).map_err(StateError::new)? {
            true => self.read(delivery).map_err(StateError::new),
            false => Ok(Vec::new()),
        }
    }

    fn has_any(&self, handler: &HandlerName) -> Result<bool, StorageError> {
        if let Some(has_any) = self.known().get(handler) {
            return Ok(*has_any);
        }
        let has_any = !self.views.scan_keys(&keys::answers_for(handler), None, 1)?.is_empty();
        self.known().insert(handler.clone(), has_any);
        Ok(has_any)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<HandlerName, bool>> {
        self.has_any.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answers for a delivery, the newest first. Those of a replay that was only looked at do not count, and those of one that was
    /// undone no longer.
    fn read(&self, delivery: &DeliveryId) -> Result<Vec<ReplayAnswer>, StorageError> {
        let mut answers = Vec::new();
        for (key, value) in self.views.scan(&keys::answers_of(delivery), None, usize::MAX)?.into_iter().rev() {
            let row = keys::last_position(&key).zip(keys::value_position(&value));
            let (position, replay) = row.ok_or_else(|| StorageError::row("the position of an answer"))?;
            if replay != self.replay && !self.counts(replay)? {
                continue;
            }
            let Some((_, Record::ReplayAnswered(answered))) = self.log.read(position)? else {
                return Err(StorageError::Missing { what: "answer", position });
            };
            let ReplayAnswered { step, request, answer, .. } = answered;
            answers.push(ReplayAnswer { is_own: replay == self.replay, step, request, answer });
        }
        Ok(answers)
    }

    fn counts(&self, replay: Position) -> Result<bool, StorageError> {
        let value = self.views.get(&keys::replay(replay))?;
        let row = value.map(|value| ReplayRow::decode(&value)).transpose()?;
        Ok(row.is_some_and(|row| row.approved.is_some() && row.state != ReplayState::Undone))
    }

    /// The replay's own: the called system has to tell its call from that of the delivery. It is the same after a crash.
    pub fn idempotency_key(&self, delivery: &DeliveryId, step: &str) -> String {
        format!("{}/r{}/{delivery}/{step}", self.epochs.at(self.replay), self.replay)
    }

    /// Stores an answer of the replay; what is received says when it is durable.
    ///
    /// # Errors
    /// The engine has stopped.
    pub fn store(
        &self,
        commands: &Sender<Command>,
        delivery: &DeliveryId,
        step: &str,
        (request, answer): (&StepRequest, &StepAnswer),
    ) -> Result<oneshot::Receiver<Result<Position, Refusal>>, StateError> {
        let step = Box::new(ReplayStep::Answer {
            replay: self.replay,
            delivery: delivery.clone(),
            step: step.to_owned(),
            request: request.clone(),
            answer: answer.clone(),
        });
        let (reply, durable) = oneshot::channel();
        let audit = Audit { actor: String::new(), reason: String::new() };
        let sent = commands.send(Command::StepReplay { step, audit, reply });
        sent.map(|()| durable).map_err(|_| StateError::new(Refusal::Stopped))
    }
}

impl Live {
    pub fn new(shared: &Arc<Shared>, replay: Position) -> Self {
        let sources = (&shared.statuses.views, &shared.statuses.log, &shared.epochs);
        Self { shared: Arc::clone(shared), answers: Answers::new(sources, replay) }
    }
}

impl Outside for Live {
    fn answers(&self, delivery: &DeliveryId) -> Result<Vec<ReplayAnswer>, StateError> {
        self.answers.of(delivery)
    }

    fn permit(&self, handler: &HandlerName, host: &str) -> Result<(), u64> {
        self.shared.host_breakers.permit(handler, host)
    }

    fn called(&self, handler: &HandlerName, calls: Vec<HostCall>) {
        if !calls.is_empty() {
            // An engine that has stopped has no breakers.
            drop(self.shared.commands.send(Command::Called { handler: handler.clone(), calls }));
        }
    }

    fn secret(&self, handler: &HandlerName, name: &str) -> Option<BoundSecret> {
        self.shared.secrets.of(handler, name).cloned()
    }

    fn idempotency_key(&self, delivery: &DeliveryId, step: &str) -> String {
        self.answers.idempotency_key(delivery, step)
    }

    /// Called on the thread of what-ifs, which waits.
    fn record(
        &self,
        delivery: &DeliveryId,
        step: &str,
        request: &StepRequest,
        answer: &StepAnswer,
    ) -> Result<(), StateError> {
        let durable = self.answers.store(&self.shared.commands, delivery, step, (request, answer))?;
        durable.blocking_recv().unwrap_or(Err(Refusal::Stopped)).map_err(StateError::new)?;
        self.answers.known().insert(delivery.handler.clone(), true);
        Ok(())
    }
}
