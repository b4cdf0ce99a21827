//! A world for the machine: a log that is a vector, and answers that the test chooses. The machine is driven as the engine
//! drives it.

#![allow(dead_code, clippy::must_use_candidate, clippy::missing_panics_doc, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};

use weirgate_core::{Action, DeliveryRow, Entropy, EventHead, HandlerRow, Input, Limits, Machine};
use weirgate_types::{
    AttemptFailure, Commit, DeliveryId, Deployed, Digest, Effects, Event, FailureKind, HandlerName, Outcome, Position,
    Record,
};

pub const DIGEST: Digest = Digest([1; 32]);

/// What is on disk of the views.
#[derive(Debug, Default, Clone)]
struct View {
    through: Position,
    handlers: Vec<HandlerRow>,
    deliveries: BTreeMap<DeliveryId, DeliveryRow>,
}

pub struct World {
    pub machine: Machine,
    pub log: Vec<(Position, Record)>,
    pub now_ms: u64,
    /// Attempts that were asked for and not answered yet.
    pub calls: VecDeque<(DeliveryId, u32)>,
    /// Every attempt that was asked for, in order.
    pub history: Vec<(DeliveryId, u32)>,
    /// The view of open deliveries.
    pub rows: BTreeMap<DeliveryId, DeliveryRow>,
    kept: Option<View>,
    limits: Limits,
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
        data: Vec::new(),
    }
}

