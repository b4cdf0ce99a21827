//! The sequencer: the one thread that decides and writes.
//!
//! A turn takes all that waits, applies it, appends the records that follow, syncs once, and only then lets anybody know.
//! So one sync serves whatever came in while the last one ran, and a lone event waits for nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::Semaphore;
use weirgate_core::{
    Action, Input, Machine,
    pacing::{self, Pressure},
};
use weirgate_log::{Log, LogError, LogReader};
use weirgate_types::{DeliveryId, HandlerName, Position, Record};

use crate::{
    Clock, Hub, Metrics, Refusal,
    command::Command,
    gates::Gates,
    identities::Identities,
    job::{Callee, Finished},
    notices,
    projection::Projection,
    recent::Recent,
    rows,
    workers::Jobs,
};

mod actions;
mod after;
mod commands;
mod endings;
mod fetching;
mod full;
mod interventions;
mod reading;

use after::After;

/// How many commands a turn takes at the most, so that the first of them does not wait for ever.
const TURN_COMMANDS_MAX: usize = 4_096;
/// A turn writes about this much at the most.
const TURN_BYTES_MAX: usize = 4 << 20;
/// How long the sequencer sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(60);
/// How long it sleeps at most when something is: a clock that is set forward is noticed by then.
const DUE_IDLE: Duration = Duration::from_secs(1);

