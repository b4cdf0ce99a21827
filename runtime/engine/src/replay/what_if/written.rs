//! Writes of a handler's parts of statuses, in the log.

use weirgate_history::Look;
use weirgate_types::{HandlerName, Position, Record};

use super::parts::PartWrite;
use crate::{StorageError, replay::ReplayError};

/// See the module documentation.
pub struct PartWrites<'a> {
    pub look: &'a Look,
    pub handler: &'a HandlerName,
}

impl PartWrites<'_> {
    /// The last write of a subject's part that counts, by its record and key: of the key that has the subject's name before the first
    /// position, of all others before the second.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn last(
        &self,
        subject: &str,
        (named, others): (Position, Position),
        counts: impl Fn((Position, &Record), &str) -> bool,
    ) -> Result<Option<PartWrite>, ReplayError> {
        let Self { look, handler } = self;
        let named = self.last_of(subject, named, |at| Ok(look.of_lane_before(handler, subject, at)?), &counts)?;
        let others = self.last_of(subject, others, |at| Ok(look.of_part_before(handler, subject, at)?), &counts)?;
        Ok(named.into_iter().chain(others).max_by_key(|write| write.at))
    }

    /// The same in the records that `before` finds, one before the other.
    fn last_of(
        &self,
        subject: &str,
        mut from: Position,
        before: impl Fn(Position) -> Result<Option<Position>, ReplayError>,
        counts: impl Fn((Position, &Record), &str) -> bool,
    ) -> Result<Option<PartWrite>, ReplayError> {
        while let Some(at) = before(from)? {
            let Some((first, record)) = self.look.log().read(at).map_err(StorageError::from)? else { break };
            if let Some(found) = self.write_in((first, &record), subject, |key| counts((first, &record), key)) {
                return Ok(Some(found));
            }
            from = first;
        }
        Ok(None)
    }

    /// What a record leaves of a subject's part, of the keys that count.
    fn write_in(
        &self,
        (at, record): (Position, &Record),
        subject: &str,
        counts: impl Fn(&str) -> bool,
    ) -> Option<PartWrite> {
        if let Record::Repaired(repaired) = record
            && repaired.handler == *self.handler
            && counts(&repaired.key)
            && repaired.unset.iter().any(|unset| unset == subject)
        {
            return Some(PartWrite { at, status: None });
        }
        let written = record.effects().filter(|written| written.handler == self.handler && counts(written.key));
        let writes = written.flat_map(|written| &written.effects.status);
        let last = writes.filter(|write| write.subject == subject).last()?;
        Some(PartWrite { at, status: Some(last.clone()) })
    }
}
