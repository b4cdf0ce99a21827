//! A connection's slot among those within the limit, and their number in the metrics.

use tokio::sync::OwnedSemaphorePermit;
use weirgate_engine::Handle;

/// A slot among the connections. Dropping it releases it.
pub struct ConnectionSlot {
    engine: Handle,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    pub fn new(engine: Handle, permit: OwnedSemaphorePermit) -> Self {
        engine.metrics().connections.inc();
        Self { engine, _permit: permit }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.engine.metrics().connections.dec();
    }
}
