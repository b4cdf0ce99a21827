//! What a receiver comes to if it had had the right events from the beginning, folded in the order of commits: written a second time, from
//! the records alone.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{
    Commit, DeliveryId, Deployed, Event, HandlerName, Outcome, Position, RUNTIME_TYPES, Record, Repaired, ReplayEnd,
    StatusWrite,
};

use super::{
    History,
    repaired::{Content, content},
};
use crate::{
    Order, Takes,
    checks::index_of,
    handlers::{self, Counts, Delivered, EMITTED, Handlers},
};

/// A key of the receiver.
#[derive(Debug, Default, Clone)]
pub struct Stand {
    pub counts: Counts,
    pub status: Option<StatusWrite>,
    /// What stood in the log.
    recorded: Counts,
    /// Whether it was repaired by another handler's replay, or one of its own, with wrong events: what it would come to then is not known.
    pub is_unknown: bool,
}

/// Which events are right: those that a version of the handler emits for these keys, and for others those of the log.
pub struct Right<'a> {
    pub handler: &'a HandlerName,
    pub version: Position,
    pub keys: BTreeSet<String>,
}

/// A deployment.
struct Deployment {
    is_fixed: bool,
    takes: Takes,
}

struct Walk<'a> {
    handlers: Handlers,
    receiver: &'a HandlerName,
    right: &'a Right<'a>,
    deployments: BTreeMap<Position, Deployment>,
    stands: BTreeMap<String, Stand>,
    /// Events of the log that are wrong, or late.
    dropped: BTreeSet<Position>,
    /// Deliveries whose withheld events are.
    withheld: BTreeSet<DeliveryId>,
    /// All events that are missing in the log, by when they were emitted.
    added: Vec<Event>,
    /// Whether all keys of the receiver are one lane.
    is_line: bool,
    /// The receiver's deliveries that are open in the log, by lane.
    open: BTreeMap<String, BTreeSet<Position>>,
    /// Missing events that wait for those, each with the position up to which they come before it; in the order in which they came to wait.
    waiting: Vec<(Position, Event)>,
    /// Replays whose repairs were undone, all of them.
    undone: BTreeSet<Position>,
    in_force: Option<Position>,
    is_from_beginning: bool,
    /// Where the handler of the right events was removed the last time: what it did before that is history.
    removed: Position,
}

impl History<'_> {
    /// What the keys of a receiver come to, as of a position.
    pub(super) fn corrected(
        &self,
        receiver: &HandlerName,
        right: &Right<'_>,
        through: Position,
    ) -> BTreeMap<String, Stand> {
        let setting = self.plan.handlers.get(index_of(receiver));
        let mut walk = Walk {
            handlers: self.handlers,
            receiver,
            right,
            deployments: self.deployments(),
            stands: BTreeMap::new(),
            dropped: BTreeSet::new(),
            withheld: BTreeSet::new(),
            added: Vec::new(),
            is_line: setting.is_some_and(|setting| matches!(setting.kind.order, Order::Handler)),
            open: BTreeMap::new(),
            waiting: Vec::new(),
            undone: self.undone(),
            in_force: None,
            is_from_beginning: setting.is_some_and(|setting| setting.from_beginning),
            removed: self.removed(right.handler),
        };
        for (position, record) in self.records.iter().take_while(|(position, _)| *position <= through) {
            walk.take(self, *position, record);
        }
        walk.stands
    }

    fn removed(&self, handler: &HandlerName) -> Position {
        let is_removal = |record: &Record| matches!(record, Record::Removed(one) if one.handler == *handler);
        let mut removals = self.records.iter().filter(|(_, record)| is_removal(record)).map(|(position, _)| *position);
        removals.next_back().unwrap_or(Position::ZERO)
    }

    pub(super) fn undone(&self) -> BTreeSet<Position> {
        let undone = self.records.iter().filter_map(|(_, record)| match record {
            Record::ReplayEnded(one) if one.end == ReplayEnd::Undone => Some(one.replay),
            _ => None,
        });
        undone.collect()
    }

    fn deployments(&self) -> BTreeMap<Position, Deployment> {
        let deployed = self.records.iter().filter_map(|(position, record)| match record {
            Record::Deployed(one) => Some((*position, one)),
            _ => None,
        });
        let deployment = |(position, one): (Position, &Deployed)| {
            let (is_fixed, takes) = (handlers::is_fixed_record(one), Takes::of_manifest(&one.manifest));
            (position, Deployment { is_fixed, takes })
        };
        deployed.map(deployment).collect()
    }

    /// The keys of a handler that its replays have repaired, and that stand so.
    pub(super) fn settled(&self, handler: &HandlerName) -> BTreeSet<String> {
        let mut repaired: BTreeMap<Position, BTreeSet<String>> = BTreeMap::new();
        for (_, record) in &self.records {
            match record {
                Record::Repaired(one) if one.handler == *handler && !self.is_of_another(one) => {
                    let keys = repaired.entry(one.replay).or_default();
                    drop(if one.is_undo { keys.take(&one.key) } else { keys.replace(one.key.clone()) });
                }
                Record::Removed(one) if one.handler == *handler => repaired.clear(),
                _ => {}
            }
        }
        repaired.into_values().flatten().collect()
    }

    /// Whether a key was repaired by the replay of another handler, which folds it again.
    pub(super) fn is_of_another(&self, repaired: &Repaired) -> bool {
        self.handler_of(repaired.replay).is_some_and(|handler| *handler != repaired.handler)
    }

    pub(super) fn handler_of(&self, replay: Position) -> Option<&HandlerName> {
        match self.record_at(replay) {
            Some(Record::ReplayRequested(one)) => Some(&one.handler),
            _ => None,
        }
    }
}

