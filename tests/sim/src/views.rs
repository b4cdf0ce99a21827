//! The views: the machine's rows, and data derived from records. They are written in each pass, and reach the disk
//! occasionally: a restart finds them older than the log, or not at all.

use std::collections::BTreeMap;

use weirgate_core::{Anchors, DeliveryRow, HandlerRow, Next, OpenPeriod};
use weirgate_types::{
    CalledHost, Carried, DeliveryCommand, DeliveryId, HandlerName, KeyHash, Outcome, Position, Record, TimerId,
};

use crate::schedules::{Schedules, is_schedule};

/// Data derived from the records alone.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Positions of events by id, to detect duplicates.
    pub events: BTreeMap<String, Position>,
    pub dead: BTreeMap<DeliveryId, Carried>,
    pub timers: BTreeMap<TimerId, u64>,
    pub schedules: Schedules,
    /// Number of deliveries of a key that a handler has completed, and the last one.
    pub states: BTreeMap<(HandlerName, String), Vec<u8>>,
}

impl Facts {
    pub fn project(&mut self, position: Position, record: &Record) {
        for (at, event) in record.events(position) {
            self.events.entry(event.id.clone()).or_insert(at);
        }
        for commit in record.commits() {
            let delivery = DeliveryId { handler: commit.handler.clone(), position: commit.event };
            match &commit.outcome {
                Outcome::DeadLettered { carried, .. } => self.bury(delivery, carried, position),
                Outcome::Completed | Outcome::Withheld => drop(self.dead.remove(&delivery)),
                Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. } => {}
            }
            for write in &commit.effects.state {
                let value = write.value.clone().unwrap_or_default();
                self.states.insert((commit.handler.clone(), commit.key.clone()), value);
            }
            for write in &commit.effects.timers {
                let timer =
                    TimerId { handler: commit.handler.clone(), key: commit.key.clone(), name: write.name.clone() };
                match &write.set {
                    Some(set) => drop(self.timers.insert(timer, set.due_ms)),
                    None => drop(self.timers.remove(&timer)),
                }
            }
        }
        match record {
            Record::DeliveryDecided(one) if matches!(one.command, DeliveryCommand::DeadLetter) => {
                self.bury(one.delivery.clone(), &one.carried, position);
            }
            Record::DeliveryDecided(one) => drop(self.dead.remove(&one.delivery)),
            Record::Fired { timer, next_ms, event, .. } if is_schedule(event) => {
                self.schedules.fired(timer, *next_ms);
            }
            Record::Fired { timer, .. } => drop(self.timers.remove(timer)),
            Record::Deployed(deployed) => self.schedules.deployed(deployed),
            _ => {}
        }
    }

    fn bury(&mut self, delivery: DeliveryId, carried: &Carried, position: Position) {
        self.dead.insert(delivery, Carried { failure: Some(position), ..carried.clone() });
    }
}

/// The views that a restart finds.
#[derive(Debug, Default, Clone)]
pub struct Kept {
    pub applied: Position,
    pub events: u64,
    pub anchors: Anchors,
    pub handlers: Vec<HandlerRow>,
    pub hosts: Vec<(CalledHost, OpenPeriod)>,
    pub rows: BTreeMap<DeliveryId, DeliveryRow>,
    pub next: Numbers,
    pub facts: Facts,
}

/// The next numbers of sequences, by handler and lane.
pub type Numbers = BTreeMap<(HandlerName, KeyHash), u64>;

/// The views of a running process.
#[derive(Debug, Default)]
pub struct Views {
    /// The readable rows: everything written before the last durable moment.
    pub rows: BTreeMap<DeliveryId, DeliveryRow>,
    /// Rows written since.
    changes: Vec<(DeliveryId, Option<DeliveryRow>)>,
    pub next: Numbers,
    latest_next: Numbers,
    pub facts: Facts,
}

impl Views {
    #[must_use]
    pub fn found(kept: &Kept) -> Self {
        let (next, latest_next) = (kept.next.clone(), kept.next.clone());
        Self { rows: kept.rows.clone(), changes: Vec::new(), next, latest_next, facts: kept.facts.clone() }
    }

    pub fn keep(&mut self, delivery: DeliveryId, row: Option<DeliveryRow>) {
        self.changes.push((delivery, row));
    }

    pub fn keep_next(&mut self, handler: HandlerName, lane: KeyHash, next: Next) {
        let lane = (handler, lane);
        if let Some(next) = next.over(self.latest_next.get(&lane).copied()) {
            self.latest_next.insert(lane, next);
        }
    }

    pub fn write(&mut self) {
        self.next.clone_from(&self.latest_next);
        for (delivery, row) in self.changes.drain(..) {
            match row {
                Some(row) => drop(self.rows.insert(delivery, row)),
                None => drop(self.rows.remove(&delivery)),
            }
        }
    }

    /// The rows once everything is written.
    #[must_use]
    pub fn latest(&self) -> BTreeMap<DeliveryId, DeliveryRow> {
        let mut rows = self.rows.clone();
        for (delivery, row) in &self.changes {
            match row {
                Some(row) => drop(rows.insert(delivery.clone(), row.clone())),
                None => drop(rows.remove(delivery)),
            }
        }
        rows
    }

    /// The readable rows of one handler, in order.
    pub fn rows_of<'a>(&'a self, handler: &'a HandlerName) -> impl Iterator<Item = (Position, &'a DeliveryRow)> {
        let first = DeliveryId { handler: handler.clone(), position: Position::ZERO };
        let rows = self.rows.range(first..).take_while(move |(delivery, _)| delivery.handler == *handler);
        rows.map(|(delivery, row)| (delivery.position, row))
    }
}
