//! The sequencer: the one thread that decides and writes.
//!
//! A turn takes all that waits, applies it, appends the records that follow, syncs once, and only then lets anybody know.
//! So one sync serves whatever came in while the last one ran, and a lone event waits for nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use weirgate_core::{Action, Input, Machine, Verdict};
use weirgate_host::{CallError, Module};
use weirgate_log::{Log, LogError, LogReader};
use weirgate_types::{
    AttemptFailure, Commit, DeliveryId, Deployed, Effects, Event, FailureKind, HandlerName, LogLine, Outcome, Position, Record,
};

use crate::{
    Clock, Hub, Metrics, Published, Refusal,
    command::{Command, DeadLetter, Reply},
    job::{Callee, Finished, Job},
    projection::Projection,
    recent::Recent,
    rows,
};

mod after;
mod reading;

use after::After;

/// How many commands a turn takes at the most, so that the first of them does not wait for ever.
const TURN_COMMANDS_MAX: usize = 4_096;
/// A turn writes about this much at the most.
const TURN_BYTES_MAX: usize = 4 << 20;
/// How long a full disk is left alone before it is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_millis(250);
/// How long the sequencer sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);

/// All that the sequencer owns.
pub struct Sequencer {
    pub commands: Receiver<Command>,
    pub jobs: Sender<Job>,
    pub machine: Machine,
    pub log: Log,
    pub reader: LogReader,
    pub projection: Projection,
    pub views: weirgate_log::Views,
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub recent: Recent,
    pub callees: BTreeMap<HandlerName, Arc<Callee>>,
    pub actions: VecDeque<Action>,
    /// What to do when this turn's records are durable.
    pub after: Vec<After>,
    /// The attempt being settled, whose effects a commit action wants.
    pub settling: Option<Box<Finished>>,
    pub free_space: FreeSpace,
    /// Whether a handler's row changed in this turn.
    pub handlers_changed: bool,
    pub lagging_kept: Vec<u8>,
    pub turn_records: usize,
    pub stopping: Vec<tokio::sync::oneshot::Sender<()>>,
}

/// Answers whether there is room for new events.
pub type FreeSpace = Box<dyn Fn() -> bool + Send>;

/// Why the sequencer ends.
#[derive(Debug, thiserror::Error)]
pub enum End {
    #[error("asked to stop")]
    Asked,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0}")]
    Broken(String),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Broken(refusal.to_string())
    }
}

