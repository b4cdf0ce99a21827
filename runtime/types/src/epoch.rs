//! Which log is meant: its epochs, and how far something outside the log knows it.
//!
//! Knows neither where an epoch's number comes from nor where it is stored.

use std::fmt;

use crate::Position;

/// Identifies a log. A resuming client sends it, so that positions of another log are never mistaken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In each answer to a producer, so it is not written byte by byte.
        let mut digits = [0; 32];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

/// The epochs of a log. A new one begins when a loss of acknowledged records was accepted: from then on, positions and
/// idempotency keys may differ from those that clients and other systems have seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    first: Epoch,
    /// The later ones, each with its first position. Sorted.
    later: Vec<(Position, Epoch)>,
}

impl Epochs {
    /// The epochs of a log that has only one.
    #[must_use]
    pub fn new(first: Epoch) -> Self {
        Self { first, later: Vec::new() }
    }

    /// The log's first epoch. It identifies the log permanently.
    #[must_use]
    pub fn first(&self) -> Epoch {
        self.first
    }

    /// The epoch in force.
    #[must_use]
    pub fn current(&self) -> Epoch {
        self.later.last().map_or(self.first, |(_, epoch)| *epoch)
    }

    /// The epoch in force at a position.
    #[must_use]
    pub fn at(&self, position: Position) -> Epoch {
        let begun = self.later.partition_point(|(from, _)| *from <= position);
        begun.checked_sub(1).and_then(|last| self.later.get(last)).map_or(self.first, |(_, epoch)| *epoch)
    }

    /// Whether it was ever in force in this log.
    #[must_use]
    pub fn hold(&self, epoch: Epoch) -> bool {
        self.first == epoch || self.later.iter().any(|(_, later)| *later == epoch)
    }

    /// From `from` on, positions belong to `epoch`.
    pub fn begin(&mut self, from: Position, epoch: Epoch) {
        if self.current() != epoch {
            self.later.push((from, epoch));
        }
    }
}

/// A head known from outside the log, for instance from the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The first epoch of the log that it belongs to.
    pub log: Epoch,
    /// The epoch in force then.
    pub epoch: Epoch,
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_has_the_epoch_that_was_in_force() {
        let [one, two, three] = [1, 2, 3].map(|byte| Epoch([byte; 16]));
        let mut epochs = Epochs::new(one);
        epochs.begin(Position(5), one);
        assert_eq!((epochs.current(), epochs.at(Position(9))), (one, one));
        epochs.begin(Position(10), two);
        epochs.begin(Position(20), three);
        let found = [1, 9, 10, 19, 20, 99].map(|position| epochs.at(Position(position)));
        assert_eq!(found, [one, one, two, two, three, three]);
        assert_eq!((epochs.first(), epochs.current()), (one, three));
        assert!(epochs.hold(one) && epochs.hold(two) && !epochs.hold(Epoch([9; 16])));
        assert_eq!(Epoch([0x0f; 16]).to_string(), "0f".repeat(16));
    }
}
