//! The writer: the one thread that decides and writes, with group commit.
//!
//! A pass takes the waiting commands, stages the resulting records, commits them once, and only then replies. So one sync
//! serves all commands that came in during the last one, and a single event is never delayed.
//!
//! It owns three parts that do not know each other: [`Ingress`] (commands), [`Delivery`] (the machine and the deployed
//! handlers) and [`Durability`] (the log, the views and what waits for a commit). Logic that involves two of them is here.

mod actions;
mod after;
mod commands;
mod commits;
mod delivery;
mod durability;
mod full;
mod ingress;
mod operators;
mod read_ahead;
mod recovery;
mod removals;
mod replays;
mod space;
mod stopping;
mod timers;
mod under_way;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weirgate_core::Input;
use weirgate_log::LogError;
use weirgate_types::{HandlerName, Record};

use crate::{
    EngineFault, HandlerItem, Metrics, StorageError, command::Command, notices, operations::Operations, time::Time,
};
use after::After;
pub use delivery::Delivery;
use delivery::PASS_TIME_MAX;
#[cfg(feature = "sim")]
pub use delivery::StepSizes;
pub use durability::Durability;
use ingress::Disconnected;
pub use ingress::Ingress;
use removals::Removals;
use replays::Holds;
pub use space::{DiskSpace, FreeSpace};

/// Maximum number of commands in a pass, so that the first one does not wait too long.
const PASS_COMMANDS_MAX: usize = 4_096;
/// Number of commands after which a pass reads the clock.
const TIME_LOOK_EVERY: usize = 16;
/// Approximate maximum that a pass writes, in bytes.
const PASS_BYTES_MAX: usize = 4 << 20;
/// Maximum sleep of the writer when the disk is nearly full, before it checks again.
const SPACE_IDLE: Duration = Duration::from_millis(250);
/// Maximum sleep of the writer: a wall clock that is set is noticed within it.
const IDLE: Duration = Duration::from_secs(1);

/// See the module documentation.
pub struct Writer {
    ingress: Ingress,
    delivery: Delivery,
    durability: Durability,
    time: Time,
    metrics: Arc<Metrics>,
    operations: Operations,
    removals: Removals,
    holds: Holds,
    /// When this pass began, by the monotonic clock.
    begun: Duration,
    /// How long this pass has waited for the disk.
    synced: Duration,
    /// When the last warning about a delivery that may wait for itself was logged, by handler.
    suspected_at_ms: BTreeMap<HandlerName, u64>,
}