/// All that the sequencer owns.
#[expect(clippy::struct_excessive_bools, reason = "each notes something that has nothing to do with the others")]
pub struct Sequencer {
    pub commands: Receiver<Command>,
    pub jobs: Jobs,
    pub machine: Machine,
    pub log: Log,
    pub reader: LogReader,
    pub projection: Projection,
    pub views: weirgate_log::Views,
    pub hub: Arc<Hub>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub recent: Recent,
    pub identities: Identities,
    pub callees: BTreeMap<HandlerName, Arc<Callee>>,
    pub actions: VecDeque<Action>,
    /// What to do when this turn's records are durable.
    pub after: Vec<After>,
    /// Commands that came while the disk was full and wait for it.
    pub held: VecDeque<Command>,
    /// Whether the last try to write found the disk full.
    pub is_full: bool,
    /// The attempt being settled, whose effects a commit action wants.
    pub settling: Option<Box<Finished>>,
    /// Deliveries that somebody decided about, which the views do not know yet.
    pub decided: BTreeSet<DeliveryId>,
    pub free_space: FreeSpace,
    /// Whether a handler's row changed in this turn.
    pub handlers_changed: bool,
    /// Whether a host's breaker turned in this turn.
    pub hosts_changed: bool,
    /// The hosts that are left alone, for those who would call them.
    pub gates: Arc<Gates>,
    /// How far the handlers that lag had scanned, as last kept.
    pub lagging_kept: BTreeMap<HandlerName, Position>,
    /// Whether there is room for new events, once somebody asked in this turn.
    pub has_space: Option<bool>,
    pub workers: Vec<JoinHandle<()>>,
    pub turn_records: usize,
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
            match self.turn() {
                Ok(()) => {}
                Err(End::Asked) => return self.stop(),
                Err(end) => return end,
            }
        }
    }

    fn turn(&mut self) -> Result<(), End> {
        let next = self.wait()?;
        self.take_turn(next)
    }

    /// A turn that begins with this command, if there is one, and takes what else waits.
    pub fn take_turn(&mut self, mut next: Option<Command>) -> Result<(), End> {
        self.has_space = None;
        let mut taken = 0;
        while let Some(command) = next.take() {
            self.take(command)?;
            taken += 1;
            if taken < TURN_COMMANDS_MAX && self.log.pending_bytes() < TURN_BYTES_MAX {
                next = self.held.pop_front().or_else(|| self.commands.try_recv().ok());
            }
        }
        self.pace()?;
        self.feed(Input::Tick)?;
        self.settle_turn()?;
        if self.may_stop() { Err(End::Asked) } else { Ok(()) }
    }

    /// The next command, if one comes before something is due.
    fn wait(&mut self) -> Result<Option<Command>, End> {
        if let Some(held) = self.held.pop_front() {
            return Ok(Some(held));
        }
        match self.commands.recv_timeout(self.patience()) {
            Ok(command) => Ok(Some(command)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(End::Asked),
        }
    }

    /// Ask producers to slow down before they have to be refused.
    fn pace(&mut self) -> Result<(), End> {
        let (permits, in_flight_max) = &self.in_flight;
        let in_flight = in_flight_max.saturating_sub(permits.available_permits());
        // The disk is looked at when somebody publishes; while it is full, whenever there is a turn.
        let has_disk_space = self.has_space.unwrap_or_else(|| !self.is_slow || (self.free_space)());
        let pressure = Pressure { in_flight, in_flight_max: *in_flight_max, has_disk_space };
        let Some((slow, why)) = pacing::turn(self.is_slow, pressure) else { return Ok(()) };
        self.is_slow = slow;
        let (at_ms, why) = (self.clock.now_ms(), why.to_owned());
        let notice = notices::of_pace(slow, &why, at_ms);
        self.append(Record::Paced { slow, why, at_ms, notice }).map(drop)
    }

    /// Whether a stop was asked for, and what ran has ended or has had its time.
    fn may_stop(&self) -> bool {
        self.stop_by.is_some_and(|stop_by| self.machine.running() == 0 || self.clock.monotonic() >= stop_by)
    }

    fn patience(&self) -> Duration {
        if let Some(stop_by) = self.stop_by {
            return stop_by.saturating_sub(self.clock.monotonic());
        }
        let now_ms = self.clock.now_ms();
        let until = |at_ms: u64| Duration::from_millis(at_ms.saturating_sub(now_ms)).min(DUE_IDLE);
        self.machine.wake_at_ms().map_or(IDLE, until)
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
                Err(LogError::Full(error)) => self.wait_for_space(&error)?,
                Err(error) => return Err(error.into()),
            }
        }
        if std::mem::take(&mut self.is_full) {
            tracing::info!("there is space again");
        }
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.synced(took, std::mem::take(&mut self.turn_records));
        Ok(())
    }

    /// Bring what is durable now into the view, and show it to those who watch.
    fn publish(&mut self) -> Result<(), End> {
        self.keep_handlers()?;
        if self.projection.changes() == 0 {
            return Ok(());
        }
        let (changes, parts) = self.projection.take();
        let head = self.log.head();
        self.views.write(changes, head)?;
        self.identities.written(head);
        self.decided.clear();
        if !parts.is_empty() {
            self.hub.publish(parts);
        }
        Ok(())
    }

    /// Keep the handlers' rows where they changed. How far a handler has scanned is kept only for those that lag: for the
    /// others it is the view's own applied position.
    pub fn keep_handlers(&mut self) -> Result<(), End> {
        if std::mem::take(&mut self.handlers_changed) {
            for (name, row) in self.machine.rows() {
                let row = postcard::to_stdvec(&row).map_err(|e| End::Broken(e.to_string()))?;
                self.projection.put(rows::handler(name), row, false);
            }
        }
        if std::mem::take(&mut self.hosts_changed) {
            self.keep_hosts()?;
        }
        let lagging: BTreeMap<_, _> = self.machine.lagging().map(|(name, scanned)| (name.clone(), scanned)).collect();
        for (name, scanned) in lagging.iter().filter(|(name, scanned)| self.lagging_kept.get(*name) != Some(*scanned)) {
            self.projection.put(rows::lagging(name), rows::position_value(*scanned), false);
        }
        for name in self.lagging_kept.keys().filter(|name| !lagging.contains_key(*name)) {
            self.projection.remove(rows::lagging(name));
        }
        self.lagging_kept = lagging;
        Ok(())
    }

    /// Keep which hosts are left alone, and tell those who would call them.
    fn keep_hosts(&mut self) -> Result<(), End> {
        let mut open = BTreeMap::new();
        for (host, turned) in self.machine.hosts() {
            match turned {
                None => self.projection.remove(rows::host(host)),
                Some(turned) => {
                    let value = postcard::to_stdvec(&turned).map_err(|e| End::Broken(e.to_string()))?;
                    self.projection.put(rows::host(host), value, false);
                    open.insert(host.to_owned(), turned.0);
                }
            }
        }
        self.gates.set(open);
        Ok(())
    }

    /// Leave everything tidy. None of it is needed: what is durable is durable already.
    fn stop(self) -> End {
        if let Err(error) = self.views.settle() {
            tracing::warn!(%error, "the views are behind; they will be brought forward from the log");
        }
        if let Err(error) = self.log.close() {
            tracing::warn!(%error, "the log could not be closed; its end will be checked when it is opened");
        }
        // The workers end when nobody can send them jobs any more; they hold the views open until then.
        drop((self.jobs, self.views, self.projection));
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::warn!("a worker ended badly");
            }
        }
        for reply in self.stopping {
            let _ = reply.send(());
        }
        End::Asked
    }
}
