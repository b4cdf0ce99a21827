//! Where the views' rows are when they are not in memory: sled, or what stands in for it.

use std::{borrow::Cow, path::Path};

use weirgate_types::Position;

#[cfg(any(test, feature = "sim"))]
use super::sim::SimRows;
use super::{ViewError, memory::Generation, tree::Sled};
use crate::Epoch;

const VERSION: u8 = 3;

pub enum Disk {
    Sled(Sled),
    #[cfg(any(test, feature = "sim"))]
    Sim(SimRows),
}

/// Which log the views are of, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub epoch: Epoch,
    pub applied: Position,
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
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => Ok(rows.found()),
        }
    }

    /// Say what the views are of, before the first row is written.
    pub fn say(&self, about: About) -> Result<(), ViewError> {
        match self {
            Self::Sled(sled) => sled.say(about),
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                rows.write(about, std::iter::empty());
                Ok(())
            }
        }
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        match self {
            Self::Sled(sled) => sled.get(key),
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
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(rows) => {
                Box::new(rows.range(prefix, after).into_iter().map(move |(key, value)| Ok((key, keep(&value)))))
            }
        }
    }

    /// What writing a generation takes. Nothing else may be written until it has been.
    pub fn plan<'a>(&self, epoch: Epoch, generation: &'a Generation) -> Result<Flush<'a>, ViewError> {
        let about = About { epoch, applied: generation.applied };
        let rows = match self {
            Self::Sled(sled) => sled.rows_of(generation)?,
            #[cfg(any(test, feature = "sim"))]
            Self::Sim(_) => {
                generation.changes().map(|(key, value)| (Cow::Borrowed(key), value.map(Cow::Borrowed))).collect()
            }
        };
        Ok(Flush { base: generation.base, about, rows })
    }

    /// Whoever reads meanwhile may see a part of it.
    pub fn write(&self, flush: &Flush) -> Result<(), ViewError> {
        match self {
            Self::Sled(sled) => sled.flush(flush),
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
impl About {
    pub const BYTES: usize = 25;

    pub fn encode(self) -> Vec<u8> {
        [&[VERSION][..], &self.epoch.0, &self.applied.0.to_le_bytes()].concat()
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (applied, rest) = rest.split_first_chunk::<8>()?;
        let sound = *version == VERSION && rest.is_empty();
        sound.then(|| Self { epoch: Epoch(*epoch), applied: Position(u64::from_le_bytes(*applied)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_is_read_as_written() {
        let about = About { epoch: Epoch([3; 16]), applied: Position(77) };
        assert_eq!(About::decode(&about.encode()), Some(about));
        assert_eq!(about.encode().len(), About::BYTES);
        assert_eq!(About::decode(&about.encode()[1..]), None);
        assert_eq!(About::decode(b""), None);
    }
}
