//! The writer: the one thread that decides and writes.
//!
//! A pass takes all that waits, applies it, stages the records that follow, syncs once, and only then lets anybody know.
//! So one sync serves whatever came in while the last one ran, and a lone event waits for nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::Semaphore;
use weirgate_core::{
    Action, Input, Machine, OfferChange,
    pacing::{self, Pressure},
};
use weirgate_log::{Log, LogError, LogReader};
use weirgate_types::{HandlerName, KeyHasher, Position, Record};

use crate::{
    EngineFault, Hub, Metrics, StorageError,
    ballast::Ballast,
    command::Command,
    host_breakers::HostBreakers,
    identities::{Identities, IdentityWindow},
    job::{CallResult, DeployedHandler},
    keys, notices,
    projection::Projection,
    recent::Recent,
    time::Time,
    workers::Jobs,
};

mod actions;
mod after;
mod budget;
mod commands;
mod commits;
mod forgetting;
mod full;
mod operators;
mod reading;
mod reloading;
mod stopping;

use after::After;
pub use budget::Budget;
pub use forgetting::Forgotten;

/// How many commands a pass takes at the most, so that the first of them does not wait for ever.
const PASS_COMMANDS_MAX: usize = 4_096;
/// After so many commands a pass looks at the time.
const TIME_LOOK_EVERY: usize = 16;
/// A pass writes about this much at the most.
const PASS_BYTES_MAX: usize = 4 << 20;
/// How long the writer sleeps at most when the disk is nearly full: then it looks again.
const SPACE_IDLE: Duration = Duration::from_millis(250);
/// How long the writer sleeps at most: a wall clock that is set is noticed by then.
const IDLE: Duration = Duration::from_secs(1);

/// All that the writer owns.
#[expect(clippy::struct_excessive_bools, reason = "each notes something that has nothing to do with the others")]
pub struct Writer {
    pub commands: Receiver<Command>,
    pub jobs: Jobs,
    pub machine: Machine,
    pub keys: KeyHasher,
    pub log: Log,
    pub reader: LogReader,
    pub projection: Projection,
    pub views: weirgate_log::Views,
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub time: Time,
    pub recent: Recent,
    pub identities: Identities,
    pub identity_window: IdentityWindow,
    pub forgotten: Forgotten,
    pub deployed_handlers: BTreeMap<HandlerName, Arc<DeployedHandler>>,
    pub actions: VecDeque<Action>,
    /// What to do when this pass's records are durable.
    pub after: Vec<After>,
    /// Commands that came while the disk was full and wait for it.
    pub held: VecDeque<Command>,
    /// Whether the last try to write found the disk full.
    pub is_full: bool,
    /// The attempt being settled, whose effects a commit action wants.
    pub settling: Option<Box<CallResult>>,
    pub free_space: FreeSpace,
    pub ballast: Ballast,
    /// Whether a handler's row changed in this pass.
    pub handlers_changed: bool,
    /// Whether a host's breaker changed in this pass.
    pub hosts_changed: bool,
    /// The hosts that are left alone, for those who would call them.
    pub host_breakers: Arc<HostBreakers>,
    /// The rows of deployments that still matter, as last kept.
    pub deployments_kept: BTreeSet<Vec<u8>>,
    /// How far the handlers that lag had scanned, as last kept.
    pub lagging_kept: BTreeMap<HandlerName, Position>,
    /// Whether the disk has room for new events and for what handlers write, as of the beginning of this pass.
    pub has_space: bool,
    /// The same, for those who ask whether the server is ready.
    pub is_ready: Arc<AtomicBool>,
    pub workers: Vec<JoinHandle<()>>,
    pub pass_records: usize,
    /// How many records the last sync made durable.
    pub synced_records: usize,
    pub budget: Budget,
    /// How long this pass has waited for the disk.
    pub synced: Duration,
    /// One permit an event on its way into the log; how many there may be.
    pub in_flight: (Arc<Semaphore>, usize),
    /// Whether producers have been asked to slow down.
    pub is_slow: bool,
    /// By when to stop, whatever still runs.
    pub stop_by: Option<Duration>,
    pub stopping: Vec<tokio::sync::oneshot::Sender<()>>,
}

/// Answers whether there is room for new events.
pub type FreeSpace = Box<dyn Fn() -> bool + Send>;

/// Why the writer ends.
#[derive(Debug)]
pub enum Exit {
    Asked,
    Fault(EngineFault),
}

impl<E: Into<StorageError>> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::Fault(EngineFault::Storage(error.into()))
    }
}

