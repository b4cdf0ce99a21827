//! A connection's slot among those within a limit, and their number in the metrics.

use tokio::sync::OwnedSemaphorePermit;
use weirgate_engine::Gauge;

/// A slot among the connections that a gauge counts. Dropping it releases it.
pub struct ConnectionSlot {
    gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionSlot {
    pub fn new(gauge: &Gauge, permit: OwnedSemaphorePermit) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone(), _permit: permit }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
