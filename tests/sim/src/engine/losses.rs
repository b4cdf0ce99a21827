//! A repaired log: some records of a history are lost, any of them. Whichever they were, an engine recovers from the others,
//! completes the remaining work, takes new events, and recovers again.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use weirgate_engine::sim::Attempted;
use weirgate_log::{Log, LogError};
use weirgate_testkit::SimStorage;
use weirgate_types::{Effects, Lost, Mode, Position, Record};
use weirgate_views::MemoryStore;

use super::{
    History, Stop,
    ground::{Ground, IDENTITY, Setup, Stage},
    history_of, unreadable,
};
use crate::{Figures, NAMES, Outcome, Rule, Violation, checks::check, plan::name};

/// Maximum number of passes for the remaining work.
const PASSES_MAX: u64 = 4_000;
/// Number of idle passes after which nothing is left to do.
const LOOKS: u64 = 4;

/// Runs the history of a seed, loses some of its records, and continues. A panic violates a rule like any other.
#[must_use]
pub fn lose(stage: &Stage, seed: u64) -> Outcome {
    let told = catch_unwind(AssertUnwindSafe(|| {
        let mut history = history_of(stage, seed)?;
        history.live().and_then(|()| history.lose()).map_err(super::broken)
    }));
    let violation =
        told.unwrap_or_else(|_| Err(Violation { rule: Rule::Panic, what: "it says where".to_owned() })).err();
    Outcome { figures: Figures::default(), violation }
}

impl History<'_> {
    fn lose(&mut self) -> Result<(), Stop> {
        let storage = SimStorage::new();
        self.write_rest(&storage).map_err(unreadable)?;
        let mut ground = Ground::new(storage, MemoryStore::default()).at(self.ground.clock());
        for _ in 0..2 {
            self.engine = ground.start(self.stage, &Setup::of(&self.plan))?;
            self.run_out(&ground)?;
            self.engine.views().flush().map_err(unreadable)?;
        }
        Ok(())
    }

    /// Writes the records into another log, some of them as lost.
    fn write_rest(&mut self, storage: &SimStorage) -> Result<(), LogError> {
        let mut log = Log::open(Arc::new(storage.clone()), IDENTITY, self.plan.log.clone())?;
        let one_in = 1 + self.chance.below(30);
        for (position, record) in &self.records {
            let positions = u32::try_from(record.width()).unwrap_or(1);
            let lost = Record::Lost(Lost { positions, at_ms: record.at_ms() });
            let record = if self.chance.one_in(one_in) { &lost } else { record };
            let pushed = match log.stage(record) {
                Err(LogError::BatchFull { .. }) => {
                    log.commit()?;
                    log.stage(record)?
                }
                pushed => pushed?,
            };
            assert_eq!(pushed, *position, "positions stay as they were");
        }
        log.commit().map(drop)
    }

    /// Continues until nothing is left to do; every call succeeds.
    fn run_out(&mut self, ground: &Ground) -> Result<(), Stop> {
        for (index, _) in NAMES.iter().enumerate() {
            self.engine.ready(name(index));
        }
        let (mut quiet, mut passes) = (0, 0);
        while quiet < LOOKS {
            passes += 1;
            check(Rule::Liveness, passes < PASSES_MAX, || format!("it finds no rest: {:?}", self.engine.handlers()))?;
            self.engine.pass()?;
            let calls = self.engine.calls();
            quiet = if calls.is_empty() { quiet } else { 0 };
            let no_calls = calls.is_empty();
            for call in calls {
                let ended = call.items().map(|_| Attempted {
                    result: Ok(Effects::default()),
                    correction: None,
                    log: Vec::new(),
                });
                let ended = ended.collect();
                self.engine.end(call, ended, Vec::new());
            }
            match self.engine.wake_in_ms() {
                // The rest are schedules, which never end, or a breaker that an operator opened.
                Some(in_ms @ 1..10_000) => ground.clock().pass(in_ms),
                _ if no_calls => quiet += 1,
                _ => {}
            }
        }
        for item in self.engine.handlers() {
            let rests = item.running == 0 && (item.lag == 0 || item.open > 0 || item.mode != Mode::Running);
            check(Rule::Liveness, rests, || format!("left: {item:?}"))?;
        }
        let head = self.engine.handle().head();
        let found = self.engine.log().clone().scan(Position(1)).flatten().count();
        Ok(check(Rule::Acknowledged, found > 0 && head >= self.checks.head, || format!("the log ends at {head}"))?)
    }
}
