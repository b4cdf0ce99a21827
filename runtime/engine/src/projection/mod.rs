//! From records to views: which rows a record changes, and which status parts it publishes.

mod commits;
mod decisions;
mod deliveries;
mod pending;
mod replays;
mod resequence;
mod state;
mod timers;
mod versions;

use std::collections::HashMap;

use weirgate_core::DeliveryRow;
use weirgate_types::{DeliveryId, HandlerName, KeyHasher, PartDelivery, Position, Record, RuntimeVersion, StatusPart};
use weirgate_views::{Change, ViewEntry};

use crate::{
    StorageError, keys,
    statuses::{self, Statuses, WriteRef},
    tables,
};
use deliveries::{Changed, Deliveries};
use pending::Pending;
use versions::Counts;

/// Maximum length of a failure's message shown to the subject's watchers, in characters.
const PUBLIC_MESSAGE_CHARS_MAX: usize = 200;
/// Maximum number of subjects whose delivery phase is remembered.
const SHOWN_MAX: usize = 16_384;

/// The changes of a run of records, gathered until they are durable.
pub struct Projection {
    statuses: Statuses,
    /// The log's hash function for keys.
    keys: KeyHasher,
    pending: Pending,
    deliveries: Deliveries,
    parts: Vec<PublicPart>,
    /// Approximate bytes of keys, values and parts.
    bytes: usize,
    /// Whether all parts are broadcast; otherwise only the newest of each handler and subject counts.
    watched: bool,
    /// The newest of `parts` for each handler and subject.
    newest: HashMap<HandlerName, HashMap<String, usize>>,
    /// The delivery phases that parts show, of those written or read lately, by handler and subject: most show none.
    shown: HashMap<HandlerName, HashMap<String, Option<PartDelivery>>>,
    shown_count: usize,
    /// What the gathered commits add to the counts of versions.
    counts: Counts,
}

/// A status part to broadcast.
#[derive(Debug)]
pub struct PublicPart {
    pub subject: String,
    pub handler: HandlerName,
    pub part: StatusPart,
    /// Where the part's data was written in the log.
    write_ref: Option<WriteRef>,
}

impl Projection {
    pub fn new(statuses: Statuses, keys: KeyHasher) -> Self {
        Self {
            statuses,
            keys,
            pending: Pending::default(),
            deliveries: Deliveries::default(),
            parts: Vec::new(),
            bytes: 0,
            watched: true,
            newest: HashMap::new(),
            shown: HashMap::new(),
            shown_count: 0,
            counts: Counts::default(),
        }
    }

    /// Applies a record at `position`.
    pub fn project(&mut self, position: Position, record: &Record) -> Result<(), StorageError> {
        match record {
            Record::Committed(_) | Record::Batched(_) => self.committed(position, record)?,
            Record::Repaired(repaired) => {
                self.repaired(position, repaired)?;
                self.count_repair(position, repaired)?;
            }
            Record::ReplayRequested(requested) => self.replay_requested(position, requested)?,
            Record::ReplayApproved(approved) => self.replay_approved(position, approved)?,
            Record::ApplyBegun(begun) => self.apply_begun(position, begun)?,
            Record::UndoRequested(requested) => self.undo_requested(position, requested)?,
            Record::RepairsRefused(refused) => {
                self.change_replay(refused.replay, |row| row.refused = Some(position))?;
            }
            Record::ReplayEnded(ended) => self.replay_ended(position, ended)?,
            Record::DeliveryDecided(decided) => self.decided(position, decided)?,
            Record::Deployed(deployed) => {
                self.put(keys::deployed_module(deployed.digest), Vec::new());
                self.deployed(position, deployed)?;
                self.version_begins(position, deployed)?;
                self.version_changed(position, deployed);
            }
            Record::Fired { timer, due_ms, next_ms, event, .. } => {
                self.fired(timer, crate::timers::kind_of(event), *due_ms, *next_ms)?;
            }
            Record::ReplayAnswered(answered) => self.replay_answered(position, answered),
            Record::ModeChanged(changed) => self.mode_changed(position, changed),
            Record::Removed(removed) => self.removed(position, removed),
            Record::BreakerChanged(changed) => self.breaker_changed(position, changed),
            Record::GapPassed(gap) => self.gap_passed(position, gap),
            Record::Paced { slow, reason, at_ms, .. } => self.paced(position, *slow, reason, *at_ms),
            Record::TimeAnchored(anchor) => self.anchored(position, *anchor)?,
            Record::RuntimeChanged(changed) => self.runtime_changed(&changed.runtime)?,
            Record::Accepted { .. }
            | Record::Attempted { .. }
            | Record::Stepped(_)
            | Record::Released { .. }
            | Record::CorrectionRefused(_)
            | Record::Lost(_) => {}
        }
        Ok(())
    }

