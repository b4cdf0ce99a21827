//! A row for each version of a handler: its number, and what came of its attempts.

use std::collections::BTreeMap;

use weirgate_types::{Commit, Deployed, HandlerName, Outcome, Position};

use super::Projection;
use crate::{StorageError, keys, versions::VersionRow};

/// What commits add to the versions' rows. Gathered, so that a pass reads and writes each row once.
pub type Counts = BTreeMap<(HandlerName, Position), VersionRow>;

impl Projection {
    pub(super) fn version_begins(&mut self, position: Position, deployed: &Deployed) -> Result<(), StorageError> {
        let before = self.scan(&keys::versions_of(&deployed.handler), 1)?.pop();
        let before = before.map(|(_, value)| VersionRow::decode(&value)).transpose()?;
        let number = before.map_or(0, |row| row.number).saturating_add(1);
        let row = VersionRow { number, ..VersionRow::default() };
        self.put(keys::version(&deployed.handler, position), row.encode()?);
        Ok(())
    }

    pub(super) fn count(&mut self, commit: &Commit) {
        let row = self.counts.entry((commit.handler.clone(), commit.version)).or_default();
        row.cpu_us = row.cpu_us.saturating_add(commit.cpu_us.into());
        match &commit.outcome {
            Outcome::Completed | Outcome::Withheld => row.completed += 1,
            Outcome::Retry { spent: false, .. } => {}
            Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. } => row.failed += 1,
            Outcome::DeadLettered { .. } => {
                row.failed += 1;
                row.dead += 1;
            }
        }
    }

    /// Writes what was counted. A handler that was removed meanwhile has no row.
    pub(super) fn add_counts(&mut self) -> Result<(), StorageError> {
        for ((handler, version), counted) in std::mem::take(&mut self.counts) {
            let key = keys::version(&handler, version);
            if let Some(value) = self.get(&key)? {
                self.put(key, VersionRow::decode(&value)?.with(counted).encode()?);
            }
        }
        Ok(())
    }
}
