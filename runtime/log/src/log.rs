//! The writer: adds records to a batch in memory, and makes the batch durable with one write and one sync.

use std::sync::Arc;

use weirgate_types::{KeyHasher, Position, Record};

use crate::{
    Epoch, Epochs, Identity, LogError, LogReader, Opening, Salt, Storage,
    batch::Batch,
    catalog::Catalog,
    format::Checks,
    note::Note,
    recovery::Recovered,
    seal,
    segment::{Index, Segment},
    tail::Tail,
};

/// Offsets within a batch are 32 bits wide.
pub const BYTES_MAX: usize = 1 << 30;

/// Size limits. None of them is part of the format: they may differ each time the log is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// Maximum size of a segment, in bytes; then a new one begins. A larger batch gets its own segment.
    pub segment_bytes_max: u64,
    /// How many bytes are reserved and filled with zeros ahead of the written part; 0 for none. With it a full disk shows
    /// before a batch is written, and a sync need not wait for the file system's journal. Batches of at least an eighth of
    /// it allocate space as they are written.
    pub reserve_bytes: u64,
    /// Maximum size of a batch, and so of a record, in bytes; never more than 1 GiB.
    pub batch_bytes_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        let mib = 1024 * 1024;
        Self { segment_bytes_max: 64 * mib, reserve_bytes: mib, batch_bytes_max: 16 * 1024 * 1024 }
    }
}

/// The only writer of a log.
pub struct Log {
    storage: Arc<dyn Storage>,
    salt: Salt,
    epochs: Arc<Epochs>,
    options: LogOptions,
    catalog: Arc<Catalog>,
    /// The last of the catalog's segments.
    segment: Arc<Segment>,
    tail: Tail,
    pending: Batch,
    poisoned: bool,
    /// Whether the log ends with the empty batch that closes it.
    closed: bool,
}

impl Log {
    /// Opens the log in `storage`, or creates it as `if_new`. Checks all of it but sealed segments, and cuts off a batch that was
    /// being written when the last process stopped.
    ///
    /// # Errors
    /// As [`Opening::read`] and [`Opening::finish`].
    pub fn open(storage: Arc<dyn Storage>, if_new: Identity, options: LogOptions) -> Result<Self, LogError> {
        Opening::read(storage, if_new, options)?.finish()
    }

    pub(crate) fn create(storage: Arc<dyn Storage>, identity: Identity, options: LogOptions) -> Result<Self, LogError> {
        let options = bounded(options);
        let (first, epochs) = (Position(1), Arc::new(Epochs::new(identity.epoch)));
        let tail = Tail::create(&*storage, identity, first, &options)?;
        let segment = Arc::new(Segment::new(first, Index::default()));
        let checks = Checks::of(identity.salt);
        let catalog = Arc::new(Catalog::new(Arc::clone(&storage), checks, vec![Arc::clone(&segment)], Position::ZERO));
        let (pending, salt) = (Batch::new(checks, first), identity.salt);
        let log =
            Self { storage, salt, epochs, options, catalog, segment, tail, pending, poisoned: false, closed: false };
        log.note_head();
        Ok(log)
    }

    pub(crate) fn resume(storage: Arc<dyn Storage>, options: LogOptions, recovered: Recovered) -> Self {
        let options = bounded(options);
        let tail = Tail::resume(&recovered, &options);
        let Recovered { salt, epochs, segments, next, closed, .. } = recovered;
        seal_all(&*storage, Checks::of(salt), &epochs, &segments);
        let (checks, epochs) = (Checks::of(salt), Arc::new(epochs));
        // There is a segment: a log without segments is a new one.
        let segment = segments.last().map_or_else(|| Arc::new(Segment::new(Position(1), Index::default())), Arc::clone);
        let catalog = Arc::new(Catalog::new(Arc::clone(&storage), checks, segments, next.before()));
        let pending = Batch::new(checks, next);
        let log = Self { storage, salt, epochs, options, catalog, segment, tail, pending, poisoned: false, closed };
        log.note_head();
        log
    }