    fn runtime_changed(&mut self, runtime: &RuntimeVersion) -> Result<(), StorageError> {
        let value = postcard::to_stdvec(runtime).map_err(StorageError::encode("the runtime's version"))?;
        self.put(tables::RUNTIME.prefix().to_vec(), value);
        Ok(())
    }

    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.pending.push(Change::put(key, value));
    }

    pub fn remove(&mut self, key: Vec<u8>) {
        self.pending.push(Change::remove(key));
    }

    /// The delivery's newest row; `is_new` if the views are known to have none. It is encoded when the changes are taken, so these rows
    /// are read with [`Projection::delivery`] and [`Projection::first_delivery`] only.
    pub fn keep(&mut self, delivery: DeliveryId, row: Option<DeliveryRow>, is_new: bool) {
        self.deliveries.keep(delivery, row, is_new);
    }

    /// Whether all parts of statuses are broadcast.
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
    }

    pub fn changes(&self) -> usize {
        self.pending.len() + self.deliveries.len() + self.parts.len()
    }

    /// Approximate bytes of the gathered changes, without those of deliveries, which are small.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A row as it will be once the gathered changes are written.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.pending.get(&self.statuses.views, key)
    }

    /// The first keys with a prefix, as they will be once the gathered changes are written.
    pub fn scan_keys(&self, prefix: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StorageError> {
        self.pending.scan_keys(&self.statuses.views, prefix, limit)
    }

    /// The first rows with a prefix, as they will be once the gathered changes are written.
    pub fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<ViewEntry>, StorageError> {
        self.pending.scan(&self.statuses.views, prefix, limit)
    }

    /// The row of an open delivery that has one, as it will be once the gathered changes are written.
    pub fn delivery(&self, delivery: &DeliveryId) -> Result<Option<DeliveryRow>, StorageError> {
        match self.deliveries.get(delivery) {
            Some(Changed::Open(row)) => return Ok(Some(row.clone())),
            Some(Changed::Ended) => return Ok(None),
            None => {}
        }
        let row = keys::delivery(delivery);
        let found = self.scan(&row, 1)?.into_iter().find(|(key, _)| *key == row);
        let decode = |(_, value): ViewEntry| postcard::from_bytes(&value);
        found.map(decode).transpose().map_err(StorageError::undecodable("a delivery's row"))
    }

    /// The first of a handler's open deliveries that have a row, once the gathered changes are written.
    pub fn first_delivery(&self, handler: &HandlerName) -> Result<Option<Position>, StorageError> {
        let (first, changed) = self.deliveries.of(handler);
        let rows = self.scan_keys(&keys::deliveries_of(handler), changed.saturating_add(1))?;
        let written = rows.iter().filter_map(|row| keys::delivery_of(row));
        let unchanged = written.filter(|delivery| self.deliveries.get(delivery).is_none());
        Ok(unchanged.map(|delivery| delivery.position).chain(first).min())
    }

    /// Takes the gathered changes: the view's changes and the parts to publish.
    pub fn take(&mut self) -> Result<(Vec<Change>, Vec<PublicPart>), StorageError> {
        self.add_counts()?;
        for change in self.deliveries.take()? {
            self.pending.push(change);
        }
        for at in self.newest.values().flat_map(HashMap::values) {
            if let Some(PublicPart { subject, handler, part, write_ref }) = self.parts.get(*at) {
                self.pending.push(statuses::row(subject, handler, part, *write_ref));
            }
        }
        self.newest.clear();
        self.bytes = 0;
        Ok((self.pending.take(), std::mem::take(&mut self.parts)))
    }

    /// The record that wrote the handler's part of a subject's status; `None` where it has none.
    pub fn part_written(&self, subject: &str, handler: &HandlerName) -> Result<Option<Position>, StorageError> {
        Ok(self.part(subject, handler)?.and_then(|(_, write)| write).map(|WriteRef(position, _)| position))
    }

    fn part(
        &self,
        subject: &str,
        handler: &HandlerName,
    ) -> Result<Option<(StatusPart, Option<WriteRef>)>, StorageError> {
        let newest = self.newest.get(handler).and_then(|subjects| subjects.get(subject));
        let of_this_run = newest.and_then(|index| self.parts.get(*index));
        match of_this_run {
            Some(public) => Ok(Some((public.part.clone(), public.write_ref))),
            None => self.statuses.part(subject, handler),
        }
    }

    /// The phase that a part shows, of a delivery that is not completed.
    fn shown(&mut self, subject: &str, handler: &HandlerName) -> Result<Option<PartDelivery>, StorageError> {
        if let Some(delivery) = self.shown.get(handler).and_then(|subjects| subjects.get(subject)) {
            return Ok(delivery.clone());
        }
        let delivery = self.part(subject, handler)?.and_then(|(part, _)| part.delivery);
        self.remember_shown(subject, handler, delivery.clone());
        Ok(delivery)
    }

    fn remember_shown(&mut self, subject: &str, handler: &HandlerName, delivery: Option<PartDelivery>) {
        if let Some(known) = self.shown.get_mut(handler).and_then(|subjects| subjects.get_mut(subject)) {
            *known = delivery;
            return;
        }
        if self.shown_count >= SHOWN_MAX {
            self.shown.clear();
            self.shown_count = 0;
        }
        self.shown_count += 1;
        self.shown.entry(handler.clone()).or_default().insert(subject.to_owned(), delivery);
    }

    fn stage_part(&mut self, subject: &str, handler: &HandlerName, part: StatusPart, write_ref: Option<WriteRef>) {
        self.remember_shown(subject, handler, part.delivery.clone());
        let data_bytes = part.data.as_ref().map_or(0, |data| data.get().len());
        self.bytes += subject.len() + part.state.len() + part.text.len() + data_bytes;
        let newest = match self.newest.get_mut(handler) {
            Some(newest) => newest,
            None => self.newest.entry(handler.clone()).or_default(),
        };
        let known = newest.get_mut(subject);
        if let Some(before) = known.as_deref().filter(|_| !self.watched).and_then(|at| self.parts.get_mut(*at)) {
            (before.part, before.write_ref) = (part, write_ref);
            return;
        }
        match known {
            Some(at) => *at = self.parts.len(),
            None => drop(newest.insert(subject.to_owned(), self.parts.len())),
        }
        self.parts.push(PublicPart { subject: subject.to_owned(), handler: handler.clone(), part, write_ref });
    }
}

fn public(message: &str) -> String {
    message.chars().take(PUBLIC_MESSAGE_CHARS_MAX).collect()
}
