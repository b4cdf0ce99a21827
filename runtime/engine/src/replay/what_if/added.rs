//! Events of the fork that the log does not hold, or that no delivery was opened for: they wait for their deliveries, in order.

use std::{collections::BTreeSet, sync::Arc};

use weirgate_types::{Commit, DeliveryId, Event, HandlerName, Ordering, Position, Record};

use super::{
    Progress,
    delivered::{Delivered, closed},
    deployments::InForce,
    earlier::Earlier,
    outside::MayCall,
    request::Facts,
    run::{Fork, LaneId},
    walk::Walk,
};
use crate::replay::ReplayError;

/// Maximum number of events of the fork that wait for their deliveries.
pub const WAITING_MAX: usize = 100_000;

/// An event of the fork that the log does not hold, or that no delivery was opened for.
#[derive(Debug, Clone)]
pub struct Added {
    pub event: Event,
    /// The delivery's event, or where it would have been.
    pub of: Position,
    /// Where its delivery would have been committed, and its causation depth.
    pub at: Position,
    /// Deliveries of events up to here come before it.
    pub behind: Position,
    pub depth: u32,
    /// Who emitted it; `None`: the log holds it, and only the candidate takes it.
    pub cause: Option<LaneId>,
    /// The emitter fails: it is not known whether it would emit this.
    pub is_unknown: bool,
    /// The only handler that it is for; `None`: all that take it.
    pub to: Option<HandlerName>,
}

impl Added {
    pub fn bytes(&self) -> usize {
        let cause = self.cause.as_ref().map_or(0, |(_, key)| key.len());
        self.event.encoded_size().saturating_add(cause).saturating_add(2 * size_of::<Self>())
    }
}

