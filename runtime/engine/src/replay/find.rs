//! Finds the calls of a handler anywhere in the log, through the history's index: nothing but the records of their keys is read.
//!
//! It comes to the same calls as a walk through the whole log. Knows no modules.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use weirgate_history::{HistoryError, Look};
use weirgate_types::{Commit, DeliveryId, HandlerName, Position, Record};

use super::attempts::{Attempts, Ended, EndedCall};
use crate::job::StoredRecord;

/// Maximum number of records that are read to find one call. Where a key had more than these while one of its events waited, the
/// call is left out.
const RECORDS_MAX: usize = 16 * 1_024;
/// How many positions are asked for at once.
const POSITIONS: usize = 256;
/// Maximum number of keys whose attempts are in memory, and of ended calls of each.
const LANES_MAX: usize = 1_024;
const ENDED_MAX: usize = 64;

/// See the module documentation. Cheap when it is asked in order of positions: it goes on where it was.
pub struct Finder {
    look: Arc<Look>,
    /// Nothing behind it is looked at.
    through: Position,
    lanes: BTreeMap<(HandlerName, String), Lane>,
    read: u64,
}

/// What was found of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Call(EndedCall),
    /// Attempts of the call end later, or the log has lost its beginning.
    NotEnded,
    /// There are too many records of the key since its event.
    TooFar,
}

/// The attempts of one handler and key, from a position on.
struct Lane {
    attempts: Attempts,
    from: Position,
    /// Read from the index, not yet from the log.
    next: VecDeque<Position>,
    asked_through: Position,
    /// The newest ended calls, or the parts of them that are the key's.
    ended: VecDeque<EndedCall>,
}

impl Finder {
    /// Looks at nothing behind `through`.
    #[must_use]
    pub fn new(look: Arc<Look>, through: Position) -> Self {
        Self { look, through, lanes: BTreeMap::new(), read: 0 }
    }

    /// Number of records that were read.
    #[must_use]
    pub fn records_read(&self) -> u64 {
        self.read
    }

    /// The positions of the last records with commits of a handler, in order; at most `limit`.
    ///
    /// # Errors
    /// The index or the log cannot be read.
    pub fn last_commits(&self, handler: &HandlerName, limit: usize) -> Result<Vec<Position>, HistoryError> {
        let (mut found, mut before) = (Vec::new(), self.through.next());
        while found.len() < limit
            && let Some(position) = self.look.of_commits_before(handler, before)?
        {
            found.push(position);
            before = position;
        }
        found.reverse();
        Ok(found)
    }

    /// The calls whose last commit is in the record at a position, those of one handler or of all; each with what was found of it,
    /// and the delivery that it was found by.
    ///
    /// # Errors
    /// The index or the log cannot be read.
    pub fn calls_at(
        &mut self,
        position: Position,
        handler: Option<&HandlerName>,
    ) -> Result<Vec<(DeliveryId, Found)>, HistoryError> {
        let Some(record) = self.read(position)? else { return Ok(Vec::new()) };
        let mut calls: Vec<(DeliveryId, Found)> = Vec::new();
        for commit in record.commits().iter().filter(|commit| handler.is_none_or(|name| commit.handler == *name)) {
            let delivery = commit.delivery();
            let has = |(_, found): &(DeliveryId, Found)| matches!(found, Found::Call(call) if holds(call, &delivery));
            if !calls.iter().any(has) {
                let found = self.call(position, commit)?;
                calls.push((delivery, found));
            }
        }
        Ok(calls)
    }

    /// The call of a commit.
    fn call(&mut self, position: Position, commit: &Commit) -> Result<Found, HistoryError> {
        let delivery = commit.delivery();
        let is_its = |ended: &Ended| ended.begun.delivery == delivery && ended.commit == Some(position);
        let own_part = match self.part(&delivery, &commit.key, &is_its)? {
            Found::Call(part) => part,
            other => return Ok(other),
        };
        let Some(own) = own_part.iter().find(|ended| is_its(ended)) else { return Ok(Found::NotEnded) };
        let mut items = BTreeMap::new();
        for (at, other) in self.begun_with(own)? {
            if items.contains_key(&at) {
                continue;
            }
            let is_own = own_part.iter().any(|ended| ended.begun.at == at);
            match if is_own { Found::Call(own_part.clone()) } else { self.part_at(at, &other)? } {
                Found::Call(part) => items.extend(part.into_iter().map(|ended| (ended.begun.at, ended))),
                other => return Ok(other),
            }
        }
        let call: EndedCall = items.into_values().collect();
        let last = call.iter().filter_map(|ended| ended.commit).max();
        Ok(if last == Some(position) { Found::Call(call) } else { Found::NotEnded })
    }

