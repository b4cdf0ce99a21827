//! What the sequencer does while the disk is full and a batch waits for space: questions are answered, nothing is begun, new
//! writes are refused, and nothing that is pending is forgotten.

use std::{io, time::Duration};

use crossbeam_channel::RecvTimeoutError;

use super::{After, End, Sequencer};
use crate::{Refusal, command::Command};

/// How long a full disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(250);

impl Sequencer {
    /// Give up the ballast, or answer for a while. What is pending becomes durable when there is space, so whoever waits for
    /// that goes on waiting: who is refused has changed nothing.
    pub fn wait_for_space(&mut self, error: &io::Error) -> Result<(), End> {
        if self.ballast.release() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::error!(%error, "the disk is full; nothing new is taken until there is space");
        }
        let waiting = std::mem::take(&mut self.after);
        self.after = waiting.into_iter().filter_map(After::answer_question).collect();
        let until = self.clock.monotonic() + RETRY;
        loop {
            match self.commands.recv_timeout(until.saturating_sub(self.clock.monotonic())) {
                Ok(command) => self.take_while_full(command)?,
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(End::Asked),
            }
        }
    }

    fn take_while_full(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Publish { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::Deploy { reply, .. } | Command::ChangeMode { reply, .. } => {
                drop(reply.send(Err(Refusal::DiskFull)));
            }
            Command::Intervene { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::TurnBreaker { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::Breakers { reply } => drop(reply.send(Ok(self.list_breakers()))),
            // What is pending will not become durable any more: nobody was told that it would.
            Command::Stop { reply } => {
                self.stopping.push(reply);
                return Err(End::Asked);
            }
            Command::Handlers { reply } => drop(reply.send(Ok(self.list_handlers()))),
            Command::Deliveries { filter, reply } => drop(reply.send(self.list_deliveries(&filter))),
            Command::Broken { .. } => self.take(command)?,
            // No more of these than there are calls under way and handlers.
            Command::Finished(_) | Command::Step { .. } | Command::Loaded { .. } => self.held.push_back(command),
        }
        Ok(())
    }
}

impl After {
    /// Answer what only asks; all else waits until its record is durable.
    fn answer_question(self) -> Option<Self> {
        match self {
            Self::Breakers { reply, items } => drop(reply.send(Ok(items))),
            Self::Handlers { reply, items } => drop(reply.send(Ok(items))),
            Self::Deliveries { reply, items } => drop(reply.send(items)),
            waiting => return Some(waiting),
        }
        None
    }
}
