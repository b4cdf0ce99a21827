//! Removed handlers: the record takes effect at once, and the rows that the handler leaves, which may be many, are deleted in
//! steps, one a pass. Until then its name is taken.

use std::collections::VecDeque;

use weirgate_types::{HandlerName, Position, Record, Removed};
use weirgate_views::{Table, Views};

use super::{After, Exit, Writer};
use crate::{
    Refusal, StorageError,
    command::{Audit, Reply},
    keys, tables,
};

/// Rows deleted in one step.
const ROWS: usize = 512;

/// The handlers whose rows are being deleted.
#[derive(Debug, Default)]
pub struct Removals(VecDeque<Removal>);

#[derive(Debug)]
struct Removal {
    handler: HandlerName,
    /// The prefixes of the keys of its rows that are left.
    prefixes: VecDeque<Vec<u8>>,
    /// The last deleted row of the first prefix.
    after: Option<Vec<u8>>,
}

impl Removals {
    pub fn restore(&mut self, views: &Views) -> Result<(), StorageError> {
        for key in views.scan_keys(tables::REMOVALS.prefix(), None, usize::MAX)? {
            self.begin(keys::handler_of(&key).ok_or_else(|| StorageError::row("a removed handler's name"))?);
        }
        Ok(())
    }

    /// The rows are deleted from the next pass on, when all of them can be read.
    pub fn begin(&mut self, handler: HandlerName) {
        let prefixes = keys::left_by(&handler).into();
        self.0.push_back(Removal { handler, prefixes, after: None });
    }

    pub fn has(&self, handler: &HandlerName) -> bool {
        self.0.iter().any(|removal| removal.handler == *handler)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Removal {
    /// The next rows to delete; empty when none is left.
    fn next(&mut self, views: &Views) -> Result<Vec<Vec<u8>>, StorageError> {
        while let Some(prefix) = self.prefixes.front() {
            let rows = views.scan_keys(prefix, self.after.as_deref(), ROWS)?;
            if let Some(last) = rows.last() {
                self.after = Some(last.clone());
                return Ok(rows);
            }
            self.prefixes.pop_front();
            self.after = None;
        }
        Ok(Vec::new())
    }
}

fn is_of(table: Table, key: &[u8]) -> bool {
    key.starts_with(table.prefix())
}

impl Writer {
    pub(super) fn remove(&mut self, handler: HandlerName, audit: Audit, reply: Reply<Position>) -> Result<(), Exit> {
        if let Err(refusal) = self.check_removal(&handler) {
            drop(reply.send(Err(refusal)));
            return Ok(());
        }
        let (Audit { actor, reason }, at_ms) = (audit, self.time.at_ms());
        let position = self.stage(Record::Removed(Removed { handler: handler.clone(), actor, reason, at_ms }))?;
        self.suspected_at_ms.remove(&handler);
        self.metrics.forget(&handler);
        self.removals.begin(handler);
        self.durability.when_durable(After::Commanded { reply, position });
        self.perform(None)
    }

    /// Open deliveries and dead letters are decided before.
    fn check_removal(&mut self, handler: &HandlerName) -> Result<(), Refusal> {
        let view = self.delivery.machine().handler(handler);
        let view = view.ok_or_else(|| Refusal::UnknownHandler(handler.clone()))?;
        let has_dead_letters = !self.durability.projection().scan_keys(&keys::dead_letters_of(handler), 1)?.is_empty();
        // A discarded call may still record a step.
        if view.open > 0 || view.calls > 0 || has_dead_letters {
            return Err(Refusal::HasDeliveries { handler: handler.clone(), open: view.open.max(view.calls) });
        }
        self.check_alone(handler, None)
    }

    /// Deletes some rows of removed handlers.
    pub(super) fn delete_left_rows(&mut self) -> Result<(), Exit> {
        let Some(removal) = self.removals.0.front_mut() else { return Ok(()) };
        let rows = removal.next(self.durability.views())?;
        self.delivery.spend(rows.len());
        if rows.is_empty() {
            if let Some(Removal { handler, .. }) = self.removals.0.pop_front() {
                self.durability.projection_mut().remove(keys::removal(&handler));
            }
            return Ok(());
        }
        for row in rows {
            match is_of(tables::TIMERS, &row) {
                true => self.durability.projection_mut().remove_timer(row)?,
                false => self.durability.projection_mut().remove(row),
            }
        }
        Ok(())
    }

    /// While the log is replayed no client waits: deletes all of them. All rows up to `through` have to be readable.
    pub(super) fn delete_all_left_rows(&mut self, through: Position) -> Result<(), Exit> {
        while !self.removals.is_empty() {
            self.delete_left_rows()?;
            self.durability.apply_replayed(through)?;
        }
        Ok(())
    }
}