impl Walk<'_> {
    fn take(&mut self, history: &History<'_>, position: Position, record: &Record) {
        match record {
            Record::Deployed(one) if one.handler == *self.receiver => {
                let is_first = self.in_force.replace(position).is_none();
                if is_first && self.is_from_beginning {
                    self.added.clone().iter().for_each(|event| self.deliver_added(event));
                }
            }
            Record::Removed(one) if one.handler == *self.receiver => {
                self.stands.clear();
                self.open.clear();
                self.waiting.clear();
                self.in_force = None;
            }
            Record::Repaired(one) => self.repaired(history, position, one),
            Record::Released { delivery, .. } if self.withheld.contains(delivery) => {
                self.dropped.extend(record.events(position).map(|(at, _)| at));
            }
            _ => {}
        }
        let mut added = Vec::new();
        if let Record::DeliveryDecided(one) = record
            && one.delivery.handler == *self.receiver
            && one.command.closes()
        {
            self.close(&one.key, |open| *open == one.delivery.position);
        }
        self.open(position, record);
        let mut at = position;
        for commit in record.commits() {
            let first = at.next();
            at = at.plus(commit.effects.emitted.len() as u64);
            if matches!(commit.outcome, Outcome::Completed | Outcome::Withheld) {
                added.extend(self.committed(history, commit, first));
            }
            let is_closed = !matches!(commit.outcome, Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. });
            if is_closed && commit.handler == *self.receiver {
                self.close(&commit.key, |open| *open <= commit.event);
            }
        }
        for event in added {
            self.added.push(event.clone());
            if self.is_behind(event.key(), at) {
                self.waiting.push((at, event));
            } else {
                self.deliver_added(&event);
            }
        }
    }

    /// A delivery that was completed; returns the events that are missing in the log.
    fn committed(&mut self, history: &History<'_>, commit: &Commit, first: Position) -> Vec<Event> {
        let is_right = commit.handler == *self.right.handler && self.right.keys.contains(&commit.key);
        if is_right && first > self.removed {
            return self.corrected(history, commit, first);
        }
        if commit.handler == *self.receiver {
            if !self.dropped.contains(&commit.event) {
                let r#type = history.event_at(commit.event).r#type.clone();
                let is_fixed = self.deployments.get(&commit.version).is_some_and(|one| one.is_fixed);
                let request = self.handlers.request(self.receiver, &r#type, commit.event, is_fixed);
                let answer = request.and_then(|request| history.answer_of(&commit.delivery(), &request, None));
                self.deliver(&commit.key, &r#type, (commit.event, answer.unwrap_or(0)), commit.version);
            }
            let stand = self.stands.entry(commit.key.clone()).or_default();
            stand.recorded = stand.recorded.with(&commit.effects.state);
        }
        Vec::new()
    }

    /// The deliveries that a record opens.
    fn open(&mut self, position: Position, record: &Record) {
        let Some(in_force) = self.in_force.and_then(|version| self.deployments.get(&version)) else { return };
        for (at, event) in record.events(position) {
            let is_taken = match record.addressee() {
                Some(addressee) if at == position => addressee == self.receiver,
                _ => in_force.takes.takes(&event.r#type),
            };
            if is_taken {
                let lane = if self.is_line { "" } else { event.key() };
                self.open.entry(lane.to_owned()).or_default().insert(at);
            }
        }
    }

    /// Whether an event of a key has to wait for deliveries of events up to a position.
    fn is_behind(&self, key: &str, through: Position) -> bool {
        let lane = if self.is_line { "" } else { key };
        self.open.get(lane).and_then(BTreeSet::first).is_some_and(|first| *first <= through)
    }

    /// Deliveries of the receiver are closed: what waited for them is delivered. A commit closes those before it, too; an operator may
    /// close one behind another that stays open.
    fn close(&mut self, key: &str, is_closed: impl Fn(&Position) -> bool) {
        let lane = if self.is_line { "" } else { key };
        if let Some(open) = self.open.get_mut(lane) {
            open.retain(|open| !is_closed(open));
        }
        let waiting = std::mem::take(&mut self.waiting);
        for (through, event) in waiting {
            if self.is_behind(event.key(), through) {
                self.waiting.push((through, event));
            } else {
                self.deliver_added(&event);
            }
        }
    }

    /// A repair of a key that is right in the fork is none of it; one of the receiver that folded it again is not either.
    fn repaired(&mut self, history: &History<'_>, position: Position, one: &Repaired) {
        let is_of_right = history.handler_of(one.replay) == Some(self.right.handler);
        let is_right = one.handler == *self.right.handler && self.right.keys.contains(&one.key);
        if is_right && position > self.removed {
            self.dropped.extend((1..=one.effects.emitted.len() as u64).map(|offset| position.plus(offset)));
        }
        if one.handler != *self.receiver {
            return;
        }
        let stand = self.stands.entry(one.key.clone()).or_default();
        if !is_of_right && !self.undone.contains(&one.replay) {
            stand.is_unknown |= stand.counts != stand.recorded;
            stand.counts = stand.counts.with(&one.effects.state);
            let own = one.effects.status.iter().rfind(|write| write.subject == one.key);
            stand.status = own.cloned().or_else(|| stand.status.take());
            if one.unset.contains(&one.key) {
                stand.status = None;
            }
        }
        stand.recorded = stand.recorded.with(&one.effects.state);
    }

    /// A commit of the handler whose events are right: those of the log that are not right are dropped, and those that are missing returned.
    fn corrected(&mut self, history: &History<'_>, commit: &Commit, first: Position) -> Vec<Event> {
        let event = history.event_at(commit.event);
        if event.r#type.starts_with(RUNTIME_TYPES) {
            return Vec::new();
        }
        let candidate = self.deployments.get(&self.right.version);
        let is_addressed = history.record_at(commit.event).is_some_and(|record| record.addressee().is_some());
        let is_taken = is_addressed || candidate.is_some_and(|one| one.takes.takes(&event.r#type));
        let delivered = Delivered {
            handler: &commit.handler,
            key: &commit.key,
            r#type: &event.r#type,
            position: commit.event,
            wall_ms: 0,
            answer: 0,
        };
        let is_fixed = candidate.is_some_and(|one| one.is_fixed);
        let right = match is_taken {
            true => self.handlers.handle(delivered, is_fixed, &mut Counts::default()).emitted,
            false => Vec::new(),
        };
        let own = |event: &&Event| event.r#type.starts_with(EMITTED);
        let mut left: Vec<Content> = right.iter().map(content).collect();
        let mut is_kept = |event: &Event| {
            let found = left.iter().position(|other| *other == content(event));
            found.map(|found| left.swap_remove(found)).is_some()
        };
        if commit.effects.withheld.iter().filter(own).any(|event| !is_kept(event)) {
            self.withheld.insert(commit.delivery());
        }
        let positions = (0..).map(|offset| first.plus(offset));
        for (at, event) in positions.zip(&commit.effects.emitted).filter(|(_, event)| own(event)) {
            if !is_kept(event) {
                self.dropped.insert(at);
            }
        }
        right.into_iter().filter(|event| left.contains(&content(event))).collect()
    }

    fn deliver_added(&mut self, event: &Event) {
        if let Some(version) = self.in_force {
            self.deliver(event.key(), &event.r#type, (Position::ZERO, 0), version);
        }
    }

    fn deliver(&mut self, key: &str, r#type: &str, (position, answer): (Position, u64), version: Position) {
        let is_fixed = self.deployments.get(&version).is_some_and(|one| one.is_fixed);
        let delivered = Delivered { handler: self.receiver, key, r#type, position, wall_ms: 0, answer };
        let stand = self.stands.entry(key.to_owned()).or_default();
        let effects = self.handlers.handle(delivered, is_fixed, &mut stand.counts);
        let own = effects.status.into_iter().rfind(|write| write.subject == key);
        stand.status = own.or_else(|| stand.status.take());
    }
}
