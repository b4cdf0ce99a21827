//! Brings the index up to the log's head when it is opened, and makes damaged runs again: reads what no run covers, sorts it, and
//! writes it once.

use std::sync::Arc;

use weirgate_log::LogReader;
use weirgate_types::{Position, Record};

use super::{
    Sizes,
    generation::Generation,
    hash::IdentityHash,
    plan::{self, Span},
    run::{Folder, Run},
};
use crate::{HistoryError, row::Row};

/// The whole index.
pub struct Complete {
    /// Oldest first.
    pub runs: Vec<Arc<Run>>,
    /// What was accepted after the last run, where the disk had no room for another one.
    pub waiting: Option<Generation>,
    /// What was accepted after that.
    pub open: Generation,
}

/// The runs of a folder, and what they lack.
pub fn complete(folder: &Folder, log: &LogReader, floor: Position, sizes: Sizes) -> Result<Complete, HistoryError> {
    let head = log.head();
    let mut runs = folder.open(head)?;
    let spans: Vec<Span> = runs.values().map(|run| run.span).collect();
    let mut open = Generation::new(head);
    let mut waiting = None;
    for gap in plan::gaps(&spans, floor, head) {
        let mut bulk = Bulk { folder, sizes, rows: Vec::new(), first: gap.first, written: Vec::new() };
        bulk.read(log, gap)?;
        if gap.last == head && bulk.rows.len() < sizes.generation {
            open = bulk.generation(head);
        } else if let Err(error) = bulk.write(gap.last) {
            // A disk that is full must not keep the server from starting. What waits is no more than before it stopped, or one bulk.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "identities stay in memory: a run cannot be written"
            );
            waiting = Some(bulk.generation(gap.last)).filter(|_| gap.last == head);
            if waiting.is_none() {
                return Err(error);
            }
        }
        runs.extend(bulk.written.into_iter().map(|run| (run.span.first, run)));
    }
    Ok(Complete { runs: runs.into_values().map(Arc::new).collect(), waiting, open })
}

/// The runs of a part of the log.
pub fn part(folder: &Folder, log: &LogReader, span: Span, sizes: Sizes) -> Result<Vec<Run>, HistoryError> {
    let mut bulk = Bulk { folder, sizes, rows: Vec::new(), first: span.first, written: Vec::new() };
    bulk.read(log, span)?;
    bulk.write(span.last)?;
    Ok(bulk.written)
}

/// What was read and is not written yet.
struct Bulk<'a> {
    folder: &'a Folder,
    sizes: Sizes,
    rows: Vec<Row>,
    /// Where the next run begins.
    first: Position,
    written: Vec<Run>,
}

impl Bulk<'_> {
    /// Reads a part of the log.
    fn read(&mut self, log: &LogReader, span: Span) -> Result<(), HistoryError> {
        let mut failed = None;
        log.each(span.first, span.last, |position, record| {
            let accepted = Record::accepted_identity(record)?;
            if let Some((source, id)) = accepted {
                failed = self.take(IdentityHash::of(source, id), position).err();
            }
            Some(failed.is_none())
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn take(&mut self, identity: IdentityHash, position: Position) -> Result<(), HistoryError> {
        self.rows.push(identity.row(position));
        if self.rows.len() < self.sizes.bulk { Ok(()) } else { self.write(position) }
    }

    /// Writes a run that ends with the record at `last`, an accepted event or the end of the gap.
    fn write(&mut self, last: Position) -> Result<(), HistoryError> {
        if self.first > last {
            return Ok(());
        }
        self.rows.sort_unstable();
        // The newest of each identity.
        self.rows.reverse();
        self.rows.dedup_by_key(|row| IdentityHash::of_row(row));
        self.rows.reverse();
        let run = self.folder.put(Span { first: self.first, last }, self.rows.iter().copied().map(Ok))?;
        self.written.push(run);
        self.rows.clear();
        self.first = last.next();
        Ok(())
    }

    /// What is not written, as a generation.
    fn generation(&self, last: Position) -> Generation {
        let mut generation = Generation::new(self.first.before());
        for row in &self.rows {
            generation.insert(IdentityHash::of_row(row), row.position);
        }
        generation.last = last;
        generation
    }
}