    /// The `Attempted` records of an attempt's call, and their deliveries: they are next to each other.
    fn begun_with(&mut self, own: &Ended) -> Result<Vec<(Position, DeliveryId)>, HistoryError> {
        let Some(Record::Attempted { call, .. }) = self.read(own.begun.at)? else { return Ok(Vec::new()) };
        let mut all = VecDeque::from([(own.begun.at, own.begun.delivery.clone())]);
        let mut at = own.begun.at.before();
        while let Some(delivery) = self.attempted_in(at, &own.begun.delivery.handler, call)? {
            all.push_front((at, delivery));
            at = at.before();
        }
        let mut at = own.begun.at.next();
        while let Some(delivery) = self.attempted_in(at, &own.begun.delivery.handler, call)? {
            all.push_back((at, delivery));
            at = at.next();
        }
        Ok(all.into())
    }

    fn attempted_in(
        &mut self,
        at: Position,
        handler: &HandlerName,
        of: Position,
    ) -> Result<Option<DeliveryId>, HistoryError> {
        match self.read(at)? {
            Some(Record::Attempted { delivery, call, .. }) if delivery.handler == *handler && call == of => {
                Ok(Some(delivery))
            }
            _ => Ok(None),
        }
    }

    /// The part of a call with the attempt that began at a position.
    fn part_at(&mut self, at: Position, delivery: &DeliveryId) -> Result<Found, HistoryError> {
        let event = StoredRecord::read(self.look.log(), delivery.position)?;
        let key = event.as_ref().and_then(|stored| stored.event(delivery.position)).map(|event| event.key().to_owned());
        let Some(key) = key else { return Ok(Found::NotEnded) };
        self.part(delivery, &key, &|ended| ended.begun.at == at)
    }

    /// The ended call with the attempt that `is` wanted; of a batch, what is the key's.
    fn part(&mut self, delivery: &DeliveryId, key: &str, is: &impl Fn(&Ended) -> bool) -> Result<Found, HistoryError> {
        let id = (delivery.handler.clone(), key.to_owned());
        let since = delivery.position.before();
        let known = self.lanes.remove(&id).filter(|lane| lane.from <= since);
        let is_new = known.is_none();
        let mut lane = known.unwrap_or_else(|| Lane::new(since));
        let mut found = lane.find(is).map_or_else(|| self.read_on(&mut lane, &id, is), Ok)?;
        if !is_new && !matches!(found, Found::Call(_)) {
            // It ended before those that are remembered.
            lane = Lane::new(since);
            found = self.read_on(&mut lane, &id, is)?;
        }
        if self.lanes.len() >= LANES_MAX {
            self.lanes.pop_first();
        }
        self.lanes.insert(id, lane);
        Ok(found)
    }

    fn read_on(
        &mut self,
        lane: &mut Lane,
        id: &(HandlerName, String),
        is: &impl Fn(&Ended) -> bool,
    ) -> Result<Found, HistoryError> {
        for _ in 0..RECORDS_MAX {
            let Some(position) = lane.next(&self.look, id, self.through)? else { return Ok(Found::NotEnded) };
            let Some(record) = self.read(position)? else { continue };
            lane.apply(position, &record);
            if let Some(found) = lane.find(is) {
                return Ok(found);
            }
        }
        Ok(Found::TooFar)
    }

    fn read(&mut self, position: Position) -> Result<Option<Record>, HistoryError> {
        self.read += 1;
        Ok(self.look.log().read(position)?.filter(|(first, _)| *first == position).map(|(_, record)| record))
    }
}

fn holds(call: &EndedCall, delivery: &DeliveryId) -> bool {
    call.iter().any(|ended| ended.begun.delivery == *delivery)
}

impl Lane {
    fn new(from: Position) -> Self {
        let (next, ended) = (VecDeque::new(), VecDeque::new());
        Self { attempts: Attempts::default(), from, next, asked_through: from, ended }
    }

    fn apply(&mut self, position: Position, record: &Record) {
        self.ended.extend(self.attempts.apply(position, record));
        while self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }

    fn find(&self, is: &impl Fn(&Ended) -> bool) -> Option<Found> {
        self.ended.iter().rev().find(|call| call.iter().any(is)).cloned().map(Found::Call)
    }

    /// The next record of the key, or of its handler's deployments and removals.
    fn next(
        &mut self,
        look: &Look,
        (handler, key): &(HandlerName, String),
        through: Position,
    ) -> Result<Option<Position>, HistoryError> {
        if self.next.is_empty() && self.asked_through < through {
            let mut of_key = look.of_lane(handler, key, self.asked_through, POSITIONS)?;
            let until = if of_key.len() < POSITIONS { through } else { of_key.last().copied().unwrap_or(through) };
            let of_handler = look.of_handler(handler, self.asked_through, POSITIONS)?;
            let until = if of_handler.len() < POSITIONS {
                until
            } else {
                until.min(of_handler.last().copied().unwrap_or(until))
            };
            of_key.extend(of_handler);
            of_key.retain(|position| *position <= until);
            of_key.sort_unstable();
            of_key.dedup();
            (self.next, self.asked_through) = (of_key.into(), until);
        }
        Ok(self.next.pop_front())
    }
}
