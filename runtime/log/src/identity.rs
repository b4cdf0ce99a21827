//! What makes one log this log and no other: its epoch, which everybody may know, and its salt, which nobody needs to.

use std::{fmt, io};

use weirgate_types::Position;

/// Identifies a log. A client that resumes names it, so that positions of another log are never mistaken for this one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Mixed into every checksum, and the mark that each batch begins with. Not to be shown: who knows it can write a payload
/// that looks like a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// What a log gets when it is created, and keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pub epoch: Epoch,
    pub salt: Salt,
}

impl Identity {
    /// From the system's random numbers.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn random() -> io::Result<Self> {
        Ok(Self { epoch: Epoch(random_bytes()?), salt: Salt(random_bytes()?) })
    }
}

impl Epoch {
    /// From the system's random numbers.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn random() -> io::Result<Self> {
        Ok(Self(random_bytes()?))
    }
}

/// The epochs of a log. A new one begins when acknowledged records were given up: from then on, positions and idempotency
/// keys may differ from what clients and other systems have seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    first: Epoch,
    /// Those after it, each with the first position that it holds for. Sorted.
    later: Vec<(Position, Epoch)>,
}

impl Epochs {
    /// Those of a log with one epoch.
    #[must_use]
    pub fn new(first: Epoch) -> Self {
        Self { first, later: Vec::new() }
    }

    /// The log's first epoch. It identifies the log, whatever happens to it later.
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

    /// Whether it was ever in force here.
    #[must_use]
    pub fn hold(&self, epoch: Epoch) -> bool {
        self.first == epoch || self.later.iter().any(|(_, later)| *later == epoch)
    }

    /// From `from` on, positions belong to `epoch`.
    pub(crate) fn begin(&mut self, from: Position, epoch: Epoch) {
        if self.current() != epoch {
            self.later.push((from, epoch));
        }
    }
}

fn random_bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole or not at all (getrandom(2)).
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got == bytes.len() { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
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
    }
}