impl From<weirgate_log::ViewError> for End {
    fn from(error: weirgate_log::ViewError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl Sequencer {
    /// Work until asked to stop, or until something fails that must not go on: then nothing more is told to anybody, and
    /// the log says what was durable when it is opened again.
    pub fn run(mut self) -> End {
        loop {
            if let Err(end) = self.turn() {
                return end;
            }
        }
    }

    fn turn(&mut self) -> Result<(), End> {
        let first = match self.commands.recv_timeout(self.patience()) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Err(End::Asked),
        };
        let mut next = first;
        let mut taken = 0;
        while let Some(command) = next.take() {
            self.take(command)?;
            taken += 1;
            if taken < TURN_COMMANDS_MAX && self.log.pending_bytes() < TURN_BYTES_MAX {
                next = self.commands.try_recv().ok();
            }
        }
        self.feed(Input::Tick)?;
        self.settle_turn()?;
        if self.stopping.is_empty() { Ok(()) } else { Err(self.stop()) }
    }

    fn patience(&self) -> Duration {
        let now_ms = self.clock.now_ms();
        self.machine.wake_at_ms().map_or(IDLE, |at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)).min(IDLE))
    }

    /// Make the turn's records durable, then do what waits for that. What that leads to is for the next turns, except for
    /// reading on, which may give attempts to begin: those are made durable as well before the thread sleeps.
    pub fn settle_turn(&mut self) -> Result<(), End> {
        loop {
            self.sync()?;
            self.publish()?;
            for after in std::mem::take(&mut self.after) {
                after.perform(&self.jobs);
            }
            self.feed(Input::Durable { position: self.log.head() })?;
            if self.log.pending_bytes() == 0 && self.after.is_empty() {
                return Ok(());
            }
        }
    }

    fn sync(&mut self) -> Result<(), End> {
        if self.log.pending_bytes() == 0 {
            return Ok(());
        }
        let started = self.clock.monotonic();
        loop {
            match self.log.sync() {
                Ok(head) => {
                    self.metrics.log_position.set(i64::try_from(head.0).unwrap_or(i64::MAX));
                    break;
                }
                Err(LogError::Full(error)) => self.wait_for_space(&error),
                Err(error) => return Err(error.into()),
            }
        }
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.synced(took, std::mem::take(&mut self.turn_records));
        Ok(())
    }

    /// What was asked meanwhile and can be answered now is refused; the rest waits with what is pending.
    fn wait_for_space(&mut self, error: &std::io::Error) {
        tracing::error!(%error, "the disk is full; waiting for space");
        std::thread::park_timeout(FULL_DISK_RETRY);
    }

    /// Bring what is durable now into the view, and show it to those who watch.
    fn publish(&mut self) -> Result<(), End> {
        self.keep_handlers();
        if self.projection.changes() == 0 {
            return Ok(());
        }
        let (changes, parts) = self.projection.take();
        self.views.write(changes, self.log.head())?;
        if !parts.is_empty() {
            self.hub.publish(parts);
        }
        Ok(())
    }

    /// Keep the handlers' rows where they changed. How far a handler has scanned is kept only for those that lag: for the
    /// others it is the view's own applied position.
    pub fn keep_handlers(&mut self) {
        if std::mem::take(&mut self.handlers_changed) {
            for (name, row) in self.machine.rows() {
                self.projection.put(rows::handler(name), serde_json::to_vec(&row).unwrap_or_default(), false);
            }
        }
        let lagging: BTreeMap<_, _> = self.machine.lagging().collect();
        let lagging = serde_json::to_vec(&lagging).unwrap_or_default();
        if lagging != self.lagging_kept {
            self.projection.put(rows::LAGGING.to_vec(), lagging.clone(), false);
            self.lagging_kept = lagging;
        }
    }

    fn stop(&mut self) -> End {
        if let Err(error) = self.views.settle() {
            tracing::warn!(%error, "the views are behind; they will be brought forward from the log");
        }
        for reply in self.stopping.drain(..) {
            let _ = reply.send(());
        }
        End::Asked
    }

    fn take(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Publish { events, reply } => self.accept(events, reply)?,
            Command::Finished(finished) => self.finished(finished)?,
            Command::Deploy { deployed, module, reply } => self.deploy(*deployed, module, reply)?,
            Command::Loaded { handler, digest, module } => self.loaded(&handler, digest, module)?,
            Command::Pause { handler, pause, reply } => self.pause(handler, pause, reply)?,
            Command::Resubmit { letter, reply } => self.resubmit(&letter, reply)?,
            Command::Handlers { reply } => drop(reply.send(Ok(self.list_handlers()))),
            Command::Deliveries { filter, reply } => drop(reply.send(self.list_deliveries(&filter))),
            Command::Stop { reply } => self.stopping.push(reply),
            Command::Broken { why } => return Err(End::Broken(why)),
        }
        Ok(())
    }

    fn accept(&mut self, events: Vec<Event>, reply: Reply<Vec<Published>>) -> Result<(), End> {
        if !(self.free_space)() {
            drop(reply.send(Err(Refusal::DiskFull)));
            return Ok(());
        }
        let mut published = Vec::with_capacity(events.len());
        for event in events {
            let (id, source, key) = (event.id.clone(), event.source.clone(), event.key().to_owned());
            let (position, duplicate) = match self.projection.first_position(&source, &id)? {
                Some(position) => (position, true),
                None => (self.append(Record::Accepted { event, at_ms: self.clock.now_ms() })?, false),
            };
            let counter = if duplicate { &self.metrics.events_duplicate } else { &self.metrics.events_accepted };
            counter.inc();
            published.push(Published { id, source, key, position, duplicate });
        }
        self.after.push(After::Published { reply, published });
        self.perform()
    }

    fn finished(&mut self, finished: Box<Finished>) -> Result<(), End> {
        let (delivery, attempt) = (finished.delivery.clone(), finished.attempt);
        let failure = match &finished.report.result {
            Ok(_) => None,
            Err(CallError::Failed(failure)) => Some(failure.clone()),
            Err(error) => Some(AttemptFailure::found(FailureKind::Interrupted, error.to_string())),
        };
        self.settling = Some(finished);
        let result = failure.as_ref().map_or(Ok(()), Err);
        self.feed(Input::Finished { delivery: &delivery, attempt, result })?;
        self.settling = None;
        Ok(())
    }

    fn deploy(&mut self, deployed: Deployed, module: Module, reply: Reply<crate::HandlerItem>) -> Result<(), End> {
        let (name, digest) = (deployed.handler.clone(), deployed.digest);
        self.append(Record::Deployed(deployed))?;
        self.loaded(&name, digest, Some(module))?;
        self.after_handler(name, reply);
        Ok(())
    }

    fn loaded(&mut self, name: &HandlerName, digest: weirgate_types::Digest, module: Option<Module>) -> Result<(), End> {
        let Some(view) = self.machine.handler(name).filter(|view| view.deployed.digest == digest) else { return Ok(()) };
        let Some(module) = module else { return self.feed(Input::Unready { handler: name }) };
        let (config, limits) = (Arc::new(view.manifest.config.clone()), view.manifest.limits);
        self.callees.insert(name.clone(), Arc::new(Callee { module, config, limits }));
        self.feed(Input::Ready { handler: name, digest })
    }

    fn pause(&mut self, handler: HandlerName, pause: bool, reply: Reply<crate::HandlerItem>) -> Result<(), End> {
        match self.machine.may_pause(&handler, pause) {
            Verdict::UnknownHandler => {
                drop(reply.send(Err(Refusal::UnknownHandler(handler))));
                return Ok(());
            }
            Verdict::AlreadySo => {}
            Verdict::Granted => {
                let (name, at_ms) = (handler.clone(), self.clock.now_ms());
                self.append(match pause {
                    true => Record::Paused { handler: name, at_ms },
                    false => Record::Resumed { handler: name, at_ms },
                })?;
            }
        }
        self.perform()?;
        self.after_handler(handler, reply);
        Ok(())
    }

    fn after_handler(&mut self, name: HandlerName, reply: Reply<crate::HandlerItem>) {
        let item = self.list_handlers().into_iter().find(|item| item.name == name).ok_or(Refusal::UnknownHandler(name));
        self.after.push(After::Handler { reply, item });
    }

    fn resubmit(&mut self, letter: &DeadLetter, reply: Reply<DeliveryId>) -> Result<(), End> {
        let delivery = letter.delivery.clone();
        let is_dead = self.views.get(&rows::dead_letter(&delivery))?.is_some() && !self.machine.is_open(&delivery);
        if !is_dead {
            drop(reply.send(Err(Refusal::NotADeadLetter(delivery))));
            return Ok(());
        }
        let record = Record::Resubmitted { delivery: delivery.clone(), key: letter.key.clone(), at_ms: self.clock.now_ms() };
        self.append(record)?;
        self.after.push(After::Resubmitted { reply, delivery });
        self.perform()
    }

    /// Tell the machine, and do what it says until it says nothing more.
    pub fn feed(&mut self, input: Input<'_>) -> Result<(), End> {
        self.tell(input);
        self.perform()
    }

    fn tell(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.apply(input, self.clock.now_ms(), &mut actions);
        self.actions.extend(actions);
    }

    fn perform(&mut self) -> Result<(), End> {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Append(record) => drop(self.append(record)?),
                Action::Commit { delivery, attempt, outcome } => self.commit(delivery, attempt, outcome)?,
                Action::Deliver { delivery, attempt, at_ms } => self.deliver(delivery, attempt, at_ms),
                Action::Scan { handler, after } => self.scan(&handler, after)?,
                Action::Keep { delivery, row, is_new } => self.keep(&delivery, row.as_ref(), is_new)?,
            }
        }
        Ok(())
    }

    fn append(&mut self, record: Record) -> Result<Position, End> {
        let position = self.push(&record)?;
        self.turn_records += 1;
        self.handlers_changed |=
            matches!(record, Record::Deployed(_) | Record::Paused { .. } | Record::Resumed { .. });
        self.projection.project(position, &record)?;
        self.tell(Input::Appended { position, record: &record });
        if record.events(position).next().is_some() {
            self.recent.push(position, Arc::new(record));
        }
        Ok(position)
    }

    /// A batch has its limit; what is beyond it goes into the next, after a sync of its own.
    fn push(&mut self, record: &Record) -> Result<Position, End> {
        match self.log.push(record) {
            Err(LogError::BatchFull { .. }) => {
                self.sync()?;
                Ok(self.log.push(record)?)
            }
            pushed => Ok(pushed?),
        }
    }

    fn commit(&mut self, delivery: DeliveryId, attempt: u32, outcome: Outcome) -> Result<(), End> {
        let settled = self.settling.take_if(|finished| finished.delivery == delivery && finished.attempt == attempt);
        let (key, effects, log) = match settled {
            Some(finished) => (finished.key, finished.report.result.unwrap_or_default(), finished.report.log),
            None => (self.key_of(&delivery)?, Effects::default(), Vec::<LogLine>::new()),
        };
        self.metrics.settled(&delivery.handler, &outcome);
        let DeliveryId { handler, position: event } = delivery;
        let at_ms = self.clock.now_ms();
        self.append(Record::Committed(Commit { handler, event, key, attempt, at_ms, outcome, effects, log }))?;
        Ok(())
    }

    fn deliver(&mut self, delivery: DeliveryId, attempt: u32, at_ms: u64) {
        if let Some(callee) = self.callees.get(&delivery.handler) {
            let record = self.recent.covering(delivery.position);
            let callee = Arc::clone(callee);
            self.after.push(After::Deliver(Job { delivery, attempt, at_ms, callee, record }));
        }
    }

    fn keep(&mut self, delivery: &DeliveryId, row: Option<&weirgate_core::DeliveryRow>, is_new: bool) -> Result<(), End> {
        let key = rows::delivery(delivery);
        match row {
            Some(row) => {
                let value = postcard::to_stdvec(row).map_err(|e| End::Broken(e.to_string()))?;
                self.projection.put(key, value, is_new);
            }
            None => self.projection.remove(key),
        }
        Ok(())
    }
}
