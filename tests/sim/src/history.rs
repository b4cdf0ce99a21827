//! One history: a seed's steps, with faults; then it heals.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use weirgate_core::{AttemptResult, Input};
use weirgate_testkit::{Crash, Fault};
use weirgate_types::{
    AttemptFailure, Event, FailureClass, FailureKind, HandlerName, KeyHasher, Position, TimerSetting, TimerWrite,
};

use crate::{
    Chance, NAMES, Plan, Rule, Takes, Violation, clients,
    clients::Clients,
    operators,
    shell::{Call, DiskFault, Left, Shell, Stop},
    story,
};

/// A history continues until it has had this many.
const FAULTS_MIN: u64 = 10;

/// Counts of the events in a history.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    pub records: u64,
    pub attempts: u64,
    pub crashes: u64,
    /// Crashes in the middle of a batch that was being written.
    pub crashes_in_sync: u64,
    pub faults: u64,
    pub trace: u64,
}

#[derive(Debug)]
pub struct Outcome {
    pub figures: Figures,
    pub violation: Option<Violation>,
}

pub struct History {
    pub plan: Arc<Plan>,
    pub chance: Chance,
    pub shell: Shell,
    pub clients: Clients,
    pub figures: Figures,
    step: u64,
}

/// Runs the history of a seed, to its end or to the first violated rule.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    tell(seed).0
}

/// The same; a panic violates a rule like any other.
#[must_use]
pub fn run_caught(seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|_| Outcome {
        figures: Figures::default(),
        violation: Some(Violation { rule: Rule::Panic, what: "it says where".to_owned() }),
    })
}

/// Like [`run`], with the records that its log holds at the end, each as a line.
#[must_use]
pub fn tell(seed: u64) -> (Outcome, Vec<String>) {
    let mut chance = Chance::seeded(seed);
    let plan = Arc::new(Plan::draw(seed, &mut chance));
    let shell = match Shell::new(Arc::clone(&plan)) {
        Ok(shell) => shell,
        Err(stop) => return (Outcome { figures: Figures::default(), violation: Some(broken(stop)) }, Vec::new()),
    };
    let mut history =
        History { plan, chance, shell, clients: Clients::default(), figures: Figures::default(), step: 0 };
    let violation = history.live().and_then(|()| history.heal()).err().map(broken);
    history.figures.trace = history.shell.trace.value();
    history.figures.records = history.shell.records.len() as u64;
    history.figures.faults += history.clients.repeated;
    let lines = history.shell.records.iter().map(|(position, record)| story::line(*position, record));
    let outcome = Outcome { figures: history.figures, violation };
    (outcome, lines.collect())
}

fn broken(stop: Stop) -> Violation {
    match stop {
        Stop::Broken(violation) => violation,
        Stop::Crash => Violation { rule: Rule::Liveness, what: "it crashes without a fault".to_owned() },
    }
}

impl History {
    fn live(&mut self) -> Result<(), Stop> {
        let first = self.chance.index(3) + 1;
        for index in 0..first {
            self.shell.deploy(index, Takes { payments: false, emissions: index == 2 })?;
        }
        while self.step < self.plan.steps || self.figures.faults < FAULTS_MIN {
            self.step += 1;
            match self.one_step() {
                Ok(()) => {}
                Err(Stop::Crash) => {
                    self.figures.crashes_in_sync += 1;
                    self.crash()?;
                }
                Err(stop) => return Err(stop),
            }
            if self.chance.one_in(24) {
                self.shell.check_rebuilt_when_durable()?;
            }
        }
        Ok(())
    }

    fn one_step(&mut self) -> Result<(), Stop> {
        let (plan, chance, shell) = (Arc::clone(&self.plan), &mut self.chance, &mut self.shell);
        shell.clock.pass(if chance.one_in(16) { chance.below(40_000) } else { chance.below(60) });
        if chance.one_in(plan.rates.clock_step) {
            self.figures.faults += 1;
            shell.clock.step(chance);
        }
        shell.look();
        self.clients.step(shell, &plan, chance)?;
        operators::step(shell, &plan, chance)?;
        for _ in 0..self.chance.below(5) {
            self.end_some_call()?;
        }
        self.draw_faults();
        if self.chance.one_in(self.plan.rates.crash) {
            // Before the pass is durable.
            if self.chance.one_in(2) {
                return self.crash();
            }
            self.pass()?;
            return self.crash();
        }
        self.pass()
    }

    fn draw_faults(&mut self) {
        let (rates, chance) = (&self.plan.rates, &mut self.chance);
        self.shell.keep_views = chance.one_in(rates.keep_views);
        let disk_error = chance.one_in(rates.disk_error);
        if disk_error || chance.one_in(rates.disk_full) {
            self.figures.faults += 1;
            let fault = match (disk_error, chance.one_in(2)) {
                (true, true) => Fault::Io,
                (true, false) => Fault::Short,
                (false, _) => Fault::Full,
            };
            let (syncs, operation) = (chance.below(3), chance.between(1, 4));
            self.shell.fault = Some(DiskFault { syncs, operation, fault });
        }
    }

    fn pass(&mut self) -> Result<(), Stop> {
        self.shell.tick()?;
        self.shell.end_pass()?;
        self.hear()
    }

    pub fn hear(&mut self) -> Result<(), Stop> {
        // A client that vanished did not see its answer.
        let is_lost = self.chance.one_in(8);
        self.figures.faults += u64::from(is_lost);
        Ok(self.clients.hear(&mut self.shell, || is_lost)?)
    }

