//! The start of a process: the disk's log and views, brought forward to an up-to-date machine. Durable records have to be
//! there, and the batch that was being written as a whole or not at all.

use std::{rc::Rc, sync::Arc};

use weirgate_core::{Entropy, Input, Machine, Timekeeper, deliveries_of};
use weirgate_log::{Epoch, Identity, Log, Salt};
use weirgate_testkit::{Crash, SimStorage};
use weirgate_types::{Deployed, Position, Record};

use super::{Shell, Stop};
use crate::{
    Checks, Plan, Rule, Violation,
    checks::check,
    clock::WorldClock,
    trace::Trace,
    views::{Kept, Views},
};

const IDENTITY: Identity = Identity { epoch: Epoch([3; 16]), salt: Salt([4; 16]) };

impl Shell {
    /// A first start, on an empty disk.
    ///
    /// # Errors
    /// The log cannot be created.
    pub fn new(plan: Arc<Plan>) -> Result<Self, Stop> {
        let storage = SimStorage::new();
        let log = open(&storage, &plan)?;
        let mut shell = Self {
            now_ms: WorldClock::START.wall_ms,
            clock: WorldClock::START,
            keeper: Timekeeper::new(0, WorldClock::START.wall_ms, WorldClock::START.monotonic_ms),
            machine: Machine::new(plan.limits, Entropy::seeded(plan.seed)),
            checks: Checks::new(&plan),
            views: Views::default(),
            kept: Kept::default(),
            storage,
            log,
            records: Vec::new(),
            durable: 0,
            calls: Vec::new(),
            answered: Vec::new(),
            settling: std::collections::BTreeMap::new(),
            fault: None,
            keep_views: false,
            has_schedules: true,
            trace: Trace::default(),
            encoded: Vec::new(),
            queue: std::collections::VecDeque::new(),
            after: Vec::new(),
            plan,
        };
        shell.feed(Input::Recovered)?;
        Ok(shell)
    }

    /// The process is gone, and with it everything that was not on the disk; another one starts.
    ///
    /// # Errors
    /// A durable record is missing, or another rule is violated; or it crashes again.
    pub fn restart(&mut self, crash: Crash, keeps_views: bool) -> Result<(), Stop> {
        self.storage = self.storage.crash(crash);
        self.log = open(&self.storage, &self.plan)?;
        self.check_log()?;
        self.checks = Checks::of_log(&self.plan, &self.records);
        if !keeps_views || self.kept.applied > self.log.head() {
            self.kept = Kept::default();
        }
        self.queue.clear();
        self.after.clear();
        self.calls.clear();
        self.settling.clear();
        self.recover()
    }

    fn check_log(&mut self) -> Result<(), Stop> {
        let mut found = 0;
        for read in self.log.reader().scan(Position(1)) {
            let read = read.map_err(|error| Violation { rule: Rule::Acknowledged, what: error.to_string() })?;
            let is_it = self.records.get(found).is_some_and(|(at, record)| (*at, &**record) == (read.0, &read.1));
            check(Rule::Acknowledged, is_it, || format!("another record is at {}", read.0))?;
            found += 1;
        }
        let is_whole = found == self.durable || found == self.records.len();
        check(Rule::Acknowledged, is_whole, || format!("{found} records are left, {} were durable", self.durable))?;
        self.records.truncate(found);
        self.durable = found;
        self.trace.number(found as u64);
        Ok(())
    }

    fn recover(&mut self) -> Result<(), Stop> {
        let seed = self.plan.seed ^ self.head().0;
        self.machine = Machine::new(self.plan.limits, Entropy::seeded(seed));
        self.views = Views::found(&self.kept);
        let last_at_ms = self.records.last().map_or(0, |(_, record)| record.at_ms());
        self.keeper = Timekeeper::new(last_at_ms, self.clock.wall_ms, self.clock.monotonic_ms);
        self.machine.restore_head(self.kept.applied, self.kept.events);
        self.machine.restore_anchors(self.kept.anchors.clone());
        for row in &self.kept.handlers {
            let deployments = row.deployments.iter().filter_map(|position| deployment(&self.records, *position));
            self.machine.restore_handler(deployments.collect(), row);
        }
        for (host, open) in &self.kept.hosts {
            self.machine.restore_host(host.clone(), *open);
        }
        for (delivery, row) in &self.kept.rows {
            self.machine.restore_delivery(delivery, row.clone());
        }
        self.feed(Input::Durable { position: self.log.head() })?;
        let applied = self.kept.applied;
        let first = self.records.partition_point(|(position, _)| *position <= applied);
        for index in first..self.records.len() {
            let Some((position, record)) = self.records.get(index).cloned() else { break };
            self.bring_back(&record)?;
            self.views.facts.project(position, &record);
            self.feed(Input::Staged { position, record: &record })?;
        }
        self.views.write();
        self.feed(Input::Durable { position: self.log.head() })?;
        self.keeper.resume(self.machine.anchors().newest());
        self.look();
        self.checks.restarted();
        self.feed(Input::TimersRead { next_due_ms: Some(0) })?;
        self.feed(Input::Recovered)?;
        self.end_pass()
    }

    /// A record may concern spilled deliveries: the machine has to reload them before the record is applied.
    fn bring_back(&mut self, record: &Record) -> Result<(), Stop> {
        for delivery in deliveries_of(record) {
            if self.machine.may_be_spilled(&delivery.handler, delivery.position) {
                self.views.write();
                self.feed(Input::Durable { position: self.log.head() })?;
                self.reload_for(&delivery)?;
            }
        }
        Ok(())
    }
}

fn open(storage: &SimStorage, plan: &Plan) -> Result<Log, Stop> {
    let opened = Log::open(Arc::new(storage.clone()), IDENTITY, plan.log.clone());
    opened.map_err(|error| Stop::Broken(Violation { rule: Rule::Acknowledged, what: error.to_string() }))
}

fn deployment(records: &[(Position, Rc<Record>)], position: Position) -> Option<(Position, Deployed)> {
    let index = records.binary_search_by_key(&position, |(first, _)| *first).ok()?;
    match &*records.get(index)?.1 {
        Record::Deployed(deployed) => Some((position, deployed.clone())),
        _ => None,
    }
}
