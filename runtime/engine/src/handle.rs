//! The handle: what the server holds of the engine. Cheap to clone; every question is asked through it.

use std::{ops::ControlFlow, sync::Arc};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::{Semaphore, oneshot, watch};
use weirgate_host::{Host, ModuleInfo};
use weirgate_log::Epoch;
use weirgate_types::{
    DeliveryId, Deployed, Digest, Event, HandlerName, Manifest, Outcome, Position, Record, StatusDocument,
};

use crate::{
    DeadLetter, DeliveryFilter, DeliveryItem, HandlerItem, Hub, Metrics, Published, Refusal,
    command::{Command, Reply},
    rows,
    statuses::Statuses,
};

/// See the module.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// One permit an event; how many are out is how many events are on their way into the log.
    in_flight: Arc<Semaphore>,
}

/// What a handle is made of.
pub struct Parts {
    pub commands: Sender<Command>,
    pub epoch: Epoch,
    pub statuses: Statuses,
    pub hub: Arc<Hub>,
    pub host: Arc<Host>,
    pub metrics: Arc<Metrics>,
    pub events_in_flight_max: usize,
    pub ending: watch::Receiver<Option<String>>,
}

/// An event as it stands in the log.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub position: Position,
    /// When it became part of the log, in Unix milliseconds.
    pub at_ms: u64,
    pub event: Event,
}

