//! Operators' commands of a simulated engine.

use weirgate_types::{BreakerId, DeliveryId, HandlerName, Mode, Position};

use super::{Answer, Engine};
use crate::{Audit, BreakerItem, CommandRequest, HandlerItem, Refusal, command::Command};

impl Engine {
    #[must_use]
    pub fn remove(&self, handler: HandlerName, audit: Audit) -> Answer<Position> {
        self.ask(|reply| Command::Remove { handler, audit, reply })
    }

    #[must_use]
    pub fn change_mode(&self, handler: HandlerName, mode: Mode, audit: Audit) -> Answer<HandlerItem> {
        self.ask(|reply| Command::ChangeMode { handler, mode, audit, reply })
    }

    #[must_use]
    pub fn set_breaker(&self, breaker: BreakerId, open: bool, audit: Audit) -> Answer<BreakerItem> {
        self.ask(|reply| Command::SetBreaker { breaker, open, audit, reply })
    }

    /// # Errors
    /// The delivery is neither open nor a dead letter.
    pub fn command_delivery(
        &self,
        delivery: DeliveryId,
        request: CommandRequest,
        audit: Audit,
    ) -> Result<Answer<Position>, Refusal> {
        let (command, _) = self.handle.prepare_command(delivery, request, audit)?;
        let command = Box::new(command);
        Ok(self.ask(|reply| Command::Decide { command, reply }))
    }
}
