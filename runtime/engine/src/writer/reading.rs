//! The writer's reading side: scans for handlers that lag, and what operators ask of memory.

use weirgate_core::{EventHead, HandlerView, Input};
use weirgate_types::{DeliveryId, HandlerName, KeyHash, Position};

use super::{Exit, Writer};
use crate::{HandlerItem, command::KnownState, keys};

/// How many positions one scan looks at, at least.
const SCAN_POSITIONS: u64 = 2_048;
/// Or how many bytes of data.
const SCAN_BYTES: usize = 4 << 20;
/// So many bytes of data take as long to read as a position does.
const BYTES_PER_WORK: usize = 1_024;

impl Writer {
    /// Read on for a handler that lags, up to `until` at the most.
    pub fn scan(&mut self, handler: &HandlerName, after: Position, until: Position) -> Result<(), Exit> {
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

    /// All handlers, or the one that is named.
    pub fn list_handlers(&self, name: Option<&HandlerName>) -> Vec<HandlerItem> {
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
                spilled: view.spilled,
                breaker_open_until_ms: view.breaker_open_until_ms.map(|until_ms| self.time.now().wall_at(until_ms)),
                open: view.open,
                running: view.running,
                retrying: view.retrying,
                deployed_at_ms: view.deployed.at_ms,
            }
        };
        match name {
            Some(name) => self.machine.handler(name).map(|view| item((name, view))).into_iter().collect(),
            None => self.machine.handlers().map(item).collect(),
        }
    }

    /// Everything up to here is done with. The first spilled one is the first row.
    fn checkpoint(&self, name: &HandlerName, view: &HandlerView<'_>) -> Position {
        if view.spilled == 0 {
            return view.checkpoint;
        }
        let first = self.projection.scan_keys(&keys::deliveries_of(name), 1).unwrap_or_default();
        let first = first.first().and_then(|key| keys::delivery_of(key)).map(|delivery| delivery.position.before());
        first.map_or(view.checkpoint, |first| first.min(view.checkpoint))
    }

    /// How deliveries phase, as far as memory tells: the lists are made elsewhere.
    pub fn known_states(&self, deliveries: &[(DeliveryId, KeyHash)]) -> Vec<KnownState> {
        let known = deliveries.iter().map(|(delivery, lane)| {
            let state = self.machine.state(delivery).map(|state| state.by_wall(self.time.now()));
            let first_of_lane = state.is_none().then(|| self.machine.first_of_lane(&delivery.handler, *lane)).flatten();
            KnownState { state, first_of_lane }
        });
        known.collect()
    }
}
