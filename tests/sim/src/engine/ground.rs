//! The environment of an engine: a disk, views and a clock that outlive it; and a module that is never called.

use std::{ffi::OsString, sync::Arc};

use tempfile::TempDir;
use weirgate_core::Limits;
use weirgate_engine::{
    Clock, IdentityWindow,
    sim::{self, Engine, Sizes, StepSizes},
};
use weirgate_host::{Host, HostOptions, Module};
use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt};
use weirgate_testkit::{Crash, Fault, ManualClock, SimStorage};
use weirgate_views::{MemoryStore, ViewOptions, Views};

use super::{Stop, unreadable};
use crate::{Chance, Plan, Rule, Violation, clock};

pub const IDENTITY: Identity = Identity { epoch: Epoch([3; 16]), salt: Salt([4; 16]) };

/// More than a history ever has.
const EVENTS_IN_FLIGHT_MAX: usize = 1 << 20;
/// How long a stalled disk takes for one sync.
const STALL_MS: u64 = 30_000;

/// Shared by all histories of a process.
pub struct Stage {
    host: Arc<Host>,
    module: Module,
    /// Where the host stores it.
    _dir: TempDir,
}

impl Stage {
    /// `compiler` is a command that compiles modules.
    ///
    /// # Panics
    /// The compiler does not run.
    #[must_use]
    pub fn new(compiler: Vec<OsString>) -> Self {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let options = HostOptions::new(dir.path().to_owned(), compiler);
        let host = Host::new(options).unwrap_or_else(|error| panic!("{error}"));
        let put = host.put_module(&weirgate_guests::migrating());
        let digest = put.unwrap_or_else(|error| panic!("{error}")).digest;
        let module = host.load(digest).unwrap_or_else(|error| panic!("{error}"));
        Self { host: Arc::new(host), module, _dir: dir }
    }
}

/// The parts to start an engine with.
pub struct Setup<'a> {
    pub log: &'a LogOptions,
    pub limits: Limits,
    pub steps: StepSizes,
    pub seed: u64,
}

/// So little that most reads take several steps.
const SMALL_STEPS: StepSizes = StepSizes { scan_positions: 8, lane_rows: 3, stage_due: 2, timers: 2 };

/// So little that a history writes and merges runs.
const SMALL_RUNS: Sizes = Sizes { generation: 6, bulk: 10 };

impl<'a> Setup<'a> {
    pub fn of(plan: &'a Plan) -> Self {
        Self { log: &plan.log, limits: plan.limits, steps: SMALL_STEPS, seed: plan.seed }
    }
}

pub struct Ground {
    pub storage: SimStorage,
    pub rows: MemoryStore,
    /// The tables of the history.
    pub tables: SimStorage,
    /// The runs of the index of identities.
    pub identities: SimStorage,
    /// The operation of the disk that will fail.
    fault_at: Option<u64>,
    clock: Arc<ManualClock>,
}

impl Ground {
    pub fn new(storage: SimStorage, rows: MemoryStore) -> Self {
        let (tables, identities) = (SimStorage::new(), SimStorage::new());
        Self { storage, rows, tables, identities, fault_at: None, clock: Arc::new(clock::begin()) }
    }

    /// A copy of the disk, as it is, and no views.
    pub fn copy_of_log(&self) -> Self {
        Self::new(self.storage.crash(Crash::Keep(u64::MAX)), MemoryStore::default()).at(self.clock())
    }

    /// The same, at the time of another clock.
    pub fn at(self, clock: &ManualClock) -> Self {
        Self { clock: Arc::new(clock.clone()), ..self }
    }

    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Makes one of the next operations of the disk fail.
    pub fn plan_fault(&mut self, operations: u64, fault: Fault) {
        let at = self.storage.operations() + operations;
        self.storage.fail(at, fault);
        self.fault_at = Some(at);
    }

    /// Let the disk fail, fill up, stall or run out of descriptors soon. Neither a stall nor a lack of descriptors ends an
    /// engine, so neither counts as a fault that has come.
    pub fn plan_trouble(&mut self, chance: &mut Chance, is_error: bool) {
        match (is_error, chance.below(4)) {
            (true, 0 | 1) => self.plan_fault(chance.between(1, 6), Fault::Io),
            (true, _) => self.plan_fault(chance.between(1, 6), Fault::Short),
            (false, 0 | 1) => self.plan_fault(chance.between(1, 6), Fault::Full),
            (false, 2) => self.storage.lack_descriptors(1),
            (false, _) => {
                let clock = Arc::clone(&self.clock);
                self.storage.stall(move || clock.pass(STALL_MS));
            }
        }
    }

    /// Writes or merges runs of the index of identities; now and then the disk fails or fills up meanwhile.
    pub fn make_runs(&self, engine: &Engine, chance: &mut Chance) -> Result<(), Stop> {
        let fails = chance.one_in(3);
        if fails {
            let fault = if chance.one_in(2) { Fault::Io } else { Fault::Short };
            self.identities.fail(self.identities.operations() + chance.between(1, 12), fault);
        }
        let made = engine.identities().make_next();
        self.identities.fail(0, Fault::Io);
        if fails { Ok(()) } else { made.map(drop).map_err(|error| unreadable(error).into()) }
    }

    /// Cancels the planned fault. Returns whether it has happened.
    pub fn end_faults(&mut self) -> bool {
        self.storage.fail(0, Fault::Io);
        self.fault_at.take().is_some_and(|at| at <= self.storage.operations())
    }

    /// Number of positions of the log that the views lack.
    pub fn behind(&self, plan: &Plan) -> Result<u64, Stop> {
        let (log, views) = self.open(&plan.log)?;
        Ok(log.head().0 - views.applied().0)
    }

    /// A process starts. With the disk failing it may end at once, with any error.
    pub fn start(&mut self, stage: &Stage, setup: &Setup<'_>) -> Result<Engine, Stop> {
        let started = self.try_start(stage, setup);
        if self.end_faults() && started.is_err() { Err(Stop::Crash) } else { started }
    }

    fn open(&self, log: &LogOptions) -> Result<(Log, Views), Stop> {
        let log = Log::open(Arc::new(self.storage.clone()), IDENTITY, log.clone());
        let log = log.map_err(|error| Violation { rule: Rule::Acknowledged, what: error.to_string() })?;
        // There is no thread that would make room in memory.
        let options = ViewOptions { pending_bytes_max: usize::MAX, ..ViewOptions::default() };
        let views = Views::simulated(self.rows.clone(), sim::TABLES, (log.epochs(), log.head()), options);
        Ok((log, views.map_err(unreadable)?))
    }

    fn try_start(&self, stage: &Stage, setup: &Setup<'_>) -> Result<Engine, Stop> {
        let (log, views) = self.open(setup.log)?;
        let ground = sim::Ground {
            log,
            views,
            history: Arc::new(self.tables.clone()),
            identities: Arc::new(self.identities.clone()),
            identity_sizes: SMALL_RUNS,
            host: Arc::clone(&stage.host),
            module: stage.module.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            limits: setup.limits,
            steps: setup.steps,
            identity_window: IdentityWindow::default(),
            events_in_flight_max: EVENTS_IN_FLIGHT_MAX,
            seed: setup.seed,
        };
        Ok(Engine::start(ground)?)
    }
}
