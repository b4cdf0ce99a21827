//! What happened to the handlers of a key while it was under way with them: deployments, modes, breakers, and the replays that repaired the
//! key. A key is under way with a handler from the first event that the handler got to the last record about it.

use std::collections::{HashMap, VecDeque};

use weirgate_history::{HistoryError, Look};
use weirgate_types::{BreakerId, DeliveryId, HandlerName, KeyHash, Mode, Position, Record};

use crate::{Refusal, StorageError, job::StoredRecord, keys, statuses::Statuses};

/// Maximum number of records about handlers that one page reads.
const RECORDS_MAX: usize = 1_000;
/// How many positions are asked for at once.
const POSITIONS: usize = 64;
/// How many of the key's first positions name the handlers whose state at its beginning is told.
const BEGINNING: usize = 64;
/// How many records about a handler are read back for its mode and breaker.
const BACK_MAX: usize = 16;

/// How many repairs of keys with the same hash are read back for one of the key.
const REPAIRS_MAX: usize = 16;

/// A key, and its hash in the views.
#[derive(Clone, Copy)]
pub struct Hashed<'a> {
    pub key: &'a str,
    pub hash: KeyHash,
}

pub struct Meanwhile<'a> {
    look: &'a Look,
    statuses: &'a Statuses,
    key: &'a str,
    hash: KeyHash,
    /// What was in force when the key began: paused handlers, open breakers.
    beginning: VecDeque<(Position, StoredRecord)>,
    /// The last position that was read.
    through: Position,
    next: VecDeque<Position>,
    read: usize,
    /// From when to when the key is under way with each handler; `None`: never.
    ways: HashMap<HandlerName, Option<(Position, Position)>>,
    /// Whether each replay has repaired the key.
    repaired: HashMap<Position, bool>,
}

impl<'a> Meanwhile<'a> {
    pub fn new(
        look: &'a Look,
        statuses: &'a Statuses,
        Hashed { key, hash }: Hashed<'a>,
        after: Position,
    ) -> Result<Self, HistoryError> {
        let mut meanwhile = Self {
            look,
            statuses,
            key,
            hash,
            beginning: VecDeque::new(),
            through: after,
            next: VecDeque::new(),
            read: 0,
            ways: HashMap::new(),
            repaired: HashMap::new(),
        };
        if after == Position::ZERO {
            meanwhile.begin()?;
        }
        Ok(meanwhile)
    }

    /// The next record about a handler of the key, if it is before a position.
    pub fn next_before(&mut self, before: Position) -> Result<Option<(Position, StoredRecord)>, Refusal> {
        if let Some(found) = self.beginning.pop_front() {
            return Ok(Some(found));
        }
        while !self.is_exhausted() && self.through < before {
            if self.next.is_empty() {
                self.next = self.look.of_handlers(self.through, POSITIONS)?.into();
            }
            let Some(position) = self.next.front().copied().filter(|position| *position < before) else {
                return Ok(None);
            };
            self.next.pop_front();
            (self.through, self.read) = (position, self.read + 1);
            let Some(stored) = StoredRecord::read(self.look.log(), position)? else { continue };
            let Some(handler) = handler_of(&stored.record) else { continue };
            let is_meanwhile = self.way(handler)?.is_some_and(|(from, to)| from < position && position < to);
            let replay = replay_of(&stored.record, position);
            if is_meanwhile && replay.map_or(Ok(true), |replay| self.was_repaired(replay))? {
                return Ok(Some((position, stored)));
            }
        }
        Ok(None)
    }

    /// Whether the page has to end here.
    pub fn is_exhausted(&self) -> bool {
        self.read >= RECORDS_MAX
    }

    pub fn through(&self) -> Position {
        self.through
    }

    /// Begins at the key's first position, with what was in force there.
    fn begin(&mut self) -> Result<(), HistoryError> {
        let positions = self.look.of_key(self.key, Position::ZERO, BEGINNING)?;
        let Some(first) = positions.first().copied() else { return Ok(()) };
        self.through = first.before();
        let mut found = Vec::new();
        for position in positions {
            let Some(stored) = StoredRecord::read(self.look.log(), position)? else { continue };
            for handler in handlers(&stored.record) {
                if self.ways.contains_key(&handler) {
                    continue;
                }
                if let Some((from, _)) = self.way(&handler)? {
                    found.extend(self.in_force(&handler, from)?.into_iter().filter(|(at, _)| *at < first));
                }
            }
        }
        found.sort_unstable_by_key(|(position, _)| *position);
        self.beginning = found.into();
        Ok(())
    }

