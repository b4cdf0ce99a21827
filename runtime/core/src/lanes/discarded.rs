//! Attempts that are discarded at a fence: their deliveries are ready again, and begin once the discarded call has returned. So
//! a delivery is never in two calls at once, and the calls of all versions together keep to the handler's concurrency.

use weirgate_types::Position;

use super::Lanes;
use crate::{DeliveryPhase, DeliveryRow};

impl Lanes {
    /// Discards the running attempts, unspent, but for those that one `keeps`. Returns the changed rows. `in_flight`: their
    /// calls are still to return; in a replay of the log none is.
    pub fn discard_running(
        &mut self,
        keeps: impl Fn(&DeliveryRow) -> bool,
        in_flight: bool,
    ) -> Vec<(Position, DeliveryRow)> {
        let mut discarded = Vec::new();
        for position in self.running_now() {
            let Some(row) = self.open.get(&position).filter(|row| !keeps(row)) else { continue };
            if in_flight {
                self.calls.discard(position, row.lane);
            }
            discarded.extend(self.change(position, DeliveryRow::discard).map(|row| (position, row.clone())));
        }
        discarded
    }

    /// A call has returned. Whether its attempt at this delivery had been discarded: the delivery may begin now.
    pub fn returned(&mut self, position: Position) -> bool {
        let Some(lane) = self.calls.returned(position) else { return false };
        if let Some(row) = self.open.get(&position).filter(|row| row.parallel) {
            self.queues.list(position, row);
        }
        self.settle(lane);
        // It may have been closed meanwhile, and opened again under a manifest with other lanes.
        if let Some(row) = self.open.get(&position) {
            self.settle(row.lane);
        }
        true
    }
}

impl DeliveryRow {
    /// Its running attempt is discarded: it is ready again, and nothing is spent.
    pub(crate) fn discard(&mut self) {
        if self.is_running() {
            self.phase = DeliveryPhase::Ready;
        }
    }
}
