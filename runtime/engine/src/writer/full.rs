//! The writer while a batch waits for disk space or a file descriptor: queries are answered, nothing is begun, new writes
//! are refused, and pending writes are kept.

use std::{io, time::Duration};

use super::{Disconnected, Exit, Writer};
use crate::{Refusal, command::Command};

/// How long to wait before a full disk is tried again.
const RETRY: Duration = Duration::from_millis(250);

impl Writer {
    /// Releases the ballast, or answers commands for a while. Pending records become durable when there is space: their
    /// callers are told that the outcome is not known yet. Later commands are refused, and leave nothing pending.
    pub fn wait_for_space(&mut self, error: &io::Error) -> Result<(), Exit> {
        if self.durability.space().exhausted(error) {
            return Ok(());
        }
        for hold in self.durability.answer_outcome_unknown() {
            self.ingress.hold(Command::EndHold { hold });
        }
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
            Command::Decide { reply, .. } | Command::Remove { reply, .. } | Command::StepReplay { reply, .. } => {
                drop(reply.send(Err(Refusal::DiskFull)));
            }
            Command::Repair { token, reply, .. } => {
                drop(reply.send(Err(Refusal::DiskFull)));
                // A repair that is refused ends the hold: what would be written next builds on it.
                self.ingress.hold(Command::EndHold { hold: token.hold });
            }
            Command::HoldKey { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::SetBreaker { reply, .. } => drop(reply.send(Err(Refusal::DiskFull))),
            Command::Breakers { after, limit, reply } => {
                drop(reply.send(Ok(self.delivery.list_breakers(after.as_ref(), limit, self.time.now()))));
            }
            // Pending records will not become durable any more: no caller was told that they would.
            Command::Stop { reply } => {
                self.ingress.stop(self.time.monotonic(), reply);
                return Err(Exit::Asked);
            }
            Command::Handlers { name, reply } => drop(reply.send(Ok(self.list_handlers(name.as_ref())))),
            Command::KnownStates { deliveries, reply } => {
                drop(reply.send(Ok(self.delivery.known_states(&deliveries, self.time.now()))));
            }
            Command::WorkerFailed(_) => self.take(command)?,
            Command::EndHold { .. }
            | Command::CallResult(_)
            | Command::Step { .. }
            | Command::Called { .. }
            | Command::Loaded { .. } => {
                self.ingress.hold(command);
            }
        }
        Ok(())
    }
}
