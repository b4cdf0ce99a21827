//! How the writer carries out operators' commands for deliveries, handlers and breakers. Each is a record with its actor and
//! reason.

use weirgate_core::{DeliveryPhase, HandlerView, Input, Verdict};
use weirgate_types::{BreakerId, DeliveryCommand, DeliveryDecided, HandlerName, Mode, ModeChanged, Position, Record};

use super::{After, Exit, Writer, commits::no_event};
use crate::{
    BreakerItem, HandlerItem, Refusal,
    command::{Audit, PreparedCommand, Reply},
    keys, notices,
};

/// Maximum number of hosts whose breakers are open for all handlers: each is kept in memory, and looked at for each call.
const HOSTS_OF_ALL_MAX: usize = 256;

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
        reply: Reply<BreakerItem>,
    ) -> Result<(), Exit> {
        if let Err(refusal) = self.may_set_breaker(breaker, open) {
            drop(reply.send(Err(refusal)));
            return Ok(());
        }
        self.feed(Input::SetBreaker { breaker, open, actor: &audit.actor, reason: &audit.reason })?;
        let item = self.delivery.breaker(breaker, self.time.now());
        self.durability.when_durable(After::Breaker { reply, item });
        Ok(())
    }

    fn may_set_breaker(&self, breaker: &BreakerId, open: bool) -> Result<(), Refusal> {
        let machine = self.delivery.machine();
        let is_known = match breaker {
            BreakerId::Handler(name) => machine.handler(name).is_some_and(|view| view.manifest.breaker.is_some()),
            // A host that was never called may be blocked in advance.
            BreakerId::Host(called) => called.handler.as_ref().is_none_or(|name| {
                let names = |view: HandlerView<'_>| view.manifest.capabilities.names_host(&called.host);
                machine.host(called).is_some() || machine.handler(name).is_some_and(names)
            }),
        };
        if !is_known {
            return Err(Refusal::UnknownBreaker(breaker.clone()));
        }
        // The hosts of one handler are those that its manifest names. Any host may be blocked for all handlers.
        let is_one_more = match breaker {
            BreakerId::Host(called) if called.handler.is_none() => open && machine.host(called).is_none(),
            _ => false,
        };
        match is_one_more && machine.hosts_of_all() >= HOSTS_OF_ALL_MAX {
            true => Err(Refusal::TooManyBreakers(HOSTS_OF_ALL_MAX)),
            false => Ok(()),
        }
    }
}
