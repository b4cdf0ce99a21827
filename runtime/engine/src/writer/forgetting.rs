//! Forgetting identities that have left their window: a part of the log in each pass, so that the index does not grow for ever.

use weirgate_types::{Position, Record};

use super::{Exit, Writer};
use crate::keys;

/// How many records a pass looks at, at least; it keeps up with what comes in.
const RECORDS_MIN: usize = 64;
/// For each record that was just made durable it looks at so many.
const RECORDS_FOR_EACH: usize = 2;

/// How far the identities of the log have been forgotten.
#[derive(Debug, Default, Clone, Copy)]
pub struct Forgotten {
    through: Position,
    /// When the record behind it was written, once that was read: there is nothing to do before it has left the window.
    next_at_ms: Option<u64>,
}

impl Forgotten {
    pub fn through(through: Position) -> Self {
        Self { through, next_at_ms: None }
    }
}

impl Writer {
    /// Forget what has left the window. The rows go with those of this pass.
    pub(super) fn forget_identities(&mut self) -> Result<(), Exit> {
        let (head, now_ms) = (self.log.head(), self.time.at_ms());
        let mut forgotten = self.forgotten;
        if self.remembers(forgotten.through.next(), forgotten.next_at_ms, head, now_ms) {
            return Ok(());
        }
        let records = RECORDS_MIN.max(self.synced_records.saturating_mul(RECORDS_FOR_EACH));
        for read in self.reader.scan(forgotten.through.next()).take(records) {
            let (position, record) = read?;
            self.budget.spend(1);
            forgotten.next_at_ms = Some(record.at_ms());
            if self.remembers(position, forgotten.next_at_ms, head, now_ms) {
                break;
            }
            self.forget(position, &record)?;
            forgotten = Forgotten::through(position.plus(record.width()).before());
        }
        if forgotten.through > self.forgotten.through {
            self.projection.put(keys::FORGOTTEN.to_vec(), keys::position_value(forgotten.through), false);
        }
        self.forgotten = forgotten;
        Ok(())
    }

    /// Whether the record at a position is in the window, as far as is known.
    fn remembers(&self, position: Position, at_ms: Option<u64>, head: Position, now_ms: u64) -> bool {
        position > head
            || self.identity_window.holds(position, head)
                && at_ms.is_some_and(|at_ms| self.identity_window.holds_age(at_ms, now_ms))
    }

    fn forget(&mut self, position: Position, record: &Record) -> Result<(), Exit> {
        let Record::Accepted { event, .. } = record else { return Ok(()) };
        let row = keys::identity(&event.source, &event.id);
        // It may have been accepted anew since, and in this pass, of which the views know nothing yet.
        if self.identities.newest(&row).is_some_and(|newest| newest != position) {
            return Ok(());
        }
        if self.views.get(&row)?.and_then(|value| keys::value_position(&value)) == Some(position) {
            self.projection.remove(row);
        }
        Ok(())
    }
}
