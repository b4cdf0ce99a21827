//! Deletes identities that have left their window: a part of the log in each pass, so that the index does not grow without
//! bound.

use weirgate_log::LogReader;
use weirgate_types::{Position, Record};
use weirgate_views::Views;

use super::Ingress;
use crate::{StorageError, keys, projection::Projection, tables};

/// Minimum number of records that a pass visits; it also keeps up with new ones.
const RECORDS_MIN: usize = 64;
/// Number of records visited per record that was just made durable.
const RECORDS_FOR_EACH: usize = 2;

/// Up to which position identities have been deleted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Forgotten {
    through: Position,
    /// When the next record was written, once known: there is nothing to do before it has left the window.
    next_at_ms: Option<u64>,
}

impl Forgotten {
    fn through(through: Position) -> Self {
        Self { through, next_at_ms: None }
    }
}

/// The state that deleting identities reads and changes.
pub struct Index<'a> {
    pub reader: &'a LogReader,
    pub views: &'a Views,
    pub projection: &'a mut Projection,
}

impl Ingress {
    /// Identities up to a position were deleted before this start.
    pub fn restore_forgotten(&mut self, through: Position) {
        self.forgotten = Forgotten::through(through);
    }

    /// Deletes identities that have left the window. Returns how many records were read; `committed` is the number that the
    /// last commit made durable.
    pub fn forget(
        &mut self,
        index: Index<'_>,
        committed: usize,
        head: Position,
        now_ms: u64,
    ) -> Result<usize, StorageError> {
        let Index { reader, views, projection } = index;
        let mut forgotten = self.forgotten;
        // A row that this pass has made is not there yet to be removed: its turn comes with the next pass.
        let applied = views.applied();
        let remembers = |position: Position, at_ms| position > applied || self.remembers(position, at_ms, head, now_ms);
        if remembers(forgotten.through.next(), forgotten.next_at_ms) {
            return Ok(0);
        }
        let records = RECORDS_MIN.max(committed.saturating_mul(RECORDS_FOR_EACH));
        let mut read_records = 0;
        for read in reader.scan(forgotten.through.next()).take(records) {
            let (position, record) = read?;
            read_records += 1;
            forgotten.next_at_ms = Some(record.at_ms());
            if remembers(position, forgotten.next_at_ms) {
                break;
            }
            self.forget_one(position, &record, views, projection)?;
            forgotten = Forgotten::through(position.plus(record.width()).before());
        }
        if forgotten.through > self.forgotten.through {
            projection.put(tables::FORGOTTEN.prefix().to_vec(), keys::position_value(forgotten.through));
        }
        self.forgotten = forgotten;
        Ok(read_records)
    }

    /// Whether the record at a position is in the window, as far as is known.
    fn remembers(&self, position: Position, at_ms: Option<u64>, head: Position, now_ms: u64) -> bool {
        self.window.holds(position, head) && at_ms.is_some_and(|at_ms| self.window.holds_age(at_ms, now_ms))
    }

    fn forget_one(
        &self,
        position: Position,
        record: &Record,
        views: &Views,
        projection: &mut Projection,
    ) -> Result<(), StorageError> {
        let Record::Accepted { event, .. } = record else { return Ok(()) };
        let row = keys::identity(&event.source, &event.id);
        // It may have been accepted again since, even in this pass, whose changes the views do not have yet.
        if self.identities.newest(&row).is_some_and(|newest| newest != position) {
            return Ok(());
        }
        if views.get(&row)?.and_then(|value| keys::value_position(&value)) == Some(position) {
            projection.remove(row);
        }
        Ok(())
    }
}