/// Why the writer ended.
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
    /// A writer before recovery.
    pub fn new(
        ingress: Ingress,
        delivery: Delivery,
        durability: Durability,
        time: Time,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (operations, removals, holds) = (Operations::default(), Removals::default(), Holds::default());
        Self {
            ingress,
            delivery,
            durability,
            time,
            metrics,
            operations,
            removals,
            holds,
            begun: Duration::ZERO,
            synced: Duration::ZERO,
            suspected_at_ms: BTreeMap::new(),
        }
    }

    /// Runs until a stop is requested, or until a fault: then no request is answered any more, and the log shows what was
    /// durable when it is opened again.
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
        self.time.look();
        let patience = self.time.sleep_for(self.patience());
        let next = self.ingress.wait(patience).map_err(|Disconnected| Exit::Asked)?;
        self.run_pass(next)
    }

    /// A pass that begins with this command, if any, and takes the other waiting ones.
    pub fn run_pass(&mut self, mut next: Option<Command>) -> Result<(), Exit> {
        self.time.look();
        self.begun = self.time.monotonic();
        self.synced = Duration::ZERO;
        self.delivery.begin_pass();
        self.perform(None)?;
        self.delete_left_rows()?;
        self.look_for_space()?;
        let mut taken = 0_usize;
        while let Some(command) = next.take() {
            self.take(command)?;
            taken += 1;
            let has_time = !taken.is_multiple_of(TIME_LOOK_EVERY) || self.has_time();
            if taken < PASS_COMMANDS_MAX && self.durability.staged_bytes() < PASS_BYTES_MAX && has_time {
                next = self.ingress.next();
            }
        }
        self.pace()?;
        self.feed(Input::Tick)?;
        self.end_pass()?;
        let took = self.time.monotonic().saturating_sub(self.begun).saturating_sub(self.synced);
        self.metrics.pass_seconds.observe(took.as_secs_f64());
        if self.may_stop() { Err(Exit::Asked) } else { Ok(()) }
    }

    /// Whether this pass may begin more work.
    fn has_time(&self) -> bool {
        self.time.monotonic().saturating_sub(self.begun) < PASS_TIME_MAX
    }

    /// When space is short no event is accepted, no attempt begins and no timer fires: the rest is for calls in flight, and
    /// for operators' commands.
    fn look_for_space(&mut self) -> Result<(), Exit> {
        let is_short = self.durability.views().is_short_of_space() || self.ingress.is_behind();
        match self.durability.space().look(self.begun, is_short, &self.metrics) {
            Some(has_space) => self.feed(Input::Space { has_space }),
            None => Ok(()),
        }
    }

    /// Asks producers to slow down before they have to be refused.
    fn pace(&mut self) -> Result<(), Exit> {
        let Some((slow, reason)) = self.ingress.pace(self.durability.has_space()) else { return Ok(()) };
        let (at_ms, reason) = (self.time.at_ms(), reason.to_owned());
        let notice = notices::of_pace(slow, &reason, self.time.now().elapsed_ms);
        self.stage(Record::Paced { slow, reason, at_ms, notice }).map(drop)
    }

    fn patience(&self) -> Duration {
        if let Some(stop_by) = self.ingress.stop_by() {
            return stop_by.saturating_sub(self.time.monotonic());
        }
        if self.delivery.has_deferred() || !self.removals.is_empty() {
            return Duration::ZERO;
        }
        if !self.durability.has_space() {
            return SPACE_IDLE;
        }
        let wake_in_ms = self.delivery.machine().wake_in_ms(self.time.now());
        wake_in_ms.map_or(IDLE, |in_ms| Duration::from_millis(in_ms).min(IDLE))
    }

    /// Commits the staged records, then releases what waits for that. What follows from it is left to the next passes,
    /// except for scans, which may make attempts begin: those are made durable as well before the thread sleeps. Attempts
    /// begin when all commands of a pass were taken, so that deliveries share the calls of a handler that takes batches.
    fn end_pass(&mut self) -> Result<(), Exit> {
        loop {
            self.commit_log()?;
            self.apply_views()?;
            self.operations.write(self.time.now().elapsed_ms);
            for after in self.durability.take_waiting() {
                if let Some(hold) = after.perform(&self.delivery) {
                    self.end_hold(hold)?;
                }
            }
            self.time.look();
            self.feed(Input::Durable { position: self.durability.head() })?;
            self.feed(Input::Tick)?;
            if self.durability.is_settled() {
                return Ok(());
            }
        }
    }

    fn commit_log(&mut self) -> Result<(), Exit> {
        if self.durability.staged_bytes() == 0 {
            return Ok(());
        }
        let started = self.time.monotonic();
        loop {
            match self.durability.commit() {
                Ok(head) => {
                    self.metrics.log_position.set(i64::try_from(head.0).unwrap_or(i64::MAX));
                    break;
                }
                Err(LogError::Full(error)) => self.wait_for_space(&error)?,
                Err(error) => return Err(error.into()),
            }
        }
        self.durability.space().committed();
        let took = self.time.monotonic().saturating_sub(started);
        self.synced += took;
        self.metrics.synced(took, self.durability.committed_records());
        Ok(())
    }

    /// Applies durable records to the views and the index of identities, and broadcasts the changed statuses.
    fn apply_views(&mut self) -> Result<(), Exit> {
        self.delivery.keep_rows(self.durability.projection_mut(), self.time.now().elapsed_ms)?;
        self.durability.apply()?;
        self.ingress.durable(self.durability.head());
        Ok(self.ingress.forget(self.durability.reader(), self.durability.head(), self.time.at_ms())?)
    }

    /// All handlers, or the named one.
    pub fn list_handlers(&self, name: Option<&weirgate_types::HandlerName>) -> Vec<HandlerItem> {
        self.delivery.list_handlers(name, self.durability.projection(), self.time.now())
    }
}

/// The simulator's access to a writer whose passes it runs itself.
#[cfg(feature = "sim")]
impl Writer {
    pub fn reader(&self) -> &weirgate_log::LogReader {
        self.durability.reader()
    }

    pub fn views(&self) -> &weirgate_views::Views {
        self.durability.views()
    }

    pub fn machine(&self) -> &weirgate_core::Machine {
        self.delivery.machine()
    }

    pub fn set_steps(&mut self, steps: StepSizes) {
        self.delivery.set_steps(steps);
    }

    /// Where each commit ended since the last call of this function.
    pub fn take_commits(&mut self) -> Vec<weirgate_types::Position> {
        self.durability.take_commits()
    }

    /// The time at the last reading.
    pub fn now(&self) -> weirgate_core::Now {
        self.time.now()
    }

    pub fn next_command(&mut self) -> Option<Command> {
        self.ingress.next()
    }

    /// How much the last pass has read.
    pub fn work(&self) -> usize {
        self.delivery.spent()
    }

    /// In how many milliseconds something is due, if anything is.
    pub fn wake_in_ms(&self) -> Option<u64> {
        let has_more = !self.ingress.is_empty() || self.delivery.has_deferred() || !self.removals.is_empty();
        if has_more { Some(0) } else { self.delivery.machine().wake_in_ms(self.time.now()) }
    }
}
