//! A world for the machine: a log that is a vector, and results that the test chooses. The machine is driven as the engine
//! drives it: actions are carried out in order.

#![allow(dead_code, clippy::must_use_candidate, clippy::missing_panics_doc, reason = "each test file uses its part")]

mod deployments;
mod questions;
pub mod resequence;
mod shell;

use std::collections::{BTreeMap, VecDeque};

use weirgate_core::{
    Action, AttemptResult, DeliveryPhase, DeliveryRow, DeliveryState, Entropy, HandlerRow, HandlerView, HoldId, Input,
    Limits, Machine, deliveries_of,
};
use weirgate_types::{
    AttemptFailure, BreakerId, Carried, Correction, DeliveryCommand, DeliveryDecided, DeliveryId, Deployed, Digest,
    Effects, Event, FailureClass, FailureKind, HandlerName, KeyHash, Position, Record, Repaired,
};

pub const DIGEST: Digest = Digest([1; 32]);

/// The views on disk.
#[derive(Debug, Default, Clone)]
struct View {
    through: Position,
    events: u64,
    handlers: Vec<HandlerRow>,
    deliveries: BTreeMap<DeliveryId, DeliveryRow>,
    next: Next,
}

/// The next numbers, by handler and lane.
type Next = BTreeMap<(HandlerName, KeyHash), u64>;

pub struct World {
    pub machine: Machine,
    pub log: Vec<(Position, Record)>,
    pub now_ms: u64,
    /// Requested attempts without a result yet.
    pub calls: VecDeque<(DeliveryId, u32)>,
    /// All requested attempts, in order.
    pub history: Vec<(DeliveryId, u32)>,
    /// The view of open deliveries.
    pub rows: BTreeMap<DeliveryId, DeliveryRow>,
    /// The readable view: what was written before the last durable moment.
    readable: BTreeMap<DeliveryId, DeliveryRow>,
    /// The next numbers, written and readable.
    pub next: Next,
    readable_next: Next,
    /// The attempts of each call.
    pub batches: Vec<Vec<DeliveryId>>,
    /// Number of disk reads.
    pub reloads: usize,
    /// Timers by due time; their contents do not concern the machine.
    pub timers: Vec<u64>,
    /// The keys with a timer of a handler, each with the version that set it.
    pub timers_of: BTreeMap<(HandlerName, String), Position>,
    pub fired: Vec<(u64, u64)>,
    /// Holds that were reported as quiet, and as over.
    pub quiet: Vec<HoldId>,
    pub over: Vec<HoldId>,
    /// Whether completed deliveries emit an event.
    pub emits: bool,
    /// Whether spilled rows can be reloaded; a test without reloads saves the time.
    pub keeps_rows: bool,
    is_in_pass: bool,
    queue: VecDeque<Action>,
    /// The kept views.
    kept: Vec<View>,
    pub limits: Limits,
}

pub fn name(text: &str) -> HandlerName {
    text.parse().expect("a handler's name")
}

pub fn event(id: u64, key: &str, r#type: &str) -> Event {
    Event {
        id: id.to_string(),
        source: "/test".into(),
        r#type: r#type.into(),
        subject: Some(key.into()),
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: BTreeMap::new(),
        implied_key: None,
        data: Vec::new(),
    }
}

pub fn notice() -> Event {
    Event { source: "/weirgate".into(), ..event(0, "weirgate", "weirgate.notice") }
}

pub fn transient() -> AttemptFailure {
    AttemptFailure::found(FailureKind::Handler, "not now")
}

pub fn correctable() -> AttemptFailure {
    AttemptFailure { class: FailureClass::Correctable, ..transient() }
}

pub fn permanent() -> AttemptFailure {
    AttemptFailure { class: FailureClass::Permanent, ..transient() }
}

pub fn not_reached() -> AttemptFailure {
    AttemptFailure::found(FailureKind::NotReached, "an earlier one failed")
}

