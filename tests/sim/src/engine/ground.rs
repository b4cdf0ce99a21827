//! What an engine stands on: a disk, views and a clock that outlive it; and a module that is never called.

use std::{
    ffi::OsString,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use weirgate_engine::{
    Clock,
    sim::{self, Engine},
};
use weirgate_host::{Host, HostOptions, Module};
use weirgate_log::{Crash, Epoch, Fault, Identity, Log, Salt, SimRows, SimStorage, ViewOptions, Views};

use super::{Stop, unreadable};
use crate::{Plan, Rule, Violation};

pub const IDENTITY: Identity = Identity { epoch: Epoch([3; 16]), salt: Salt([4; 16]) };

/// What all histories of a process share.
pub struct Stage {
    host: Arc<Host>,
    module: Module,
    /// Where the host keeps it.
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
        let put = host.put_module(&weirgate_guests::in_handler("", ""));
        let digest = put.unwrap_or_else(|error| panic!("{error}")).digest;
        let module = host.load(digest).unwrap_or_else(|error| panic!("{error}"));
        Self { host: Arc::new(host), module, _dir: dir }
    }
}

pub struct Ground {
    pub storage: SimStorage,
    pub rows: SimRows,
    /// The operation of the disk that will fail.
    fault_at: Option<u64>,
    clock: Arc<SimClock>,
}

impl Ground {
    pub fn new(storage: SimStorage, rows: SimRows) -> Self {
        let ground = Self { storage, rows, fault_at: None, clock: Arc::default() };
        ground.set_now_ms(1_000_000);
        ground
    }

    /// A copy of the disk, as it is, and no views.
    pub fn copy_of_log(&self) -> Self {
        let ground = Self::new(self.storage.crash(Crash::Keep(u64::MAX)), SimRows::default());
        ground.set_now_ms(self.now_ms());
        ground
    }

    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub fn set_now_ms(&self, now_ms: u64) {
        self.clock.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Let one of the next operations of the disk fail.
    pub fn plan_fault(&mut self, operations: u64, fault: Fault) {
        let at = self.storage.operations() + operations;
        self.storage.fail(at, fault);
        self.fault_at = Some(at);
    }

    /// No fault is to come any more. Answers whether the one that was planned has come.
    pub fn end_faults(&mut self) -> bool {
        self.storage.fail(0, Fault::Io);
        self.fault_at.take().is_some_and(|at| at <= self.storage.operations())
    }

    /// A process starts. With the disk failing it may end at once, whatever it says of it.
    pub fn start(&mut self, stage: &Stage, plan: &Plan) -> Result<Engine, Stop> {
        let started = self.try_start(stage, plan);
        if self.end_faults() && started.is_err() { Err(Stop::Crash) } else { started }
    }

    fn try_start(&self, stage: &Stage, plan: &Plan) -> Result<Engine, Stop> {
        let log = Log::open(Arc::new(self.storage.clone()), IDENTITY, plan.log.clone());
        let log = log.map_err(|error| Violation { rule: Rule::Acknowledged, what: error.to_string() })?;
        let views = Views::simulated(self.rows.clone(), log.epochs(), log.head(), ViewOptions::default());
        let views = views.map_err(unreadable)?;
        let ground = sim::Ground {
            log,
            views,
            host: Arc::clone(&stage.host),
            module: stage.module.clone(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            limits: plan.limits,
            seed: plan.seed,
        };
        Ok(Engine::start(ground)?)
    }
}

/// The time of day, which the history sets; and one that passes with every look, so that nobody waits in earnest.
#[derive(Default)]
struct SimClock {
    now_ms: AtomicU64,
    looks: AtomicU64,
}

/// How much time passes with a look: longer than anybody waits.
const LOOK: Duration = Duration::from_secs(1);

impl Clock for SimClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        LOOK.saturating_mul(u32::try_from(self.looks.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX))
    }
}
