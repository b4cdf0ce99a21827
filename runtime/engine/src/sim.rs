//! An engine stepped pass by pass by its caller, over a given disk, views and clock: for simulations. Its calls reach no
//! guest; the caller decides their results.

mod exit;
mod operators;
mod replays;
mod steps;
mod what_ifs;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::sync::{Semaphore, oneshot, watch};
use weirgate_core::{DeliveryRow, Entropy, Limits, Machine, Now};
use weirgate_history::{History, Identities};
use weirgate_host::{CallError, Host, Module, ReadState as _};
use weirgate_log::{Epochs, Log, LogReader, Storage};
use weirgate_types::{
    AttemptFailure, Carried, Correction, DeliveryId, Deployed, Digest, Effects, Event, FailureKind, HandlerName,
    HostCall, KeyHasher, LogLine, Position, RuntimeVersion,
};
use weirgate_views::Views;

use crate::{
    Clock, Handle, HandlerItem, Ingested, Metrics, Refusal, StorageError,
    ballast::Ballast,
    command::{Command, Permit, Reply},
    host_breakers::HostBreakers,
    identities::{Identified, IdentityWindow},
    indexing::Indexing,
    job::{CallResult, ItemResult, Job, StoredRecord},
    keys,
    modules::{ModuleDisk, ModuleOptions, Modules},
    start::{last_at_ms, share},
    state::{KeyState, earlier_version},
    storage, tables,
    time::Time,
    workers::Jobs,
    writer::{self, Delivery, DiskSpace, Durability, Ingress, Writer},
};
pub use exit::Exit;
pub use weirgate_history::{Progress, Sizes};

pub use crate::{
    replay::{
        Attempts, Begun, Candidate, Closed, EndedCall, Executable, Finder, Found, Load, MissingAnswers, ReplayError,
        Runs, Selection, Services, WhatIf,
    },
    tables::TABLES,
    writer::StepSizes,
};
pub use replays::{Hold, Holding};
pub use steps::Step;
pub use what_ifs::{KeyRepair, LookedKey, LookedKeys, Replay};

/// What an engine runs on.
pub struct Ground {
    pub log: Log,
    pub views: Views,
    /// Where the tables of the history are kept.
    pub history: Arc<dyn Storage>,
    /// Where the runs of the index of identities are kept, and how large they are.
    pub identities: Arc<dyn Storage>,
    pub identity_sizes: Sizes,
    /// Only the source of modules; it makes no calls.
    pub host: Arc<Host>,
    pub module: Module,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    pub steps: StepSizes,
    pub identity_window: IdentityWindow,
    pub events_in_flight_max: usize,
    pub seed: u64,
}

/// See the module documentation. Dropping it is like killing the process.
pub struct Engine {
    writer: Writer,
    commands: Sender<Command>,
    jobs: Receiver<Job>,
    module: Module,
    permits: Arc<Semaphore>,
    epochs: Arc<Epochs>,
    keys: KeyHasher,
    handle: Handle,
}

/// A pending reply. Dropping it is like a client that disconnects.
#[derive(Debug)]
pub struct Answer<T>(oneshot::Receiver<Result<T, Refusal>>);

impl<T> Answer<T> {
    /// The reply, once it has arrived.
    pub fn poll(&mut self) -> Option<Result<T, Refusal>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(Refusal::Stopped)),
        }
    }
}

/// The reply to a stop.
#[derive(Debug)]
pub struct Stopping(oneshot::Receiver<()>);

impl Stopping {
    pub fn has_stopped(&mut self) -> bool {
        self.0.try_recv().is_ok()
    }
}

/// A call in flight.
#[derive(Debug)]
pub struct Call(Job);

impl Call {
    #[must_use]
    pub fn handler(&self) -> &HandlerName {
        &self.0.handler
    }

    /// Its deliveries' positions and attempts.
    pub fn items(&self) -> impl Iterator<Item = (Position, u32)> {
        self.0.items.iter().map(|item| (item.delivery.position, item.attempt))
    }

    /// The settings of the version that is called.
    #[must_use]
    pub fn has_setting(&self, name: &str) -> bool {
        self.0.deployed.config.contains_key(name)
    }

    /// The time from which timers that it starts are counted.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.0.wall_ms
    }

    /// Whether its attempts got what the log says that they began with.
    #[must_use]
    pub fn is_recorded(&self, begun: &[&Begun]) -> bool {
        let Job { at_ms, wall_ms, items, .. } = &self.0;
        items.len() == begun.len()
            && items.iter().zip(begun).all(|(item, begun)| {
                let given = (&item.delivery, item.attempt, *at_ms, *wall_ms);
                let carried = |carried: &Carried| (carried.step, carried.steps, carried.correction);
                given == (&begun.delivery, begun.attempt, begun.at_ms, begun.wall_ms)
                    && carried(&item.carried) == carried(&begun.carried)
            })
    }
}

