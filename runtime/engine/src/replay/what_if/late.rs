//! The calls that late deliveries have made. What a replay appends is delivered at the end of the log, and so is what that leads to; in the
//! fork these events come where they belong, and their deliveries get the answers that the late ones got.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use weirgate_types::{Commit, DeliveryId, Digest, Event, HandlerName, Position, Record, Repaired, Stepped};

use super::{calls::LateStep, delivered::closed, emissions::content, request::Closed, run::LaneId, walk::Walk};
use crate::{StorageError, replay::ReplayError};

/// How many positions are asked for at once.
const PAGE: usize = 1_024;

/// A call of a late delivery, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateCall {
    /// The late delivery's event.
    pub by: Position,
    pub call: Stepped,
}

impl LateCall {
    #[must_use]
    pub fn step(&self) -> LateStep {
        (self.by, self.call.step.clone(), self.call.request.digest)
    }
}

/// The events that handlers and keys have emitted, as far as was asked for them: their positions by a digest of their content, in order.
#[derive(Default)]
pub struct Emitted(RefCell<Known>);

#[derive(Default)]
struct Known {
    lanes: HashMap<LaneId, Arc<[(Digest, Position)]>>,
    bytes: usize,
}

impl Emitted {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.0.borrow().bytes
    }

    pub fn forget(&self) {
        self.0.take();
    }
}

impl Walk {
    /// The calls of a receiver's late deliveries of an event that the fork has here, and that a handler's key emits.
    pub fn late_calls(
        &self,
        receiver: &HandlerName,
        emitter: &LaneId,
        event: &Event,
    ) -> Result<Vec<LateCall>, ReplayError> {
        let (known, here, digest) = (self.emitted_by(emitter)?, self.at(), content(event));
        let mut calls = Vec::new();
        let first = known.partition_point(|(of, at)| (*of, *at) <= (digest, here));
        for (_, at) in known.iter().skip(first).take_while(|(of, _)| *of == digest) {
            if self.is_late(*at)? {
                self.calls_for(&DeliveryId { handler: receiver.clone(), position: *at }, event.key(), &mut calls)?;
            }
        }
        Ok(calls)
    }

    /// The events that a handler's key has emitted, with its repairs.
    fn emitted_by(&self, lane: &LaneId) -> Result<Arc<[(Digest, Position)]>, ReplayError> {
        if let Some(known) = self.emitted.0.borrow().lanes.get(lane) {
            return Ok(Arc::clone(known));
        }
        let mut emitted = Vec::new();
        self.each_of(lane, Position::ZERO, |first, record| {
            emitted.extend(emitted_in(first, record, lane).map(|(at, event)| (content(event), at)));
            true
        })?;
        emitted.sort_unstable();
        let mut known = self.emitted.0.borrow_mut();
        let bytes =
            size_of_val(emitted.as_slice()).saturating_add(2 * size_of::<LaneId>()).saturating_add(lane.1.len());
        known.bytes = known.bytes.saturating_add(bytes);
        Ok(Arc::clone(known.lanes.entry(lane.clone()).or_insert(emitted.into())))
    }

    /// Whether an event follows from what a replay has appended, and stands: the repair was not undone, or its undo has not handed it over to
    /// be compensated.
    fn is_late(&self, mut event: Position) -> Result<bool, ReplayError> {
        while let Some((first, record)) = self.log().read(event).map_err(StorageError::from)? {
            let of = match &record {
                Record::Repaired(repaired) => {
                    let lane = (repaired.handler.clone(), repaired.key.clone());
                    let is_left = || {
                        Ok::<_, ReplayError>(
                            !self.is_undone(repaired.replay, &lane)? || !self.is_handed_over(repaired, &lane, first)?,
                        )
                    };
                    return Ok(!repaired.is_undo && is_left()?);
                }
                Record::Released { delivery, .. } => Some(delivery.position),
                _ => emitter_of(first, &record, event).map(|commit| commit.event),
            };
            match of {
                Some(of) if of < event => event = of,
                _ => break,
            }
        }
        Ok(false)
    }

    /// Whether the undo of a repair has handed over what that had appended.
    fn is_handed_over(&self, repaired: &Repaired, lane: &LaneId, at: Position) -> Result<bool, ReplayError> {
        let mut is_handed_over = false;
        self.each_of(lane, at, |_, record| {
            let undo = if let Record::Repaired(one) = record { Some(one) } else { None };
            let undo = undo.filter(|one| one.is_undo && one.replay == repaired.replay);
            is_handed_over |= undo.is_some_and(|undo| undo.corrected.is_some());
            !is_handed_over
        })?;
        Ok(is_handed_over)
    }

    /// Takes the calls of a delivery that have a final answer.
    fn calls_for(&self, delivery: &DeliveryId, key: &str, calls: &mut Vec<LateCall>) -> Result<(), ReplayError> {
        let lane = (delivery.handler.clone(), key.to_owned());
        self.each_of(&lane, delivery.position, |_, record| match record {
            Record::Stepped(call) if call.delivery == *delivery && call.result.finished().is_some() => {
                calls.push(LateCall { by: delivery.position, call: call.clone() });
                true
            }
            // A dead letter may be retried, and is answered then.
            _ => record.commit_of(delivery).is_none_or(|commit| closed(commit) != Some(Closed::Completed)),
        })
    }

    /// Reads a handler's and key's records behind a position, as long as `take` says to go on.
    fn each_of(
        &self,
        (handler, key): &LaneId,
        mut after: Position,
        mut take: impl FnMut(Position, &Record) -> bool,
    ) -> Result<(), ReplayError> {
        let through = self.asked.through();
        loop {
            let page = self.look.of_lane(handler, key, after, PAGE)?;
            for position in page.iter().copied().take_while(|position| *position <= through) {
                let read = self.log().read(position).map_err(StorageError::from)?;
                if read.is_some_and(|(first, record)| !take(first, &record)) {
                    return Ok(());
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE && *last < through => after = *last,
                _ => return Ok(()),
            }
        }
    }
}

/// The events of a record that a handler's key has emitted, with their positions.
fn emitted_in<'r>(
    first: Position,
    record: &'r Record,
    (handler, key): &'r LaneId,
) -> impl Iterator<Item = (Position, &'r Event)> {
    record.events(first).filter(move |(at, _)| match record {
        Record::Repaired(repaired) => *at > first && repaired.handler == *handler && repaired.key == *key,
        Record::Released { delivery, key: of, .. } => delivery.handler == *handler && of == key,
        _ => emitter_of(first, record, *at).is_some_and(|commit| commit.handler == *handler && commit.key == *key),
    })
}

/// The commit that has emitted an event of a record.
fn emitter_of(first: Position, record: &Record, event: Position) -> Option<&Commit> {
    record.commit_emitting(event.0.checked_sub(first.0)?.checked_sub(1)?)
}
