//! The sequencer's reading side: scans for handlers that lag, lists for operators.

use weirgate_core::{DeliveryRow, DeliveryState, EventHead, HandlerView, Input};
use weirgate_types::{DeliveryId, HandlerName, Position};

use super::{End, Sequencer};
use crate::{DeliveryFilter, DeliveryItem, HandlerItem, Refusal, rows};

/// How many positions one scan looks at, at least.
const SCAN_POSITIONS: u64 = 2_048;
/// Or how many bytes of data.
const SCAN_BYTES: usize = 4 << 20;
/// So many bytes of data take as long to read as a position does.
const BYTES_PER_WORK: usize = 1_024;
/// A list looks at so many rows at a time, and gives up after so many times: who asks for what is rare asks on.
const LISTED_PAGE: usize = 1_024;
const LISTED_PAGES_MAX: usize = 64;

impl Sequencer {
    /// Read on for a handler that lags, up to `until` at the most.
    pub fn scan(&mut self, handler: &HandlerName, after: Position, until: Position) -> Result<(), End> {
        let mut events = Vec::new();
        let (mut through, mut bytes) = (after, 0);
        for read in self.reader.scan(after.next()) {
            let (first, record) = read?;
            if first > until {
                break;
            }
            events.extend(EventHead::of(first, &record, self.keys));
            through = first.plus(record.width()).before();
            bytes += record.events(first).map(|(_, event)| event.data.len()).sum::<usize>();
            if through.0 >= after.0.saturating_add(SCAN_POSITIONS) || bytes >= SCAN_BYTES {
                break;
            }
        }
        self.budget.spend(usize::try_from(through.0.saturating_sub(after.0)).unwrap_or(usize::MAX));
        self.budget.spend(bytes / BYTES_PER_WORK);
        self.tell(Input::Scanned { handler, events: &events, through });
        Ok(())
    }

    pub fn list_handlers(&self) -> Vec<HandlerItem> {
        let head = self.machine.head();
        let item = |(name, view): (&HandlerName, HandlerView<'_>)| {
            let checkpoint = self.checkpoint(name, &view);
            HandlerItem {
                name: name.clone(),
                digest: view.deployed.digest,
                manifest: view.manifest.clone(),
                mode: view.mode,
                ready: view.ready,
                checkpoint,
                lag: head.0.saturating_sub(checkpoint.0),
                shelved: view.shelved,
                breaker_open_until_ms: view.breaker_open_until_ms,
                open: view.open,
                running: view.running,
                retrying: view.retrying,
                deployed_at_ms: view.deployed.at_ms,
            }
        };
        self.machine.handlers().map(item).collect()
    }

    /// Everything up to here is done with. The first on the shelf is the first row.
    fn checkpoint(&self, name: &HandlerName, view: &HandlerView<'_>) -> Position {
        if view.shelved == 0 {
            return view.checkpoint;
        }
        let first = self.views.scan_keys(&rows::deliveries_of(name), None, 1).unwrap_or_default();
        let first = first.first().and_then(|key| rows::delivery_of(key)).map(|delivery| delivery.position.before());
        first.map_or(view.checkpoint, |first| first.min(view.checkpoint))
    }

    /// Open deliveries as the views know them: what this turn changes is not among them.
    pub fn list_deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryItem>, Refusal> {
        if let Some(name) = filter.handler.as_ref().filter(|name| self.machine.handler(name).is_none()) {
            return Err(Refusal::UnknownHandler(name.clone()));
        }
        let key = filter.key.as_deref().map(|key| self.keys.hash(key));
        let prefix = filter.handler.as_ref().map_or_else(|| rows::DELIVERIES.to_vec(), rows::deliveries_of);
        let mut after = filter.after.as_ref().map(rows::delivery);
        let mut items = Vec::new();
        for _ in 0..LISTED_PAGES_MAX {
            let page = self.views.scan(&prefix, after.as_deref(), LISTED_PAGE)?;
            after = page.last().map(|(row, _)| row.clone());
            for (row, value) in &page {
                let Some(delivery) = rows::delivery_of(row) else { continue };
                let Ok(row) = postcard::from_bytes::<DeliveryRow>(value) else { continue };
                if key.is_some_and(|wanted| row.key != wanted) {
                    continue;
                }
                let state = self.state_of_delivery(&delivery, &row)?;
                if filter.state.as_deref().is_none_or(|wanted| wanted == state.word()) {
                    // Another key may have the same hash.
                    let item = self.item(delivery, &row, state)?;
                    items.extend(item.filter(|item| filter.key.as_ref().is_none_or(|key| *key == item.key)));
                }
                if items.len() >= filter.limit {
                    return Ok(items);
                }
            }
            if page.len() < LISTED_PAGE {
                break;
            }
        }
        Ok(items)
    }

    fn state_of_delivery(&self, delivery: &DeliveryId, row: &DeliveryRow) -> Result<DeliveryState, Refusal> {
        if let Some(state) = self.machine.state(delivery) {
            return Ok(state);
        }
        // On the shelf: behind the first of its lane, which may be in memory.
        let in_memory = self.machine.first_of_lane(&delivery.handler, row.lane);
        let first = match in_memory {
            Some(first) => Some(first),
            None => {
                let keys = self.views.scan_keys(&rows::shelf_lane(&delivery.handler, row.lane), None, 1)?;
                keys.first().and_then(|key| rows::last_position(key))
            }
        };
        match first.filter(|first| *first != delivery.position) {
            Some(first) => Ok(DeliveryState::ParkedBehind(first)),
            None => Ok(DeliveryState::of(row)),
        }
    }

    fn item(
        &self,
        delivery: DeliveryId,
        row: &DeliveryRow,
        state: DeliveryState,
    ) -> Result<Option<DeliveryItem>, Refusal> {
        let stored = self.stored(&delivery).map_err(|end| Refusal::Storage(end.to_string()))?;
        Ok(stored.event(delivery.position).map(|event| DeliveryItem {
            attempt: row.attempt,
            state,
            key: event.key().to_owned(),
            r#type: event.r#type.clone(),
            delivery,
        }))
    }
}
