//! The handle: the server's access to the engine. Cheap to clone; every request to the engine goes through it.

mod applications;
mod bulk_jobs;
mod candidates;
mod dead_letters;
mod deliveries;
mod deployment;
mod described;
mod differences;
mod digests;
mod executions;
mod listing;
mod marks;
mod removal;
mod replays;
mod suspected;
mod timeline;
mod versions;
mod what_ifs;

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::{Semaphore, oneshot, watch};
use weirgate_history::{History, HistoryError, Identities, IdentityHash};
use weirgate_host::{Budget, Grant, ModuleInfo};
use weirgate_log::{Epoch, Epochs};
use weirgate_types::{
    BreakerId, Commit, Digest, Event, HandlerName, KeyHasher, Mode, Position, Record, StatusDocument,
};

use crate::{
    Audit, BreakerItem, BreakerPage, Clock, EngineFault, HandlerItem, Hub, Ingested, Metrics, Refusal,
    command::{Command, Permit, Reply},
    host_breakers::HostBreakers,
    identities::Identified,
    indexing::Indexing,
    modules::{Collected, Modules, Upload},
    queries::{Queries, blocking},
    secrets::Secrets,
    statuses::Statuses,
    what_ifs::WhatIfs,
};
pub use applications::{Decided, Story};
pub use bulk_jobs::{BulkJob, BulkJobState, BulkJobs};
pub use dead_letters::{DeadLetterFilter, DeadLetterPage, Failure};
pub use deliveries::{Blocked, BlockedPage, CommandRequest, Corrected, NewData};
pub use deployment::{Candidate, Growth};
pub use differences::{DifferencePage, KeyDifferences, KeyLane, ReadPlan};
pub use executions::ReplaySlots;
pub use listing::DeliveryPage;
pub use marks::ReplayMark;
pub use replays::KeyHold;
pub(crate) use replays::StoredRepairs;
#[cfg(feature = "sim")]
pub(crate) use replays::undo_after;
pub use suspected::Suspected;
pub use timeline::Moment;
pub use versions::Rollback;
pub use what_ifs::{AskedCandidate, AskedWhatIf, Choices, VersionNumbers, WhatIfItem, WhatIfPage};

/// How long to wait before a stop is sent again while the writer's queue is full.
const QUEUE_LOOK: Duration = Duration::from_millis(5);

/// See the module documentation.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

/// Shared by all handles of one engine.
pub struct Shared {
    pub commands: Sender<Command>,
    pub epochs: Arc<Epochs>,
    /// The log's hash function for keys.
    pub keys: KeyHasher,
    pub statuses: Statuses,
    pub hub: Arc<Hub>,
    pub modules: Arc<Modules>,
    pub metrics: Arc<Metrics>,
    /// One permit for each event that may be in flight.
    pub in_flight: Arc<Semaphore>,
    /// Whether the disk has room for new events.
    pub is_ready: Arc<AtomicBool>,
    pub fault: watch::Receiver<Option<Arc<EngineFault>>>,
    pub queries: Queries,
    pub bulk_jobs: BulkJobs,
    pub replays: ReplaySlots,
    pub secrets: Arc<Secrets>,
    pub host_breakers: Arc<HostBreakers>,
    pub indexing: Indexing,
    pub what_ifs: WhatIfs,
    pub identities: Arc<Identities>,
    pub clock: Arc<dyn Clock>,
}

/// An event as stored in the log.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    pub position: Position,
    /// When it was accepted, in Unix milliseconds.
    pub at_ms: u64,
    pub event: Event,
}

