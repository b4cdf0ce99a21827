//! The state of keys, and its version.

use weirgate_types::{Commit, FIRST_STATE_VERSION, HandlerName, Outcome, Position, Written};

use super::Projection;
use crate::{
    StorageError,
    keys::{self, Stored},
};

impl Projection {
    /// The state writes of a record; `before` of them come earlier in it.
    pub(super) fn state_written(&mut self, position: Position, written: Written<'_>, before: usize) {
        for (index, write) in written.effects.state.iter().enumerate() {
            let mut row = keys::states(written.handler, written.key);
            row.extend_from_slice(write.name.as_bytes());
            match &write.value {
                Some(value) => self.put(row, Stored::new(value, position, before + index).encode()),
                None => self.remove(row),
            }
        }
    }

    /// A commit may change the version of its key's state, also where it found nothing to rewrite.
    pub(super) fn migrated(&mut self, commit: &Commit) -> Result<(), StorageError> {
        let is_kept = matches!(commit.outcome, Outcome::Completed | Outcome::Withheld);
        let writes = !commit.effects.state.is_empty() || commit.migrated_from.is_some();
        if is_kept && writes { self.keep_state_version(commit.written(), commit.state_version) } else { Ok(()) }
    }

    /// The version of a key's state, as it will be once the gathered changes are written.
    pub fn state_version(&mut self, handler: &HandlerName, key: &str) -> Result<u32, StorageError> {
        let value = self.get(&keys::state_version(handler, key))?;
        keys::value_state_version(value.as_deref()).ok_or_else(|| StorageError::row("the version of a state"))
    }

    /// A key has a row only while it has state, and only of a later version than the first.
    pub(super) fn keep_state_version(&mut self, written: Written<'_>, version: u32) -> Result<(), StorageError> {
        if version <= FIRST_STATE_VERSION {
            return Ok(());
        }
        let Written { handler, key, effects, .. } = written;
        let row = keys::state_version(handler, key);
        let removes = effects.state.iter().any(|write| write.value.is_none());
        if removes && self.scan_keys(&keys::states(handler, key), 1)?.is_empty() {
            self.remove(row);
        } else if self.state_version(handler, key)? != version {
            self.put(row, keys::state_version_value(version));
        }
        Ok(())
    }
}