    /// The process dies, and another one starts; it may die as well.
    fn crash(&mut self) -> Result<(), Stop> {
        for try_again in 0..4 {
            self.figures.crashes += 1;
            self.figures.faults += 1;
            let crash = match self.chance.below(3) {
                0 => Crash::Keep(u64::MAX),
                1 => Crash::Keep(self.chance.below(self.shell.storage.unsynced_bytes() + 1)),
                _ => Crash::Sectors { seed: self.chance.draw() },
            };
            let keeps_views = !self.chance.one_in(4);
            let fails_again = try_again < 3 && self.chance.one_in(6);
            self.shell.fault = fails_again.then_some(DiskFault { syncs: 0, operation: 1, fault: Fault::Io });
            self.shell.clock.restart(&mut self.chance);
            match self.shell.restart(crash, keeps_views) {
                Err(Stop::Crash) => continue,
                other => other?,
            }
            self.shell.fault = None;
            self.clients.check(&self.shell)?;
            if self.chance.one_in(2) {
                self.shell.ready_all()?;
            }
            return Ok(());
        }
        Ok(())
    }

    fn end_some_call(&mut self) -> Result<(), Stop> {
        let index = self.chance.index(self.shell.calls.len());
        let Some(call) = self.shell.calls.get_mut(index) else { return Ok(()) };
        if call.hangs_until == 0 && self.chance.one_in(self.plan.rates.hang) {
            self.figures.faults += 1;
            call.hangs_until = self.step + 1 + self.chance.below(10);
        }
        if call.hangs_until > self.step {
            return Ok(());
        }
        let call = self.shell.calls.swap_remove(index);
        let fails = self.plan.rates.failure;
        self.end(&call, fails)
    }

    /// A call ends: each of its deliveries succeeds, or one in `fails` does not.
    pub fn end(&mut self, call: &Call, fails: u64) -> Result<(), Stop> {
        let mut results = Vec::new();
        let mut failed = Vec::new();
        for (position, attempt) in &call.items {
            let event = self.shell.event_at(*position);
            let (key, is_timer) = (KeyHasher::default().hash(event.key()), event.r#type == "timer.due");
            let failure = match failed.contains(&key) {
                true => Some(AttemptFailure::found(FailureKind::NotReached, "an earlier one failed")),
                false if call.hangs_until > 0 => Some(AttemptFailure::found(FailureKind::Timeout, "it hung")),
                false => self.chance.one_in(fails).then(|| some_failure(&mut self.chance)),
            };
            let mut left = self.left_by(call, *position, is_timer || fails == 0);
            let corrects = failure.as_ref().is_some_and(|failure| failure.class == FailureClass::Correctable);
            left.corrects = corrects && self.chance.one_in(4);
            if failure.is_some() {
                self.figures.faults += 1;
                failed.push(key);
            }
            results.push((*position, *attempt, failure, left.corrects));
            self.shell.settling.insert(*position, left);
        }
        let results: Vec<_> = results
            .iter()
            .map(|(position, attempt, failure, corrected)| AttemptResult {
                position: *position,
                attempt: *attempt,
                result: failure.as_ref().map_or(Ok(()), Err),
                corrected: *corrected,
            })
            .collect();
        self.figures.attempts += results.len() as u64;
        self.shell.feed(Input::AttemptResults { handler: &call.handler, results: &results })?;
        self.shell.settling.clear();
        Ok(())
    }

    fn left_by(&mut self, call: &Call, position: Position, plain: bool) -> Left {
        let key = self.shell.event_at(position).key().to_owned();
        let emitted = some_emission(&mut self.chance, &call.handler, &key, position).into_iter().collect();
        let timer = if plain { None } else { some_timer(&mut self.chance, self.shell.clock.wall_ms) };
        Left { emitted, timers: timer.into_iter().collect(), corrects: false }
    }
}

/// The events that an attempt may emit. No handler takes those of the last handler.
pub fn some_emission(chance: &mut Chance, handler: &HandlerName, key: &str, position: Position) -> Option<Event> {
    let emits = handler.as_str() != "c" && chance.one_in(2);
    emits.then(|| Event {
        source: format!("/handlers/{handler}"),
        ..clients::event(&format!("{handler}-{position}"), key, "out.done")
    })
}

/// A timer that an attempt may start or cancel.
pub fn some_timer(chance: &mut Chance, now_ms: u64) -> Option<TimerWrite> {
    if !chance.one_in(4) {
        return None;
    }
    let (name, due_ms) = (format!("t{}", chance.below(2)), now_ms + chance.below(3_000));
    let setting = TimerSetting { due_ms, r#type: "timer.due".into(), data_content_type: None, data: Vec::new() };
    Some(TimerWrite { name, set: (!chance.one_in(4)).then_some(setting) })
}

pub fn some_failure(chance: &mut Chance) -> AttemptFailure {
    let found = |kind| AttemptFailure::found(kind, "");
    let classed = |class| AttemptFailure { class, ..found(FailureKind::Handler) };
    match chance.below(10) {
        0 | 1 => classed(FailureClass::Correctable),
        2 => classed(FailureClass::Permanent),
        3 => found(FailureKind::Trap),
        4 => found(FailureKind::Timeout),
        5 => found(FailureKind::CircuitOpen),
        _ => classed(FailureClass::Transient),
    }
}

impl Shell {
    /// Compares the views with the log, if no change is pending.
    fn check_rebuilt_when_durable(&self) -> Result<(), Stop> {
        if self.log.pending_bytes() > 0 { Ok(()) } else { Ok(self.check_rebuilt()?) }
    }
}

/// Number of handlers of a history.
pub const HANDLERS: usize = NAMES.len();
