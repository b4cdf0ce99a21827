//! The hash of an event's identity, its `source` and `id`.

use sha2::{Digest as _, Sha256};
use weirgate_types::Position;

use crate::row::Row;

/// 128 bits of SHA-256: wide enough that two identities with one hash cannot be found. So it stands for the identity, and no record
/// has to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityHash {
    group: u64,
    part: u64,
}

impl IdentityHash {
    #[must_use]
    pub fn of(source: &str, id: &str) -> Self {
        // Neither attribute may hold a zero byte.
        let hash = Sha256::new().chain_update(source).chain_update([0]).chain_update(id).finalize();
        let mut numbers = hash.chunks_exact(8).map(|bytes| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
        Self { group: numbers.next().unwrap_or_default(), part: numbers.next().unwrap_or_default() }
    }

    pub(super) fn group(self) -> u64 {
        self.group
    }

    pub(super) fn part(self) -> u64 {
        self.part
    }

    /// Of a row in a table.
    pub(super) fn of_row(row: &Row) -> Self {
        Self { group: row.group, part: row.part }
    }

    /// Its row in a table.
    pub(super) fn row(self, position: Position) -> Row {
        Row { part: self.part, ..Row::posting(self.group, position) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_and_id_are_kept_apart() {
        assert_ne!(IdentityHash::of("a", "bc"), IdentityHash::of("ab", "c"));
        assert_eq!(IdentityHash::of("a", "bc"), IdentityHash::of("a", "bc"));
    }
}
