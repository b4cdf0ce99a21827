//! What recovery needs of the machine besides the log: one row a handler, one row an open delivery. A view: it can be
//! lost, and is rebuilt by replaying the log from its beginning.

use serde::{Deserialize, Serialize};
use weirgate_types::{KeyHash, Position};

/// Small, whatever the manifest holds: manifests stay in the log, the row says where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerRow {
    /// Where the deployments stand that still matter: those whose subscriptions are in force for events that have not been
    /// looked at, and last of all the present one.
    pub deployments: Vec<Position>,
    pub paused: bool,
    /// All events up to here are finished, not for this handler, or have a [`DeliveryRow`].
    pub scanned: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryRow {
    pub key: KeyHash,
    /// How many attempts have begun.
    pub attempt: u32,
    /// Whether the last of them is still under way.
    pub running: bool,
    /// Not to be tried before this; 0 when nothing stands against it.
    pub due_ms: u64,
}