impl Fork {
    pub(super) fn add(&mut self, added: Added) -> Result<(), ReplayError> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(ReplayError::Bound("events of the fork that wait"));
        }
        if added.cause.is_some() && added.to.is_none() {
            self.for_later.keep(&added)?;
        }
        self.waiting_bytes = self.waiting_bytes.saturating_add(added.bytes());
        self.waiting.push_back(added);
        Ok(())
    }

    /// Delivers the events that only the fork has, and those that they lead to: after the deliveries of a call that were taken, if any.
    pub(super) fn deliver_added(
        &mut self,
        walk: &mut Walk,
        earlier: &Earlier,
        progress: &dyn Progress,
    ) -> Result<(), ReplayError> {
        while let Some(added) = self.waiting.pop_front() {
            self.waiting_bytes = self.waiting_bytes.saturating_sub(added.bytes());
            let Added { event, of, at, behind, depth, cause, is_unknown, to } = added;
            let is_for = |name: &HandlerName| to.as_ref().is_none_or(|to| to == name);
            let is_taken = |name: &HandlerName, in_force: &InForce| match (&cause, &self.candidate) {
                // The log holds it.
                (None, _) => *name == self.request.handler,
                (Some(_), Some(candidate)) if *name == self.request.handler => {
                    candidate.interest.matches(&event.r#type, &event.source)
                }
                (Some(_), _) => in_force.interest.matches(&event.r#type, &event.source),
            };
            let takers = self.in_force.iter().filter(|(name, one)| is_for(name) && is_taken(name, one));
            let takers: Vec<(HandlerName, Arc<InForce>)> =
                takers.map(|(name, one)| (name.clone(), Arc::clone(one))).collect();
            for (handler, in_force) in takers {
                let to = Some(handler.clone());
                let waits = Added { event: event.clone(), of, at, behind, depth, cause: cause.clone(), is_unknown, to };
                if self.behind.add(&handler, self.ordering(&handler, &in_force), waits).is_none() {
                    continue;
                }
                progress.go_on(at, self.executed)?;
                self.check_bytes(walk)?;
                let candidate = self.candidate.as_ref().filter(|_| handler == self.request.handler);
                let mut delivered = Delivered::added(handler, &event, (of, at, depth), walk.times());
                delivered.cause.clone_from(&cause);
                delivered.is_unknown = is_unknown;
                if candidate.is_some() {
                    delivered.may_call = MayCall::All;
                }
                let ran = match candidate {
                    Some(candidate) => self.execute_added(walk, (&delivered, earlier), &candidate.executable)?,
                    None => {
                        let deployment = walk.deployment(in_force.version)?;
                        let executable =
                            deployment.executable.as_ref().ok_or(ReplayError::NoModule(in_force.version))?;
                        self.execute_added(walk, (&delivered, earlier), executable)?
                    }
                };
                let lane = delivered.lane.clone();
                self.take(walk, &delivered, Some(ran), earlier)?;
                // Without a cause, the log holds the event, and only the candidate takes it.
                if cause.is_none() && self.examined.contains_key(&lane) {
                    let mut examined = self.open_lane(&lane);
                    examined.notes.opened.push(delivered.delivery.position);
                    self.keep(lane, examined)?;
                }
            }
        }
        Ok(())
    }

    /// How a handler's deliveries are ordered in the fork.
    fn ordering(&self, handler: &HandlerName, in_force: &InForce) -> Ordering {
        let candidate = self.candidate.as_ref().filter(|_| *handler == self.request.handler);
        candidate.map_or(in_force.ordering, |candidate| candidate.ordering)
    }

    /// Deliveries that the log opens where events of the fork may come between them: those of the handler, and in a cascade of all.
    fn opened(&mut self, position: Position, record: &Record) {
        let takes_others = self.in_force.get(&self.request.handler).zip(self.candidate.as_ref());
        let takes_others = takes_others.is_some_and(|(one, other)| one.subscriptions != other.subscriptions);
        let is_cascade = self.cascade.is_some();
        if !is_cascade && !takes_others {
            return;
        }
        let addressee = record.addressee();
        for (handler, in_force) in &self.in_force {
            if !is_cascade && *handler != self.request.handler {
                continue;
            }
            let ordering = self.ordering(handler, in_force);
            for (at, event) in record.events(position) {
                let is_taken = match addressee {
                    Some(addressee) if at == position => addressee == handler,
                    _ => in_force.interest.matches(&event.r#type, &event.source),
                };
                if is_taken {
                    self.behind.opened(handler, ordering, (event.key(), at));
                }
            }
        }
    }

    /// A delivery of the log is closed: events that wait behind it are delivered.
    pub(super) fn closed(
        &mut self,
        delivery: &DeliveryId,
        key: &str,
        at: Position,
        stays_open: impl Fn(Position) -> bool,
    ) -> Result<(), ReplayError> {
        let Some(in_force) = self.in_force.get(&delivery.handler) else { return Ok(()) };
        let ordering = self.ordering(&delivery.handler, in_force);
        let released = self.behind.closed(&delivery.handler, ordering, (key, delivery.position, at), stays_open);
        released.into_iter().try_for_each(|added| self.add(added))
    }

    /// Whether events wait behind a delivery of a call, and come before a later one: one that it closes, or, where it closes a later one of those
    /// that are ordered, one that it leaves open.
    pub(super) fn is_awaited<'c>(&self, commit: &Commit, mut later: impl Iterator<Item = &'c Commit>) -> bool {
        let Some(in_force) = self.in_force.get(&commit.handler) else { return false };
        let (ordering, is_closed) = (self.ordering(&commit.handler, in_force), closed(commit).is_some());
        let is_ordered = |later: &Commit| ordering == Ordering::Handler || later.key == commit.key;
        self.behind.is_awaited(&commit.handler, ordering, (&commit.key, commit.event))
            && later.any(|later| is_ordered(later) && (is_closed || closed(later).is_some()))
    }

    /// A call closes a delivery behind another one, which it may leave open: events that come between them are delivered.
    pub(super) fn passed(
        &mut self,
        last: &Commit,
        at: Position,
        keys_open: &BTreeSet<&str>,
    ) -> Result<(), ReplayError> {
        let Some(in_force) = self.in_force.get(&last.handler) else { return Ok(()) };
        let ordering = self.ordering(&last.handler, in_force);
        let released = self.behind.passed(&last.handler, ordering, (&last.key, last.event, at), keys_open);
        released.into_iter().try_for_each(|added| self.add(added))
    }

    /// Events that the candidate takes, and the version in force did not.
    pub(super) fn open(&mut self, position: Position, record: &Record) -> Result<(), ReplayError> {
        self.opened(position, record);
        let in_force = self.in_force.get(&self.request.handler);
        let Some((in_force, candidate)) = in_force.zip(self.candidate.as_ref()) else { return Ok(()) };
        if in_force.subscriptions == candidate.subscriptions {
            return Ok(());
        }
        let mut opened = Vec::new();
        let is_addressed = record.addressee().is_some();
        for (at, event) in record.events(position).filter(|(at, _)| !is_addressed || *at != position) {
            let is_new = !in_force.interest.matches(&event.r#type, &event.source)
                && candidate.interest.matches(&event.r#type, &event.source);
            let facts = Facts {
                event: at,
                at_ms: record.at_ms(),
                key: event.key(),
                r#type: &event.r#type,
                data: &event.data,
                closed: None,
                version: in_force.version,
            };
            if !is_new || self.substitutes.has(at) {
                continue;
            }
            let lane = (self.request.handler.clone(), event.key().to_owned());
            if self.request.selection.takes(facts) {
                self.selected.insert(&lane);
                let depth = record.depth_at(at.0.saturating_sub(position.0));
                let (event, behind) = (event.clone(), at.before());
                let (cause, is_unknown, to) = (None, false, None);
                opened.push(Added { event, of: at, at, behind, depth, cause, is_unknown, to });
            } else if at > self.begin.selection {
                self.left_out.insert(&lane);
            }
        }
        opened.into_iter().try_for_each(|added| self.add(added))
    }
}
