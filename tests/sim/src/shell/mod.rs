//! A process that runs the machine, as the engine does: a pass takes waiting commands, stages the resulting records, syncs
//! once, and only then replies. And its disk, which outlives it.

mod actions;
mod outcomes;
mod recovery;
mod reloading;

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use weirgate_core::{Action, Input, Machine, Now, Timekeeper};
use weirgate_log::{Log, LogError};
use weirgate_testkit::{Fault, SimStorage};
use weirgate_types::{Digest, Event, HandlerName, Position, Record, TimerWrite};

use crate::{
    Checked, Checks, Plan, Rule, Violation,
    checks::check,
    clock::WorldClock,
    trace::Trace,
    views::{Kept, Views},
};

pub const DIGEST: Digest = Digest([1; 32]);

/// Why a process ends before its history does.
#[derive(Debug)]
pub enum Stop {
    Crash,
    Broken(Violation),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

/// A call in flight.
#[derive(Debug, Clone)]
pub struct Call {
    pub handler: HandlerName,
    /// The position by which the machine identifies it.
    pub first: Position,
    pub items: Vec<(Position, u32)>,
    /// It does not end before this step.
    pub hangs_until: u64,
}

/// A fault of the disk in a sync.
#[derive(Debug, Clone, Copy)]
pub struct DiskFault {
    /// Number of syncs before it.
    pub syncs: u64,
    /// The index of the operation within the sync.
    pub operation: u64,
    pub fault: Fault,
}

/// What is released when the pass's records are durable.
#[derive(Debug)]
enum After {
    Answer { id: String, position: Position },
    Call(Call),
}

/// The effects of a successful attempt.
#[derive(Debug, Default, Clone)]
pub struct Left {
    pub emitted: Vec<Event>,
    pub timers: Vec<TimerWrite>,
    /// Whether its hook corrects its data.
    pub corrects: bool,
}

pub struct Shell {
    pub plan: Arc<Plan>,
    /// The time of records.
    pub now_ms: u64,
    pub clock: WorldClock,
    keeper: Timekeeper,
    pub machine: Machine,
    pub checks: Checks,
    pub views: Views,
    /// The views on disk.
    pub kept: Kept,
    pub storage: SimStorage,
    pub log: Log,
    /// All records, the last of them perhaps not durable.
    pub records: Vec<(Position, Rc<Record>)>,
    pub durable: usize,
    pub calls: Vec<Call>,
    /// Clients that got an answer.
    pub answered: Vec<(String, Position)>,
    /// The effects of the ending call's attempts, by position.
    pub settling: BTreeMap<Position, Left>,
    /// The planned fault of the disk.
    pub fault: Option<DiskFault>,
    pub keep_views: bool,
    /// Whether deployments bring schedules.
    pub has_schedules: bool,
    pub trace: Trace,
    /// The newest record's bytes.
    encoded: Vec<u8>,
    queue: VecDeque<Action>,
    after: Vec<After>,
}

impl Shell {
    pub fn head(&self) -> Position {
        self.checks.head
    }

    pub fn tell(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.apply(input, self.keeper.now(), &mut actions);
        self.queue.extend(actions);
    }

    /// Passes an input to the machine, and carries out its actions until there are no more.
    pub fn feed(&mut self, input: Input<'_>) -> Result<(), Stop> {
        self.tell(input);
        self.perform()
    }

    /// Appends a record and carries out the resulting actions.
    pub fn stage(&mut self, record: Record) -> Result<Position, Stop> {
        let position = self.record(record)?;
        self.perform()?;
        Ok(position)
    }

    /// Reads the clocks. Nothing is in flight.
    pub fn look(&mut self) {
        self.keeper.read(self.clock.wall_ms, self.clock.monotonic_ms);
        self.now_ms = self.keeper.now().at_ms;
        (self.checks.wall_ms, self.checks.monotonic_ms) = (self.clock.wall_ms, self.clock.monotonic_ms);
    }

    pub fn now(&self) -> Now {
        self.keeper.now()
    }

    /// When something becomes due.
    pub fn wake_in_ms(&self) -> Option<u64> {
        self.machine.wake_in_ms(self.keeper.now())
    }

    fn record(&mut self, record: Record) -> Result<Position, Stop> {
        if let Some(anchor) = self.keeper.anchor_wanted() {
            self.record_as_it_is(Record::TimeAnchored(anchor))?;
            self.keeper.anchored(anchor);
        }
        self.record_as_it_is(record)
    }

    fn record_as_it_is(&mut self, record: Record) -> Result<Position, Stop> {
        let pushed = self.log.stage(&record).map_err(|error| Violation { rule: Rule::Dense, what: error.to_string() });
        let position = pushed?;
        self.encoded.clear();
        self.encoded = record.encode(std::mem::take(&mut self.encoded)).unwrap_or_default();
        self.trace.bytes(&self.encoded);
        self.checks.take(position, &record)?;
        self.views.facts.project(position, &record);
        self.tell(Input::Staged { position, record: &record });
        self.records.push((position, Rc::new(record)));
        Ok(position)
    }

