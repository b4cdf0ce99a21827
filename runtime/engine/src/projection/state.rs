//! The state of keys, and its version.

use weirgate_types::{Commit, FIRST_STATE_VERSION, HandlerName, Position, Written};

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
        // No version of the handler goes back to the first: only repairs do.
        let is_later = commit.state_version > FIRST_STATE_VERSION;
        if is_later && commit.sets_state_version() {
            return self.keep_state_version(commit.written(), commit.state_version);
        }
        Ok(())
    }

    /// The version of a key's state, as it will be once the gathered changes are written.
    pub fn state_version(&mut self, handler: &HandlerName, key: &str) -> Result<u32, StorageError> {
        let value = self.get(&keys::state_version(handler, key))?;
        keys::value_state_version(value.as_deref()).ok_or_else(|| StorageError::row("the version of a state"))
    }

    /// A key has a row only while it has state, and only of a later version than the first.
    pub(super) fn keep_state_version(&mut self, written: Written<'_>, version: u32) -> Result<(), StorageError> {
        let Written { handler, key, effects, .. } = written;
        let row = keys::state_version(handler, key);
        let removes = effects.state.iter().any(|write| write.value.is_none());
        let is_empty = removes && self.scan_keys(&keys::states(handler, key), 1)?.is_empty();
        let stood = self.state_version(handler, key)?;
        match version > FIRST_STATE_VERSION && !is_empty {
            true if stood != version => self.put(row, keys::state_version_value(version)),
            false if stood > FIRST_STATE_VERSION => self.remove(row),
            _ => {}
        }
        Ok(())
    }
}
