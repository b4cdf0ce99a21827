//! How many live connections there may be, and how many there are.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weirgate_engine::{Grant, Handle, Purpose};

/// What watching one subject takes beside its name: an entry in three maps, and what of its document is in memory.
const SUBJECT_BYTES: usize = 1_024;
/// How often the name of a watched subject is in memory.
const NAMES: usize = 3;

/// Take what watching a subject holds from the budget.
pub fn hold(engine: &Handle, subject: &str) -> Option<Grant> {
    engine.budget().take(Purpose::Subscriptions, SUBJECT_BYTES + NAMES * subject.len())
}

pub struct Admission(Arc<Semaphore>);

/// A connection's place. Dropping it gives it back.
pub struct ConnectionPermit {
    engine: Handle,
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(connections_max)))
    }

    /// A place, if there is one.
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
