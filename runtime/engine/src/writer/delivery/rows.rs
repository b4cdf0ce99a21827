//! The rows of handlers, deployments and hosts: written when they change, so that a restart finds them.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_core::OfferChange;

use super::Delivery;
use crate::{StorageError, keys, projection::Projection, tables};

impl Delivery {
    /// Writes the rows that changed. Scanned positions are written only for lagging handlers: for the others the views' own
    /// applied position is used.
    pub fn keep_rows(&mut self, projection: &mut Projection, elapsed_ms: u64) -> Result<(), StorageError> {
        if std::mem::take(&mut self.handlers_changed) {
            self.keep_handlers(projection)?;
        }
        for (handler, OfferChange { lane, key, correction }) in self.machine.take_offer_changes() {
            let row = keys::offer(&handler, lane, key);
            match correction {
                Some(correction) => projection.put(row, keys::position_value(correction)),
                None => projection.remove(row),
            }
        }
        if std::mem::take(&mut self.hosts_changed) {
            self.keep_hosts(projection, elapsed_ms)?;
        }
        let events = self.machine.events();
        if std::mem::replace(&mut self.events_kept, events) != events {
            projection.put(tables::EVENTS.prefix().to_vec(), keys::number_value(events));
        }
        let lagging = self.machine.lagging().map(|(name, scanned, seen)| (name.clone(), (scanned, seen)));
        let lagging: BTreeMap<_, _> = lagging.collect();
        for (name, scanned) in lagging.iter().filter(|(name, scanned)| self.lagging_kept.get(*name) != Some(*scanned)) {
            projection.put(keys::lagging(name), keys::scanned_value(scanned.0, scanned.1));
        }
        for name in self.lagging_kept.keys().filter(|name| !lagging.contains_key(*name)) {
            projection.remove(keys::lagging(name));
        }
        self.lagging_kept = lagging;
        Ok(())
    }

    /// The handlers' rows are written with the next ones, whether they changed or not.
    pub fn keep_all_handlers(&mut self) {
        self.handlers_changed = true;
    }

    /// The same for the rows of hosts.
    pub fn keep_all_hosts(&mut self) {
        self.hosts_changed = true;
    }

    /// A row for each handler, and one for each deployment that is still needed.
    fn keep_handlers(&mut self, projection: &mut Projection) -> Result<(), StorageError> {
        let (mut deployments, mut handlers) = (BTreeSet::new(), BTreeSet::new());
        for (name, row) in self.machine.rows() {
            let value = postcard::to_stdvec(&row).map_err(StorageError::encode("a handler's row"))?;
            projection.put(keys::handler(name), value);
            handlers.insert(keys::handler(name));
            deployments.extend(row.deployments.into_iter().map(|position| keys::deployment(name, position)));
        }
        for row in deployments.difference(&self.deployments_kept) {
            projection.put(row.clone(), Vec::new());
        }
        for row in self.deployments_kept.difference(&deployments) {
            projection.remove(row.clone());
        }
        for row in self.handlers_kept.difference(&handlers) {
            projection.remove(row.clone());
        }
        (self.deployments_kept, self.handlers_kept) = (deployments, handlers);
        Ok(())
    }

    /// A row for each open breaker of a host, which is also published to the workers.
    fn keep_hosts(&mut self, projection: &mut Projection, elapsed_ms: u64) -> Result<(), StorageError> {
        let mut open = BTreeMap::new();
        for (host, period) in self.machine.hosts().filter_map(|(host, period)| Some((host, period?))) {
            let value = postcard::to_stdvec(&period).map_err(StorageError::encode("a host's row"))?;
            projection.put(keys::host(host), value);
            open.insert(host.clone(), period.until_ms.saturating_sub(elapsed_ms));
        }
        // The machine may have dropped some of them since.
        for host in self.hosts_kept.iter().filter(|host| !open.contains_key(*host)) {
            projection.remove(keys::host(host));
        }
        self.hosts_kept = open.keys().cloned().collect();
        self.host_breakers.set(open);
        Ok(())
    }
}