    /// The records that kept a handler from working at a position.
    fn in_force(&self, handler: &HandlerName, at: Position) -> Result<Vec<(Position, StoredRecord)>, HistoryError> {
        let (mut found, mut before, mut mode_seen, mut breaker_seen) = (Vec::new(), at, false, false);
        for _ in 0..BACK_MAX {
            let Some(position) = self.look.of_handler_before(handler, before)? else { break };
            before = position;
            let Some(stored) = StoredRecord::read(self.look.log(), position)? else { continue };
            let holds = match &*stored.record {
                Record::ModeChanged(changed) => {
                    changed.handler == *handler
                        && !std::mem::replace(&mut mode_seen, true)
                        && changed.mode == Mode::Paused
                }
                Record::BreakerChanged(changed) => {
                    let is_own = changed.breaker == BreakerId::Handler(handler.clone());
                    is_own && !std::mem::replace(&mut breaker_seen, true) && changed.open_ms.is_some()
                }
                _ => false,
            };
            if holds {
                found.push((position, stored));
            }
            if mode_seen && breaker_seen {
                break;
            }
        }
        Ok(found)
    }

    /// Whether a replay has repaired the key, or has taken that back. Others change nothing of it.
    fn was_repaired(&mut self, replay: Position) -> Result<bool, Refusal> {
        if let Some(was_repaired) = self.repaired.get(&replay) {
            return Ok(*was_repaired);
        }
        let was_repaired = self.find_repair(replay)?;
        self.repaired.insert(replay, was_repaired);
        Ok(was_repaired)
    }

    fn find_repair(&self, replay: Position) -> Result<bool, StorageError> {
        for is_undo in [false, true] {
            let of_key = keys::repairs_of_key(replay, is_undo, self.hash);
            for row in self.statuses.views.scan_keys(&of_key, None, REPAIRS_MAX)? {
                let Some(repair) = keys::repair_of(&row) else { continue };
                let stored = self.look.log().read(repair.position)?;
                if matches!(stored, Some((_, Record::Repaired(repaired))) if repaired.key == self.key) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn way(&mut self, handler: &HandlerName) -> Result<Option<(Position, Position)>, HistoryError> {
        if let Some(way) = self.ways.get(handler) {
            return Ok(*way);
        }
        let way = self.find_way(handler)?;
        self.ways.insert(handler.clone(), way);
        Ok(way)
    }

    fn find_way(&self, handler: &HandlerName) -> Result<Option<(Position, Position)>, HistoryError> {
        let Some(first) = self.look.of_lane(handler, self.key, Position::ZERO, 1)?.first().copied() else {
            return Ok(None);
        };
        let last = self.look.of_lane_before(handler, self.key, Position(u64::MAX))?.unwrap_or(first);
        let stored = StoredRecord::read(self.look.log(), first)?;
        let of_it = stored.iter().flat_map(|stored| deliveries(&stored.record));
        let events = of_it.filter(|delivery| delivery.handler == *handler).map(|delivery| delivery.position);
        Ok(Some((events.min().unwrap_or(first), last)))
    }
}

fn handlers(record: &Record) -> Vec<HandlerName> {
    deliveries(record).into_iter().map(|delivery| delivery.handler).collect()
}

fn deliveries(record: &Record) -> Vec<DeliveryId> {
    match record {
        Record::GapPassed(gap) => vec![gap.delivery.clone()],
        record => weirgate_core::deliveries_of(record),
    }
}

/// The handler that a record of a deployment, mode, breaker or replay is about.
fn handler_of(record: &Record) -> Option<&HandlerName> {
    match record {
        Record::Deployed(deployed) => Some(&deployed.handler),
        Record::ModeChanged(changed) => Some(&changed.handler),
        Record::ReplayRequested(requested) => Some(&requested.handler),
        Record::ReplayApproved(approved) => Some(&approved.handler),
        Record::ReplayEnded(ended) => Some(&ended.handler),
        Record::ApplyBegun(begun) => Some(&begun.handler),
        Record::UndoRequested(requested) => Some(&requested.handler),
        Record::BreakerChanged(changed) => match &changed.breaker {
            BreakerId::Handler(handler) => Some(handler),
            BreakerId::Host(host) => host.handler.as_ref(),
        },
        _ => None,
    }
}

/// The replay that a record is a step of.
fn replay_of(record: &Record, position: Position) -> Option<Position> {
    match record {
        Record::ReplayRequested(_) => Some(position),
        Record::ReplayApproved(approved) => Some(approved.replay),
        Record::UndoRequested(requested) => Some(requested.replay),
        Record::ApplyBegun(begun) => Some(begun.replay),
        Record::ReplayEnded(ended) => Some(ended.replay),
        _ => None,
    }
}
