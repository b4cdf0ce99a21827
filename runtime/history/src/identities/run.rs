//! A run: the identities of one part of the log, sorted, in a file. And the folder of all runs.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use weirgate_log::{Epochs, Storage};
use weirgate_types::Position;

use super::{hash::IdentityHash, plan::Span};
use crate::{
    files::{UNFINISHED, write_table},
    row::Row,
    table::{Guide, Kind, Origin, Source, Table, TableError},
};

/// The suffix of a run's file.
const SUFFIX: &str = ".ids";

/// See the module documentation.
pub struct Run {
    pub span: Span,
    pub table: Table,
    guide: Guide,
    damaged: AtomicBool,
}

impl Run {
    /// Whether a part of it could not be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }

    /// Returns whether that was known.
    pub fn set_damaged(&self) -> bool {
        self.damaged.swap(true, Ordering::AcqRel)
    }

    /// Whether it may hold an identity. Reads no file.
    pub fn may_hold(&self, identity: IdentityHash) -> bool {
        self.guide.may_hold(identity.group())
    }

    /// The newest position of an identity.
    pub fn get(&self, identity: IdentityHash) -> Result<Option<Position>, TableError> {
        let row = self.guide.last(&self.table, identity.group(), identity.part())?;
        Ok(row.map(|row| row.position))
    }
}

/// Where runs are kept.
pub struct Folder {
    pub storage: Arc<dyn Storage>,
    pub epochs: Arc<Epochs>,
}

impl Folder {
    /// The runs that are of this log, as it is, and sound. The rest is removed.
    pub fn open(&self, head: Position) -> io::Result<BTreeMap<Position, Run>> {
        let mut found = Vec::new();
        for name in self.storage.list()? {
            match span_of(&name) {
                Some(span) => found.push(span),
                None if name.ends_with(UNFINISHED) => self.storage.remove(&name)?,
                None => {}
            }
        }
        let mut runs = BTreeMap::new();
        // The parts of a merged run are read only if it is not sound.
        for span in larger_first(found) {
            let is_covered = runs.values().any(|run: &Run| run.span.first <= span.last && span.first <= run.span.last);
            let run = if is_covered || span.first > span.last || span.last > head {
                None
            } else {
                self.read(span).transpose()
            };
            match run {
                Some(Ok(run)) => drop(runs.insert(span.first, run)),
                Some(Err(error)) => return Err(error),
                None => self.remove(span)?,
            }
        }
        Ok(runs)
    }

    /// Writes a run.
    pub fn put(&self, span: Span, rows: impl IntoIterator<Item = Result<Row, TableError>>) -> Result<Run, TableError> {
        write_table(&*self.storage, &name(span), &self.origin(span), rows)?;
        self.load(span)
    }

    /// Removes a run. One that is open can still be read.
    pub fn remove(&self, span: Span) -> io::Result<()> {
        match self.storage.remove(&name(span)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A run; `None`: there is none, or it is damaged.
    fn read(&self, span: Span) -> io::Result<Option<Run>> {
        match self.load(span) {
            Ok(run) => Ok(Some(run)),
            Err(TableError::Io(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(name = name(span), error, "a run of the index of identities is made again");
                Ok(None)
            }
        }
    }

    fn load(&self, span: Span) -> Result<Run, TableError> {
        let file = self.storage.open(&name(span))?;
        let table = Table::open(Source::File(file), &self.origin(span))?;
        let guide = table.guide()?;
        Ok(Run { span, table, guide, damaged: AtomicBool::new(false) })
    }

    fn origin(&self, Span { first, last }: Span) -> Origin {
        let (log, epoch) = (self.epochs.first(), self.epochs.at(last));
        Origin { kind: Kind::Identities, log, epoch, first, last, segment_end: 0 }
    }
}

fn larger_first(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable_by_key(|span| std::cmp::Reverse(span.last.0.saturating_sub(span.first.0)));
    spans
}

fn name(Span { first, last }: Span) -> String {
    format!("{:020}-{:020}{SUFFIX}", first.0, last.0)
}

fn span_of(name: &str) -> Option<Span> {
    let (first, last) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let span = Span { first: Position(first.parse().ok()?), last: Position(last.parse().ok()?) };
    (self::name(span) == name).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_written() {
        let span = Span { first: Position(1), last: Position(u64::MAX) };
        assert_eq!(span_of(&name(span)), Some(span));
        for other in ["1-2.ids", "00000000000000000001.idx", "-.ids", "00000000000000000001-+0000000000000000002.ids"] {
            assert_eq!(span_of(other), None, "{other}");
        }
    }
}
