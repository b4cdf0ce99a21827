//! The end of a history: no more faults, and operators close all waiting deliveries. Nothing may be left; and a replay of
//! the log gives the same views.

use std::collections::BTreeMap;

use weirgate_engine::CommandRequest;
use weirgate_types::{DeliveryId, HandlerName, Mode, Record, Written};

use super::{History, Stop, people::correction, repairs};
use crate::{
    NAMES, Order, Rule, Takes,
    checks::{Life, check, index_of},
    handlers::{COUNT, Counts},
    plan::name,
};

/// Maximum number of passes for everything that is open.
const PASSES_MAX: u64 = 4_000;
/// Number of idle passes after which nothing is left to do.
const LOOKS: u64 = 4;
/// How often schedules fire before they are removed.
const SCHEDULES_FIRED: u64 = 4;

impl History<'_> {
    pub(super) fn heal(&mut self) -> Result<(), Stop> {
        for (index, _) in NAMES.iter().enumerate() {
            if !self.checks.handlers.get(index).is_some_and(crate::checks::Watched::is_deployed) {
                self.deploy(index, Takes { payments: false, emissions: index == 2 });
            }
            self.change_mode(index, Mode::Running);
            self.set_breaker(index, false);
        }
        self.ready_all();
        self.send_again()?;
        let mut passes = 0;
        self.schedules_go_on(&mut passes)?;
        loop {
            self.run_dry(&mut passes)?;
            self.check_rest()?;
            if self.chance.one_in(6) {
                self.check_rows_rebuilt()?;
            }
            if !self.decide_all()? {
                break;
            }
        }
        self.repair_all(&mut passes)?;
        if self.chance.one_in(3) {
            self.remove_at_the_end(&mut passes)?;
        }
        check(Rule::Liveness, self.people.are_answered(), || "a client has no answer".to_owned())?;
        check(Rule::Timers, self.checks.timers.is_empty(), || format!("never went off: {:?}", self.checks.timers))?;
        self.people.check(&self.records)?;
        self.check_watching()?;
        self.check_counts()?;
        self.check_replays()?;
        self.check_rebuilt()
    }

    /// Nothing is open, so a handler can be removed; sometimes its name is deployed again.
    fn remove_at_the_end(&mut self, passes: &mut u64) -> Result<(), Stop> {
        let index = self.chance.index(NAMES.len());
        self.end_replays()?;
        self.remove(index)?;
        self.run_dry(passes)?;
        let is_removed = self.checks.handlers.get(index).is_some_and(|watched| !watched.is_deployed());
        check(Rule::Versions, is_removed, || format!("{} is not removed", name(index)))?;
        if self.chance.one_in(2) {
            self.deploy(index, Takes { payments: false, emissions: index == 2 });
            self.run_dry(passes)?;
            self.check_rest()?;
        }
        Ok(())
    }

    /// Continues until nothing is in flight and nothing will be due.
    pub(super) fn run_dry(&mut self, passes: &mut u64) -> Result<(), Stop> {
        let mut quiet = 0;
        while quiet < LOOKS {
            quiet = if self.go_on(passes)? { 0 } else { quiet + 1 };
        }
        Ok(())
    }

    /// A pass, the end of all calls, or a step of time to the next due time. Returns whether anything happened.
    fn go_on(&mut self, passes: &mut u64) -> Result<bool, Stop> {
        *passes += 1;
        check(Rule::Liveness, *passes < PASSES_MAX, || format!("it finds no rest: {:?}", self.engine.handlers()))?;
        self.pass()?;
        if !self.people.are_answered() {
            self.send_again()?;
            return Ok(true);
        }
        let calls = std::mem::take(&mut self.calls);
        if !calls.is_empty() {
            for call in calls {
                self.end(call, 0);
            }
            return Ok(true);
        }
        // A handler with too many dead letters is paused.
        let paused = self.engine.handlers().into_iter().find(|item| item.mode == Mode::Paused);
        if let Some(item) = paused {
            self.change_mode(index_of(&item.name), Mode::Running);
            return Ok(true);
        }
        let Some(in_ms) = self.engine.wake_in_ms() else { return Ok(false) };
        self.ground.clock().pass(in_ms);
        Ok(true)
    }

    /// Time advances to when the engine requests to be woken, so schedules fire repeatedly. Then they are removed.
    fn schedules_go_on(&mut self, passes: &mut u64) -> Result<(), Stop> {
        let wanted = self.checks.schedules_fired + SCHEDULES_FIRED;
        while self.checks.schedules.next_due_ms().is_some() && self.checks.schedules_fired < wanted {
            self.go_on(passes)?;
        }
        // The last deployments count: a version of an earlier state is refused.
        self.pass()?;
        self.has_schedules = false;
        for index in 0..NAMES.len() {
            self.deploy(index, Takes { payments: false, emissions: index == 2 });
        }
        self.ready_all();
        Ok(())
    }

    /// Operators give commands for each waiting delivery, and for dead letters. Returns whether there were any.
    fn decide_all(&mut self) -> Result<bool, Stop> {
        let mut waiting = Vec::new();
        for (index, watched) in self.checks.handlers.iter().enumerate() {
            let lives = watched.items.iter().map(|(position, item)| (*position, item.life));
            waiting.extend(lives.map(|(position, life)| (DeliveryId { handler: name(index), position }, life)));
        }
        let mut is_any = false;
        for (delivery, life) in waiting {
            let request = match life {
                Life::AwaitingCorrection => correction(),
                Life::Held | Life::Dead if self.chance.one_in(3) => CommandRequest::Retry,
                Life::Held | Life::Dead => CommandRequest::Discard,
                _ => continue,
            };
            if life == Life::Dead && !self.is_dead_letter(&delivery) {
                continue;
            }
            is_any = true;
            if life == Life::AwaitingCorrection && self.chance.one_in(2) {
                let key = self.event_at(delivery.position).key().to_owned();
                self.intend(key, "fix.data")?;
            }
            self.decide(delivery, request)?;
        }
        Ok(is_any)
    }

    fn is_dead_letter(&self, delivery: &DeliveryId) -> bool {
        self.engine.is_dead_letter(delivery)
    }

    /// Each completion counts once.
    fn check_counts(&self) -> Result<(), Stop> {
        for ((handler, key), completed) in self.completed() {
            let kind = self.checks.handlers.get(index_of(&handler)).map(|watched| watched.kind);
            // If deliveries of a key may run at once, the later commit wins.
            if kind.is_some_and(|kind| matches!(kind.order, Order::None { .. })) {
                continue;
            }
            let count = self.counts(&handler, &key).all;
            check(Rule::OnceOnly, count == completed, || {
                format!("the count of {handler} and {key} is {count} after {completed} were completed")
            })?;
        }
        Ok(())
    }

    /// Number of completed deliveries, by handler and key.
    fn completed(&self) -> BTreeMap<(HandlerName, String), u64> {
        let mut completed = BTreeMap::new();
        for (_, record) in &self.records {
            if let Record::Removed(removed) = record {
                completed.retain(|(handler, _), _| *handler != removed.handler);
            }
            for Written { handler, key, effects, .. } in record.effects() {
                let Some(write) = effects.state.iter().find(|write| write.name == COUNT) else { continue };
                let count = completed.entry((handler.clone(), key.to_owned())).or_default();
                *count = match record {
                    // The candidate of a what-if may take fewer events.
                    Record::Repaired(_) if self.plan.has_what_ifs => Counts::read(|_| write.value.clone()).all,
                    Record::Repaired(_) => *count + repairs::ADDED,
                    _ => *count + 1,
                };
            }
        }
        completed
    }
}