impl Writer {
    /// Work until asked to stop, or until something fails that must not go on: then nothing more is told to anybody, and
    /// the log says what was durable when it is opened again.
    pub fn run(mut self) -> Result<(), EngineFault> {
        loop {
            match self.pass() {
                Ok(()) => {}
                Err(Exit::Asked) => {
                    self.stop();
                    return Ok(());
                }
                Err(Exit::Fault(fault)) => return Err(fault),
            }
        }
    }

    fn pass(&mut self) -> Result<(), Exit> {
        let next = self.wait()?;
        self.run_pass(next)
    }

    /// A pass that begins with this command, if there is one, and takes what else waits.
    pub fn run_pass(&mut self, mut next: Option<Command>) -> Result<(), Exit> {
        self.time.look();
        let begun = self.time.monotonic();
        self.synced = Duration::ZERO;
        let deferred = self.budget.begin();
        self.actions.extend(deferred);
        self.perform()?;
        self.look_for_space()?;
        let mut taken = 0_usize;
        while let Some(command) = next.take() {
            self.take(command)?;
            taken += 1;
            let has_time = !taken.is_multiple_of(TIME_LOOK_EVERY)
                || self.time.monotonic().saturating_sub(begun) < budget::PASS_TIME_MAX;
            if taken < PASS_COMMANDS_MAX && self.log.pending_bytes() < PASS_BYTES_MAX && has_time {
                next = self.next_waiting();
            }
        }
        self.pace()?;
        self.feed(Input::Tick)?;
        self.end_pass()?;
        let took = self.time.monotonic().saturating_sub(begun).saturating_sub(self.synced);
        self.metrics.pass_seconds.observe(took.as_secs_f64());
        if self.may_stop() { Err(Exit::Asked) } else { Ok(()) }
    }

    /// The next command of those that wait already.
    pub fn next_waiting(&mut self) -> Option<Command> {
        self.held.pop_front().or_else(|| self.commands.try_recv().ok())
    }

    /// The next command, if one comes before something is due.
    fn wait(&mut self) -> Result<Option<Command>, Exit> {
        if let Some(held) = self.held.pop_front() {
            return Ok(Some(held));
        }
        self.time.look();
        let patience = self.time.sleep_for(self.patience());
        match self.commands.recv_timeout(patience) {
            Ok(command) => Ok(Some(command)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Exit::Asked),
        }
    }

    /// With too little space left no event is accepted, no attempt begins and no timer goes off: what is left is for what is
    /// under way, and for what operators decide.
    fn look_for_space(&mut self) -> Result<(), Exit> {
        let has_space = (self.free_space)() && !self.views.is_short_of_space();
        if has_space == self.has_space {
            return Ok(());
        }
        self.has_space = has_space;
        self.is_ready.store(has_space, Ordering::Relaxed);
        self.metrics.disk_low.set(i64::from(!has_space));
        match has_space {
            true => {
                self.ballast.take();
                tracing::info!("there is disk space again: events are accepted, deliveries go on");
            }
            false => tracing::warn!("the disk is nearly full: no events are accepted, no deliveries begin"),
        }
        self.feed(Input::Space { has_space })
    }

    /// Ask producers to slow down before they have to be refused.
    fn pace(&mut self) -> Result<(), Exit> {
        let (permits, in_flight_max) = &self.in_flight;
        let in_flight = in_flight_max.saturating_sub(permits.available_permits());
        let pressure = Pressure { in_flight, in_flight_max: *in_flight_max, has_disk_space: self.has_space };
        let Some((slow, reason)) = pacing::state_change(self.is_slow, pressure) else { return Ok(()) };
        self.is_slow = slow;
        let (at_ms, reason) = (self.time.at_ms(), reason.to_owned());
        let notice = notices::of_pace(slow, &reason, self.time.now().elapsed_ms);
        self.stage(Record::Paced { slow, reason, at_ms, notice }).map(drop)
    }

    fn patience(&self) -> Duration {
        if let Some(stop_by) = self.stop_by {
            return stop_by.saturating_sub(self.time.monotonic());
        }
        if self.budget.has_deferred() {
            return Duration::ZERO;
        }
        if !self.has_space {
            return SPACE_IDLE;
        }
        let wake_in_ms = self.machine.wake_in_ms(self.time.now());
        wake_in_ms.map_or(IDLE, |in_ms| Duration::from_millis(in_ms).min(IDLE))
    }

