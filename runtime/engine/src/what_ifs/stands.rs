//! What stands now, in the log.

use weirgate_types::{HandlerName, Position, Record};

use crate::{
    StorageError,
    replay::{PartWrite, ReplayError, Sources, Stands},
};

/// See the module documentation.
pub struct Now<'a> {
    sources: &'a Sources,
    handler: &'a HandlerName,
}

impl<'a> Now<'a> {
    pub fn new(sources: &'a Sources, handler: &'a HandlerName) -> Self {
        Self { sources, handler }
    }

    /// The last write of a subject's part in the records that `before` finds, one before the other.
    fn last_write(
        &self,
        subject: &str,
        mut from: Position,
        before: impl Fn(Position) -> Result<Option<Position>, ReplayError>,
        counts: impl Fn(Position, &str) -> bool,
    ) -> Result<Option<PartWrite>, ReplayError> {
        while let Some(at) = before(from)? {
            let Some((first, record)) = self.sources.look.log().read(at).map_err(StorageError::from)? else { break };
            if let Some(found) = self.write_in((first, &record), subject, |key| counts(first, key)) {
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

impl Stands for Now<'_> {
    type Error = ReplayError;

    fn part_beside(&self, key: &str, subject: &str, since: Position) -> Result<Option<PartWrite>, ReplayError> {
        let (look, end) = (&self.sources.look, Position(u64::MAX));
        let counts = |at: Position, by: &str| by != key || at < since;
        // The key that has the subject's name, and all others.
        let from = if subject == key { since } else { end };
        let named = self.last_write(subject, from, |at| Ok(look.of_lane_before(self.handler, subject, at)?), counts)?;
        let others = self.last_write(subject, end, |at| Ok(look.of_part_before(self.handler, subject, at)?), counts)?;
        Ok(named.into_iter().chain(others).max_by_key(|write| write.at))
    }
}
