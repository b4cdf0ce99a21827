//! The limit of live connections, and their number.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weirgate_engine::{Grant, Handle, Purpose};

/// Memory for watching one subject besides its name, in bytes: an entry in three maps, and the parts of its document in
/// memory.
const SUBJECT_BYTES: usize = 1_024;
/// How many copies of a watched subject's name are in memory.
const NAMES: usize = 3;

/// Takes the bytes for watching a subject from the budget.
pub fn hold(engine: &Handle, subject: &str) -> Option<Grant> {
    engine.budget().take(Purpose::Subscriptions, SUBJECT_BYTES + NAMES * subject.len())
}

pub struct Admission(Arc<Semaphore>);

/// A connection's slot. Dropping it releases it.
pub struct ConnectionPermit {
    engine: Handle,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections_max)))
    }

    /// A slot, if one is free.
    pub fn enter(&self, engine: Handle) -> Option<ConnectionPermit> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        engine.metrics().live_connections.inc();
        Some(ConnectionPermit { engine, _permit: permit })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.engine.metrics().live_connections.dec();
    }
}