    /// The epoch in force, for clients that resume.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epochs.current()
    }

    /// All epochs of this log.
    #[must_use]
    pub fn epochs(&self) -> &Arc<Epochs> {
        &self.epochs
    }

    /// The hash function of this log's keys: without the salt, two keys with the same hash cannot be constructed.
    #[must_use]
    pub fn key_hasher(&self) -> KeyHasher {
        KeyHasher::new(self.salt.0)
    }

    /// The last durable position; 0 while the log is empty.
    #[must_use]
    pub fn head(&self) -> Position {
        self.catalog.head()
    }

    /// Adds a record to the pending batch, and returns its position. No I/O; durable only after [`Log::commit`].
    ///
    /// # Errors
    /// [`LogError::BatchFull`], [`LogError::RecordTooLarge`]: not accepted; [`LogError::Poisoned`].
    pub fn stage(&mut self, record: &Record) -> Result<Position, LogError> {
        self.check()?;
        self.pending.push(record, self.options.batch_bytes_max)
    }

    /// Number of bytes that the pending batch would write; 0 when nothing is pending.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        if self.pending.is_empty() { 0 } else { self.pending.len() }
    }

    /// Drops the pending batch, for instance while the disk is full. Its positions are used again.
    pub fn discard(&mut self) {
        self.pending.discard();
    }

    /// Makes the pending batch durable, as a whole or not at all, and returns the new head.
    ///
    /// # Errors
    /// [`LogError::Full`]: nothing was written, the batch is still pending. [`LogError::Io`]: the log accepts no more; the
    /// next opening shows whether the batch is durable. [`LogError::Poisoned`]: an earlier write failed.
    pub fn commit(&mut self) -> Result<Position, LogError> {
        self.check()?;
        if self.pending.is_empty() {
            return Ok(self.head());
        }
        let written = self.write();
        self.judge(written)
    }

    /// Syncs, and closes the log with an empty batch, so that damage to the batch before it cannot pass for a torn tail.
    ///
    /// # Errors
    /// As for [`Log::commit`]. The log can be opened again even then.
    pub fn close(mut self) -> Result<Position, LogError> {
        let head = self.commit()?;
        if !self.closed {
            self.tail.append(self.pending.finish())?;
        }
        self.tail.give_back()?;
        Ok(head)
    }

    /// A reader of everything that is or becomes durable.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.catalog))
    }

    fn check(&self) -> Result<(), LogError> {
        if self.poisoned { Err(LogError::Poisoned) } else { Ok(()) }
    }

    fn judge<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        self.poisoned = result.as_ref().is_err_and(|error| !matches!(error, LogError::Full(_)));
        result
    }

    fn write(&mut self) -> Result<Position, LogError> {
        let bytes = self.pending.len() as u64;
        if !self.tail.takes(bytes) {
            self.roll()?;
        }
        self.tail.reserve(bytes)?;
        let offset = self.tail.append(self.pending.finish())?;
        self.closed = false;
        self.segment.index(&self.pending, offset);
        let head = self.pending.next().before();
        self.catalog.set_head(head);
        self.pending.advance();
        self.note_head();
        Ok(head)
    }

    /// Notes the durable head before it is acknowledged. Without the note a loss of the last batch cannot be proven; nothing
    /// else depends on it.
    fn note_head(&self) {
        let note = Note { log: self.epochs.first(), epoch: self.epoch(), head: self.head() };
        if let Err(error) = self.storage.note(&note.encode()) {
            tracing::debug!(%error, "the durable head cannot be noted");
        }
    }

    /// Continues in a new segment.
    fn roll(&mut self) -> Result<(), LogError> {
        let first = self.pending.first();
        let identity = Identity { epoch: self.epoch(), salt: self.salt };
        let tail = Tail::create(&*self.storage, identity, first, &self.options)?;
        self.tail.give_back()?;
        let before = std::mem::replace(&mut self.tail, tail);
        seal::seal(&*self.storage, Checks::of(self.salt), (self.epoch(), first), &self.segment, before.file());
        self.segment = Arc::new(Segment::new(first, Index::default()));
        self.catalog.add(Arc::clone(&self.segment));
        Ok(())
    }
}

/// Seals the segments that had to be read: all of them are sound.
fn seal_all(storage: &dyn Storage, checks: Checks, epochs: &Epochs, segments: &[Arc<Segment>]) {
    for (segment, next) in segments.iter().zip(segments.iter().skip(1)).filter(|(segment, _)| !segment.is_sealed()) {
        match storage.open(&segment.name) {
            Ok(file) => seal::seal(storage, checks, (epochs.at(segment.first), next.first), segment, &*file),
            Err(error) => tracing::debug!(segment = segment.name, %error, "a segment cannot be sealed"),
        }
    }
}

fn bounded(mut options: LogOptions) -> LogOptions {
    options.batch_bytes_max = options.batch_bytes_max.min(BYTES_MAX);
    options
}
