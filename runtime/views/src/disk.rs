//! Where the views' rows are when they are not in memory: sled, or what stands in for it.

use std::{borrow::Cow, path::Path};

use weirgate_types::{Epoch, Epochs, Known, Position};

#[cfg(any(test, feature = "sim"))]
use crate::memory::SimRows;
use crate::{ViewError, memtable::Generation, sled_store::Sled};

const VERSION: u8 = 4;

pub enum Disk {
    Sled(Sled),
    /// Let go of.
    Closed,
    #[cfg(any(test, feature = "sim"))]
    Sim(SimRows),
}

/// Which log the views are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The log's first epoch, which identifies it.
    pub log: Epoch,
    /// The epoch in force.
    pub epoch: Epoch,
}

/// Which log the views are of, how far, and the sum of their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub origin: Origin,
    pub applied: Position,
    pub sum: u64,
}

/// What is found at opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Views(About),
    /// Entries, but not what they are of.
    Unknown,
}

/// What is to be written, all or nothing.
pub struct Flush<'a> {
    /// What was written before.
    pub base: Position,
    pub about: About,
    rows: Vec<SledRow<'a>>,
}

/// A row, and what becomes of it: its value, or nothing.
pub type SledRow<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);
/// Keys and what is kept of their values.
type Kept<'a, T> = Box<dyn Iterator<Item = Result<(Vec<u8>, T), ViewError>> + 'a>;

impl Disk {
    /// Open sled in `dir`, and finish what was being written when it was last used.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, ViewError> {
        Sled::open(dir, cache_bytes).map(Self::Sled)
    }

    pub fn found(&self) -> Result<Found, ViewError> {
        match self {
            Self::Sled(sled) => sled.found(),
            Self::Closed => Err(ViewError::Closed),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => Ok(rows.found()),
        }
    }

    /// Say what the views are of, before the first row is written.
    pub fn say(&self, origin: Origin) -> Result<(), ViewError> {
        match self {
            Self::Sled(sled) => sled.say(origin),
            Self::Closed => Err(ViewError::Closed),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                rows.write(About { origin, applied: Position::ZERO, sum: 0 }, std::iter::empty());
                Ok(())
            }
        }
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        match self {
            Self::Sled(sled) => sled.get(key),
            Self::Closed => Err(ViewError::Closed),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => Ok(rows.get(key)),
        }
    }

    /// Entries whose keys begin with `prefix` and come after `after`, sorted; of each value what `keep` makes of it.
    pub fn range<'a, T: 'a>(
        &self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        keep: impl Fn(&[u8]) -> T + 'a,
    ) -> Kept<'a, T> {
        match self {
            Self::Sled(sled) => Box::new(sled.range(prefix, after, keep)),
            Self::Closed => Box::new(std::iter::once(Err(ViewError::Closed))),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                Box::new(rows.range(prefix, after).into_iter().map(move |(key, value)| Ok((key, keep(&value)))))
            }
        }
    }

    /// Whether the rows are all those that were there when they were last written, and no others. Reads all of them.
    pub fn is_whole(&self) -> Result<bool, ViewError> {
        match self {
            Self::Sled(sled) => sled.is_whole(),
            Self::Closed => Err(ViewError::Closed),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(_) => Ok(true),
        }
    }

    /// What writing a generation takes. Nothing else may be written until it has been.
    pub fn plan<'a>(&self, origin: Origin, generation: &'a Generation) -> Result<Flush<'a>, ViewError> {
        let (rows, sum) = match self {
            Self::Sled(sled) => {
                let rows = sled.rows_of(generation)?;
                let sum = sled.sum_with(&rows)?;
                (rows, sum)
            }
            Self::Closed => return Err(ViewError::Closed),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(_) => {
                let changes = generation.changes();
                (changes.map(|(key, value)| (Cow::Borrowed(key), value.map(Cow::Borrowed))).collect(), 0)
            }
        };
        let about = About { origin, applied: generation.applied, sum };
        Ok(Flush { base: generation.base, about, rows })
    }

    /// Whoever reads meanwhile may see a part of it.
    pub fn write(&self, flush: &Flush) -> Result<(), ViewError> {
        match self {
            Self::Sled(sled) => sled.flush(flush),
            Self::Closed => Err(ViewError::Closed),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                rows.write(flush.about, flush.rows());
                Ok(())
            }
        }
    }
}

impl Flush<'_> {
    /// How large the rows are.
    pub fn bytes(&self) -> usize {
        self.rows().map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum()
    }

    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.rows.iter().map(|(key, value)| (key.as_ref(), value.as_deref()))
    }
}
impl Origin {
    /// Views of a log are of its newest epoch.
    pub fn of(epochs: &Epochs) -> Self {
        Self { log: epochs.first(), epoch: epochs.current() }
    }
}

impl About {
    pub const BYTES: usize = 49;

    pub fn encode(self) -> Vec<u8> {
        let Self { origin: Origin { log, epoch }, applied, sum } = self;
        [&[VERSION][..], &log.0, &epoch.0, &applied.0.to_le_bytes(), &sum.to_le_bytes()].concat()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (log, rest) = rest.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (applied, rest) = rest.split_first_chunk::<8>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let origin = Origin { log: Epoch(*log), epoch: Epoch(*epoch) };
        let (applied, sum) = (Position(u64::from_le_bytes(*applied)), u64::from_le_bytes(*sum));
        (*version == VERSION && rest.is_empty()).then_some(Self { origin, applied, sum })
    }

    /// How far they know the log.
    pub fn known(self) -> Known {
        Known { log: self.origin.log, epoch: self.origin.epoch, position: self.applied }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_is_read_as_written() {
        let origin = Origin { log: Epoch([3; 16]), epoch: Epoch([4; 16]) };
        let about = About { origin, applied: Position(77), sum: 5 };
        assert_eq!(About::decode(&about.encode()), Some(about));
        assert_eq!(about.encode().len(), About::BYTES);
        assert_eq!(About::decode(&about.encode()[1..]), None);
        assert_eq!(About::decode(b""), None);
    }
}
