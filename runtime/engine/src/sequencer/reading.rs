//! The sequencer's reading side: scans for handlers that lag, lists for operators.

use weirgate_core::{EventHead, Input};
use weirgate_types::{DeliveryId, HandlerName, KeyHash, Position};

use super::{End, Sequencer};
use crate::{DeliveryFilter, DeliveryItem, HandlerItem, Refusal};

/// How many positions one scan looks at, at least.
const SCAN_POSITIONS: u64 = 2_048;

impl Sequencer {
    /// Read on for a handler that lags, up to `until` at the most.
    pub fn scan(&mut self, handler: &HandlerName, after: Position, until: Position) -> Result<(), End> {
        let mut events = Vec::new();
        let mut through = after;
        for read in self.reader.scan(after.next()) {
            let (first, record) = read?;
            if first > until {
                break;
            }
            events.extend(record.events(first).map(|(position, event)| EventHead::of(position, event)));
            through = first.plus(record.width()).before();
            if through.0 >= after.0 + SCAN_POSITIONS {
                break;
            }
        }
        self.tell(Input::Scanned { handler, events: &events, through });
        Ok(())
    }

    /// The key of a delivery's event.
    pub fn key_of(&self, delivery: &DeliveryId) -> Result<String, End> {
        let (first, record) = if let Some((first, record)) = self.recent.covering(delivery.position) {
            (first, record)
        } else {
            let read = self.reader.read(delivery.position)?;
            let (first, record) = read.ok_or_else(|| End::Broken(format!("the log has no record for {delivery}")))?;
            (first, record.into())
        };
        let event = record.event_at(delivery.position.0.saturating_sub(first.0));
        event
            .map(|event| event.key().to_owned())
            .ok_or_else(|| End::Broken(format!("the log has no event for {delivery}")))
    }

    pub fn list_handlers(&self) -> Vec<HandlerItem> {
        let head = self.machine.head();
        let items = self.machine.handlers().map(|(name, view)| HandlerItem {
            name: name.clone(),
            digest: view.deployed.digest,
            manifest: view.manifest.clone(),
            paused: view.paused,
            ready: view.ready,
            checkpoint: view.checkpoint,
            lag: head.0.saturating_sub(view.checkpoint.0),
            open: view.open,
            running: view.running,
            retrying: view.retrying,
            deployed_at_ms: view.deployed.at_ms,
        });
        items.collect()
    }

    pub fn list_deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliveryItem>, Refusal> {
        if let Some(name) = filter.handler.as_ref().filter(|name| self.machine.handler(name).is_none()) {
            return Err(Refusal::UnknownHandler(name.clone()));
        }
        let key = filter.key.as_deref().map(KeyHash::of);
        let names = self.machine.handlers().map(|(name, _)| name);
        let names = names.filter(|name| filter.handler.as_ref().is_none_or(|wanted| wanted == *name));
        let open = names.flat_map(|name| self.machine.deliveries(name, Position::ZERO));
        let open = open.filter(|open| filter.state.as_deref().is_none_or(|wanted| wanted == open.state.word()));
        let open = open.filter(|open| key.is_none_or(|wanted| open.key == wanted));
        let items = open.map(|open| DeliveryItem { delivery: open.delivery, attempt: open.attempt, state: open.state });
        Ok(items.take(filter.limit).collect())
    }
}
