//! The identities of one part of the log, in memory until they have a run.

use std::collections::HashMap;

use weirgate_types::Position;

use super::hash::IdentityHash;
use crate::{row::Row, table::TableError};

/// Everything that was accepted after `base`, up to and with `last`.
#[derive(Debug, Clone)]
pub struct Generation {
    pub base: Position,
    pub last: Position,
    /// The newest position of each identity.
    newest: HashMap<IdentityHash, Position>,
}

impl Generation {
    pub fn new(base: Position) -> Self {
        Self { base, last: base, newest: HashMap::new() }
    }

    pub fn insert(&mut self, identity: IdentityHash, position: Position) {
        self.newest.insert(identity, position);
    }

    pub fn get(&self, identity: IdentityHash) -> Option<Position> {
        self.newest.get(&identity).copied()
    }

    pub fn len(&self) -> usize {
        self.newest.len()
    }

    /// Number of positions that it covers.
    pub fn positions(&self) -> u64 {
        self.last.0.saturating_sub(self.base.0)
    }

    /// As rows of a run.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row, TableError>> + use<> {
        let mut rows: Vec<_> = self.newest.iter().map(|(identity, position)| identity.row(*position)).collect();
        rows.sort_unstable();
        rows.into_iter().map(Ok)
    }

    #[cfg(feature = "sim")]
    pub fn all(&self) -> impl Iterator<Item = (IdentityHash, Position)> + '_ {
        self.newest.iter().map(|(identity, position)| (*identity, *position))
    }
}
