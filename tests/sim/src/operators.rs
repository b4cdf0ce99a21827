//! Operators: they pause, drain, give commands for deliveries and switch breakers, as far as the engine accepts it.

use weirgate_core::{DeliveryPhase, Input, Verdict};
use weirgate_types::{
    BreakerId, Correction, DeliveryCommand, DeliveryDecided, DeliveryId, Deployed, HandlerName, HostCall, Mode,
    ModeChanged, Record,
};

use crate::{
    Chance, NAMES, Plan, Takes, clients, schedules,
    shell::{DIGEST, Shell, Stop},
};

pub fn name(index: usize) -> HandlerName {
    NAMES.get(index).copied().unwrap_or("a").parse().unwrap_or_else(|error| panic!("{error}"))
}

impl Shell {
    pub fn deploy(&mut self, index: usize, takes: Takes) -> Result<(), Stop> {
        let handler = name(index);
        let Some(setting) = self.plan.handlers.get(index) else { return Ok(()) };
        let manifest = schedules::with(&setting.manifest(handler.as_str(), takes), self.some_schedules());
        let (at_ms, wall_ms) = (self.now_ms, self.clock.wall_ms);
        let deployed = Deployed { handler: handler.clone(), digest: DIGEST, manifest, at_ms, wall_ms };
        self.stage(Record::Deployed(deployed))?;
        self.feed(Input::Ready { handler: &handler, digest: DIGEST })
    }

    pub fn change_mode(&mut self, handler: HandlerName, mode: Mode) -> Result<(), Stop> {
        if self.machine.may_change_mode(&handler, mode) == Verdict::Granted {
            let (actor, reason, notice, at_ms) = ("operator".to_owned(), String::new(), self.notice(), self.now_ms);
            self.stage(Record::ModeChanged(ModeChanged { handler, mode, actor, reason, at_ms, notice }))?;
        }
        Ok(())
    }

    pub fn set_breaker(&mut self, index: usize, open: bool) -> Result<(), Stop> {
        let has_breaker = self.plan.handlers.get(index).is_some_and(|setting| setting.has_breaker);
        if !has_breaker || self.machine.handler(&name(index)).is_none() {
            return Ok(());
        }
        let breaker = BreakerId::Handler(name(index));
        self.feed(Input::SetBreaker { breaker: &breaker, open, actor: "operator", reason: "" })
    }

    /// An operator's command for a delivery, if it can be carried out.
    pub fn command(&mut self, delivery: &DeliveryId, command: DeliveryCommand) -> Result<(), Stop> {
        if self.machine.may_be_spilled(&delivery.handler, delivery.position) {
            self.end_pass()?;
            self.reload_for(delivery)?;
        }
        let dead = self.views.facts.dead.get(delivery).cloned();
        let may = match (&command, self.machine.row(delivery).map(|row| row.phase)) {
            (_, Some(DeliveryPhase::Running | DeliveryPhase::Withheld { .. }))
            | (DeliveryCommand::DeadLetter, Some(DeliveryPhase::Held) | None) => false,
            (DeliveryCommand::Discard, _) | (_, None) => dead.is_some(),
            _ => true,
        };
        if !may {
            return Ok(());
        }
        let open = self.machine.row(delivery).map(|row| row.carried.clone());
        let carried = open.or(dead).unwrap_or_default();
        let (key, at_ms) = (self.event_at(delivery.position).key().to_owned(), self.now_ms);
        let (delivery, actor, reason) = (delivery.clone(), "operator".to_owned(), String::new());
        let mut emitted = vec![self.notice()];
        if command == DeliveryCommand::Resolve {
            emitted.insert(0, clients::event(&format!("instead-{}", self.head()), "k0", "order.placed"));
        }
        self.stage(Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor,
            reason,
            at_ms,
            emitted,
        }))
        .map(drop)
    }
}

fn some_command(chance: &mut Chance) -> DeliveryCommand {
    match chance.below(7) {
        0 | 1 => DeliveryCommand::Retry,
        2 | 3 => correction(),
        4 => DeliveryCommand::Skip,
        5 => DeliveryCommand::DeadLetter,
        _ if chance.one_in(2) => DeliveryCommand::Discard,
        _ => DeliveryCommand::Resolve,
    }
}

pub fn correction() -> DeliveryCommand {
    DeliveryCommand::Correct(Correction { data: Vec::new(), data_content_type: None, event: None })
}

/// The operators' part of a step.
pub fn step(shell: &mut Shell, plan: &Plan, chance: &mut Chance) -> Result<(), Stop> {
    if chance.one_in(plan.rates.operator) {
        let index = chance.index(NAMES.len());
        match chance.below(8) {
            0 => shell.change_mode(name(index), Mode::Paused)?,
            1 => shell.change_mode(name(index), Mode::Draining)?,
            2 | 3 => shell.change_mode(name(index), Mode::Running)?,
            4 => shell.set_breaker(index, chance.one_in(2))?,
            _ => decide(shell, chance)?,
        }
    }
    if chance.one_in(plan.rates.deploy) {
        let takes = Takes { payments: chance.one_in(2), emissions: false };
        let index = chance.index(NAMES.len());
        shell.deploy(index, Takes { emissions: index == 2, ..takes })?;
    }
    if chance.one_in(12) {
        let index = chance.index(NAMES.len());
        shell.feed(Input::Unready { handler: &name(index) })?;
    }
    if chance.one_in(4) {
        shell.ready_all()?;
    }
    if chance.one_in(3) {
        let calls: Vec<_> = (0..chance.below(9))
            .map(|_| HostCall { host: format!("host-{}", chance.below(2)), is_success: chance.one_in(3) })
            .collect();
        shell.feed(Input::Called { handler: &name(chance.index(NAMES.len())), calls: &calls })?;
    }
    Ok(())
}

fn decide(shell: &mut Shell, chance: &mut Chance) -> Result<(), Stop> {
    let mut about: Vec<DeliveryId> = shell.views.rows.keys().cloned().collect();
    about.extend(shell.views.facts.dead.keys().cloned());
    let Some(delivery) = chance.pick(&about).cloned() else { return Ok(()) };
    let command = some_command(chance);
    shell.command(&delivery, command)
}

impl Shell {
    pub fn ready_all(&mut self) -> Result<(), Stop> {
        (0..NAMES.len()).try_for_each(|index| self.feed(Input::Ready { handler: &name(index), digest: DIGEST }))
    }
}
