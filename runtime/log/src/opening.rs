//! Opening a log in two steps: first read it without changing anything, and compare it with the evidence of what was
//! acknowledged; then cut off a batch that was being written, and continue.
//!
//! A torn end and a damaged one look the same. Only evidence of a later position tells them apart: the note of the durable
//! head, or the views.

use std::sync::Arc;

use weirgate_types::{KeyHasher, Position};

use crate::{
    Corruption, Epoch, Epochs, Identity, Known, Log, LogError, LogOptions, LogReader, Loss, Storage, Witness,
    catalog::Catalog,
    format::Checks,
    note::Note,
    recovery::{Recovered, Remains, read_remains},
    repair::{Repair, Repaired, repair},
};

/// A log that was read but is not open yet.
pub struct Opening {
    storage: Arc<dyn Storage>,
    options: LogOptions,
    if_new: Identity,
    remains: Remains,
    loss: Option<Loss>,
    /// The head that the views know.
    views: Option<Known>,
}

impl Opening {
    /// Reads the log in `storage` and checks it: all of it but the segments that have a seal. If there is none, it will be created as
    /// `if_new`.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if durable data is damaged; [`LogError::Version`]; [`LogError::Io`].
    pub fn read(storage: Arc<dyn Storage>, if_new: Identity, options: LogOptions) -> Result<Self, LogError> {
        let remains = read_remains(&*storage)?;
        let noted = storage.noted().map_err(LogError::io("reading", "the note of the durable head"))?;
        let mut opening = Self { storage, options, if_new, remains, loss: None, views: None };
        if let Some(Note { log, epoch, head }) = Note::decode(&noted) {
            let end = opening.head();
            opening.compare(Known { log, epoch, position: head }, Witness::Note { head, end });
        }
        Ok(opening)
    }

    /// Whether there is no log yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.remains.recovered.is_none()
    }

    /// The last sound position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.remains.recovered.as_ref().map_or(Position::ZERO, |found| found.next.before())
    }

    /// The epochs of the log.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        self.remains.recovered.as_ref().map_or_else(|| Epochs::new(self.if_new.epoch), |found| found.epochs.clone())
    }

    /// The hash function of the log's keys.
    #[must_use]
    pub fn key_hasher(&self) -> KeyHasher {
        KeyHasher::new(self.remains.recovered.as_ref().map_or(self.if_new.salt.0, |found| found.salt.0))
    }

    /// Adds the views' applied position as evidence. Views of another log prove nothing.
    pub fn applied_by_views(&mut self, known: Known) {
        self.views = Some(known);
        let (applied, end) = (known.position, self.head());
        self.compare(known, Witness::Views { applied, end });
    }

    fn compare(&mut self, known: Known, witness: Witness) {
        let found = is_ahead(&self.remains, known).map(|ahead| match ahead {
            Ahead::Position => witness,
            Ahead::Epoch => Witness::Epoch { head: known.position, epoch: known.epoch },
            Ahead::NoLog => Witness::NoLog { head: known.position },
        });
        let Some(witness) = found.filter(|_| self.loss.as_ref().is_none_or(|loss| known.position > loss.to)) else {
            return;
        };
        let from = self.head().next().min(known.position);
        self.loss = Some(Loss { from, to: known.position, witness, damage: self.damage() });
    }

    /// The bytes behind the last sound batch.
    fn damage(&self) -> Option<Corruption> {
        let found = self.remains.recovered.as_ref().filter(|found| found.torn.is_some())?;
        let file = found.segments.last()?.name.clone();
        Some(Corruption { file, offset: found.end, position: found.next, what: "a damaged batch" })
    }

    /// The missing acknowledged records, if there is evidence of any.
    #[must_use]
    pub fn loss(&self) -> Option<&Loss> {
        self.loss.as_ref()
    }

    /// Opens the log, or creates it: cuts off a batch that was being written when the last process stopped.
    ///
    /// # Errors
    /// [`LogError::Lost`] if acknowledged records are missing, with nothing changed; [`LogError::Full`] if there is no space
    /// to create the log; [`LogError::Io`].
    pub fn finish(self) -> Result<Log, LogError> {
        if let Some(loss) = self.loss {
            return Err(loss.into());
        }
        match self.remains.tidy(&*self.storage)? {
            Some(recovered) => Ok(Log::resume(self.storage, self.options, recovered)),
            None => Log::create(self.storage, self.if_new, self.options),
        }
    }

    /// A reader of the sound part, without changing anything: for a log that no server uses. Of a log that does not exist,
    /// `None`.
    #[must_use]
    pub fn into_reader(self) -> Option<LogReader> {
        let Recovered { salt, segments, next, .. } = self.remains.recovered?;
        let catalog = Catalog::new(self.storage, Checks::of(salt), segments, next.before()).read_only();
        Some(LogReader::new(Arc::new(catalog)))
    }

    /// Opens the log and accepts the loss of missing acknowledged records. Their positions are not used again, and a new
    /// epoch begins, so that clients and other systems do not mistake later records for the lost ones. Also returns what was
    /// repaired; `None` if no log is left, because a new one is created then.
    ///
    /// # Errors
    /// As [`Opening::finish`], and [`repair`].
    pub fn accept_loss(self, epoch: Epoch, at_ms: u64) -> Result<(Log, Option<Repaired>), LogError> {
        let Self { storage, options, if_new, remains, loss, views } = self;
        if loss.is_none() {
            return Ok((Self { storage, options, if_new, remains, loss, views }.finish()?, None));
        }
        if remains.recovered.is_none() {
            remains.tidy(&*storage)?;
            return Ok((Log::create(storage, if_new, options)?, None));
        }
        let repaired = repair(&*storage, &Repair { views, epoch, at_ms, even_if_sound: false })?;
        Ok((Log::open(storage, if_new, options)?, repaired))
    }
}

enum Ahead {
    Position,
    Epoch,
    NoLog,
}

/// Whether a known position is ahead of the log. One of an earlier epoch is not: its loss was accepted when the next epoch
/// began.
fn is_ahead(remains: &Remains, known: Known) -> Option<Ahead> {
    if known.position == Position::ZERO {
        return None;
    }
    let Some(Recovered { epochs, next, .. }) = &remains.recovered else { return Some(Ahead::NoLog) };
    if known.log != epochs.first() {
        return None;
    }
    if !epochs.hold(known.epoch) {
        return Some(Ahead::Epoch);
    }
    (known.epoch == epochs.current() && known.position >= *next).then_some(Ahead::Position)
}
