//! Operators' queries of memory: handlers, breakers, the phases of deliveries.

use weirgate_core::{HandlerView, Now};
use weirgate_types::{BreakerId, DeliveryId, HandlerName, KeyHash, Position};

use super::Delivery;
use crate::{BreakerItem, BreakerPage, HandlerItem, command::KnownState, projection::Projection};

impl Delivery {
    /// All handlers, or the named one.
    pub fn list_handlers(&self, name: Option<&HandlerName>, projection: &Projection, now: Now) -> Vec<HandlerItem> {
        let item = |(name, view): (&HandlerName, HandlerView<'_>)| {
            let checkpoint = checkpoint(name, &view, projection);
            HandlerItem {
                name: name.clone(),
                digest: view.deployed.digest,
                manifest: view.manifest.clone(),
                mode: view.mode,
                ready: view.ready,
                checkpoint,
                lag: view.lag,
                oldest_open: (view.open > 0).then(|| checkpoint.next()),
                oldest_open_at_ms: None,
                changed: None,
                spilled: view.spilled,
                breaker_open_until_ms: view.breaker_open_until_ms.map(|until_ms| now.wall_at(until_ms)),
                open: view.open,
                running: view.running,
                retrying: view.retrying,
                deployed_at_ms: view.deployed.at_ms,
                version: view.version,
                finishing: view.finishing.iter().map(|one| (one.position, one.deployed.digest)).collect(),
                version_number: None,
            }
        };
        match name {
            Some(name) => self.machine.handler(name).map(|view| item((name, view))).into_iter().collect(),
            None => self.machine.handlers().map(item).collect(),
        }
    }

    /// The phases of deliveries, as far as memory knows them: the lists are made elsewhere.
    pub fn known_states(&self, deliveries: &[(DeliveryId, KeyHash)], now: Now) -> Vec<KnownState> {
        let known = deliveries.iter().map(|(delivery, lane)| {
            let state = self.machine.state(delivery).map(|state| state.by_wall(now));
            let first_of_lane = state.is_none().then(|| self.machine.first_of_lane(&delivery.handler, *lane)).flatten();
            KnownState { state, first_of_lane }
        });
        known.collect()
    }

    /// The breakers after one, at most `limit`.
    pub fn list_breakers(&self, after: Option<&BreakerId>, limit: usize, now: Now) -> BreakerPage {
        let is_after = |name: &HandlerName| match after {
            None => true,
            Some(BreakerId::Handler(after)) => name > after,
            Some(BreakerId::Host(_)) => false,
        };
        let handlers = self.machine.handlers().filter(|(name, view)| view.manifest.breaker.is_some() && is_after(name));
        let handlers =
            handlers.map(|(name, view)| item(BreakerId::Handler(name.clone()), view.breaker_open_until_ms, now));
        let after_host = after.and_then(|after| match after {
            BreakerId::Host(host) => Some(host),
            BreakerId::Handler(_) => None,
        });
        let hosts = self.machine.hosts_after(after_host);
        let hosts = hosts.map(|(host, open)| item(BreakerId::Host(host.clone()), open.map(|open| open.until_ms), now));
        let mut found = handlers.chain(hosts);
        let breakers: Vec<_> = found.by_ref().take(limit).collect();
        let next = found.next().and_then(|_| breakers.last().map(|last| last.breaker.clone()));
        BreakerPage { breakers, next }
    }

    /// One breaker: closed, if nothing is known of it.
    pub fn breaker(&self, breaker: &BreakerId, now: Now) -> BreakerItem {
        let until_ms = match breaker {
            BreakerId::Handler(name) => self.machine.handler(name).and_then(|view| view.breaker_open_until_ms),
            BreakerId::Host(host) => self.machine.host(host).flatten().map(|open| open.until_ms),
        };
        item(breaker.clone(), until_ms, now)
    }
}

/// `until_ms`: when its open time ends, in elapsed time.
fn item(breaker: BreakerId, until_ms: Option<u64>, now: Now) -> BreakerItem {
    BreakerItem { breaker, open_until_ms: until_ms.map(|until_ms| now.wall_at(until_ms)), changed: None }
}

/// All deliveries up to here are closed. The first spilled one is the first row.
fn checkpoint(name: &HandlerName, view: &HandlerView<'_>, projection: &Projection) -> Position {
    if view.spilled == 0 {
        return view.checkpoint;
    }
    let first = projection.first_delivery(name).unwrap_or_default();
    first.map(Position::before).map_or(view.checkpoint, |first| first.min(view.checkpoint))
}
