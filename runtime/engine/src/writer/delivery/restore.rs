//! Restores the machine from the views' rows.

use weirgate_core::{DeliveryRow, HandlerRow};
use weirgate_log::LogReader;
use weirgate_types::{Deployed, HandlerName, KeyHash, Position, Record};
use weirgate_views::Views;

use super::Delivery;
use crate::{StorageError, keys, tables};

/// Number of deliveries read at once.
const PAGE: usize = 4_096;

impl Delivery {
    /// Restores the machine and the stored rows to the views' state.
    pub fn restore(&mut self, views: &Views, reader: &LogReader) -> Result<(), StorageError> {
        let applied = views.applied();
        let events = views.get(tables::EVENTS.prefix())?;
        self.events_kept = match events {
            Some(value) => keys::value_number(&value).ok_or_else(|| StorageError::row("the number of events"))?,
            None => 0,
        };
        self.machine.restore_head(applied, self.events_kept);
        if let Some(value) = views.get(tables::ANCHORS.prefix())? {
            self.machine.restore_anchors(
                postcard::from_bytes(&value).map_err(StorageError::undecodable("the anchors of time"))?,
            );
        }
        for (key, value) in views.scan(tables::LAGGING.prefix(), None, usize::MAX)? {
            let name = keys::handler_of(&key).ok_or_else(|| StorageError::row("a lagging handler's name"))?;
            let scanned = keys::value_scanned(&value).ok_or_else(|| StorageError::row("a lagging handler's row"))?;
            self.lagging_kept.insert(name, scanned);
        }
        for (key, value) in views.scan(tables::HANDLERS.prefix(), None, usize::MAX)? {
            let name = keys::handler_of(&key).ok_or_else(|| StorageError::row("a handler's name"))?;
            self.handlers_kept.insert(key.clone());
            let row: HandlerRow = postcard::from_bytes(&value).map_err(StorageError::undecodable("a handler's row"))?;
            let up_to_date = (applied, self.events_kept);
            let (scanned, seen) = self.lagging_kept.get(&name).copied().unwrap_or(up_to_date);
            let deployments = self.restore_deployments(&name, views, reader)?;
            let offers = restore_offers(&name, views)?;
            self.machine.restore_handler(deployments, &HandlerRow { scanned, seen, offers, ..row });
        }
        for (key, value) in views.scan(tables::HOSTS.prefix(), None, usize::MAX)? {
            let host = keys::host_of(&key).ok_or_else(|| StorageError::row("a host's name"))?;
            let open = postcard::from_bytes(&value).map_err(StorageError::undecodable("a host's row"))?;
            self.hosts_kept.insert(host.clone());
            self.machine.restore_host(host, open);
            self.hosts_changed = true;
        }
        self.restore_deliveries(views)
    }

    fn restore_deployments(
        &mut self,
        name: &HandlerName,
        views: &Views,
        reader: &LogReader,
    ) -> Result<Vec<(Position, Deployed)>, StorageError> {
        let mut deployments = Vec::new();
        for row in views.scan_keys(&keys::deployments_of(name), None, usize::MAX)? {
            let position = keys::last_position(&row).ok_or_else(|| StorageError::row("a deployment's row"))?;
            deployments.push(deployment(position, reader)?);
            self.deployments_kept.insert(row);
        }
        Ok(deployments)
    }

    /// There can be millions, so they are read in pages.
    fn restore_deliveries(&mut self, views: &Views) -> Result<(), StorageError> {
        let mut after = None::<Vec<u8>>;
        loop {
            let page = views.scan(tables::DELIVERIES.prefix(), after.as_deref(), PAGE)?;
            for (key, value) in &page {
                let row: DeliveryRow =
                    postcard::from_bytes(value).map_err(StorageError::undecodable("a delivery's row"))?;
                let delivery = keys::delivery_of(key).ok_or_else(|| StorageError::row("a delivery's row"))?;
                self.machine.restore_delivery(&delivery, row);
            }
            match page.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

fn restore_offers(name: &HandlerName, views: &Views) -> Result<Vec<(KeyHash, KeyHash, Position)>, StorageError> {
    let offers = views.scan(&keys::offers_of(name), None, usize::MAX)?.into_iter();
    let offer = |(row, value): (Vec<u8>, Vec<u8>)| {
        let (lane, key) = keys::offer_of(&row)?;
        Some((lane, key, keys::value_position(&value)?))
    };
    let offers = offers.map(|row| offer(row).ok_or_else(|| StorageError::row("a correction's row")));
    offers.collect()
}

fn deployment(position: Position, reader: &LogReader) -> Result<(Position, Deployed), StorageError> {
    match reader.read(position)? {
        Some((first, Record::Deployed(deployed))) if first == position => Ok((position, deployed)),
        _ => Err(StorageError::Missing { what: "deployment", position }),
    }
}