pub fn correction() -> DeliveryCommand {
    DeliveryCommand::Correct(Correction { data: b"{}".to_vec(), data_content_type: None, event: None })
}

pub fn deployed(handler: &str, manifest: String) -> Deployed {
    let (actor, reason, copied_from) = ("test".to_owned(), String::new(), None);
    Deployed {
        handler: name(handler),
        digest: DIGEST,
        manifest,
        actor,
        reason,
        copied_from,
        finishing: Vec::new(),
        at_ms: 0,
        wall_ms: 0,
    }
}

/// A repair of a key that changes nothing.
pub fn repaired(handler: &str, key: &str, version: Position) -> Repaired {
    let (actor, reason) = ("test".to_owned(), String::new());
    Repaired {
        replay: Position(1),
        handler: name(handler),
        key: key.to_owned(),
        part: 0,
        version,
        from: Position(1),
        through: Position(1),
        depth: 1,
        state_version: 1,
        effects: Effects::default(),
        unset: Vec::new(),
        corrected: None,
        is_undo: false,
        actor,
        reason,
        at_ms: 0,
    }
}

impl World {
    pub fn new(limits: Limits) -> Self {
        let mut world = Self {
            machine: Machine::new(limits, Entropy::seeded(7)),
            log: Vec::new(),
            now_ms: 1_000,
            calls: VecDeque::new(),
            history: Vec::new(),
            rows: BTreeMap::new(),
            readable: BTreeMap::new(),
            next: Next::new(),
            readable_next: Next::new(),
            batches: Vec::new(),
            reloads: 0,
            timers: Vec::new(),
            timers_of: BTreeMap::new(),
            fired: Vec::new(),
            quiet: Vec::new(),
            over: Vec::new(),
            emits: false,
            keeps_rows: true,
            is_in_pass: false,
            queue: VecDeque::new(),
            kept: Vec::new(),
            limits,
        };
        world.feed(Input::Recovered);
        world
    }

    pub fn head(&self) -> Position {
        self.log.last().map_or(Position::ZERO, |(first, record)| first.plus(record.width()).before())
    }

    /// A world with the handler `a`.
    pub fn with(extra: &str) -> Self {
        let mut world = Self::new(Limits::default());
        world.deploy("a", extra);
        world
    }

    /// An operator's command for a delivery; running and completed ones are left unchanged.
    pub fn command(&mut self, delivery: &DeliveryId, key: &str, command: DeliveryCommand, carried: Carried) {
        self.decide(delivery, key, command, carried, Vec::new());
    }

    /// Events resolve a delivery.
    pub fn resolve(&mut self, delivery: &DeliveryId, key: &str, events: Vec<Event>) {
        self.decide(delivery, key, DeliveryCommand::Resolve, Carried::default(), events);
    }

