//! What the writer does while a batch waits for disk space or a file descriptor: questions are answered, nothing is begun,
//! new writes are refused, and nothing that is pending is forgotten.

use std::{io, time::Duration};

use super::{Disconnected, Exit, Writer};
use crate::{Refusal, command::Command};

/// How long a full disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(250);

impl Writer {
    /// Give up the ballast, or answer for a while. What is pending becomes durable when there is space: those who wait for it are
    /// told that its outcome is not known yet. Those who ask from now on are refused, and nothing of theirs is pending.
    pub fn wait_for_space(&mut self, error: &io::Error) -> Result<(), Exit> {
        if self.durability.space().exhausted(error) {
            return Ok(());
        }
        self.durability.answer_outcome_unknown();
        let until = self.time.monotonic() + RETRY;
        loop {
            let patience = self.time.sleep_for(until.saturating_sub(self.time.monotonic()));
            match self.ingress.wait_for_new(patience).map_err(|Disconnected| Exit::Asked)? {
                Some(command) => self.take_while_full(command)?,
                None => return Ok(()),
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
            Command::Breakers { reply } => drop(reply.send(Ok(self.delivery.list_breakers(self.time.now())))),
            // What is pending will not become durable any more: nobody was told that it would.
            Command::Stop { reply } => {
                self.ingress.stop(self.time.monotonic(), reply);
                return Err(Exit::Asked);
            }
            Command::Handlers { name, reply } => drop(reply.send(Ok(self.list_handlers(name.as_ref())))),
            Command::KnownStates { deliveries, reply } => {
                drop(reply.send(Ok(self.delivery.known_states(&deliveries, self.time.now()))))
            }
            Command::WorkerFailed(_) => self.take(command)?,
            Command::CallResult(_) | Command::Step { .. } | Command::Loaded { .. } => self.ingress.hold(command),
        }
        Ok(())
    }
}
