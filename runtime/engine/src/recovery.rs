//! Recovery: from the views as they were last kept, and the records that came after, to a machine that is up to date.

use weirgate_core::{DeliveryRow, HandlerRow, Input, deliveries_of};
use weirgate_types::{Deployed, HandlerName, KeyHash, Position, Record};

use crate::{
    StorageError, keys,
    writer::{Exit, Forgotten, Writer},
};

/// The view is brought forward in steps of about this many changes.
const STEP_CHANGES: usize = 4_096;

impl Writer {
    /// Bring machine and views up to the log's head, end the attempts that were cut off, and make that durable.
    pub fn recover(&mut self) -> Result<(), Exit> {
        self.budget.is_unlimited = true;
        self.replay()?;
        self.budget.is_unlimited = false;
        self.end_pass()
    }

    fn replay(&mut self) -> Result<(), Exit> {
        let applied = self.views.applied();
        self.restore(applied)?;
        self.feed(Input::Durable { position: self.log.head() })?;
        let mut through = applied;
        for read in self.reader.clone().scan(applied.next()) {
            let (position, record) = read?;
            self.bring_back(&record, through)?;
            self.projection.project(position, &record)?;
            self.feed(Input::Staged { position, record: &record })?;
            through = position.plus(record.width()).before();
            if self.projection.changes() >= STEP_CHANGES {
                self.bring_forward(through)?;
            }
        }
        self.bring_forward(through)?;
        self.time.resume(self.machine.anchors().newest());
        // For how long hosts are left alone is known only now.
        self.hosts_changed = true;
        // The first look tells when the next is due.
        self.feed(Input::TimersRead { next_due_ms: Some(0) })?;
        self.feed(Input::Recovered)?;
        tracing::info!(from = applied.0, through = through.0, "recovered");
        Ok(())
    }

    fn restore(&mut self, applied: Position) -> Result<(), Exit> {
        self.machine.restore_head(applied);
        let forgotten = self.views.get(keys::FORGOTTEN)?.and_then(|value| keys::value_position(&value));
        self.forgotten = Forgotten::through(forgotten.unwrap_or_default());
        if let Some(value) = self.views.get(keys::ANCHORS)? {
            self.machine.restore_anchors(
                postcard::from_bytes(&value).map_err(StorageError::undecodable("the anchors of time"))?,
            );
        }
        for (key, value) in self.views.scan(keys::LAGGING, None, usize::MAX)? {
            let name = keys::handler_of(&key).ok_or_else(|| StorageError::row("a lagging handler's name"))?;
            let scanned = keys::value_position(&value).ok_or_else(|| StorageError::row("a lagging handler's row"))?;
            self.lagging_kept.insert(name, scanned);
        }
        for (key, value) in self.views.scan(keys::HANDLERS, None, usize::MAX)? {
            let name = keys::handler_of(&key).ok_or_else(|| StorageError::row("a handler's name"))?;
            let row: HandlerRow = postcard::from_bytes(&value).map_err(StorageError::undecodable("a handler's row"))?;
            let scanned = self.lagging_kept.get(&name).copied().unwrap_or(applied);
            let deployments = self.restore_deployments(&name)?;
            let offers = self.restore_offers(&name)?;
            self.machine.restore_handler(deployments, &HandlerRow { scanned, offers, ..row });
        }
        for (key, value) in self.views.scan(keys::HOSTS, None, usize::MAX)? {
            let host = keys::host_of(&key).ok_or_else(|| StorageError::row("a host's name"))?;
            let (until_ms, again) = postcard::from_bytes(&value).map_err(StorageError::undecodable("a host's row"))?;
            self.machine.restore_host(host, until_ms, again);
            self.hosts_changed = true;
        }
        self.restore_deliveries()
    }

    fn restore_deployments(&mut self, name: &HandlerName) -> Result<Vec<(Position, Deployed)>, Exit> {
        let mut deployments = Vec::new();
        for row in self.views.scan_keys(&keys::deployments_of(name), None, usize::MAX)? {
            let position = keys::last_position(&row).ok_or_else(|| StorageError::row("a deployment's row"))?;
            deployments.push(self.deployment(position)?);
            self.deployments_kept.insert(row);
        }
        Ok(deployments)
    }

    fn restore_offers(&self, name: &HandlerName) -> Result<Vec<(KeyHash, KeyHash, Position)>, Exit> {
        let offers = self.views.scan(&keys::offers_of(name), None, usize::MAX)?.into_iter();
        let offer = |(row, value): (Vec<u8>, Vec<u8>)| {
            let (lane, key) = keys::offer_of(&row)?;
            Some((lane, key, keys::value_position(&value)?))
        };
        let offers = offers.map(|row| offer(row).ok_or_else(|| StorageError::row("a correction's row")));
        Ok(offers.collect::<Result<_, _>>()?)
    }

    /// There can be millions: they are read a page at a time.
    fn restore_deliveries(&mut self) -> Result<(), Exit> {
        let mut after = None::<Vec<u8>>;
        loop {
            let page = self.views.scan(keys::DELIVERIES, after.as_deref(), STEP_CHANGES)?;
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

    /// A record speaks of deliveries that may be on disk: the machine has to have them before it hears of it.
    fn bring_back(&mut self, record: &Record, through: Position) -> Result<(), Exit> {
        for delivery in deliveries_of(record) {
            if self.machine.may_be_spilled(&delivery.handler, delivery.position) {
                self.bring_forward(through)?;
                // What was put away just then has to be found as well.
                self.write_forward(through)?;
                self.reload_for(&delivery)?;
            }
        }
        Ok(())
    }

    fn deployment(&self, position: Position) -> Result<(Position, Deployed), Exit> {
        match self.reader.read(position)? {
            Some((first, Record::Deployed(deployed))) if first == position => Ok((position, deployed)),
            _ => Err(StorageError::Missing { what: "deployment", position }.into()),
        }
    }

    fn bring_forward(&mut self, through: Position) -> Result<(), Exit> {
        self.write_forward(through)?;
        self.feed(Input::Durable { position: self.log.head() })
    }

    /// Nobody watches yet, so what the records made public is not published again.
    fn write_forward(&mut self, through: Position) -> Result<(), Exit> {
        self.handlers_changed = true;
        self.keep_handlers()?;
        let (changes, _) = self.projection.take();
        Ok(self.views.write(changes, through)?)
    }
}