    fn decide(
        &mut self,
        delivery: &DeliveryId,
        key: &str,
        command: DeliveryCommand,
        carried: Carried,
        emitted: Vec<Event>,
    ) {
        self.reload_for(delivery);
        let phase = self.machine.row(delivery).map(|row| row.phase);
        if matches!(phase, Some(DeliveryPhase::Running | DeliveryPhase::Withheld { .. })) {
            return;
        }
        let (delivery, key, at_ms) = (delivery.clone(), key.to_owned(), self.now_ms);
        let (actor, reason) = ("test".to_owned(), "because".to_owned());
        self.stage(Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor,
            reason,
            at_ms,
            emitted,
        }));
        self.feed(Input::Tick);
    }

    pub fn retry(&mut self, delivery: &DeliveryId, key: &str) {
        self.command(delivery, key, DeliveryCommand::Retry, Carried::default());
    }

    pub fn publish(&mut self, id: u64, key: &str) -> Position {
        self.publish_as(id, key, "order.placed")
    }

    pub fn publish_as(&mut self, id: u64, key: &str, r#type: &str) -> Position {
        let position = self.stage(Record::Accepted { event: event(id, key, r#type), to: None, at_ms: self.now_ms });
        self.settle();
        position
    }

    /// Answers the oldest call.
    pub fn answer(&mut self, result: Result<(), &AttemptFailure>) -> DeliveryId {
        let (delivery, attempt) = self.calls.pop_front().expect("a call to answer");
        self.end(&delivery, attempt, result);
        delivery
    }

    /// An attempt ends.
    pub fn end(&mut self, delivery: &DeliveryId, attempt: u32, result: Result<(), &AttemptFailure>) {
        let results = [AttemptResult { position: delivery.position, attempt, result, corrected: false }];
        self.feed(Input::AttemptResults { handler: &delivery.handler, results: &results });
    }

    /// The oldest call fails, and the handler's hook corrects the data.
    pub fn answer_corrected(&mut self) {
        let (delivery, attempt) = self.calls.pop_front().expect("a call to answer");
        let results =
            [AttemptResult { position: delivery.position, attempt, result: Err(&correctable()), corrected: true }];
        self.feed(Input::AttemptResults { handler: &delivery.handler, results: &results });
    }

    /// The deliveries that share the oldest call.
    pub fn batch_of_first(&self) -> Vec<Position> {
        let (first, _) = self.calls.front().expect("a call to answer");
        let of_batch = self.batches.iter().rfind(|batch| batch.contains(first)).expect("its batch");
        let is_under_way = |id: &&DeliveryId| self.calls.iter().any(|(other, _)| other == *id);
        of_batch.iter().filter(is_under_way).map(|id| id.position).collect()
    }

    /// Whether a delivery is the first of its key in its call, or alone in it.
    pub fn leads_its_call(&self, delivery: &DeliveryId) -> bool {
        let of_batch = self.batches.iter().rfind(|batch| batch.contains(delivery)).expect("its batch");
        let key = self.event_at(delivery.position).key();
        let mut of_key = of_batch.iter().filter(|other| self.event_at(other.position).key() == key);
        of_key.next() == Some(delivery)
    }

    /// Answers the batch that the oldest call belongs to, one result per item.
    pub fn answer_batch(&mut self, result: impl Fn(Position) -> Result<(), AttemptFailure>) -> Vec<Position> {
        let (first, _) = self.calls.front().cloned().expect("a call to answer");
        let of_batch = self.batches.iter().rfind(|batch| batch.contains(&first)).expect("its batch").clone();
        let (mine, others) = std::mem::take(&mut self.calls).into_iter().partition(|(id, _)| of_batch.contains(id));
        self.calls = others;
        let mut mine: Vec<(DeliveryId, u32)> = VecDeque::into(mine);
        mine.sort_by_key(|(id, _)| of_batch.iter().position(|other| other == id));
        let answers: Vec<_> = mine.iter().map(|(id, _)| result(id.position)).collect();
        let results = mine.iter().zip(&answers).map(|((id, attempt), result)| AttemptResult {
            position: id.position,
            attempt: *attempt,
            result: result.as_ref().copied(),
            corrected: false,
        });
        let results: Vec<_> = results.collect();
        self.feed(Input::AttemptResults { handler: &first.handler, results: &results });
        mine.into_iter().map(|(id, _)| id.position).collect()
    }

    /// Answers a given call.
    pub fn answer_at(&mut self, position: Position, result: Result<(), &AttemptFailure>) {
        let index = self.calls.iter().position(|(delivery, _)| delivery.position == position).expect("such a call");
        self.calls.swap(0, index);
        self.answer(result);
    }

    pub fn called(&self) -> Vec<u64> {
        self.calls.iter().map(|(delivery, _)| delivery.position.0).collect()
    }

    /// When something becomes due.
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.machine.wake_in_ms(self.now_ms).map(|in_ms| self.now_ms + in_ms)
    }

    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.feed(Input::Tick);
    }

    pub fn stage(&mut self, record: Record) -> Position {
        let position = self.record(record);
        self.perform();
        position
    }

    pub fn feed(&mut self, input: Input<'_>) {
        self.tell(input);
        self.perform();
        self.settle();
    }

    /// Everything until [`World::end_pass`] becomes durable together.
    pub fn begin_pass(&mut self) {
        self.is_in_pass = true;
    }

    pub fn end_pass(&mut self) {
        self.is_in_pass = false;
        self.settle();
    }

    /// Staged records become durable, and so do those that follow from them.
    pub fn settle(&mut self) {
        loop {
            if self.is_in_pass {
                return;
            }
            if self.keeps_rows {
                self.readable = self.rows.clone();
            }
            self.readable_next = self.next.clone();
            let records = self.log.len();
            self.tell(Input::Durable { position: self.head() });
            self.perform();
            self.tell(Input::Tick);
            self.perform();
            if self.log.len() == records {
                return;
            }
        }
    }

    /// The views reach the disk: a later restart from them finds this state, however much the log has grown by then.
    pub fn keep_view(&mut self) {
        let handlers = self.machine.rows().map(|(_, row)| row).collect();
        let (deliveries, next) = (self.rows.clone(), self.next.clone());
        self.kept.push(View { through: self.head(), events: self.machine.events(), handlers, deliveries, next });
    }

    /// The process restarts: from the views as last kept, none newer than the log, or from the log only.
    pub fn restart(&mut self, with_view: bool) {
        let mut machine = Machine::new(self.limits, Entropy::seeded(8));
        let head = self.head();
        let view = self.kept.iter().rfind(|view| with_view && view.through <= head).cloned().unwrap_or_default();
        machine.restore_head(view.through, view.events);
        for row in &view.handlers {
            let deployments = row.deployments.iter().map(|position| (*position, self.deployed_at(*position)));
            machine.restore_handler(deployments.collect(), row);
        }
        for (delivery, row) in &view.deliveries {
            machine.restore_delivery(delivery, row.clone());
        }
        (self.rows, self.next) = (view.deliveries, view.next);
        self.readable_next = self.next.clone();
        self.readable = self.rows.clone();
        self.batches.clear();
        let log: Vec<_> = self.log.iter().filter(|(position, _)| *position > view.through).cloned().collect();
        self.machine = machine;
        self.calls.clear();
        self.queue.clear();
        self.feed(Input::Durable { position: self.head() });
        for (position, record) in &log {
            for delivery in deliveries_of(record) {
                self.reload_for(&delivery);
            }
            self.report_under_way(*position, record);
            self.tell(Input::Staged { position: *position, record });
            self.perform();
        }
        let handlers: Vec<_> = self.machine.handlers().map(|(name, _)| name.clone()).collect();
        self.settle();
        self.feed(Input::Recovered);
        for handler in handlers {
            self.ready(handler.as_str());
        }
        self.check_lag();
    }

    /// A handler's lag is the number of events that it has not scanned, whatever the views had of it.
    fn check_lag(&self) {
        for (name, view) in self.machine.handlers() {
            let events = self.log.iter().flat_map(|(first, record)| record.events(*first));
            let unseen = events.filter(|(position, _)| *position > view.scanned).count();
            assert_eq!(view.lag, unseen as u64, "the lag of {name}");
        }
    }

    fn deployed_at(&self, wanted: Position) -> Deployed {
        let found = self.log.iter().find_map(|(position, record)| match record {
            Record::Deployed(deployed) if *position == wanted => Some(deployed.clone()),
            _ => None,
        });
        found.expect("a deployment where the row says so")
    }

    /// An operator opens or closes a breaker.
    pub fn set_breaker(&mut self, breaker: &BreakerId, open: bool) {
        self.feed(Input::SetBreaker { breaker, open, actor: "test", reason: "because" });
    }
}

pub fn delivery(handler: &str, position: Position) -> DeliveryId {
    DeliveryId { handler: name(handler), position }
}
