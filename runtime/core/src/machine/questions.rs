//! Queries of the machine's state.

use std::collections::BTreeSet;

use weirgate_types::{DeliveryId, HandlerName, KeyHash, Mode, Position};

use super::Machine;
use crate::{
    Anchors, DeliveryRow, DeliveryState, DeliveryView, HandlerRow, HandlerView, Now, OfferChange, Verdict,
    breaker::Breaker, handler::Handler,
};

impl Machine {
    /// In how many milliseconds something becomes due; `None` if nothing becomes due without a new input.
    #[must_use]
    pub fn wake_in_ms(&self, now: impl Into<Now>) -> Option<u64> {
        if !self.has_space {
            // The engine reports when there is space again.
            return None;
        }
        let now = now.into();
        let delays = self.due_elapsed_ms().map(|due_ms| due_ms.saturating_sub(now.elapsed_ms));
        let timers = self.timers.next_due_ms().map(|due_ms| due_ms.saturating_sub(now.wall_ms));
        delays.into_iter().chain(timers).min()
    }

    /// When something becomes due in elapsed time.
    fn due_elapsed_ms(&self) -> Option<u64> {
        let working = self.handlers.values().filter(|handler| handler.mode != Mode::Paused);
        let deliveries = working.clone().filter_map(|handler| handler.lanes.next_due_ms(super::spill::RUNNABLE_MAX));
        let gaps = working.clone().filter_map(|handler| handler.next_gap_ms(self.head, super::spill::RUNNABLE_MAX));
        // Lanes that could not be reloaded all at once.
        let wanted = working.clone().filter(|handler| handler.lanes.spilled.wants_any()).map(|_| 0);
        // A half-open breaker has its probe running, or is due at the end of its open time.
        let breakers =
            working.filter(|handler| handler.is_ready() && handler.lanes.active() > 0 && handler.lanes.running() == 0);
        let breakers = breakers.filter_map(|handler| handler.breaker.as_ref().and_then(Breaker::open));
        let breakers = breakers.map(|open| open.until_ms);
        let emitting =
            self.handlers.values().filter(|handler| handler.mode != Mode::Paused && handler.lanes.active() > 0);
        let emitting = emitting.filter_map(|handler| handler.emission_rate.allows_at_ms());
        let holds = self.next_hold_over_ms();
        deliveries.chain(gaps).chain(wanted).chain(breakers).chain(emitting).chain(holds).min()
    }

    #[must_use]
    pub fn hash_key(&self, key: &str) -> KeyHash {
        self.keys.hash(key)
    }

    #[must_use]
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// Number of running attempts.
    #[must_use]
    pub fn running(&self) -> usize {
        self.handlers.values().map(|handler| handler.lanes.running()).sum()
    }

    /// Whether the handler's mode may change to this one.
    #[must_use]
    pub fn may_change_mode(&self, name: &HandlerName, mode: Mode) -> Verdict {
        match self.handlers.get(name) {
            None => Verdict::UnknownHandler,
            Some(handler) if handler.mode == mode => Verdict::AlreadySo,
            Some(_) => Verdict::Granted,
        }
    }

    /// The row of a delivery that is open and in memory.
    #[must_use]
    pub fn row(&self, delivery: &DeliveryId) -> Option<&DeliveryRow> {
        self.handlers.get(&delivery.handler)?.lanes.get(delivery.position)
    }

    /// Number of deliveries that wait behind an open one; those on disk count as one.
    #[must_use]
    pub fn behind(&self, delivery: &DeliveryId) -> usize {
        self.handlers.get(&delivery.handler).map_or(0, |handler| handler.lanes.behind(delivery.position))
    }

    #[must_use]
    pub fn is_open(&self, delivery: &DeliveryId) -> bool {
        self.row(delivery).is_some()
    }

    /// The first delivery of a lane that is in memory.
    #[must_use]
    pub fn first_of_lane(&self, handler: &HandlerName, lane: KeyHash) -> Option<Position> {
        self.handlers.get(handler)?.lanes.of_lane(lane).first().copied()
    }

    /// Corrections for spilled lanes that changed since the last call.
    pub fn take_offer_changes(&mut self) -> Vec<(HandlerName, OfferChange)> {
        let handlers = self.handlers.iter_mut();
        let of_handler = |(name, handler): (&HandlerName, &mut Handler)| {
            let changes = handler.lanes.spilled.take_offer_changes().into_iter();
            changes.map(|change| (name.clone(), change)).collect::<Vec<_>>()
        };
        handlers.flat_map(of_handler).collect()
    }

