//! Ingress: the queue of commands, held-back commands, the permits of events in flight, duplicates, and when producers are
//! asked to slow down. Knows neither log nor machine.

mod forgetting;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::{Semaphore, oneshot};
use weirgate_core::pacing::{self, Pressure};
use weirgate_history::{HistoryError, Identities, IdentityHash};
use weirgate_types::Position;

use crate::{
    command::Command,
    identities::{Identified, IdentityWindow},
};

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
    identities: Arc<Identities>,
    /// Wakes the thread that writes the runs of the index.
    complete: Sender<()>,
    /// What this pass has accepted, which is not in the index before it is durable.
    accepted: HashMap<IdentityHash, Position>,
    window: IdentityWindow,
    /// When the window by age is looked at again.
    look_at_ms: u64,
    stop: Option<Stop>,
}

/// A requested stop.
struct Stop {
    /// When to stop even if calls still run.
    by: Duration,
    replies: Vec<oneshot::Sender<()>>,
}

impl Ingress {
    pub fn new(
        commands: Receiver<Command>,
        in_flight_max: usize,
        (identities, complete, window): (Arc<Identities>, Sender<()>, IdentityWindow),
    ) -> Self {
        Self {
            commands,
            held: VecDeque::new(),
            permits: Arc::new(Semaphore::new(in_flight_max)),
            in_flight_max,
            is_slow: false,
            identities,
            complete,
            accepted: HashMap::new(),
            window,
            look_at_ms: 0,
            stop: None,
        }
    }

    /// One permit for each event that may be in flight.
    pub fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    /// The index of identities.
    pub fn identities(&self) -> &Arc<Identities> {
        &self.identities
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

    /// Holds back a command until there is disk space. Their number is limited by the calls in flight, the handlers and the
    /// keys on hold.
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

    /// What the index knows of these events by now.
    ///
    /// # Errors
    /// As [`Identities::renew`].
    pub fn renew(&self, events: &mut [Identified]) -> Result<(), HistoryError> {
        for event in events {
            event.known = self.identities.renew(event.identity, event.known)?;
        }
        Ok(())
    }

    /// The position of an event that was accepted before under the same identity, within the window.
    pub fn first_position(&self, event: &Identified, head: Position) -> Option<Position> {
        let first = self.accepted.get(&event.identity).copied().or(event.known.position);
        first.filter(|first| self.window.holds(*first, head))
    }

    pub fn accepted(&mut self, identity: IdentityHash, position: Position) {
        self.accepted.insert(identity, position);
    }

    /// Everything up to a position is durable.
    pub fn durable(&mut self, head: Position) {
        if self.identities.append(self.accepted.drain(), head) {
            // If it is full, the thread is about to look anyway.
            let _ = self.complete.try_send(());
        }
    }

    /// Whether the index of identities cannot take more at present.
    pub fn is_behind(&self) -> bool {
        self.identities.is_behind()
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
