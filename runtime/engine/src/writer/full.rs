//! What the writer does while a batch waits for disk space or a file descriptor: questions are answered, nothing is begun,
//! new writes are refused, and nothing that is pending is forgotten.

use std::{io, sync::atomic::Ordering, time::Duration};

use crossbeam_channel::RecvTimeoutError;

use super::{After, Exit, Writer};
use crate::{Refusal, command::Command};

/// How long a full disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(250);

impl Writer {
    /// Give up the ballast, or answer for a while. What is pending becomes durable when there is space: those who wait for it are
    /// told that its outcome is not known yet. Those who ask from now on are refused, and nothing of theirs is pending.
    pub fn wait_for_space(&mut self, error: &io::Error) -> Result<(), Exit> {
        if self.ballast.release() {
            return Ok(());
        }
        self.is_ready.store(false, Ordering::Relaxed);
        if !std::mem::replace(&mut self.is_full, true) {
            let is_disk = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let lack = if is_disk { "the disk is full" } else { "no file descriptor is free" };
            tracing::error!(%error, "{lack}; nothing new is taken until there is space");
        }
        let waiting = std::mem::take(&mut self.after);
        self.after = waiting.into_iter().filter_map(After::answer_outcome_unknown).collect();
        let until = self.time.monotonic() + RETRY;
        loop {
            match self.commands.recv_timeout(self.time.sleep_for(until.saturating_sub(self.time.monotonic()))) {
                Ok(command) => self.take_while_full(command)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Exit::Asked),
            }
        }
    }

    fn take_while_full(&mut self, command: Command) -> Result<(), Exit> {
        match command {
            Command::Ingest { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::Deploy { reply, .. } | Command::ChangeMode { reply, .. } => {
                drop(reply.send(Err(Refusal::DiskFull)));
            }
            Command::CommandDelivery { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::SetBreaker { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::Breakers { reply } => drop(reply.send(Ok(self.list_breakers()))),
            // What is pending will not become durable any more: nobody was told that it would.
            Command::Stop { reply } => {
                self.stopping.push(reply);
                return Err(Exit::Asked);
            }
            Command::Handlers { name, reply } => drop(reply.send(Ok(self.list_handlers(name.as_ref())))),
            Command::KnownStates { deliveries, reply } => drop(reply.send(Ok(self.known_states(&deliveries)))),
            Command::WorkerFailed(_) => self.take(command)?,
            // No more of these than there are calls under way and handlers.
            Command::CallResult(_) | Command::Step { .. } | Command::Loaded { .. } => self.held.push_back(command),
        }
        Ok(())
    }
}

impl After {
    /// Answer what only asks, and that the outcome of what changes something is not known yet; what has no reader stays to be
    /// done.
    fn answer_outcome_unknown(self) -> Option<Self> {
        match self {
            Self::Ingested { reply, .. } => drop(reply.send(Err(Refusal::OutcomeUnknown))),
            Self::Handler { reply, .. } => drop(reply.send(Err(Refusal::OutcomeUnknown))),
            Self::Commanded { reply, .. } => drop(reply.send(Err(Refusal::OutcomeUnknown))),
            Self::Breakers { reply, items } => drop(reply.send(Ok(items))),
            Self::Handlers { reply, items } => drop(reply.send(Ok(items))),
            Self::KnownStates { reply, known } => drop(reply.send(Ok(known))),
            // Whoever called out waits until it is durable that he did.
            waiting @ (Self::Deliver(_) | Self::Stepped(_)) => return Some(waiting),
        }
        None
    }
}
