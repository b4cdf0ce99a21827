//! Histories of the engine: its writer with the machine in it, its views, what it publishes and how it recovers, over the
//! real log.

mod approvals;
mod calling;
mod corrected;
mod folds;
pub(crate) mod ground;
mod heal;
mod losses;
mod memory;
mod people;
mod rebuilt;
mod repaired;
mod repairs;
mod shared;
mod stopping;
mod watching;
mod what_ifs;

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

pub use ground::Stage;
use ground::{Ground, Setup};
pub use losses::lose;
use people::People;
use repairs::Repairs;
use watching::Watching;
use weirgate_engine::sim::{Attempted, Call, Engine, Exit};
use weirgate_testkit::{Crash, Fault, SimStorage};
use weirgate_types::{
    AttemptFailure, Correction, DeliveryId, Event, FailureClass, FailureKind, HandlerName, HostCall, KeyHasher,
    Position, Record,
};
use weirgate_views::MemoryStore;

use crate::{
    Chance, Checks, Figures, Outcome, Plan, Rule, Takes, Violation,
    attempts::some_failure,
    calls::Host,
    checks::{Life, check},
    clock,
    handlers::{self, Counts, Delivered, Handlers},
    story,
    trace::Trace,
};

/// A history continues until it has had this many faults.
const FAULTS_MIN: u64 = 10;

/// Why a step ends the history.
pub(crate) enum Stop {
    Crash,
    Broken(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

/// The views, or a query of them, cannot be read.
pub(crate) fn unreadable(error: impl std::fmt::Display) -> Violation {
    Violation { rule: Rule::Rebuilt, what: error.to_string() }
}

impl From<Exit> for Stop {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Disk(_) => Self::Crash,
            Exit::Broken(what) => Self::Broken(unreadable(what)),
            Exit::Asked => Self::Broken(unreadable("it stops unasked")),
        }
    }
}

struct History<'a> {
    stage: &'a Stage,
    plan: Plan,
    chance: Chance,
    ground: Ground,
    engine: Engine,
    checks: Checks,
    /// All durable records.
    records: Vec<(Position, Record)>,
    calls: Vec<Call>,
    people: People,
    handlers: Handlers,
    /// What deliveries call.
    host: Arc<Host>,
    /// The attempts of this process that have called it.
    asked: BTreeSet<(DeliveryId, u32)>,
    repairs: Repairs,
    watching: Watching,
    /// Whether deployments bring schedules.
    has_schedules: bool,
    figures: Figures,
    trace: Trace,
}

/// Runs the history of a seed, to its end or to the first violated rule. A panic violates a rule like any other.
#[must_use]
pub fn run(stage: &Stage, seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| tell(stage, seed).0)).unwrap_or_else(|_| Outcome {
        figures: Figures::default(),
        violation: Some(Violation { rule: Rule::Panic, what: "it says where".to_owned() }),
    })
}

/// The same, with the records that became durable, each as a line.
#[must_use]
pub fn tell(stage: &Stage, seed: u64) -> (Outcome, Vec<String>) {
    let mut history = match history_of(stage, seed) {
        Ok(history) => history,
        Err(violation) => return (Outcome { figures: Figures::default(), violation: Some(violation) }, Vec::new()),
    };
    let violation = history.live().and_then(|()| history.heal()).err().map(broken);
    history.figures.records = history.records.len() as u64;
    history.figures.trace = history.trace.value();
    let lines = history.records.iter().map(|(position, record)| story::line(*position, record));
    (Outcome { figures: history.figures, violation }, lines.collect())
}

/// The history of a seed, before its first step.
fn history_of(stage: &Stage, seed: u64) -> Result<History<'_>, Violation> {
    let mut chance = Chance::seeded(seed);
    let plan = Plan::draw(seed, &mut chance);
    let mut ground = Ground::new(SimStorage::new(), MemoryStore::default());
    let engine = ground.start(stage, &Setup::of(&plan)).map_err(broken)?;
    let checks = Checks::new(&plan);
    let handlers = Handlers { seed, has_calls: plan.has_calls, shares: plan.shares };
    Ok(History {
        stage,
        plan,
        chance,
        ground,
        engine,
        checks,
        records: Vec::new(),
        calls: Vec::new(),
        people: People::default(),
        handlers,
        host: Arc::default(),
        asked: BTreeSet::new(),
        repairs: Repairs::default(),
        watching: Watching::default(),
        has_schedules: true,
        figures: Figures::default(),
        trace: Trace::default(),
    })
}

