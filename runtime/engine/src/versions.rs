//! The versions of a handler: what each row of them holds, and how they are shown.

use serde::{Deserialize, Serialize};
use weirgate_types::{Deployed, Position, SettingChange};

use crate::StorageError;

/// A version's row in the views. Its size is bounded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// 1 for the first.
    pub number: u32,
    /// Deliveries that it completed.
    pub completed: u64,
    /// Attempts that failed and counted, and how many of them ended in a dead letter.
    pub failed: u64,
    pub dead: u64,
    /// The CPU time of its calls, in microseconds.
    pub cpu_us: u64,
}

impl VersionRow {
    pub(crate) fn decode(value: &[u8]) -> Result<Self, StorageError> {
        postcard::from_bytes(value).map_err(StorageError::undecodable("a version"))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StorageError> {
        postcard::to_stdvec(self).map_err(StorageError::encode("a version"))
    }

    /// The same, with these counts added.
    pub(crate) fn with(self, counted: Self) -> Self {
        Self {
            number: self.number,
            completed: self.completed.saturating_add(counted.completed),
            failed: self.failed.saturating_add(counted.failed),
            dead: self.dead.saturating_add(counted.dead),
            cpu_us: self.cpu_us.saturating_add(counted.cpu_us),
        }
    }
}

/// A version of a handler, as operators see it.
#[derive(Debug, Clone)]
pub struct VersionItem {
    pub row: VersionRow,
    /// The position from which it is in force.
    pub position: Position,
    /// The last position at which it was in force; `None`: it is.
    pub until: Option<Position>,
    pub deployed: Deployed,
    /// The number of the version that a rollback copied.
    pub copied_from: Option<u32>,
    /// What its manifest changes against the version before.
    pub changes: Vec<SettingChange>,
    /// Whether its module differs from that of the version before.
    pub has_other_module: bool,
    /// Whether it finishes what its keys had under way when it was replaced.
    pub is_finishing: bool,
}

/// Some versions, the newest first.
#[derive(Debug, Clone)]
pub struct VersionPage {
    pub versions: Vec<VersionItem>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Position>,
}