impl Handle {
    pub(crate) fn new(parts: Parts) -> Self {
        let in_flight = Arc::new(Semaphore::new(parts.events_in_flight_max));
        Self(Arc::new(Inner { parts, in_flight }))
    }

    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.parts.epoch
    }

    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.parts.hub
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    /// Put events into the log. Answers when they are durable.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when too many are under way, [`Refusal::DiskFull`], [`Refusal::Stopped`]. None of the events was
    /// taken then, except that after the last two they may have been: sending them again is safe.
    pub async fn publish(&self, events: Vec<Event>) -> Result<Vec<Published>, Refusal> {
        let permits = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0.in_flight).try_acquire_many_owned(permits).map_err(|_| Refusal::Busy)?;
        self.ask(|reply| Command::Publish { events, permit, reply }).await
    }

    /// Check a component and keep it. Handlers that wait for it go on.
    ///
    /// # Errors
    /// [`Refusal::Module`] says what is wrong with it.
    pub async fn put_module(&self, bytes: Vec<u8>) -> Result<ModuleInfo, Refusal> {
        let host = Arc::clone(&self.0.parts.host);
        let info = blocking(move || host.put_module(&bytes)).await??;
        for item in self.handlers().await?.into_iter().filter(|item| item.digest == info.digest && !item.ready) {
            let module = self.load(item.digest).await?;
            self.send(Command::Loaded { handler: item.name, digest: item.digest, module: Some(module) })?;
        }
        Ok(info)
    }

    /// Make a handler, or give it another version or other settings.
    ///
    /// # Errors
    /// The manifest's settings are out of range, or the module is not there.
    pub async fn deploy(&self, manifest: Manifest, digest: Digest, at_ms: u64) -> Result<HandlerItem, Refusal> {
        let manifest = manifest.checked()?;
        let module = self.load(digest).await?;
        let json = serde_json::to_string(&manifest).map_err(|e| Refusal::Storage(e.to_string()))?;
        let deployed = Box::new(Deployed { handler: manifest.name, digest, manifest: json, at_ms });
        self.ask(|reply| Command::Deploy { deployed, module, reply }).await
    }

    /// Hold a handler's new attempts back, or let them go on.
    ///
    /// # Errors
    /// There is no such handler.
    pub async fn pause(&self, handler: HandlerName, pause: bool) -> Result<HandlerItem, Refusal> {
        self.ask(|reply| Command::Pause { handler, pause, reply }).await
    }

    /// # Errors
    /// The engine has stopped.
    pub async fn handlers(&self) -> Result<Vec<HandlerItem>, Refusal> {
        self.ask(|reply| Command::Handlers { reply }).await
    }

    /// # Errors
    /// There is no such handler.
    pub async fn handler(&self, name: HandlerName) -> Result<HandlerItem, Refusal> {
        let found = self.handlers().await?.into_iter().find(|item| item.name == name);
        found.ok_or(Refusal::UnknownHandler(name))
    }

    /// # Errors
    /// The filter names a handler that is not there.
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliveryItem>, Refusal> {
        self.ask(|reply| Command::Deliveries { filter, reply }).await
    }

    /// Dead letters, of one handler or all, in order of handler and position; those after `after`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn dead_letters(
        &self,
        handler: Option<HandlerName>,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Refusal> {
        let handle = self.clone();
        blocking(move || handle.read_dead_letters(handler.as_ref(), after.as_ref(), limit)).await?
    }

    /// # Errors
    /// The delivery is not a dead letter.
    pub async fn dead_letter(&self, delivery: DeliveryId) -> Result<DeadLetter, Refusal> {
        let handle = self.clone();
        blocking(move || {
            let row = handle.0.parts.statuses.views.get(&rows::dead_letter(&delivery))?;
            let position = row.and_then(|value| rows::value_position(&value));
            let position = position.ok_or_else(|| Refusal::NotADeadLetter(delivery.clone()))?;
            handle.letter_at(position)?.ok_or(Refusal::NotADeadLetter(delivery))
        })
        .await?
    }

    /// Open a dead letter again.
    ///
    /// # Errors
    /// It is not a dead letter (any more).
    pub async fn resubmit(&self, delivery: DeliveryId) -> Result<DeliveryId, Refusal> {
        let letter = Box::new(self.dead_letter(delivery).await?);
        self.ask(|reply| Command::Resubmit { letter, reply }).await
    }

    /// The status of a subject; version 0 when there is none.
    ///
    /// # Errors
    /// The view cannot be read.
    pub async fn status(&self, subject: String) -> Result<StatusDocument, Refusal> {
        let handle = self.clone();
        blocking(move || handle.0.parts.statuses.document(&subject)).await?
    }

    /// The event at a position, if there is one.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn event(&self, position: Position) -> Result<Option<StoredEvent>, Refusal> {
        let handle = self.clone();
        blocking(move || {
            let Some((first, record)) = handle.0.parts.statuses.log.read(position)? else { return Ok(None) };
            Ok(stored_events(first, &record).into_iter().find(|stored| stored.position == position))
        })
        .await?
    }

    /// Look through the log for events after `after`: `look` is shown each and says when to stop. At most
    /// `positions_max` positions are looked at; answers how far it got.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn events<F>(&self, after: Position, positions_max: u64, mut look: F) -> Result<(Position, F), Refusal>
    where
        F: FnMut(StoredEvent) -> ControlFlow<()> + Send + 'static,
    {
        let handle = self.clone();
        blocking(move || {
            let mut through = after;
            for read in handle.0.parts.statuses.log.scan(after.next()) {
                let (first, record) = read?;
                for stored in stored_events(first, &record).into_iter().filter(|stored| stored.position > after) {
                    through = stored.position;
                    if look(stored).is_break() {
                        return Ok((through, look));
                    }
                }
                through = first.plus(record.width()).before();
                if through.0 >= after.0.saturating_add(positions_max) {
                    break;
                }
            }
            Ok((through, look))
        })
        .await?
    }

    /// The last durable position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.0.parts.statuses.log.head()
    }

    /// Stop after what has been taken is durable.
    pub async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.send(Command::Stop { reply }).is_ok() {
            let _ = stopped.await;
        }
    }

    /// Waits until the sequencer has ended, and says why.
    pub async fn ended(&self) -> String {
        let mut ending = self.0.parts.ending.clone();
        let why = ending.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "the sequencer's thread ended without a word".into())
    }

    async fn load(&self, digest: Digest) -> Result<weirgate_host::Module, Refusal> {
        let host = Arc::clone(&self.0.parts.host);
        Ok(blocking(move || host.load(digest)).await??)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }

    fn send(&self, command: Command) -> Result<(), Refusal> {
        self.0.parts.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Stopped,
        })
    }

    fn read_dead_letters(
        &self,
        handler: Option<&HandlerName>,
        after: Option<&DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Refusal> {
        let prefix = handler.map_or_else(|| rows::DEAD_LETTERS.to_vec(), rows::dead_letters_of);
        let after = after.map(rows::dead_letter);
        let rows = self.0.parts.statuses.views.scan(&prefix, after.as_deref(), limit)?;
        let positions = rows.iter().filter_map(|(_, value)| rows::value_position(value));
        positions.filter_map(|position| self.letter_at(position).transpose()).collect()
    }

    fn letter_at(&self, position: Position) -> Result<Option<DeadLetter>, Refusal> {
        let Some((_, Record::Committed(commit))) = self.0.parts.statuses.log.read(position)? else { return Ok(None) };
        let Outcome::DeadLettered { failure } = commit.outcome else { return Ok(None) };
        Ok(Some(DeadLetter {
            delivery: DeliveryId { handler: commit.handler, position: commit.event },
            key: commit.key,
            attempt: commit.attempt,
            at_ms: commit.at_ms,
            failure,
            position,
            log: commit.log,
        }))
    }
}

fn stored_events(first: Position, record: &Record) -> Vec<StoredEvent> {
    let at_ms = match record {
        Record::Accepted { at_ms, .. } => *at_ms,
        Record::Committed(commit) => commit.at_ms,
        _ => 0,
    };
    let events = record.events(first);
    events.map(|(position, event)| StoredEvent { position, at_ms, event: event.clone() }).collect()
}

/// Run something that may wait for the disk beside the async tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.is_panic() {
        true => Refusal::Storage(error.to_string()),
        false => Refusal::Stopped,
    })
}