/// The result of an attempt.
#[derive(Debug)]
pub struct Attempted {
    pub result: Result<Effects, AttemptFailure>,
    /// The answer of the handler's hook.
    pub correction: Option<Correction>,
    pub log: Vec<LogLine>,
}

impl Engine {
    /// Recover.
    ///
    /// # Errors
    /// The disk fails, or its contents differ from what was written.
    pub fn start(ground: Ground) -> Result<Self, Exit> {
        let Ground {
            log,
            views,
            history,
            identities,
            identity_sizes,
            host,
            module,
            clock,
            limits,
            steps,
            identity_window,
            events_in_flight_max,
            seed,
        } = ground;
        let ((commands, inbox), (taker, jobs)) = (unbounded(), unbounded());
        let (_, fault) = watch::channel(None);
        let metrics = Arc::new(Metrics::default());
        let last_at_ms = last_at_ms(&log).map_err(writer::Exit::from)?;
        let time = Time::new(Arc::clone(&clock), Arc::clone(&metrics), last_at_ms);
        let disk = ModuleDisk { dir: "/".into(), free_bytes_min: 0 };
        let modules = Modules::new(host, views.clone(), Arc::clone(&clock), ModuleOptions::default(), disk);
        let space = DiskSpace::new(Box::new(|| Some(0)), Ballast::default());
        let identities = storage::identities_of(identities, &log, identity_window, time.at_ms(), identity_sizes);
        let identities = Arc::new(identities.map_err(|error| Exit::Disk(error.to_string()))?);
        let ingress = Ingress::new(inbox, events_in_flight_max, (identities, bounded(1).0, identity_window));
        let workers = (Jobs::to(taker), Vec::new());
        let host_breakers = Arc::new(HostBreakers::new(Arc::clone(&clock)));
        let machine = Machine::new(limits, Entropy::seeded(seed));
        let delivery = Delivery::new(machine, log.key_hasher(), workers, Arc::clone(&host_breakers));
        let (epochs, keys) = (Arc::clone(log.epochs()), log.key_hasher());
        let history = History::open(history, log.reader(), Arc::clone(&epochs), log.key_hasher());
        let history = history.map_err(|error| Exit::Disk(error.to_string()))?;
        let services = (modules, Arc::default(), host_breakers, Indexing::idle(Arc::new(history)), clock);
        let shared = share(&log, views, commands.clone(), services, &metrics, (&ingress, &space), fault);
        let durability = Durability::new(log, shared.statuses.clone(), Arc::clone(&shared.hub), space);
        let mut writer = Writer::new(ingress, delivery, durability, time, metrics);
        writer.set_steps(steps);
        writer.recover(&RuntimeVersion::default())?;
        let permits = Arc::clone(&shared.in_flight);
        Ok(Self { writer, commands, jobs, module, permits, epochs, keys, handle: Handle::new(shared) })
    }

    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    #[must_use]
    pub fn log(&self) -> &LogReader {
        self.writer.reader()
    }

    #[must_use]
    pub fn views(&self) -> &Views {
        self.writer.views()
    }

