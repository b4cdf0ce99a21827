//! The end of a history: no more faults, and operators close all waiting deliveries. Time advances only to when the machine
//! has something due. Nothing may be left.

use weirgate_core::Input;
use weirgate_testkit::Fault;
use weirgate_types::{DeliveryCommand, Mode};

use crate::{
    Checked, Rule, Takes,
    checks::{Life, check},
    history::{HANDLERS, History},
    operators,
    shell::{Shell, Stop},
};

/// Maximum number of passes for everything that is open.
const PASSES_MAX: u64 = 4_000;
/// Number of durable moments after which nothing is being spilled or reloaded.
const LOOKS: usize = 4;
/// A breaker that is open for longer was opened by an operator.
const TRIPPED_MS: u64 = 3_600_000;
/// How often schedules fire before they are removed.
const SCHEDULES_FIRED: u64 = 4;

impl History {
    pub fn heal(&mut self) -> Result<(), Stop> {
        self.shell.fault = None;
        // A planned fault that has not happened is cancelled.
        self.shell.storage.fail(0, Fault::Io);
        self.repair()?;
        let mut passes = 0;
        self.schedules_go_on(&mut passes)?;
        loop {
            self.run_dry(&mut passes)?;
            self.shell.check_quiet()?;
            if self.chance.one_in(6) {
                self.shell.check_rebuilt()?;
            }
            let is_done = self.shell.checks.handlers.iter().all(|watched| watched.open.is_empty());
            if is_done && self.shell.views.facts.dead.is_empty() {
                break;
            }
            self.decide()?;
        }
        self.shell.check_end()?;
        self.shell.check_rebuilt()?;
        let answered = self.clients.are_answered();
        check(Rule::Liveness, answered, || "a client has no answer".to_owned())?;
        Ok(self.clients.check(&self.shell)?)
    }

    /// Everything is deployed, ready and running again.
    fn repair(&mut self) -> Result<(), Stop> {
        for index in 0..HANDLERS {
            let name = operators::name(index);
            if self.shell.machine.handler(&name).is_none() {
                self.shell.deploy(index, Takes { payments: false, emissions: index == 2 })?;
            }
            self.shell.change_mode(name, Mode::Running)?;
            if self.shell.is_tripped(index) {
                self.shell.set_breaker(index, false)?;
            }
        }
        self.shell.ready_all()?;
        self.clients.send_again(&mut self.shell)
    }

    /// Continues until nothing is in flight and nothing will be due.
    fn run_dry(&mut self, passes: &mut u64) -> Result<(), Stop> {
        while self.go_on(passes)? {}
        // Deliveries that the last passes reloaded are spilled again.
        (0..LOOKS).try_for_each(|_| self.shell.end_pass())
    }

    /// A pass, the end of all calls, or a step of time to the next due time. Returns whether anything happened.
    fn go_on(&mut self, passes: &mut u64) -> Result<bool, Stop> {
        *passes += 1;
        check(Rule::Liveness, *passes < PASSES_MAX, || self.shell.unrest())?;
        self.shell.tick()?;
        self.shell.end_pass()?;
        self.clients.hear(&mut self.shell, || false)?;
        let calls = std::mem::take(&mut self.shell.calls);
        if !calls.is_empty() {
            for mut call in calls {
                call.hangs_until = 0;
                self.end(&call, 0)?;
            }
            return Ok(true);
        }
        // A handler with too many dead letters is paused.
        let paused = (0..HANDLERS)
            .map(operators::name)
            .find(|name| self.shell.machine.handler(name).is_some_and(|view| view.mode == Mode::Paused));
        if let Some(name) = paused {
            self.shell.change_mode(name, Mode::Running)?;
            return Ok(true);
        }
        let Some(in_ms) = self.shell.wake_in_ms() else { return Ok(false) };
        self.shell.clock.pass(in_ms);
        self.shell.look();
        Ok(true)
    }

    /// Time advances to when the machine requests to be woken, so schedules fire repeatedly. Then they are removed.
    fn schedules_go_on(&mut self, passes: &mut u64) -> Result<(), Stop> {
        let wanted = self.shell.checks.schedules_fired + SCHEDULES_FIRED;
        while self.shell.checks.schedules.next_due_ms().is_some() && self.shell.checks.schedules_fired < wanted {
            let goes_on = self.go_on(passes)?;
            check(Rule::Liveness, goes_on, || "nothing wakes for a schedule".to_owned())?;
        }
        self.shell.has_schedules = false;
        for index in 0..HANDLERS {
            let takes = Takes { payments: false, emissions: index == 2 };
            self.shell.deploy(index, takes)?;
        }
        Ok(())
    }

