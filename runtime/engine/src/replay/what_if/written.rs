//! Writes of a handler's parts of statuses, in the log.

use weirgate_history::{HistoryError, Look};
use weirgate_log::LogReader;
use weirgate_types::{HandlerName, Position, Record};

use super::parts::PartWrite;
use crate::{StorageError, replay::ReplayError};

/// See the module documentation.
pub struct PartWrites<'a> {
    pub look: &'a Look,
    pub handler: &'a HandlerName,
}

impl PartWrites<'_> {
    /// The last write of a subject's part behind a position that counts, by its record and key: of the key that has the subject's name
    /// before the first position, of all others before the second.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn last(
        &self,
        (subject, after): (&str, Position),
        (named, others): (Position, Position),
        counts: impl Fn((Position, &Record), &str) -> bool,
    ) -> Result<Option<PartWrite>, ReplayError> {
        let Self { look, handler } = self;
        let write =
            |at: Position, record: &Record| part_in((at, record), handler, subject, |key| counts((at, record), key));
        let named = last_in(look.log(), (after, named), |at| look.of_lane_before(handler, subject, at), write)?;
        let others = last_in(look.log(), (after, others), |at| look.of_part_before(handler, subject, at), write)?;
        Ok(named.into_iter().chain(others).max_by_key(|write| write.at))
    }
}

/// What a record leaves of a handler's part of a subject's status, of the keys that count.
pub fn part_in(
    (at, record): (Position, &Record),
    handler: &HandlerName,
    subject: &str,
    counts: impl Fn(&str) -> bool,
) -> Option<PartWrite> {
    if let Record::Repaired(repaired) = record
        && repaired.handler == *handler
        && counts(&repaired.key)
        && repaired.unset.iter().any(|unset| unset == subject)
    {
        return Some(PartWrite { at, by: repaired.key.clone(), status: None });
    }
    let written = record.effects().filter(|written| written.handler == handler && counts(written.key));
    let writes = written.flat_map(|written| written.effects.status.iter().map(move |write| (written.key, write)));
    let (by, last) = writes.filter(|(_, write)| write.subject == subject).last()?;
    Some(PartWrite { at, by: by.to_owned(), status: Some(last.clone()) })
}

/// What is found in the last record behind a position, and before another, that has it; `before` finds the records, one before the other.
///
/// # Errors
/// The log or its index cannot be read.
pub fn last_in<T>(
    log: &LogReader,
    (after, mut from): (Position, Position),
    before: impl Fn(Position) -> Result<Option<Position>, HistoryError>,
    find: impl Fn(Position, &Record) -> Option<T>,
) -> Result<Option<T>, ReplayError> {
    while let Some(at) = before(from)?.filter(|at| *at > after) {
        let Some((first, record)) = log.read(at).map_err(StorageError::from)? else { break };
        if let Some(found) = find(first, &record) {
            return Ok(Some(found));
        }
        from = first;
    }
    Ok(None)
}