    /// The phase of a delivery that is open and in memory.
    #[must_use]
    pub fn state(&self, delivery: &DeliveryId) -> Option<DeliveryState> {
        let lanes = &self.handlers.get(&delivery.handler)?.lanes;
        lanes.get(delivery.position).map(|row| lanes.state(delivery.position, row))
    }

    /// The last position that a record covers.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Number of events in the log.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Handlers that have not scanned everything, with their scanned positions and the number of events up to there.
    pub fn lagging(&self) -> impl Iterator<Item = (&HandlerName, Position, u64)> {
        let handlers = self.handlers.iter().map(|(name, handler)| (name, handler.scanned(), handler.seen()));
        handlers.filter(|(_, scanned, _)| *scanned != self.head)
    }

    /// The handlers' rows, to be stored together with the other changes.
    pub fn rows(&self) -> impl Iterator<Item = (&HandlerName, HandlerRow)> {
        self.handlers.iter().map(|(name, handler)| (name, handler.row()))
    }

    pub fn handlers(&self) -> impl Iterator<Item = (&HandlerName, HandlerView<'_>)> {
        self.handlers.iter().map(|(name, handler)| (name, self.view(handler)))
    }

    #[must_use]
    pub fn handler(&self, name: &HandlerName) -> Option<HandlerView<'_>> {
        self.handlers.get(name).map(|handler| self.view(handler))
    }

    /// The open deliveries in memory of a handler after a position, in order of position.
    pub fn deliveries(&self, name: &HandlerName, after: Position) -> impl Iterator<Item = DeliveryView> {
        self.handlers.get_key_value(name).into_iter().flat_map(move |(name, handler)| {
            handler.lanes.states(after).map(|(position, row, state)| DeliveryView {
                delivery: DeliveryId { handler: name.clone(), position },
                key: row.key,
                attempt: row.attempt,
                state,
            })
        })
    }

    /// The handlers of which earlier versions may have something to finish. They need [`crate::Input::UnderWay`].
    #[must_use]
    pub fn finishing(&self) -> &BTreeSet<HandlerName> {
        &self.finishing
    }

    /// The version of a handler that is chosen as of a position.
    #[must_use]
    pub fn version_as_of(&self, name: &HandlerName, as_of: Position) -> Option<Position> {
        Some(self.handlers.get(name)?.version_as_of(as_of))
    }

    /// As of when the versions of a key's open deliveries in memory are chosen: the earliest.
    #[must_use]
    pub fn open_since(&self, name: &HandlerName, key: KeyHash) -> Option<Position> {
        let rows = self.handlers.get(name)?.lanes.rows();
        rows.filter(|row| row.key == key).map(|row| row.as_of).min()
    }

    /// The versions of a handler that its open deliveries may need.
    #[must_use]
    pub fn versions_of_open(&self, name: &HandlerName) -> BTreeSet<Position> {
        self.handlers.get(name).map(|handler| handler.versions_of_open(self.head)).unwrap_or_default()
    }

    pub(super) fn take_under_way(&mut self, name: &HandlerName, keys: &[(KeyHash, Position)]) {
        if let Some(handler) = self.handlers.get_mut(name) {
            handler.under_way = keys.iter().copied().collect();
        }
    }

    fn view<'a>(&self, handler: &'a Handler) -> HandlerView<'a> {
        let (retrying, resting) = handler.lanes.count_waiting();
        HandlerView {
            deployed: &handler.deployed,
            version: handler.version(),
            manifest: &handler.manifest,
            mode: handler.mode,
            ready: handler.is_ready(),
            finishing: handler.finishing(),
            checkpoint: handler.checkpoint(),
            scanned: handler.scanned(),
            lag: self.events.saturating_sub(handler.seen()),
            open: handler.lanes.len(),
            spilled: handler.lanes.spilled.rows(),
            running: handler.lanes.running(),
            calls: handler.lanes.calls(),
            retrying,
            resting,
            breaker_open_until_ms: handler.breaker.as_ref().and_then(Breaker::open).map(|open| open.until_ms),
            overlaps: handler.reordered || handler.manifest.ordering == weirgate_types::Ordering::None,
            subscriptions_pending: handler.subscriptions_pending(),
        }
    }
}