pub fn transient() -> AttemptFailure {
    AttemptFailure::found(FailureKind::Handler, "not now")
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
            kept: None,
            limits,
        };
        world.feed(Input::Recovered);
        world
    }

    pub fn head(&self) -> Position {
        self.log.last().map_or(Position::ZERO, |(first, record)| first.plus(record.width()).before())
    }

    /// Deploy a handler for all `order.*` events, with more settings as JSON (`,"concurrency":1`).
    pub fn deploy(&mut self, handler: &str, extra: &str) {
        let manifest = format!(r#"{{"name":"{handler}","subscriptions":[{{"types":["order.*"]}}]{extra}}}"#);
        self.append(Record::Deployed(Deployed {
            handler: name(handler),
            digest: DIGEST,
            manifest,
            at_ms: self.now_ms,
        }));
        self.ready(handler);
    }

    pub fn ready(&mut self, handler: &str) {
        self.feed(Input::Ready { handler: &name(handler), digest: DIGEST });
    }

    pub fn pause(&mut self, handler: &str, pause: bool) {
        let (handler, at_ms) = (name(handler), self.now_ms);
        self.append(if pause { Record::Paused { handler, at_ms } } else { Record::Resumed { handler, at_ms } });
        self.feed(Input::Tick);
    }

    pub fn publish(&mut self, id: u64, key: &str) -> Position {
        self.publish_as(id, key, "order.placed")
    }

    pub fn publish_as(&mut self, id: u64, key: &str, r#type: &str) -> Position {
        let position = self.append(Record::Accepted { event: event(id, key, r#type), at_ms: self.now_ms });
        self.settle();
        position
    }

    /// Answer the oldest call.
    pub fn answer(&mut self, result: Result<(), &AttemptFailure>) -> DeliveryId {
        let (delivery, attempt) = self.calls.pop_front().expect("a call to answer");
        self.feed(Input::Finished { delivery: &delivery, attempt, result });
        delivery
    }

    /// Answer a certain call.
    pub fn answer_at(&mut self, position: Position, result: Result<(), &AttemptFailure>) {
        let index = self.calls.iter().position(|(delivery, _)| delivery.position == position).expect("such a call");
        self.calls.swap(0, index);
        self.answer(result);
    }

    pub fn called(&self) -> Vec<u64> {
        self.calls.iter().map(|(delivery, _)| delivery.position.0).collect()
    }

    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.feed(Input::Tick);
    }

    pub fn append(&mut self, record: Record) -> Position {
        let position = self.head().next();
        self.log.push((position, record));
        let record = self.log.last().expect("just pushed").1.clone();
        let mut actions = Vec::new();
        self.machine.apply(Input::Appended { position, record: &record }, self.now_ms, &mut actions);
        self.perform(actions);
        position
    }

    pub fn feed(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.apply(input, self.now_ms, &mut actions);
        self.perform(actions);
        self.settle();
    }

    pub fn settle(&mut self) {
        let mut actions = Vec::new();
        self.machine.apply(Input::Durable { position: self.head() }, self.now_ms, &mut actions);
        self.perform(actions);
    }

    /// The views reach the disk: what a restart from them finds later, however much the log has grown by then.
    pub fn keep_view(&mut self) {
        let handlers = self.machine.rows().map(|(_, row)| row).collect();
        self.kept = Some(View { through: self.head(), handlers, deliveries: self.rows.clone() });
    }

    /// The process stops and starts again: from the views as they were last kept, or from nothing but the log.
    pub fn restart(&mut self, with_view: bool) {
        let mut machine = Machine::new(self.limits, Entropy::seeded(8));
        let view = self.kept.clone().filter(|_| with_view).unwrap_or_default();
        machine.restore_head(view.through);
        for row in &view.handlers {
            let deployments = row.deployments.iter().map(|position| (*position, self.deployed_at(*position)));
            machine.restore_handler(deployments.collect(), row);
        }
        for (delivery, row) in &view.deliveries {
            machine.restore_delivery(delivery, row.clone());
        }
        self.rows = view.deliveries;
        let log: Vec<_> = self.log.iter().filter(|(position, _)| *position > view.through).cloned().collect();
        self.machine = machine;
        self.calls.clear();
        let mut actions = Vec::new();
        self.machine.apply(Input::Durable { position: self.head() }, self.now_ms, &mut actions);
        self.perform(actions);
        for (position, record) in &log {
            let mut actions = Vec::new();
            self.machine.apply(Input::Appended { position: *position, record }, self.now_ms, &mut actions);
            self.perform(actions);
        }
        let handlers: Vec<_> = self.machine.handlers().map(|(name, _)| name.clone()).collect();
        self.feed(Input::Recovered);
        for handler in handlers {
            self.ready(handler.as_str());
        }
    }

    fn deployed_at(&self, wanted: Position) -> Deployed {
        let found = self.log.iter().find_map(|(position, record)| match record {
            Record::Deployed(deployed) if *position == wanted => Some(deployed.clone()),
            _ => None,
        });
        found.expect("a deployment where the row says so")
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Append(record) => drop(self.append(record)),
                Action::Commit { delivery, attempt, outcome } => self.commit(delivery, attempt, outcome),
                Action::Deliver { delivery, attempt, .. } => {
                    self.history.push((delivery.clone(), attempt));
                    self.calls.push_back((delivery, attempt));
                }
                Action::Scan { handler, after, until } => self.scan(&handler, after, until),
                Action::Keep { delivery, row: Some(row), .. } => drop(self.rows.insert(delivery, row)),
                Action::Keep { delivery, row: None, .. } => drop(self.rows.remove(&delivery)),
            }
        }
    }

    fn commit(&mut self, delivery: DeliveryId, attempt: u32, outcome: Outcome) {
        let (at_ms, key) = (self.now_ms, "k".to_owned());
        let DeliveryId { handler, position: event } = delivery;
        let (effects, log) = (Effects::default(), Vec::new());
        self.append(Record::Committed(Commit { handler, event, key, attempt, at_ms, outcome, effects, log }));
    }

    /// Answer a scan with at most eight positions, so that lagging takes several.
    fn scan(&mut self, handler: &HandlerName, after: Position, until: Position) {
        let read: Vec<_> = self
            .log
            .iter()
            .filter(|(first, record)| first.plus(record.width()).before() > after && *first <= until)
            .take(8)
            .collect();
        let through = read.last().map_or(after, |(first, record)| first.plus(record.width()).before());
        let heads: Vec<_> = read
            .iter()
            .flat_map(|(first, record)| record.events(*first))
            .map(|(position, event)| EventHead::of(position, event))
            .collect();
        let mut actions = Vec::new();
        self.machine.apply(Input::Scanned { handler, events: &heads, through }, self.now_ms, &mut actions);
        self.perform(actions);
    }
}
