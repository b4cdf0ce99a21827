//! Histories at the limits: manifests anywhere within their ranges, clients, guests and operators that use up their limits,
//! and a process that is killed at any point. The main rule: the engine keeps running, and opens again.
//!
//! The engine is the real one over the real log, as in the engine's histories; the outcomes of deliveries are not checked
//! here. It knows limits only from `docs/limits.md`.

mod guest;
mod people;
mod plan;

use std::panic::{AssertUnwindSafe, catch_unwind};

use guest::Together;
pub use plan::Plan;
use weirgate_engine::{
    Ingested,
    sim::{Answer, Call, Engine, Exit, StepSizes},
};
use weirgate_testkit::{Crash, Fault, SimStorage};
use weirgate_types::{CallLimits, DeliveryId, Event, HandlerName, Position};
use weirgate_views::MemoryStore;

use crate::{
    Chance, Figures, Outcome, Rule, Violation,
    checks::check,
    engine::{
        Stage, Stop, broken,
        ground::{Ground, Setup},
        unreadable,
    },
};

/// Maximum reads of one pass of the writer, in rows and KiB: its limit, and one scan that was begun before it, whose last
/// record may have the maximum size.
const PASS_WORK_MAX: usize = 4_096 + 4_096 + 16 * 1_024;
/// Deliveries that operators give commands for: the most recently called ones.
const SEEN_MAX: usize = 512;
/// Number of passes after the last restart, in which everything that waits may happen.
const LAST_PASSES: u64 = 6;

struct World<'a> {
    stage: &'a Stage,
    plan: Plan,
    chance: Chance,
    ground: Ground,
    engine: Engine,
    calls: Vec<Call>,
    /// Requests in flight, with the ids of their events.
    waiting: Vec<(Vec<String>, Answer<Vec<Ingested>>)>,
    acknowledged: Vec<(Position, String)>,
    seen: Vec<DeliveryId>,
    /// The last used number of an event or step.
    next: u64,
    /// Approximate number of bytes that may still be written to the log.
    bytes_left: u64,
    figures: Figures,
}

/// Runs the history of a seed, to its end or until the engine ends or does not open.
#[must_use]
pub fn run(stage: &Stage, seed: u64) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| one(stage, seed))).unwrap_or_else(|_| Outcome {
        figures: Figures::default(),
        violation: Some(Violation { rule: Rule::Panic, what: "it says where".to_owned() }),
    })
}

fn one(stage: &Stage, seed: u64) -> Outcome {
    let mut chance = Chance::seeded(seed);
    let plan = Plan::draw(seed, &mut chance);
    let mut ground = Ground::new(SimStorage::new(), MemoryStore::default());
    let engine = match ground.start(stage, &setup(&plan)) {
        Ok(engine) => engine,
        Err(stop) => return Outcome { figures: Figures::default(), violation: Some(broken(stop)) },
    };
    let mut world = World {
        stage,
        bytes_left: plan.habits.bytes,
        plan,
        chance,
        ground,
        engine,
        calls: Vec::new(),
        waiting: Vec::new(),
        acknowledged: Vec::new(),
        seen: Vec::new(),
        next: 0,
        figures: Figures::default(),
    };
    let violation = world.live().and_then(|()| world.last_restarts()).err().map(broken);
    world.figures.records = world.engine.handle().head().0;
    Outcome { figures: world.figures, violation }
}

fn setup(plan: &Plan) -> Setup<'_> {
    Setup { log: &plan.log, limits: plan.limits, steps: StepSizes::default(), seed: plan.seed }
}

fn exited(exit: Exit) -> Violation {
    let what = match exit {
        Exit::Disk(what) | Exit::Broken(what) => what,
        Exit::Asked => "it was not asked to stop".to_owned(),
    };
    Violation { rule: Rule::Opens, what }
}

