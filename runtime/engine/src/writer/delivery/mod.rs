//! Delivery: the machine with its actions, the deployed handlers, the workers, and the stored rows of all of them. Knows no
//! log: records to read are passed in, and records to stage go through the writer.

mod budget;
mod listing;
mod reload;
mod restore;
mod rows;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    thread::JoinHandle,
};

use weirgate_core::{Action, Input, Machine, Now};
use weirgate_types::{CalledHost, Digest, HandlerName, KeyHasher, Position, Record};

use crate::{
    host_breakers::HostBreakers,
    job::{DeployedHandler, Job},
    workers::Jobs,
};
use budget::Budget;
pub use budget::{PASS_TIME_MAX, StepSizes};

/// See the module documentation.
pub struct Delivery {
    machine: Machine,
    keys: KeyHasher,
    actions: VecDeque<Action>,
    budget: Budget,
    /// The versions that deliveries run under, as far as their modules are loaded.
    deployed: BTreeMap<HandlerName, BTreeMap<Position, Arc<DeployedHandler>>>,
    jobs: Jobs,
    workers: Vec<JoinHandle<()>>,
    /// The open breakers of hosts, for the workers.
    host_breakers: Arc<HostBreakers>,
    /// Whether a handler's row changed in this pass.
    handlers_changed: bool,
    /// Whether a host's breaker changed in this pass.
    hosts_changed: bool,
    /// The rows of deployments that are still needed, as last written.
    deployments_kept: BTreeSet<Vec<u8>>,
    /// The rows of handlers, as last written.
    handlers_kept: BTreeSet<Vec<u8>>,
    /// The host breakers that have a row.
    hosts_kept: BTreeSet<CalledHost>,
    /// The scanned positions of lagging handlers with the number of events up to there, as last written.
    lagging_kept: BTreeMap<HandlerName, (Position, u64)>,
    /// The number of events in the log, as last written.
    events_kept: u64,
}

impl Delivery {
    pub fn new(
        machine: Machine,
        keys: KeyHasher,
        (jobs, workers): (Jobs, Vec<JoinHandle<()>>),
        host_breakers: Arc<HostBreakers>,
    ) -> Self {
        Self {
            machine: machine.hashing_keys_with(keys),
            keys,
            actions: VecDeque::new(),
            budget: Budget::default(),
            deployed: BTreeMap::new(),
            jobs,
            workers,
            host_breakers,
            handlers_changed: false,
            hosts_changed: false,
            deployments_kept: BTreeSet::new(),
            handlers_kept: BTreeSet::new(),
            hosts_kept: BTreeSet::new(),
            lagging_kept: BTreeMap::new(),
            events_kept: 0,
        }
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A pass begins, with the actions that the last one left to it.
    pub fn begin_pass(&mut self) {
        let deferred = self.budget.begin();
        self.actions.extend(deferred);
    }

    /// Whether an action was left to the next pass.
    pub fn has_deferred(&self) -> bool {
        self.budget.has_deferred()
    }

    /// While the log is replayed the machine needs each answer at once.
    pub fn set_unlimited(&mut self, is_unlimited: bool) {
        self.budget.is_unlimited = is_unlimited;
    }

    /// Leaves what else is to be read to the next pass.
    pub fn use_up(&mut self) {
        self.budget.spend(budget::PASS_WORK_MAX);
    }

    /// Counts rows or positions that this pass has read.
    pub fn spend(&mut self, work: usize) {
        self.budget.spend(work);
    }

    pub fn steps(&self) -> StepSizes {
        self.budget.steps
    }

    #[cfg(feature = "sim")]
    pub fn set_steps(&mut self, steps: StepSizes) {
        self.budget.steps = steps;
    }

    /// How much this pass has read.
    #[cfg(feature = "sim")]
    pub fn spent(&self) -> usize {
        self.budget.spent()
    }

    /// Passes an input to the machine; its actions are queued.
    pub fn tell(&mut self, input: Input<'_>, now: Now) {
        let mut queued = std::mem::take(&mut self.actions);
        if queued.is_empty() {
            // So most often: actions are large, and these are moved no further. The memory of the queue is used again.
            let mut actions = Vec::from(queued);
            self.machine.apply(input, now, &mut actions);
            self.actions = actions.into();
        } else {
            let mut actions = Vec::new();
            self.machine.apply(input, now, &mut actions);
            queued.extend(actions);
            self.actions = queued;
        }
    }

    /// The machine's next action. Scans are left to the next pass once this one has read enough; timers stay due, so the
    /// machine requests them again.
    pub fn next_action(&mut self) -> Option<Action> {
        loop {
            let is_read = matches!(self.actions.front()?, Action::Scan { .. } | Action::FireTimers { .. });
            let action = self.actions.pop_front();
            if !is_read || !self.budget.is_used_up() {
                return action;
            }
            if let Some(scan @ Action::Scan { .. }) = action {
                self.budget.defer(scan);
            }
        }
    }

    /// A record was staged: notes which rows it changes.
    pub fn note(&mut self, record: &Record) {
        if let Record::Removed(removed) = record {
            self.forget(&removed.handler);
        }
        self.handlers_changed |= matches!(
            record,
            Record::Deployed(_) | Record::Removed(_) | Record::ModeChanged(_) | Record::BreakerChanged(_)
        );
        self.hosts_changed |= matches!(record, Record::BreakerChanged(_) | Record::Deployed(_) | Record::Removed(_));
    }

    /// The handler was removed: what was going to be read for it is not for a later handler of its name.
    fn forget(&mut self, handler: &HandlerName) {
        self.deployed.remove(handler).into_iter().flatten().for_each(|(_, deployed)| deployed.discard());
        let is_its = |action: &Action| matches!(action, Action::Scan { handler: name, .. } | Action::Reload { handler: name, .. } if name == handler);
        self.actions.retain(|action| !is_its(action));
        self.budget.forget(is_its);
    }

    /// A module of the handler is loaded. Calls of versions that finish nothing are discarded; the machine ignores their results.
    pub fn set_deployed(&mut self, handler: &HandlerName, deployed: DeployedHandler) {
        let versions = self.deployed.entry(handler.clone()).or_default();
        // It may have been loaded already.
        versions.entry(deployed.version).or_insert_with(|| Arc::new(deployed));
        let Some(view) = self.machine.handler(handler) else { return };
        let is_needed = |version| version == view.version || view.finishing.iter().any(|one| one.position == version);
        for (_, replaced) in versions.extract_if(.., |version, _| !is_needed(*version)) {
            replaced.discard();
        }
    }

    pub fn deployed(&self, handler: &HandlerName, version: Position) -> Option<&Arc<DeployedHandler>> {
        self.deployed.get(handler)?.get(&version)
    }

    /// Whether a module of the handler is loaded.
    pub fn has_module(&self, handler: &HandlerName, digest: Digest) -> bool {
        self.deployed.get(handler).is_some_and(|all| all.values().any(|one| one.digest == digest))
    }

    /// The digest of the handler's present version.
    pub fn digest(&self, handler: &HandlerName) -> Option<Digest> {
        self.machine.handler(handler).map(|view| view.deployed.digest)
    }

    /// Passes a call to the workers.
    pub fn send(&self, job: Job) {
        self.jobs.send(job);
    }

    /// No more jobs come: the workers end when they are idle.
    pub fn close(self) -> Vec<JoinHandle<()>> {
        drop(self.jobs);
        self.workers
    }
}