impl Handle {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epochs.current()
    }

    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Where the log tells of a key, and what a handler's state was.
    #[must_use]
    pub fn history(&self) -> &Arc<History> {
        &self.0.indexing.history
    }

    #[cfg(feature = "sim")]
    pub(crate) fn identities(&self) -> &Identities {
        &self.0.identities
    }

    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The bytes that requests, uploads, subscriptions and outbound answers may hold.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        self.0.modules.host().budget()
    }

    /// Ingests events: for all handlers that subscribe to them, or only for the named one, regardless of its subscriptions.
    /// Returns when they are durable. `bytes` is the size that the events hold of the budget.
    ///
    /// # Errors
    /// [`Refusal::UnknownHandler`] if the named handler does not exist; [`Refusal::Busy`] when too many events are on their
    /// way, [`Refusal::DiskFull`], [`Refusal::Stopped`]. None of the events was accepted, except that after the last two
    /// they may have been: sending them again is safe.
    pub async fn ingest(
        &self,
        events: Vec<Event>,
        to: Option<HandlerName>,
        bytes: Option<Grant>,
    ) -> Result<Vec<Ingested>, Refusal> {
        let permits = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0.in_flight).try_acquire_many_owned(permits).map_err(|_| Refusal::Busy)?;
        let permit = Permit::new(permit, bytes);
        let events = self.identify(events).await?;
        self.ask(|reply| Command::Ingest { events, to, permit, reply }).await
    }

    /// Looks the identities up, on this thread if no file has to be read for them.
    async fn identify(&self, events: Vec<Event>) -> Result<Vec<Identified>, Refusal> {
        let events = match Identified::look_up_in_memory(events, &self.0.identities) {
            Ok(identified) => return Ok(identified),
            Err(events) => events,
        };
        let identities = Arc::clone(&self.0.identities);
        let look_up = move || events.into_iter().map(|event| Identified::look_up(event, &identities)).collect();
        let identified: Result<_, HistoryError> = blocking(look_up).await?;
        Ok(identified?)
    }

    /// Begins the upload of a component of at most `bytes`.
    ///
    /// # Errors
    /// [`Refusal::ModuleQueueFull`], [`Refusal::DiskFull`], [`Refusal::TooManyModules`].
    pub async fn begin_upload(&self, bytes: u64) -> Result<Upload, Refusal> {
        self.0.modules.begin(bytes).await
    }

    /// Checks an uploaded component and keeps it. Handlers that wait for it resume.
    ///
    /// # Errors
    /// [`Refusal::Module`] describes the problem with it.
    pub async fn put_upload(&self, upload: Upload) -> Result<ModuleInfo, Refusal> {
        let info = self.0.modules.put(upload).await?;
        let waits = |item: &HandlerItem| !item.ready && item.digests().any(|digest| digest == info.digest);
        for item in self.handlers().await?.into_iter().filter(waits) {
            let module = self.load(info.digest).await?;
            self.send(Command::Loaded { handler: item.name, digest: info.digest, module: Some(module) })?;
        }
        Ok(info)
    }

    /// Resumes a handler, drains it (open deliveries continue, no new ones are opened), or pauses it (no attempt begins).
    ///
    /// # Errors
    /// There is no such handler.
    pub async fn change_mode(&self, handler: HandlerName, mode: Mode, audit: Audit) -> Result<HandlerItem, Refusal> {
        self.ask(|reply| Command::ChangeMode { handler, mode, audit, reply }).await
    }

    /// The breakers after one, of handlers and of the hosts that were called; at most `limit`.
    ///
    /// # Errors
    /// The engine has stopped.
    pub async fn breakers(&self, after: Option<BreakerId>, limit: usize) -> Result<BreakerPage, Refusal> {
        self.ask(|reply| Command::Breakers { after, limit, reply }).await
    }

    /// Opens or closes a breaker by an operator's command.
    ///
    /// # Errors
    /// There is no such breaker, or too many are open.
    pub async fn set_breaker(&self, breaker: BreakerId, open: bool, audit: Audit) -> Result<BreakerItem, Refusal> {
        self.ask(|reply| Command::SetBreaker { breaker, open, audit, reply }).await
    }

    /// # Errors
    /// The engine has stopped.
    pub async fn handlers(&self) -> Result<Vec<HandlerItem>, Refusal> {
        self.ask(|reply| Command::Handlers { name: None, reply }).await
    }

    /// # Errors
    /// There is no such handler.
    pub async fn handler(&self, name: HandlerName) -> Result<HandlerItem, Refusal> {
        let asked = Some(name.clone());
        let found = self.ask(|reply| Command::Handlers { name: asked, reply }).await?.pop();
        found.ok_or(Refusal::UnknownHandler(name))
    }

    /// The status of a subject; version 0 when there is none.
    ///
    /// # Errors
    /// The view cannot be read; [`Refusal::TooManyQueries`].
    pub async fn status(&self, subject: String) -> Result<StatusDocument, Refusal> {
        let handle = self.clone();
        Ok(self.0.queries.status(move || handle.0.statuses.document(&subject)).await??)
    }

    /// The event at a position, if there is one.
    ///
    /// # Errors
    /// The log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn event(&self, position: Position) -> Result<Option<StoredEvent>, Refusal> {
        let handle = self.clone();
        let read = move || {
            let Some((first, record)) = handle.0.statuses.log.read(position)? else { return Ok(None) };
            Ok(stored_events(first, &record).into_iter().find(|stored| stored.position == position))
        };
        self.0.queries.read(read).await?
    }

    /// Scans the log for events after `after`: `look` gets each one and returns when to stop. Looks at no more than
    /// `positions_max` positions; returns the last position looked at.
    ///
    /// # Errors
    /// The log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn events<F>(&self, after: Position, positions_max: u64, mut look: F) -> Result<(Position, F), Refusal>
    where
        F: FnMut(StoredEvent) -> ControlFlow<()> + Send + 'static,
    {
        let (handle, scan) = (self.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let mut through = after;
            for read in handle.0.statuses.log.scan(after.next()) {
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

    /// Passes the finished attempts after a position, each with the position of its record, to `look` until it breaks or
    /// `positions_max` positions are scanned. Returns the last position scanned. An attempt of the record of the last one that
    /// was looked at is never left out: a record's attempts are passed together.
    ///
    /// # Errors
    /// The log cannot be read; [`Refusal::TooManyQueries`].
    pub async fn attempts<F>(&self, after: Position, positions_max: u64, mut look: F) -> Result<(Position, F), Refusal>
    where
        F: FnMut(Position, &[Commit]) -> ControlFlow<()> + Send + 'static,
    {
        let (handle, scan) = (self.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let mut through = after;
            for read in handle.0.statuses.log.scan(after.next()) {
                let (first, record) = read?;
                through = through.max(first.plus(record.width()).before());
                let commits = record.commits();
                let is_over = first > after && !commits.is_empty() && look(first, commits).is_break();
                if is_over || through.0 >= after.0.saturating_add(positions_max) {
                    break;
                }
            }
            Ok((through, look))
        })
        .await?
    }

    /// Whether the disk has room: without it no event is accepted and no attempt begins.
    #[must_use]
    pub fn has_space(&self) -> bool {
        self.0.is_ready.load(Ordering::Relaxed)
    }

    /// The position of the event with this source and id, if one was accepted within the window of identities.
    ///
    /// # Errors
    /// The index cannot be read; [`Refusal::TooManyQueries`].
    pub async fn position_of(&self, source: &str, id: &str) -> Result<Option<Position>, Refusal> {
        let (handle, identity) = (self.clone(), IdentityHash::of(source, id));
        let read = move || handle.0.identities.look_up(identity);
        Ok(self.0.queries.read(read).await??.position)
    }

    /// The last durable position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.0.statuses.log.head()
    }

    /// Stops once all taken commands are durable. Returns within some seconds, even if calls are in flight.
    pub async fn stop(&self) {
        self.0.what_ifs.stop();
        let (reply, stopped) = oneshot::channel();
        let mut command = Command::Stop { reply };
        // A full queue is not a refusal here: the writer empties it.
        while let Err(TrySendError::Full(refused)) = self.0.commands.try_send(command) {
            command = refused;
            tokio::time::sleep(QUEUE_LOOK).await;
        }
        // If there is no answer, the writer has ended already.
        let _ = stopped.await;
    }

    /// Waits until the writer ends, and returns why: `None` if a stop was requested or it panicked.
    pub async fn fault(&self) -> Option<Arc<EngineFault>> {
        let mut fault = self.0.fault.clone();
        fault.wait_for(Option::is_some).await.ok().and_then(|fault| fault.clone())
    }

    /// Deletes the modules that no handler was ever deployed with, except recently used ones.
    ///
    /// # Errors
    /// The modules or the view cannot be read.
    pub async fn collect_modules(&self) -> Result<Collected, Refusal> {
        let modules = Arc::clone(&self.0.modules);
        blocking(move || modules.collect()).await?
    }

    async fn load(&self, digest: Digest) -> Result<weirgate_host::Module, Refusal> {
        self.0.modules.load(digest).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }

    fn send(&self, command: Command) -> Result<(), Refusal> {
        self.0.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Refusal::Busy,
            TrySendError::Disconnected(_) => Refusal::Stopped,
        })
    }
}

fn stored_events(first: Position, record: &Record) -> Vec<StoredEvent> {
    let at_ms = record.at_ms();
    let events = record.events(first);
    events.map(|(position, event)| StoredEvent { position, at_ms, event: event.clone() }).collect()
}