    /// The rules of delivery, to be asked only.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.writer.machine()
    }

    /// The index of identities. Its runs are made by the caller.
    #[must_use]
    pub fn identities(&self) -> &Identities {
        self.handle.identities()
    }

    /// Where each commit of the log ended since the last call of this function.
    pub fn commits(&mut self) -> Vec<Position> {
        self.writer.take_commits()
    }

    #[must_use]
    pub fn handlers(&self) -> Vec<HandlerItem> {
        self.writer.list_handlers(None)
    }

    /// A state value, as a call would read it.
    #[must_use]
    pub fn state(&self, handler: &HandlerName, key: &str, name: &str) -> Option<Vec<u8>> {
        KeyState::new(self.views().clone(), self.log().clone(), handler, key).get(name).ok().flatten()
    }

    /// The names of a key's state values.
    #[must_use]
    pub fn state_names(&self, handler: &HandlerName, key: &str) -> Vec<String> {
        let state = KeyState::new(self.views().clone(), self.log().clone(), handler, key);
        state.list("", usize::MAX).unwrap_or_default()
    }

    /// The rows of open deliveries in the views.
    ///
    /// # Errors
    /// The views cannot be read.
    pub fn open_rows(&self) -> Result<BTreeMap<DeliveryId, DeliveryRow>, StorageError> {
        let rows = self.views().scan(tables::DELIVERIES.prefix(), None, usize::MAX)?.into_iter();
        rows.map(|(key, value)| {
            let delivery = keys::delivery_of(&key).ok_or_else(|| StorageError::row("a delivery's row"))?;
            let row = postcard::from_bytes(&value).map_err(StorageError::undecodable("a delivery's row"))?;
            Ok((delivery, row))
        })
        .collect()
    }

    #[must_use]
    pub fn is_dead_letter(&self, delivery: &DeliveryId) -> bool {
        matches!(self.views().get(&keys::dead_letter(delivery)), Ok(Some(_)))
    }

    /// In how many milliseconds something is due, if anything is.
    #[must_use]
    pub fn wake_in_ms(&self) -> Option<u64> {
        self.writer.wake_in_ms()
    }

    /// The time at the last pass.
    #[must_use]
    pub fn now(&self) -> Now {
        self.writer.now()
    }

    /// Requests a stop: passes continue until one returns [`Exit::Asked`].
    #[must_use]
    pub fn ask_to_stop(&self) -> Stopping {
        let (reply, stopped) = oneshot::channel();
        self.tell(Command::Stop { reply });
        Stopping(stopped)
    }

    /// Closes log and views, with calls in flight and commands in the queue.
    pub fn stop(self) {
        self.writer.stop();
    }

    /// Runs one pass: takes all waiting commands and carries them out.
    ///
    /// # Errors
    /// The engine has ended.
    pub fn pass(&mut self) -> Result<(), Exit> {
        let next = self.writer.next_command();
        Ok(self.writer.run_pass(next)?)
    }

    /// Number of rows and positions that the last pass read.
    #[must_use]
    pub fn work(&self) -> usize {
        self.writer.work()
    }

    /// The calls that began since the last call of this function.
    pub fn calls(&mut self) -> Vec<Call> {
        self.jobs.try_iter().map(Call).collect()
    }

    /// A call ends, its attempts in the order of its items. They called `hosts`, with success or without.
    ///
    /// # Panics
    /// The log does not hold a delivered event.
    pub fn end(&mut self, call: Call, attempted: Vec<Attempted>, hosts: Vec<HostCall>) {
        let Call(mut job) = call;
        let items = std::mem::take(&mut job.items);
        let mut keys = BTreeSet::new();
        let items = items.into_iter().zip(attempted).map(|(item, attempted)| {
            let position = item.delivery.position;
            let read = || StoredRecord::read(self.writer.reader(), position).ok().flatten();
            let result = attempted.result.map_err(|failure| match failure.kind {
                FailureKind::NotReached => CallError::Blocked,
                _ => CallError::Failed(failure),
            });
            let stored = item.stored.or_else(read).unwrap_or_else(|| panic!("no event at {position}"));
            let key = stored.event(position).map_or("", Event::key);
            let migrates = keys.insert(key.to_owned());
            let version = || earlier_version(self.views(), &job.handler, key, job.deployed.state_version);
            let migrated_from = migrates.then(|| version().ok().flatten()).flatten();
            let (log, reads, correction) = (attempted.log, Vec::new(), attempted.correction);
            ItemResult { position, attempt: item.attempt, stored, result, log, reads, migrated_from, correction }
        });
        let items = items.collect();
        let call = CallResult { cpu_us: 1_000, hosts, ..CallResult::of(&job, items) };
        self.tell(Command::CallResult(Box::new(call)));
    }

    /// # Errors
    /// The views cannot be read.
    pub fn ingest(&self, events: Vec<Event>) -> Result<Answer<Vec<Ingested>>, Refusal> {
        let permit = self.permit();
        let events = events.into_iter().map(|event| Identified::look_up(event, self.identities()));
        let events = events.collect::<Result<_, _>>().map_err(StorageError::from)?;
        Ok(self.ask(|reply| Command::Ingest { events, to: None, permit, reply }))
    }

    #[must_use]
    pub fn deploy(&self, handler: HandlerName, manifest: String) -> Answer<HandlerItem> {
        self.deploy_as(handler, manifest, None)
    }

    /// A rollback, if `from` names an earlier deployment.
    #[must_use]
    pub fn deploy_as(&self, handler: HandlerName, manifest: String, from: Option<Position>) -> Answer<HandlerItem> {
        let (digest, actor, reason) = (self.digest(), "operator".to_owned(), String::new());
        let (copied_from, at_ms, wall_ms, replaces) = (from, 0, 0, None);
        let finishing = Vec::new();
        let deployed = Deployed { handler, digest, manifest, actor, reason, copied_from, finishing, at_ms, wall_ms };
        let (deployed, module) = (Box::new(deployed), self.module.clone());
        self.ask(|reply| Command::Deploy { deployed, module, replaces, reply })
    }

    /// What is deployed from now on is this module.
    pub fn use_module(&mut self, module: Module) {
        self.module = module;
    }

    /// The module of a handler that was deployed before is loaded.
    pub fn ready(&self, handler: HandlerName) {
        self.tell(Command::Loaded { handler, digest: self.digest(), module: Some(self.module.clone()) });
    }

    fn digest(&self) -> Digest {
        self.module.info().digest
    }

    fn permit(&self) -> Permit {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        Permit::new(permit.unwrap_or_else(|error| panic!("there are permits enough: {error}")), None)
    }

    fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Answer<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply));
        Answer(answer)
    }

    /// The engine itself holds the other end.
    fn tell(&self, command: Command) {
        drop(self.commands.send(command));
    }
}
