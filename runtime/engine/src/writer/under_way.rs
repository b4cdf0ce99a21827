//! What keys have under way with earlier versions of a handler, besides deliveries in memory: timers, and deliveries on disk.
//! The machine chooses the version of each delivery that is opened by it.

use std::collections::BTreeSet;

use weirgate_core::{DeliveryRow, Input};
use weirgate_types::{DeliveryId, HandlerName, KeyHash, Position, Record};
use weirgate_views::ViewEntry;

use super::{Exit, Writer};
use crate::{
    StorageError,
    keys::{self, TimerKind, TimerRow},
    projection::Projection,
};

/// Timers of a key that are read: those of one version, unless an operator's repair set some.
const TIMERS_OF_KEY_READ: usize = 64;
/// Timers of a handler that a deployment reads: with more, no version is known to have none.
const TIMERS_OF_HANDLER_READ: usize = 4_096;

/// The keys of a record's events that have something under way with an earlier version of a handler: that version.
pub type UnderWay = Vec<(HandlerName, Vec<(KeyHash, Position)>)>;

/// The earliest version that a key of a handler has something under way with, by its timers and its deliveries on disk.
pub fn since(
    projection: &Projection,
    handler: &HandlerName,
    (key, lane): (&str, KeyHash),
) -> Result<Option<Position>, StorageError> {
    let timers = projection.scan(&keys::timers_of_key(handler, TimerKind::Handler, key), TIMERS_OF_KEY_READ)?;
    let timers = set_by(&timers)?;
    let mut spilled = None;
    if let Some(first) = projection.scan_keys(&keys::spilled_lane(handler, lane), 1)?.first() {
        let position = keys::last_position(first).ok_or_else(|| StorageError::row("a lane's row"))?;
        let row = projection.delivery(&DeliveryId { handler: handler.clone(), position })?;
        spilled = row.filter(|row| row.key == lane).map(|row| row.as_of);
    }
    Ok(timers.into_iter().chain(spilled).min())
}

/// The versions that set these timers.
fn set_by(timers: &[ViewEntry]) -> Result<Vec<Position>, StorageError> {
    timers.iter().map(|(_, value)| Ok(TimerRow::decode(value)?.version)).collect()
}

impl Writer {
    /// What keys of a record have under way at handlers of which earlier versions finish. To be found before the record is staged: a
    /// timer that fires is under way until then.
    pub(super) fn under_way(&self, record: &Record) -> Result<UnderWay, StorageError> {
        let machine = self.delivery.machine();
        let mut found = Vec::new();
        for handler in machine.finishing() {
            let reopened = match record {
                Record::DeliveryDecided(decided) if decided.delivery.handler == *handler => Some(&*decided.key),
                _ => None,
            };
            let opened = record.events(Position::ZERO).map(|(_, event)| event.key());
            let mut keys = Vec::new();
            for key in opened.chain(reopened).collect::<BTreeSet<_>>() {
                let lane = machine.hash_key(key);
                // A delivery that emits an event of its own key is under way until then.
                let own = record.commits().iter().filter(|commit| commit.handler == *handler && commit.key == *key);
                let since = since(self.durability.projection(), handler, (key, lane))?;
                let since = own.map(|commit| commit.version).chain(since).min();
                keys.extend(since.map(|since| (lane, since)));
            }
            found.push((handler.clone(), keys));
        }
        Ok(found)
    }

    /// Before the machine gets that record.
    pub(super) fn report_under_way(&mut self, found: &UnderWay) {
        for (handler, keys) in found.iter().filter(|(_, keys)| !keys.is_empty()) {
            self.tell(Input::UnderWay { handler, keys });
        }
    }

    /// The deliveries of a lane on disk move to a version.
    pub(super) fn move_spilled(&mut self, handler: &HandlerName, lane: KeyHash, version: Position) -> Result<(), Exit> {
        for key in self.durability.projection().scan_keys(&keys::spilled_lane(handler, lane), usize::MAX)? {
            let position = keys::last_position(&key).ok_or_else(|| StorageError::row("a lane's row"))?;
            let delivery = DeliveryId { handler: handler.clone(), position };
            if let Some(row) = self.durability.projection().delivery(&delivery)? {
                let moved = DeliveryRow { as_of: version, ..row };
                self.durability.projection_mut().keep(delivery, Some(moved), false);
            }
        }
        Ok(())
    }

    /// Whether an earlier version finishes what a key has under way: its state is in the form of that version.
    pub(super) fn is_finishing(&self, handler: &HandlerName, key: &str) -> Result<bool, StorageError> {
        let machine = self.delivery.machine();
        if !machine.finishing().contains(handler) {
            return Ok(false);
        }
        let Some(view) = machine.handler(handler) else { return Ok(false) };
        // Events from before the version in force are not looked at yet: some of the key may be among them.
        if view.scanned.next() < view.version {
            return Ok(true);
        }
        let lane = machine.hash_key(key);
        let since = since(self.durability.projection(), handler, (key, lane))?;
        let since = machine.open_since(handler, lane).into_iter().chain(since).min();
        let version = since.and_then(|since| machine.version_as_of(handler, since));
        Ok(version.is_some_and(|version| version != view.version))
    }

    /// The versions of a handler that have something under way when another one is deployed now, in order of position.
    pub(super) fn versions_under_way(&self, handler: &HandlerName) -> Result<Vec<Position>, StorageError> {
        let machine = self.delivery.machine();
        let Some(view) = machine.handler(handler) else { return Ok(Vec::new()) };
        let all = view.finishing.iter().map(|version| version.position).chain([view.version]);
        let prefix = keys::timers(handler, TimerKind::Handler);
        let timers = self.durability.projection().scan(&prefix, TIMERS_OF_HANDLER_READ + 1)?;
        if timers.len() > TIMERS_OF_HANDLER_READ {
            return Ok(all.collect());
        }
        let mut needed = machine.versions_of_open(handler);
        needed.extend(set_by(&timers)?.into_iter().filter_map(|as_of| machine.version_as_of(handler, as_of)));
        Ok(all.filter(|version| needed.contains(version)).collect())
    }
}