pub(crate) fn broken(stop: Stop) -> Violation {
    match stop {
        Stop::Broken(violation) => violation,
        Stop::Crash => Violation { rule: Rule::Liveness, what: "it crashes without a fault".to_owned() },
    }
}

impl History<'_> {
    fn live(&mut self) -> Result<(), Stop> {
        self.watching.begin(&self.engine, &self.plan)?;
        for index in 0..=self.chance.index(2) {
            self.deploy(index, Takes { payments: false, emissions: index == 2 });
        }
        let mut step = 0;
        while step < self.plan.steps || self.figures.faults < FAULTS_MIN {
            step += 1;
            match self.step() {
                Err(Stop::Crash) => {
                    self.figures.crashes_in_sync += 1;
                    self.crash()?;
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Stop> {
        self.ground.clock().pass(if self.chance.one_in(16) {
            self.chance.below(40_000)
        } else {
            self.chance.below(60)
        });
        if self.chance.one_in(self.plan.rates.clock_step) {
            self.figures.faults += 1;
            clock::step(self.ground.clock(), &mut self.chance);
        }
        if self.chance.one_in(40) {
            return self.stop();
        }
        self.people_step()?;
        self.repair_step()?;
        for _ in 0..self.chance.below(5) {
            if let Some(call) = self.some_call() {
                self.end(call, self.plan.rates.failure);
            }
        }
        let disk_error = self.chance.one_in(self.plan.rates.disk_error);
        if disk_error || self.chance.one_in(self.plan.rates.disk_full) {
            self.figures.faults += 1;
            self.ground.plan_trouble(&mut self.chance, disk_error);
        }
        // Before the pass is durable, or after.
        let crashes = self.chance.one_in(self.plan.rates.crash);
        if crashes && self.chance.one_in(3) {
            return self.crash();
        }
        self.pass()?;
        if self.chance.one_in(self.plan.rates.keep_views) {
            self.engine.views().flush().map_err(unreadable)?;
        }
        if self.chance.one_in(4) {
            self.ground.make_runs(&self.engine, &mut self.chance)?;
        }
        if crashes { self.crash() } else { Ok(()) }
    }

    fn some_call(&mut self) -> Option<Call> {
        let index = self.chance.index(self.calls.len());
        (!self.calls.is_empty()).then(|| self.calls.swap_remove(index))
    }

    /// The engine runs a pass, and its results are checked.
    fn pass(&mut self) -> Result<(), Stop> {
        self.run_pass()??;
        self.check_waits()
    }

    /// The same; the inner error is one that the disk did not cause.
    fn run_pass(&mut self) -> Result<Result<(), Exit>, Stop> {
        let began_ms = self.ground.clock().wall_ms();
        // The thread that writes runs may be slow, and keeps up in the end.
        while self.engine.identities().is_behind() {
            self.engine.identities().make_next().map_err(unreadable)?;
        }
        let passed = self.engine.pass();
        let failed = self.ground.end_faults();
        self.see_clock();
        self.checks.stalled_from_ms = (began_ms != self.checks.wall_ms).then_some(began_ms);
        self.look()?;
        // Results that were published before it failed have to be durable by then.
        let begun = self.engine.calls();
        self.check_calls_are_full(&begun)?;
        for call in begun {
            self.check_called(&call)?;
            self.calls.push(call);
        }
        // A client that vanished did not see its answer.
        let is_lost = self.chance.one_in(8);
        self.figures.faults += u64::from(is_lost);
        self.people.hear(is_lost)?;
        self.people.check(&self.records)?;
        self.look_at_repairs()?;
        self.watching.look()?;
        self.check_parts()?;
        match passed {
            Err(_) if failed => return Err(Stop::Crash),
            Err(exit) => return Ok(Err(exit)),
            Ok(()) => {}
        }
        // A pass that failed may have made records durable without broadcasting them.
        self.check_waiting_is_shown()?;
        self.checks.check_wake(self.engine.wake_in_ms())?;
        self.check_shown()?;
        self.check_memory()?;
        Ok(Ok(()))
    }

    /// A call goes out: its deliveries may share it, and the log has their attempts.
    fn check_called(&self, call: &Call) -> Result<(), Stop> {
        let positions: Vec<_> = call.items().map(|(position, _)| position).collect();
        let under_way = self.calls.iter().filter(|other| other.handler() == call.handler()).count();
        self.checks.called(call.handler(), &positions, under_way)?;
        self.check_recorded(call)?;
        for position in positions {
            let delivery = DeliveryId { handler: call.handler().clone(), position };
            let item = self.checks.item(&delivery);
            // A deployment in the same pass may have discarded it; then an operator may have closed it.
            let may = item.is_some_and(|item| {
                item.life == Life::Running || item.was_discarded() || item.was_closed_at_once(self.checks.pass)
            });
            check(Rule::Attempts, may, || format!("{delivery} is called and is {item:?}"))?;
            let others = self.calls.iter().filter(|other| other.handler() == call.handler());
            let is_twice = others.flat_map(Call::items).any(|(other, _)| other == position);
            check(Rule::OnceOnly, !is_twice, || {
                format!("{delivery} is called while a discarded attempt is in flight")
            })?;
        }
        Ok(())
    }

    /// An attempt that is executed again gets from the log what this one gets.
    fn check_recorded(&self, call: &Call) -> Result<(), Stop> {
        let Some((position, attempt)) = call.items().next() else { return Ok(()) };
        let begun = self.checks.inputs.call_of(&DeliveryId { handler: call.handler().clone(), position });
        // A deployment in the same pass may have discarded it; then a later attempt may have begun.
        let is_running = begun.first().is_some_and(|begun| begun.attempt == attempt);
        let holds = !is_running || call.is_recorded(&begun);
        Ok(check(Rule::Recorded, holds, || format!("{call:?} began, by the log, as {begun:?}"))?)
    }

    /// Reads what has become durable.
    fn look(&mut self) -> Result<(), Violation> {
        self.checks.pass += 1;
        for read in self.engine.log().clone().scan(self.checks.head.next()) {
            let read = read.map_err(|error| Violation { rule: Rule::Acknowledged, what: error.to_string() });
            let (position, record) = read?;
            self.trace.bytes(&record.encode(Vec::new()).unwrap_or_default());
            self.checks.take(position, &record)?;
            self.records.push((position, record));
        }
        Ok(())
    }

    /// The engine's view of a handler matches the records.
    fn check_shown(&self) -> Result<(), Stop> {
        for item in self.engine.handlers() {
            let Some(watched) = self.checks.handlers.get(crate::checks::index_of(&item.name)) else { continue };
            let first = watched.open.first().map_or(self.checks.head, |first| first.before());
            let shown = (item.mode, item.breaker_open_until_ms.is_some());
            let is_open = watched.breaker_open_until_ms.is_some();
            let same = shown == (watched.mode, is_open) && item.checkpoint <= first;
            check(Rule::Checkpoint, same, || format!("shown {item:?}; first open after {first}, {:?}", watched.mode))?;
        }
        Ok(())
    }

    /// The process dies, and another one starts; it may die as well.
    fn crash(&mut self) -> Result<(), Stop> {
        for try_again in 0..4 {
            self.figures.crashes += 1;
            self.figures.faults += 1;
            self.calls.clear();
            self.asked.clear();
            self.people.are_cut_off();
            self.repairs.are_cut_off();
            self.checks.on_hold.clear();
            let crash = match self.chance.below(3) {
                0 => Crash::Keep(u64::MAX),
                1 => Crash::Keep(self.chance.below(self.ground.storage.unsynced_bytes() + 1)),
                _ => Crash::Sectors { seed: self.chance.draw() },
            };
            self.ground.storage = self.ground.storage.crash(crash);
            if self.chance.one_in(4) {
                self.ground.rows.clear();
            }
            self.ground.identities = match self.chance.below(8) {
                0 => SimStorage::new(),
                _ => self.ground.identities.crash(crash),
            };
            let fails_again = try_again < 3 && self.chance.one_in(6);
            if fails_again {
                self.ground.plan_fault(self.chance.between(1, 12), Fault::Io);
            }
            match self.ground.start(self.stage, &Setup::of(&self.plan)) {
                Err(Stop::Crash) => continue,
                started => self.engine = started?,
            }
            let head = self.engine.handle().head();
            check(Rule::Acknowledged, head >= self.checks.head, || {
                format!("it was at {} and comes back at {head}", self.checks.head)
            })?;
            // It includes attempts that the dead process began by its own time; the new one has begun nothing.
            self.see_restart()?;
            self.checks.check_wake(self.engine.wake_in_ms())?;
            self.people.check(&self.records)?;
            self.watching.begin(&self.engine, &self.plan)?;
            if self.chance.one_in(2) {
                self.ready_all();
            }
            return Ok(());
        }
        Ok(())
    }

    /// A call ends: each of its deliveries succeeds, or one in `fails` does not.
    fn end(&mut self, call: Call, fails: u64) {
        let (mut failed, mut counts) = (Vec::new(), BTreeMap::new());
        let Some(answers) = self.answers(&call) else {
            // It goes on when what it called is in the log.
            self.calls.push(call);
            return;
        };
        let items: Vec<_> = call.items().collect();
        let attempted = items.into_iter().zip(answers).map(|((position, _), answer)| {
            let event = self.event_at(position);
            let (key, r#type) = (event.key().to_owned(), event.r#type.clone());
            let failure = match failed.contains(&KeyHasher::default().hash(&key)) {
                true => Some(AttemptFailure::found(FailureKind::NotReached, "an earlier one failed")),
                false => {
                    answer.clone().err().or_else(|| self.chance.one_in(fails).then(|| some_failure(&mut self.chance)))
                }
            };
            let answer = answer.unwrap_or_default();
            self.figures.attempts += 1;
            let Some(failure) = failure else {
                // The writes of an earlier item of the call are visible.
                let counts = counts.entry(key.clone()).or_insert_with(|| self.counts(call.handler(), &key));
                let (handler, wall_ms) = (call.handler(), call.wall_ms());
                let delivered = Delivered { handler, key: &key, r#type: &r#type, position, wall_ms, answer };
                let effects = self.handlers.handle(delivered, call.has_setting(handlers::FIXED), counts);
                return Attempted { result: Ok(effects), correction: None, log: Vec::new() };
            };
            self.figures.faults += 1;
            failed.push(KeyHasher::default().hash(&key));
            let corrects = failure.class == FailureClass::Correctable && self.chance.one_in(2);
            let correction =
                corrects.then(|| Correction { data: b"{}".to_vec(), data_content_type: None, event: None });
            Attempted { result: Err(failure), correction, log: Vec::new() }
        });
        let attempted = attempted.collect();
        let hosts = if fails > 0 && self.chance.one_in(3) { self.chance.below(9) } else { 0 };
        let hosts = (0..hosts)
            .map(|_| HostCall { host: format!("host-{}", self.chance.below(2)), is_success: self.chance.one_in(3) });
        let hosts = hosts.collect();
        self.engine.end(call, attempted, hosts);
    }

    fn counts(&self, handler: &HandlerName, key: &str) -> Counts {
        Counts::read(|name| self.engine.state(handler, key, name))
    }

    fn event_at(&self, position: Position) -> &Event {
        let index = self.records.partition_point(|(first, _)| *first <= position);
        let found = index.checked_sub(1).and_then(|index| self.records.get(index));
        let event = found.and_then(|(first, record)| record.event_at(position.0.checked_sub(first.0)?));
        event.unwrap_or_else(|| panic!("no event at {position}"))
    }
}
