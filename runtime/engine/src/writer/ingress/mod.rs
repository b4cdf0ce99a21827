//! Ingress: the queue of commands, held-back commands, the permits of events in flight, duplicates, and when producers are
//! asked to slow down. Knows neither log nor machine.

mod forgetting;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tokio::sync::{Semaphore, oneshot};
use weirgate_core::pacing::{self, Pressure};
use weirgate_types::Position;
use weirgate_views::Views;

use crate::{
    StorageError,
    command::Command,
    identities::{Identified, Identities, IdentityWindow},
};
use forgetting::Forgotten;
pub use forgetting::Index;

/// See the module documentation.
pub struct Ingress {
    commands: Receiver<Command>,
    /// Commands that came while the disk was full, held back until it is not.
    held: VecDeque<Command>,
    /// One permit for each event that may be in flight.
    permits: Arc<Semaphore>,
    in_flight_max: usize,
    /// Whether producers have been asked to slow down.
    is_slow: bool,
    identities: Identities,
    window: IdentityWindow,
    forgotten: Forgotten,
    stop: Option<Stop>,
}

/// A requested stop.
struct Stop {
    /// When to stop even if calls still run.
    by: Duration,
    replies: Vec<oneshot::Sender<()>>,
}

impl Ingress {
    pub fn new(commands: Receiver<Command>, in_flight_max: usize, window: IdentityWindow, head: Position) -> Self {
        Self {
            commands,
            held: VecDeque::new(),
            permits: Arc::new(Semaphore::new(in_flight_max)),
            in_flight_max,
            is_slow: false,
            identities: Identities::new(head),
            window,
            forgotten: Forgotten::default(),
            stop: None,
        }
    }

    /// One permit for each event that may be in flight.
    pub fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    /// The next command of those that wait already.
    pub fn next(&mut self) -> Option<Command> {
        self.held.pop_front().or_else(|| self.commands.try_recv().ok())
    }

    /// The next command, or `None` if none comes in time.
    ///
    /// # Errors
    /// There can be no more: the last handle is gone.
    pub fn wait(&mut self, patience: Duration) -> Result<Option<Command>, Disconnected> {
        match self.held.pop_front() {
            Some(held) => Ok(Some(held)),
            None => self.wait_for_new(patience),
        }
    }

    /// The same, regardless of held-back commands.
    ///
    /// # Errors
    /// As [`Ingress::wait`].
    pub fn wait_for_new(&self, patience: Duration) -> Result<Option<Command>, Disconnected> {
        match self.commands.recv_timeout(patience) {
            Ok(command) => Ok(Some(command)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Disconnected),
        }
    }

    /// Holds back a command until there is disk space. Their number is limited by the calls in flight and the handlers.
    pub fn hold(&mut self, command: Command) {
        self.held.push_back(command);
    }

    #[cfg(feature = "sim")]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.held.is_empty()
    }

    /// Whether producers should slow down now, and the reason, if that has changed.
    pub fn pace(&mut self, has_disk_space: bool) -> Option<(bool, &'static str)> {
        let in_flight = self.in_flight_max.saturating_sub(self.permits.available_permits());
        let pressure = Pressure { in_flight, in_flight_max: self.in_flight_max, has_disk_space };
        let (slow, reason) = pacing::state_change(self.is_slow, pressure)?;
        self.is_slow = slow;
        Some((slow, reason))
    }

    /// The position of an event that was accepted before under the same identity, within the window.
    pub fn first_position(
        &self,
        event: &Identified,
        views: &Views,
        head: Position,
    ) -> Result<Option<Position>, StorageError> {
        let first = self.identities.first_position(event, views)?;
        Ok(first.filter(|first| self.window.holds(*first, head)))
    }

    pub fn accepted(&mut self, identity: Vec<u8>, position: Position) {
        self.identities.accepted(identity, position);
    }

    /// The views have been applied up to a position.
    pub fn applied(&mut self, head: Position) {
        self.identities.written(head);
    }

    /// Stops by a time; the time of an earlier request stays.
    pub fn stop(&mut self, by: Duration, reply: oneshot::Sender<()>) {
        self.stop.get_or_insert(Stop { by, replies: Vec::new() }).replies.push(reply);
    }

    /// When to stop, if a stop was requested.
    pub fn stop_by(&self) -> Option<Duration> {
        self.stop.as_ref().map(|stop| stop.by)
    }

    /// Drops all commands: a worker that waits for the reply to one notices that there will be none. Returns the replies of
    /// those that requested the stop.
    pub fn close(self) -> Vec<oneshot::Sender<()>> {
        while self.commands.try_recv().is_ok() {}
        self.stop.map(|stop| stop.replies).unwrap_or_default()
    }
}

/// All senders of commands are gone.
pub struct Disconnected;
