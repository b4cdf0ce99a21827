//! The positions of a key, with their records: those that are the key's, whatever their hash.

use std::{collections::VecDeque, sync::Arc};

use weirgate_history::{HistoryError, Look};
use weirgate_log::Scan;
use weirgate_types::{Event, Position, RUNTIME_TYPES, Record, Stepped};

use crate::job::StoredRecord;

/// How many positions are asked for at once.
const POSITIONS: usize = 256;
/// Positions that are closer to each other than this are read by a scan.
const CLOSE: u64 = 64;

pub struct Cursor<'a> {
    look: &'a Look,
    key: &'a str,
    /// The last position that was asked for.
    after: Position,
    next: VecDeque<Position>,
    /// The events that a record emits follow it.
    last: Option<StoredRecord>,
    /// Behind the last record, while the key's positions follow each other closely.
    scan: Option<Scan>,
}

impl<'a> Cursor<'a> {
    pub fn new(look: &'a Look, key: &'a str, after: Position) -> Self {
        Self { look, key, after, next: VecDeque::new(), last: None, scan: None }
    }

    /// The next position that may be the key's.
    pub fn peek(&mut self) -> Result<Option<Position>, HistoryError> {
        if self.next.is_empty() {
            self.next = self.look.of_key(self.key, self.after, POSITIONS)?.into();
            self.after = self.next.back().copied().unwrap_or(self.after);
        }
        Ok(self.next.front().copied())
    }

    /// Takes that position, and its record if it is the key's.
    pub fn take(&mut self) -> Result<Option<(Position, StoredRecord)>, HistoryError> {
        let Some(position) = self.peek()? else { return Ok(None) };
        self.next.pop_front();
        let Some(stored) = self.stored(position)? else { return Ok(None) };
        self.last = Some(stored.clone());
        Ok(self.is_of_key(position, &stored)?.then_some((position, stored)))
    }

    /// The record that covers a position. Positions that follow each other closely are read in one go.
    fn stored(&mut self, position: Position) -> Result<Option<StoredRecord>, HistoryError> {
        let Some(last) = self.last.take() else { return Ok(StoredRecord::read(self.look.log(), position)?) };
        if covers(&last, position) {
            return Ok(Some(last));
        }
        if position.0.saturating_sub(last.first.0) > CLOSE {
            self.scan = None;
            return Ok(StoredRecord::read(self.look.log(), position)?);
        }
        let behind = last.first.plus(last.record.width());
        let scan = self.scan.get_or_insert_with(|| self.look.log().scan(behind));
        for read in scan {
            let (first, record) = read?;
            let stored = StoredRecord { first, record: Arc::new(record) };
            if covers(&stored, position) {
                return Ok(Some(stored));
            }
        }
        // What is newer than the scan.
        self.scan = None;
        Ok(StoredRecord::read(self.look.log(), position)?)
    }

    fn is_of_key(&self, position: Position, stored: &StoredRecord) -> Result<bool, HistoryError> {
        // Its own event is the runtime's: the record says more.
        if let Record::Repaired(repaired) = &*stored.record
            && position == stored.first
        {
            return Ok(repaired.key == self.key);
        }
        if let Some(event) = stored.event(position) {
            // What the runtime's own notices say, the records say.
            return Ok(event.key() == self.key && !event.r#type.starts_with(RUNTIME_TYPES));
        }
        Ok(match &*stored.record {
            Record::Attempted { delivery, .. } | Record::Stepped(Stepped { delivery, .. }) => {
                let event = StoredRecord::read(self.look.log(), delivery.position)?;
                let key = event.as_ref().and_then(|stored| stored.event(delivery.position)).map(Event::key);
                key == Some(self.key)
            }
            Record::DeliveryDecided(decided) => decided.key == self.key,
            Record::Released { key, .. } => key == self.key,
            Record::GapPassed(gap) => gap.key == self.key,
            Record::CorrectionRefused(refused) => refused.key == self.key,
            record => record.effects().any(|written| written.key == self.key),
        })
    }
}

fn covers(stored: &StoredRecord, position: Position) -> bool {
    stored.first <= position && position < stored.first.plus(stored.record.width())
}