impl World<'_> {
    /// This many bytes, or as many as the history may still write.
    fn afford(&mut self, bytes: u64) -> u64 {
        let granted = bytes.min(self.bytes_left);
        self.bytes_left -= granted;
        granted
    }

    /// The limits of a handler's calls, and whether outbound calls are allowed.
    fn limits_of(&self, handler: &HandlerName) -> (CallLimits, bool) {
        let manifest = self.plan.handlers.iter().find(|manifest| manifest.name == *handler);
        manifest.map_or_else(Default::default, |found| (found.limits, !found.capabilities.hosts.is_empty()))
    }

    fn live(&mut self) -> Result<(), Stop> {
        for manifest in &self.plan.handlers {
            let json = serde_json::to_string(manifest).unwrap_or_default();
            drop(self.engine.deploy(manifest.name.clone(), json));
        }
        for _ in 0..self.plan.steps {
            match self.step() {
                Err(Stop::Crash) => {
                    self.figures.crashes_in_sync += 1;
                    self.kill(true)?;
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Stop> {
        let passed_ms = self.chance.pick(&[60, 5_000, 90_000_000]).copied().unwrap_or(60);
        self.ground.clock().pass(self.chance.below(passed_ms));
        for _ in 0..self.chance.between(1, 3) {
            match self.chance.below(8) {
                0..=2 => self.publish()?,
                3 | 4 => self.correct()?,
                5 => self.outbound_calls(),
                6 => self.operators()?,
                _ => self.ready(),
            }
        }
        for _ in 0..self.chance.below(6) {
            self.work()?;
        }
        if self.chance.one_in(12) {
            self.figures.faults += 1;
            let is_error = self.chance.one_in(2);
            self.ground.plan_trouble(&mut self.chance, is_error);
        }
        let is_killed = self.chance.one_in(self.plan.crash);
        if is_killed && self.chance.one_in(3) {
            return self.kill(true);
        }
        self.pass()?;
        if self.chance.one_in(3) {
            self.engine.views().flush().map_err(unreadable)?;
        }
        if is_killed { self.kill(true) } else { Ok(()) }
    }

    /// Some calls end, and others begin; sometimes waiting deliveries become due.
    fn work(&mut self) -> Result<(), Stop> {
        let due_in_ms = self.engine.wake_in_ms().filter(|_| self.chance.one_in(2)).unwrap_or(0);
        self.ground.clock().pass(due_in_ms);
        for _ in 0..self.chance.between(1, self.plan.habits.ends).min(self.calls.len() as u64) {
            self.end_one()?;
        }
        self.pass()
    }

    fn ready(&self) {
        self.plan.handlers.iter().for_each(|manifest| self.engine.ready(manifest.name.clone()));
    }

    /// A call ends, if one is in flight.
    fn end_one(&mut self) -> Result<(), Stop> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let call = self.calls.swap_remove(self.chance.index(self.calls.len()));
        let handler = call.handler().clone();
        let (limits, _) = self.limits_of(&handler);
        let positions: Vec<_> = call.items().map(|(position, _)| position).collect();
        let (mut attempted, mut together) = (Vec::new(), Together::default());
        for position in positions {
            let event = self.event_at(position)?;
            self.figures.attempts += 1;
            let delivery = DeliveryId { handler: handler.clone(), position };
            attempted.push(self.attempted(&delivery, &event, &limits, &mut together));
        }
        self.engine.end(call, attempted, Vec::new());
        Ok(())
    }

    fn event_at(&self, position: Position) -> Result<Event, Violation> {
        let read = self.engine.log().read(position).map_err(unreadable)?;
        let found = read.and_then(|(first, record)| record.event_at(position.0.checked_sub(first.0)?).cloned());
        found.ok_or_else(|| unreadable(format!("no event at {position}")))
    }

    fn pass(&mut self) -> Result<(), Stop> {
        let passed = self.engine.pass();
        check(Rule::Bounded, self.engine.work() <= PASS_WORK_MAX, || {
            format!("a pass has read {}", self.engine.work())
        })?;
        let failed = self.ground.end_faults();
        for call in self.engine.calls() {
            let positions = call.items().map(|(position, _)| position);
            self.seen.extend(positions.map(|position| DeliveryId { handler: call.handler().clone(), position }));
            self.calls.push(call);
        }
        let excess = self.seen.len().saturating_sub(SEEN_MAX);
        self.seen.drain(..excess);
        self.hear();
        match passed {
            Ok(()) => Ok(()),
            Err(_) if failed => Err(Stop::Crash),
            Err(exit) => Err(exited(exit).into()),
        }
    }

    fn hear(&mut self) {
        for (ids, mut answer) in std::mem::take(&mut self.waiting) {
            match answer.poll() {
                None => self.waiting.push((ids, answer)),
                Some(Ok(ingested)) => {
                    self.acknowledged.extend(ingested.into_iter().map(|one| one.position).zip(ids));
                }
                Some(Err(_)) => {}
            }
        }
    }

    /// The process is killed, and another one starts. With `may_fail` the disk may fail while it does.
    fn kill(&mut self, may_fail: bool) -> Result<(), Stop> {
        loop {
            self.figures.crashes += 1;
            self.calls.clear();
            self.waiting.clear();
            let crash = match self.chance.below(3) {
                0 => Crash::Keep(u64::MAX),
                1 => Crash::Keep(self.chance.below(self.ground.storage.unsynced_bytes() + 1)),
                _ => Crash::Sectors { seed: self.chance.draw() },
            };
            self.ground.storage = self.ground.storage.crash(crash);
            if self.chance.one_in(3) {
                self.ground.rows.clear();
            }
            if may_fail && self.chance.one_in(6) {
                self.figures.faults += 1;
                self.ground.plan_fault(self.chance.between(1, 12), Fault::Io);
            }
            match self.ground.start(self.stage, &setup(&self.plan)) {
                Err(Stop::Crash) => {}
                Err(Stop::Broken(violation)) => return Err(Violation { rule: Rule::Opens, ..violation }.into()),
                Ok(engine) => {
                    self.engine = engine;
                    break;
                }
            }
        }
        self.check_acknowledged()?;
        self.ready();
        Ok(())
    }

    fn check_acknowledged(&self) -> Result<(), Stop> {
        for (position, id) in &self.acknowledged {
            let event = self.event_at(*position)?;
            check(Rule::Acknowledged, event.id == *id, || format!("{id} was at {position}, and is not"))?;
        }
        Ok(())
    }

    /// It opens from the log alone, continues, and opens once more.
    fn last_restarts(&mut self) -> Result<(), Stop> {
        self.ground.rows.clear();
        self.kill(false)?;
        for _ in 0..LAST_PASSES {
            self.ground.clock().pass(self.engine.wake_in_ms().unwrap_or(0));
            self.pass()?;
            for _ in 0..self.calls.len().min(16) {
                self.end_one()?;
            }
        }
        self.engine.views().flush().map_err(unreadable)?;
        self.kill(false)
    }
}