    /// The end of a pass: the records are durable, and their results published.
    pub fn end_pass(&mut self) -> Result<(), Stop> {
        loop {
            self.sync()?;
            self.apply_views();
            self.check_spilled()?;
            self.check_calls_are_full()?;
            for after in std::mem::take(&mut self.after) {
                self.tell_after(after)?;
            }
            self.checks.pass += 1;
            self.feed(Input::Durable { position: self.log.head() })?;
            self.feed(Input::Tick)?;
            if self.log.pending_bytes() == 0 && self.after.is_empty() {
                self.checks.check_wake(self.wake_in_ms())?;
                self.check_waits()?;
                return Ok(self.check_checkpoints()?);
            }
        }
    }

    fn tell_after(&mut self, after: After) -> Checked {
        match after {
            After::Answer { id, position } => self.answered.push((id, position)),
            After::Call(call) => {
                let positions: Vec<_> = call.items.iter().map(|(position, _)| *position).collect();
                let under_way = self.calls.iter().filter(|other| other.handler == call.handler).count();
                self.checks.called(&call.handler, &positions, under_way)?;
                self.trace.number(positions.iter().fold(1, |sum, position| sum * 31 + position.0));
                self.calls.push(call);
            }
        }
        Ok(())
    }

    /// Of the calls that a handler gets at once, all but one hold the maximum number of fresh deliveries.
    fn check_calls_are_full(&self) -> Checked {
        let mut short = BTreeMap::<&HandlerName, &Call>::new();
        for after in &self.after {
            let After::Call(call) = after else { continue };
            if !self.checks.is_short(&call.handler, &call.items) {
                continue;
            }
            let other = short.insert(&call.handler, call);
            check(Rule::Batches, other.is_none(), || format!("{other:?} and {call:?} could be one call"))?;
        }
        Ok(())
    }

    pub fn answer_when_durable(&mut self, id: String, position: Position) {
        self.after.push(After::Answer { id, position });
    }

    fn sync(&mut self) -> Result<(), Stop> {
        if self.log.pending_bytes() == 0 {
            return Ok(());
        }
        if let Some(planned) = self.fault.take() {
            match planned.syncs.checked_sub(1) {
                Some(syncs) => self.fault = Some(DiskFault { syncs, ..planned }),
                None => self.storage.fail(self.storage.operations() + planned.operation, planned.fault),
            }
        }
        match self.log.commit() {
            Ok(_) => {}
            // There is space again.
            Err(LogError::Full(_)) => {
                self.log.commit().map_err(|_| Stop::Crash)?;
            }
            Err(_) => return Err(Stop::Crash),
        }
        self.durable = self.records.len();
        Ok(())
    }

    fn apply_views(&mut self) {
        self.views.write();
        if std::mem::take(&mut self.keep_views) {
            let handlers = self.machine.rows().map(|(_, row)| row).collect();
            let hosts = self.machine.hosts().filter_map(|(host, open)| Some((host.clone(), open?)));
            let (hosts, rows, facts) = (hosts.collect(), self.views.rows.clone(), self.views.facts.clone());
            let next = self.views.next.clone();
            let anchors = self.machine.anchors().clone();
            self.kept = Kept {
                applied: self.log.head(),
                events: self.machine.events(),
                anchors,
                handlers,
                hosts,
                rows,
                next,
                facts,
            };
        }
    }

    /// The machine knows of as many deliveries as there are rows.
    fn check_spilled(&self) -> Checked {
        for (name, view) in self.machine.handlers() {
            let (mut open, mut spilled) = (0, 0);
            for (_, row) in self.views.rows_of(name) {
                open += 1;
                spilled += usize::from(row.spilled);
            }
            let holds = (view.open, view.spilled) == (open, spilled);
            let counted = (view.open, view.spilled);
            check(Rule::Rebuilt, holds, || format!("{name}: {counted:?} open and spilled, rows: {open}, {spilled}"))?;
        }
        Ok(())
    }

    /// No retry waits too long.
    fn check_waits(&self) -> Checked {
        let ready = self.machine.handlers().filter(|(_, view)| view.ready);
        for (name, view) in ready {
            self.checks.check_waits(crate::checks::index_of(name), view.scanned, self.wake_in_ms())?;
        }
        Ok(())
    }

    /// All deliveries up to a handler's checkpoint are closed.
    fn check_checkpoints(&self) -> Checked {
        for (name, view) in self.machine.handlers() {
            let spilled = self.views.rows_of(name).next().map(|(first, _)| first.before());
            let checkpoint = spilled.filter(|_| view.spilled > 0).map_or(view.checkpoint, |at| at.min(view.checkpoint));
            let watched = self.checks.handlers.get(crate::checks::index_of(name));
            let open = watched.and_then(|watched| watched.open.first().copied());
            let holds = open.is_none_or(|open| checkpoint < open);
            check(Rule::Checkpoint, holds, || format!("{name}: {checkpoint} passes {open:?}"))?;
            let memory = view.open - view.spilled;
            let most = self.plan.limits.open_max + self.plan.limits.active_max + MEMORY_SLACK;
            check(Rule::Bounded, memory <= most, || format!("{name} has {memory} in memory"))?;
        }
        Ok(())
    }

    /// The event at a position.
    pub fn event_at(&self, position: Position) -> &Event {
        let after = self.records.partition_point(|(first, _)| *first <= position);
        let found = after.checked_sub(1).and_then(|index| self.records.get(index));
        let event = found.and_then(|(first, record)| record.event_at(position.0 - first.0));
        event.unwrap_or_else(|| panic!("no event at {position}"))
    }
}

/// How much one scan, one reload and one record with several events may add to a handler's memory before it is checked
/// again.
const MEMORY_SLACK: usize = 48;
