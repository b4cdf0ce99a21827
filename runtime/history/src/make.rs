//! Makes the tables of sealed segments, one at a time, for a thread that has nothing else to do.

use weirgate_log::Sealed;
use weirgate_types::Position;

use crate::{
    History, HistoryError,
    build::gather,
    merge::Merge,
    table::{Kind, Origin, TableError},
};

/// A snapshot is made once the log has grown by this many times the size of the last one: so they take an eighth of the log's
/// space, and all the work for them is a share of that for the log.
const GROWTH: u64 = 8;
/// A snapshot is made after this many segments at the latest: they are read at once.
const SEGMENTS_MAX: usize = 64;

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The index of the segment that begins here.
    Index(Position),
    /// The snapshot of the state as of here.
    Snapshot(Position),
    /// Everything is made.
    Nothing,
    /// There is something to make, and no room for it on the disk.
    NoRoom,
}

impl History {
    /// Makes one table, if one is missing. `has_room` says whether a number of bytes is free on the disk.
    ///
    /// # Errors
    /// The log cannot be read or the table not be written: nothing was made.
    pub fn make_next(&self, has_room: &dyn Fn(u64) -> bool) -> Result<Made, HistoryError> {
        let sealed = self.log.sealed();
        // Newer tables are not made while an older one is missing, so a snapshot has all its segments.
        let missing = sealed.iter().position(|sealed| !self.files.has(&self.origin(Kind::Index, sealed)));
        let indexed = sealed.get(..missing.unwrap_or(sealed.len())).unwrap_or_default();
        if let Some(due) = self.due_snapshot(indexed) {
            return self.make_snapshot(&due, has_room);
        }
        let Some(segment) = missing.and_then(|at| sealed.get(at)) else { return Ok(Made::Nothing) };
        if !has_room(segment.end) {
            return Ok(Made::NoRoom);
        }
        let origin = self.origin(Kind::Index, segment);
        let (rows, _) = gather(&self.log, self.terms, segment.first, Some(segment.last))?;
        self.files.put(&origin, rows.into_iter().map(Ok))?;
        self.drop_built(&origin);
        Ok(Made::Index(segment.first))
    }

    /// The segments that the next snapshot adds to the one before, if it is due.
    fn due_snapshot<'a>(&self, indexed: &'a [Sealed]) -> Option<Due<'a>> {
        let last = indexed.last()?.last;
        let before = self.files.snapshot_until(last);
        let through = before.map_or(Position::ZERO, |(position, _)| position);
        let added = indexed.get(indexed.partition_point(|sealed| sealed.last <= through)..)?;
        let grown: u64 = added.iter().map(|sealed| sealed.end).sum();
        let bytes = before.map_or(0, |(_, bytes)| bytes);
        let is_due = grown > bytes.saturating_mul(GROWTH) || added.len() >= SEGMENTS_MAX;
        (!added.is_empty() && is_due).then_some(Due {
            through,
            bytes,
            added: added.get(..added.len().min(SEGMENTS_MAX))?,
        })
    }

    fn make_snapshot(&self, due: &Due, has_room: &dyn Fn(u64) -> bool) -> Result<Made, HistoryError> {
        let Some(segment) = due.added.last() else { return Ok(Made::Nothing) };
        if !has_room(due.added.iter().map(|sealed| sealed.end).sum::<u64>().saturating_add(due.bytes)) {
            return Ok(Made::NoRoom);
        }
        let before = self.log.sealed().into_iter().find(|sealed| sealed.last == due.through);
        let before = before.map(|sealed| self.origin(Kind::Snapshot, &sealed));
        let origins = before.into_iter().chain(due.added.iter().map(|sealed| self.origin(Kind::Index, sealed)));
        let origins: Vec<_> = origins.collect();
        match self.merge(&origins, &self.origin(Kind::Snapshot, segment)) {
            Ok(true) => Ok(Made::Snapshot(segment.last)),
            // One that was damaged is made again first.
            Ok(false) => Ok(Made::Nothing),
            Err(TableError::Damaged(_)) => {
                self.forget_damaged(&origins)?;
                Ok(Made::Nothing)
            }
            Err(TableError::Io(error)) => Err(error.into()),
        }
    }

    /// Merges tables into one. Returns whether all of them are there.
    fn merge(&self, origins: &[Origin], into: &Origin) -> Result<bool, TableError> {
        let mut merge = Merge::default();
        for origin in origins {
            let Some(table) = self.files.table(origin)? else { return Ok(false) };
            merge.add(table.rows())?;
        }
        self.files.put(into, merge)?;
        Ok(true)
    }

    fn forget_damaged(&self, origins: &[Origin]) -> Result<(), HistoryError> {
        for origin in origins {
            let Some(table) = self.files.table(origin)? else { continue };
            if let Err(error @ TableError::Damaged(_)) = table.verify() {
                self.files.forget(origin, &error);
            }
        }
        Ok(())
    }
}

/// What a snapshot is made of.
struct Due<'a> {
    /// The snapshot before, and its size.
    through: Position,
    bytes: u64,
    added: &'a [Sealed],
}
