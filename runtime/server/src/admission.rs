//! Limits of live connections: how many there are, and the memory of what they watch.

use std::sync::Arc;

use tokio::sync::Semaphore;
use weirgate_engine::{Grant, Handle, Purpose};

use crate::slot::ConnectionSlot;

/// Memory for watching one subject besides its name, in bytes: an entry in three maps, and the parts of its document in
/// memory.
const SUBJECT_BYTES: usize = 1_024;
/// How many copies of a watched subject's name are in memory.
const NAMES: usize = 3;

/// Takes the bytes for watching a subject from the budget.
pub fn hold(engine: &Handle, subject: &str) -> Option<Grant> {
    engine.budget().take(Purpose::Subscriptions, SUBJECT_BYTES + NAMES * subject.len())
}

/// The limit of live connections.
pub struct Admission(Arc<Semaphore>);

impl Admission {
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections_max)))
    }

    /// A slot, if one is free.
    pub fn enter(&self, engine: &Handle) -> Option<ConnectionSlot> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(ConnectionSlot::new(&engine.metrics().live_connections, permit))
    }
}
