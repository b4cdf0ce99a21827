//! How the writer carries out operators' commands for deliveries, handlers and breakers. Each is a record with its actor and
//! reason.

use weirgate_core::{DeliveryPhase, Input, Verdict};
use weirgate_types::{
    BreakerId, CalledHost, DeliveryCommand, DeliveryDecided, HandlerName, Mode, ModeChanged, Position, Record,
};

use super::{After, Exit, Writer, commits::no_event};
use crate::{
    BreakerItem, HandlerItem, Refusal,
    command::{Audit, PreparedCommand, Reply},
    keys, notices,
};

impl Writer {
    pub(super) fn change_mode(
        &mut self,
        handler: HandlerName,
        mode: Mode,
        audit: Audit,
        reply: Reply<HandlerItem>,
    ) -> Result<(), Exit> {
        match self.delivery.machine().may_change_mode(&handler, mode) {
            Verdict::UnknownHandler => {
                drop(reply.send(Err(Refusal::UnknownHandler(handler))));
                return Ok(());
            }
            Verdict::AlreadySo => {}
            Verdict::Granted => {
                let (Audit { actor, reason }, at_ms) = (audit, self.time.at_ms());
                let notice = notices::of_mode(&handler, mode, &actor, &reason, self.time.now().elapsed_ms);
                let changed = ModeChanged { handler: handler.clone(), mode, actor, reason, at_ms, notice };
                self.stage(Record::ModeChanged(changed))?;
            }
        }
        self.perform(None)?;
        self.after_handler(handler, reply);
        Ok(())
    }

    pub(super) fn command_delivery(&mut self, command: PreparedCommand, reply: Reply<Position>) -> Result<(), Exit> {
        if self.delivery.machine().may_be_spilled(&command.delivery.handler, command.delivery.position) {
            // The writes of this pass have to be readable before the spilled rows are read.
            self.end_pass()?;
            // So do the rows that were spilled at its end.
            self.apply_views()?;
            self.delivery.reload_for(&command.delivery, self.durability.views(), self.time.now())?;
            self.perform(None)?;
        }
        if let Err(refusal) = self.check_command(&command) {
            drop(reply.send(Err(refusal)));
            return Ok(());
        }
        let PreparedCommand { delivery, stored, command, events: mut emitted, carried, audit, last_failure } = command;
        let Audit { actor, reason } = audit;
        let at_ms = self.time.at_ms();
        let event = stored.event(delivery.position).ok_or_else(|| no_event(&delivery))?;
        let key = event.key().to_owned();
        let said = (actor.as_str(), reason.as_str(), last_failure.as_ref());
        emitted.extend(notices::of_command(&delivery, event, &command, said, self.time.now().elapsed_ms));
        // A delivery that is given up while it is open keeps its data for a later retry.
        let carried = self.delivery.machine().row(&delivery).map_or(carried, |row| row.carried.clone());
        if matches!(command, DeliveryCommand::DeadLetter) {
            let by = Audit { actor: actor.clone(), reason: reason.clone() };
            self.operations.note_given_up(delivery.clone(), by, last_failure.as_ref());
        }
        let position = self.stage(Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor,
            reason,
            at_ms,
            emitted,
        }))?;
        self.durability.when_durable(After::Commanded { reply, position });
        self.perform(None)
    }

    fn check_command(&mut self, command: &PreparedCommand) -> Result<(), Refusal> {
        let delivery = &command.delivery;
        if self.delivery.machine().handler(&delivery.handler).is_none() {
            return Err(Refusal::UnknownHandler(delivery.handler.clone()));
        }
        let died = self
            .durability
            .projection_mut()
            .get(&keys::dead_letter(delivery))?
            .and_then(|value| keys::value_position(&value));
        let is_dead = died.is_some();
        let row = self.delivery.machine().row(delivery);
        match (&command.command, row.map(|row| row.phase)) {
            (_, Some(DeliveryPhase::Running)) => Err(Refusal::Running(delivery.clone())),
            (DeliveryCommand::Discard, _) if !is_dead => Err(Refusal::NotADeadLetter(delivery.clone())),
            (
                DeliveryCommand::DeadLetter,
                Some(
                    DeliveryPhase::AwaitingCorrection
                    | DeliveryPhase::Ready
                    | DeliveryPhase::OutOfOrder { .. }
                    | DeliveryPhase::Retrying { .. },
                ),
            ) => Ok(()),
            // A withheld delivery is completed already, except for its emissions.
            (DeliveryCommand::DeadLetter, _) | (_, Some(DeliveryPhase::Withheld { .. })) => {
                Err(Refusal::NotOpen(delivery.clone()))
            }
            (_, None) if !is_dead => Err(Refusal::NotOpen(delivery.clone())),
            // The recorded data builds on what the operator had read.
            (_, None) if died != command.carried.failure => Err(Refusal::Changed(delivery.clone())),
            (DeliveryCommand::Correct(_), Some(_))
                if row.and_then(|row| row.carried.correction) != command.carried.correction =>
            {
                Err(Refusal::Changed(delivery.clone()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn set_breaker(
        &mut self,
        breaker: &BreakerId,
        open: bool,
        audit: &Audit,
        reply: Reply<Vec<BreakerItem>>,
    ) -> Result<(), Exit> {
        let known = self.delivery.list_breakers(self.time.now()).into_iter().any(|item| item.breaker == *breaker);
        // A host that was never called may be blocked in advance.
        let may_come = match breaker {
            BreakerId::Handler(_) => false,
            BreakerId::Host(CalledHost { handler, host }) => handler.as_ref().is_none_or(|name| {
                self.delivery.machine().handler(name).is_some_and(|view| view.manifest.capabilities.names_host(host))
            }),
        };
        if !known && !may_come {
            drop(reply.send(Err(Refusal::UnknownBreaker(breaker.clone()))));
            return Ok(());
        }
        self.feed(Input::SetBreaker { breaker, open, actor: &audit.actor, reason: &audit.reason })?;
        let items = self.delivery.list_breakers(self.time.now());
        self.durability.when_durable(After::Breakers { reply, items });
        Ok(())
    }
}
