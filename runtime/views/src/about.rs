//! Which log the views are of, and how far: stored beside the entries.

use weirgate_types::{Epoch, Epochs, Known, Position};

pub const VERSION: u8 = 14;

/// The log that the views belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The log's first epoch, which identifies it.
    pub log: Epoch,
    /// The epoch in force.
    pub epoch: Epoch,
}

/// The log that the views belong to, their applied position, and the sum of their rows.
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
    /// There are rows, but no views header.
    Unknown,
}

impl Origin {
    /// Views belong to the newest epoch of their log.
    #[must_use]
    pub fn of(epochs: &Epochs) -> Self {
        Self { log: epochs.first(), epoch: epochs.current() }
    }
}

impl About {
    pub const BYTES: usize = 49;

    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let Self { origin: Origin { log, epoch }, applied, sum } = self;
        [&[VERSION][..], &log.0, &epoch.0, &applied.0.to_le_bytes(), &sum.to_le_bytes()].concat()
    }

    #[must_use]
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

    /// The head of the log that they know.
    #[must_use]
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