    /// Operators give commands for waiting deliveries, and for some dead letters.
    fn decide(&mut self) -> Result<(), Stop> {
        let dead: Vec<_> = self.shell.views.facts.dead.keys().cloned().collect();
        for delivery in dead {
            let command = if self.chance.one_in(3) { DeliveryCommand::Retry } else { DeliveryCommand::Discard };
            self.shell.command(&delivery, command)?;
        }
        let waiting: Vec<_> = self.shell.views.rows.keys().cloned().collect();
        for delivery in waiting {
            let life = self.shell.checks.item(&delivery).map(|item| item.life);
            if life == Some(Life::AwaitingCorrection) && self.chance.one_in(2) {
                let key = self.shell.event_at(delivery.position).key().to_owned();
                self.clients.intent(&mut self.shell, key, "fix.data", None)?;
            }
            if life == Some(Life::AwaitingCorrection) && self.chance.one_in(2) {
                self.shell.command(&delivery, operators::correction())?;
            }
        }
        self.shell.feed(Input::Tick)
    }
}

impl Shell {
    /// Whether an operator opened the handler's breaker.
    fn is_tripped(&self, index: usize) -> bool {
        let open_until_ms = self.checks.handlers.get(index).and_then(|watched| watched.breaker_open_until_ms);
        open_until_ms.is_some_and(|until_ms| until_ms > self.now().elapsed_ms + TRIPPED_MS)
    }

    /// Nothing is in flight: open deliveries wait for an operator, or behind one that does, and can be seen.
    fn check_quiet(&self) -> Checked {
        for (name, view) in self.machine.handlers() {
            let Some(watched) = self.checks.handlers.get(crate::checks::index_of(name)) else { continue };
            // Deliveries that may overtake each other stay in memory, and a handler whose memory is full scans no further.
            let is_full = watched.is_parallel() && view.open >= self.plan.limits.open_max;
            let may = is_full || view.scanned == self.head();
            check(Rule::Liveness, may, || format!("{name} has looked at {} only", view.scanned))?;
            watched.no_correction_is_lost(view.scanned)?;
            for position in watched.open.range(..=view.scanned) {
                let delivery = weirgate_types::DeliveryId { handler: name.clone(), position: *position };
                let is_seen = self.machine.is_open(&delivery) || self.views.rows.contains_key(&delivery);
                check(Rule::Liveness, is_seen, || format!("{delivery} is open and nowhere"))?;
                let stuck = watched
                    .first_of_lane(*position)
                    .filter(|life| !matches!(life, Life::AwaitingCorrection | Life::Held));
                check(Rule::Liveness, stuck.is_none(), || format!("{delivery} waits behind what is {stuck:?}"))?;
            }
            let most = self.plan.limits.waiting_max;
            let waiting = view.retrying + view.resting;
            let is_bounded = waiting <= most || watched.is_parallel();
            check(Rule::Bounded, is_bounded, || format!("{name}: {waiting} wait in memory, at most {most}"))?;
        }
        Ok(())
    }

    /// The reason why it is awake.
    fn unrest(&self) -> String {
        let views = self.machine.handlers().map(|(name, view)| {
            let (open, spilled, breaker) = (view.open, view.spilled, view.breaker_open_until_ms);
            format!("{name}: {open} open, {spilled} spilled, {} retrying, breaker {breaker:?}", view.retrying)
        });
        let views: Vec<_> = views.collect();
        format!("at {} it wakes in {:?}: {views:?}", self.now_ms, self.wake_in_ms())
    }

    fn check_end(&self) -> Checked {
        let left = self.views.latest();
        check(Rule::Liveness, left.is_empty(), || format!("rows are left: {left:?}"))?;
        for (name, view) in self.machine.handlers() {
            let is_done = view.open == 0 && view.checkpoint == self.head();
            check(Rule::Liveness, is_done, || format!("{name}: {} open, {}", view.open, view.checkpoint))?;
        }
        let timers = &self.checks.timers;
        check(Rule::Timers, timers.is_empty(), || format!("never went off: {timers:?}"))
    }
}