    /// Make the pass's records durable, then do what waits for that. What that leads to is for the next passes, except for
    /// reading on, which may give attempts to begin: those are made durable as well before the thread sleeps. Attempts
    /// begin when all that a pass brings has been taken, so that deliveries share the calls of a handler that takes batches.
    pub fn end_pass(&mut self) -> Result<(), Exit> {
        loop {
            self.commit_log()?;
            self.apply_views()?;
            for after in std::mem::take(&mut self.after) {
                after.perform(&self.jobs);
            }
            self.time.look();
            self.feed(Input::Durable { position: self.log.head() })?;
            self.feed(Input::Tick)?;
            if self.log.pending_bytes() == 0 && self.after.is_empty() {
                return Ok(());
            }
        }
    }

    fn commit_log(&mut self) -> Result<(), Exit> {
        if self.log.pending_bytes() == 0 {
            return Ok(());
        }
        let started = self.time.monotonic();
        loop {
            match self.log.commit() {
                Ok(head) => {
                    self.metrics.log_position.set(i64::try_from(head.0).unwrap_or(i64::MAX));
                    break;
                }
                Err(LogError::Full(error)) => self.wait_for_space(&error)?,
                Err(error) => return Err(error.into()),
            }
        }
        if std::mem::take(&mut self.is_full) {
            self.is_ready.store(self.has_space, Ordering::Relaxed);
            tracing::info!("there is space again");
        }
        let took = self.time.monotonic().saturating_sub(started);
        self.synced += took;
        self.synced_records = std::mem::take(&mut self.pass_records);
        self.metrics.synced(took, self.synced_records);
        Ok(())
    }

    /// Apply what is durable now to the views, and broadcast the changed statuses.
    fn apply_views(&mut self) -> Result<(), Exit> {
        self.keep_handlers()?;
        self.forget_identities()?;
        if self.projection.changes() == 0 {
            return Ok(());
        }
        let (changes, parts) = self.projection.take();
        let head = self.log.head();
        self.views.write(changes, head)?;
        self.identities.written(head);
        if !parts.is_empty() {
            self.hub.broadcast(parts);
        }
        Ok(())
    }

    /// Keep the handlers' rows where they changed. How far a handler has scanned is kept only for those that lag: for the
    /// others it is the view's own applied position.
    pub fn keep_handlers(&mut self) -> Result<(), Exit> {
        if std::mem::take(&mut self.handlers_changed) {
            self.keep_rows()?;
        }
        for (handler, OfferChange { lane, key, correction }) in self.machine.take_offer_changes() {
            let row = keys::offer(&handler, lane, key);
            match correction {
                Some(correction) => self.projection.put(row, keys::position_value(correction), false),
                None => self.projection.remove(row),
            }
        }
        if std::mem::take(&mut self.hosts_changed) {
            self.keep_hosts()?;
        }
        let lagging: BTreeMap<_, _> = self.machine.lagging().map(|(name, scanned)| (name.clone(), scanned)).collect();
        for (name, scanned) in lagging.iter().filter(|(name, scanned)| self.lagging_kept.get(*name) != Some(*scanned)) {
            self.projection.put(keys::lagging(name), keys::position_value(*scanned), false);
        }
        for name in self.lagging_kept.keys().filter(|name| !lagging.contains_key(*name)) {
            self.projection.remove(keys::lagging(name));
        }
        self.lagging_kept = lagging;
        Ok(())
    }

    /// Keep the handlers' rows, and a row for each deployment that still matters.
    fn keep_rows(&mut self) -> Result<(), Exit> {
        let mut deployments = BTreeSet::new();
        for (name, row) in self.machine.rows() {
            let value = postcard::to_stdvec(&row).map_err(StorageError::encode("a handler's row"))?;
            self.projection.put(keys::handler(name), value, false);
            deployments.extend(row.deployments.into_iter().map(|position| keys::deployment(name, position)));
        }
        for row in deployments.difference(&self.deployments_kept) {
            self.projection.put(row.clone(), Vec::new(), false);
        }
        for row in self.deployments_kept.difference(&deployments) {
            self.projection.remove(row.clone());
        }
        self.deployments_kept = deployments;
        Ok(())
    }

    /// Keep which hosts are left alone, and tell those who would call them.
    fn keep_hosts(&mut self) -> Result<(), Exit> {
        let mut open = BTreeMap::new();
        for (host, open_state) in self.machine.hosts() {
            match open_state {
                None => self.projection.remove(keys::host(host)),
                Some(open_state) => {
                    let value = postcard::to_stdvec(&open_state).map_err(StorageError::encode("a host's row"))?;
                    self.projection.put(keys::host(host), value, false);
                    open.insert(host.clone(), open_state.0.saturating_sub(self.time.now().elapsed_ms));
                }
            }
        }
        self.host_breakers.set(open);
        Ok(())
    }
}
