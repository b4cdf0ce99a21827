//! The history of a log: its tables, what is in memory in their place, and what makes them.

use std::{collections::VecDeque, io, sync::Arc};

use parking_lot::Mutex;
use weirgate_log::{Epochs, LogReader, Sealed, Storage};
use weirgate_types::{KeyHasher, Position};

use crate::{
    HistoryError, Look,
    absent::Absent,
    build::{gather, in_memory},
    files::Files,
    part::Part,
    table::{Kind, Origin},
    tail::Tail,
    terms::Terms,
};

/// Maximum number of sealed segments without a file whose index is built in memory. With more, questions have to wait.
const BUILT_MAX: usize = 8;

/// See the module documentation.
pub struct History {
    pub(crate) log: LogReader,
    pub(crate) terms: Terms,
    pub(crate) files: Files,
    epochs: Arc<Epochs>,
    /// Indexes of sealed segments that have no file. One is built at a time.
    built: Mutex<VecDeque<(Origin, Part)>>,
    tail: Mutex<Tail>,
}

impl History {
    /// The history in a folder, as far as it is of this log and sound. The rest is removed, to be made again.
    ///
    /// # Errors
    /// The folder cannot be read, or files in it cannot be removed.
    pub fn open(
        storage: Arc<dyn Storage>,
        log: LogReader,
        epochs: Arc<Epochs>,
        hasher: KeyHasher,
    ) -> Result<Self, io::Error> {
        let sealed = log.sealed();
        let files = Files::open(storage, |kind, position| {
            let matches = |sealed: &&Sealed| position == if kind == Kind::Index { sealed.first } else { sealed.last };
            sealed.iter().find(matches).map(|sealed| origin(&epochs, kind, sealed))
        })?;
        let terms = Terms(hasher);
        Ok(Self { log, terms, files, epochs, built: Mutex::default(), tail: Mutex::default() })
    }

    /// A history without files: what it would say is read from the log, as far as that is bounded.
    #[must_use]
    pub fn without_files(log: LogReader, epochs: Arc<Epochs>, hasher: KeyHasher) -> Self {
        let (terms, files) = (Terms(hasher), Files::none(Arc::new(Absent)));
        Self { log, terms, files, epochs, built: Mutex::default(), tail: Mutex::default() }
    }

    /// A look at the history as it is now.
    #[must_use]
    pub fn look(self: &Arc<Self>) -> Look {
        Look::new(Arc::clone(self), self.log.sealed())
    }

    pub(crate) fn origin(&self, kind: Kind, sealed: &Sealed) -> Origin {
        origin(&self.epochs, kind, sealed)
    }

    /// The index of a sealed segment without a file; `segments` is the number of sealed ones.
    pub(crate) fn built(&self, sealed: &Sealed, segments: usize) -> Result<Part, HistoryError> {
        let origin = self.origin(Kind::Index, sealed);
        let mut built = self.built.lock();
        if let Some((_, part)) = built.iter().find(|(other, _)| *other == origin) {
            return Ok(part.clone());
        }
        let missing = segments.saturating_sub(self.files.indexes());
        if missing > BUILT_MAX {
            return Err(HistoryError::NotReady { missing, segments });
        }
        let (rows, _) = gather(&self.log, self.terms, sealed.first, Some(sealed.last))?;
        let part = in_memory(&origin, rows)?;
        if built.len() >= BUILT_MAX {
            built.pop_front();
        }
        built.push_back((origin, part.clone()));
        Ok(part)
    }

    /// A file takes the place of what was built in memory.
    pub(crate) fn drop_built(&self, made: &Origin) {
        self.built.lock().retain(|(origin, _)| origin != made);
    }

    /// The index of the records after `last`, up to the present head.
    pub(crate) fn tail(&self, last: Position) -> Result<Vec<Part>, HistoryError> {
        let growing = Sealed { first: last.next(), last: Position(u64::MAX), end: 0 };
        self.tail.lock().parts(&self.origin(Kind::Index, &growing), &self.log, self.terms)
    }
}

fn origin(epochs: &Epochs, kind: Kind, sealed: &Sealed) -> Origin {
    let first = if kind == Kind::Index { sealed.first } else { Position(1) };
    let Sealed { last, end, .. } = *sealed;
    Origin { kind, log: epochs.first(), epoch: epochs.at(last), first, last, segment_end: end }
}
