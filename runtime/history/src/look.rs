//! A look at the history: finds positions by key, handler or state value, through the index and the snapshots.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use weirgate_log::{LogReader, Sealed};
use weirgate_types::{HandlerName, Position};

use crate::{
    History, HistoryError,
    part::Part,
    row::Row,
    table::{Kind, Table, TableError},
};

/// The segments that were sealed when it began, and all records behind them. Every answer is to be compared with the record at
/// its position: hashes may meet.
pub struct Look {
    history: Arc<History>,
    sealed: Vec<Sealed>,
    tail: OnceLock<Vec<Part>>,
}

impl Look {
    pub(crate) fn new(history: Arc<History>, sealed: Vec<Sealed>) -> Self {
        Self { history, sealed, tail: OnceLock::new() }
    }

    #[must_use]
    pub fn log(&self) -> &LogReader {
        &self.history.log
    }

    /// Positions after `after` of records and events of a key, in order; at most `limit`.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_key(&self, key: &str, after: Position, limit: usize) -> Result<Vec<Position>, HistoryError> {
        self.postings(self.history.terms.key(key), after, limit)
    }

    /// Positions after `after` of a handler's records of a key, in order; at most `limit`.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_lane(
        &self,
        handler: &HandlerName,
        key: &str,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Position>, HistoryError> {
        self.postings(self.history.terms.lane(handler, key), after, limit)
    }

    /// The last of them before a position.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_lane_before(
        &self,
        handler: &HandlerName,
        key: &str,
        before: Position,
    ) -> Result<Option<Position>, HistoryError> {
        self.posting_before(self.history.terms.lane(handler, key), before)
    }

    /// The last record before a position in which the handler wrote its part of a subject's status, handling a key of another name.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_part_before(
        &self,
        handler: &HandlerName,
        subject: &str,
        before: Position,
    ) -> Result<Option<Position>, HistoryError> {
        self.posting_before(self.history.terms.part(handler, subject), before)
    }

    /// The last record before a position that deployed a handler, or changed its mode or breaker.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_handler_before(&self, handler: &HandlerName, before: Position) -> Result<Option<Position>, HistoryError> {
        self.posting_before(self.history.terms.handler(handler), before)
    }

    /// Positions after `after` of records that deployed or removed a handler, or changed its mode or breaker; at most `limit`.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_handler(
        &self,
        handler: &HandlerName,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Position>, HistoryError> {
        self.postings(self.history.terms.handler(handler), after, limit)
    }

    /// Positions after `after` of records with commits of a handler, in order; at most `limit`.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_commits(
        &self,
        handler: &HandlerName,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Position>, HistoryError> {
        self.postings(self.history.terms.commits(handler), after, limit)
    }

    /// The last of them before a position.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_commits_before(&self, handler: &HandlerName, before: Position) -> Result<Option<Position>, HistoryError> {
        self.posting_before(self.history.terms.commits(handler), before)
    }

    /// The last record before a position that stands for lost ones.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn lost_before(&self, before: Position) -> Result<Option<Position>, HistoryError> {
        self.posting_before(self.history.terms.losses(), before)
    }

    /// The last record before a position that removed a handler, with its state; position 0 if there is none.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn removed_before(&self, handler: &HandlerName, before: Position) -> Result<Position, HistoryError> {
        let found = self.posting_before(self.history.terms.removals(handler), before)?;
        Ok(found.unwrap_or(Position::ZERO))
    }

    /// Positions after `after` of records that deployed any handler, or changed its mode or a breaker; at most `limit`.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of_handlers(&self, after: Position, limit: usize) -> Result<Vec<Position>, HistoryError> {
        self.postings(self.history.terms.handlers(), after, limit)
    }

    /// The last write of a state value before a position.
    pub(crate) fn write_before(
        &self,
        handler: &HandlerName,
        key: &str,
        name: &str,
        before: Position,
    ) -> Result<Option<Row>, HistoryError> {
        let terms = self.history.terms;
        let place = (terms.state(handler, key), terms.value(handler, key, name), before);
        for index in (0..self.parts_until(before.before())?).rev() {
            if let Some(sealed) = self.sealed.get(index).filter(|sealed| sealed.last < before)
                && let Some(found) = self.ask_snapshot(sealed.last, |table| table.last_before(place))?
            {
                return Ok(found);
            }
            if let Some(row) = self.ask(index, place.0, |part| part.last_before(place))?.flatten() {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The last write of each value of a handler's state for a key, up to and with `until`.
    pub(crate) fn writes_until(
        &self,
        handler: &HandlerName,
        key: &str,
        until: Position,
    ) -> Result<Vec<Row>, HistoryError> {
        let group = self.history.terms.state(handler, key);
        let mut newest = BTreeMap::new();
        let snapshot = self.history.files.snapshot_until(until).and_then(|(last, _)| {
            let read = self.ask_snapshot(last, |table| {
                let mut rows = Vec::new();
                Part::Table(table.clone()).visit((group, 0, Position::ZERO), |row| {
                    rows.push(row);
                    true
                })?;
                Ok(rows)
            });
            Some((last, read.transpose()?))
        });
        let mut from = Position(1);
        if let Some((last, rows)) = snapshot {
            newest.extend(rows?.into_iter().map(|row| (row.part, row)));
            from = last.next();
        }
        let first = self.sealed.partition_point(|sealed| sealed.last < from);
        for index in first..self.parts_until(until)? {
            let rows = self.ask(index, group, |part| {
                let mut rows = Vec::new();
                part.visit((group, 1, Position::ZERO), |row| {
                    rows.extend((row.position <= until).then_some(row));
                    true
                })?;
                Ok(rows)
            })?;
            newest.extend(rows.unwrap_or_default().into_iter().map(|row| (row.part, row)));
        }
        Ok(newest.into_values().filter(|row| !row.removed).collect())
    }

    fn postings(&self, group: u64, after: Position, limit: usize) -> Result<Vec<Position>, HistoryError> {
        let mut found = Vec::new();
        let mut index = self.sealed.partition_point(|sealed| sealed.last <= after);
        while found.len() < limit && index < self.parts()? {
            let more = self.ask(index, group, |part| {
                let mut more = Vec::new();
                part.visit((group, 0, after.next()), |row| {
                    if !row.is_write() {
                        more.push(row.position);
                    }
                    !row.is_write() && found.len() + more.len() < limit
                })?;
                Ok(more)
            })?;
            found.extend(more.unwrap_or_default());
            index += 1;
        }
        Ok(found)
    }

    fn posting_before(&self, group: u64, before: Position) -> Result<Option<Position>, HistoryError> {
        for index in (0..self.parts_until(before.before())?).rev() {
            let found = self.ask(index, group, |part| part.last_before((group, 0, before)))?.flatten();
            if let Some(row) = found {
                return Ok(Some(row.position));
            }
        }
        Ok(None)
    }

    /// Number of parts: sealed segments, then the parts of the tail.
    fn parts(&self) -> Result<usize, HistoryError> {
        Ok(self.sealed.len() + self.tail()?.len())
    }

    /// Number of parts from the first one to the last that may hold `position`.
    fn parts_until(&self, position: Position) -> Result<usize, HistoryError> {
        let sealed = self.sealed.partition_point(|sealed| sealed.first <= position);
        let is_sealed = self.sealed.last().is_some_and(|last| position <= last.last);
        if is_sealed { Ok(sealed) } else { self.parts() }
    }

    fn tail(&self) -> Result<&Vec<Part>, HistoryError> {
        if let Some(parts) = self.tail.get() {
            return Ok(parts);
        }
        let parts = self.history.tail(self.sealed.last().map_or(Position::ZERO, |sealed| sealed.last))?;
        Ok(self.tail.get_or_init(|| parts))
    }

    /// The answer of a part that may hold rows of a group; `None`: it holds none. A damaged file is made again.
    fn ask<T>(
        &self,
        index: usize,
        group: u64,
        question: impl Fn(&Part) -> Result<T, TableError>,
    ) -> Result<Option<T>, HistoryError> {
        let asked = |part: &Part| part.may_hold(group)?.then(|| question(part)).transpose();
        let Some(sealed) = self.sealed.get(index) else {
            let part = self.tail()?.get(index - self.sealed.len());
            return Ok(part.map(asked).transpose()?.flatten());
        };
        let origin = self.history.origin(Kind::Index, sealed);
        if let Some(table) = self.history.files.table(&origin)? {
            match asked(&Part::Table(table)) {
                Err(error @ TableError::Damaged(_)) => self.history.files.forget(&origin, &error),
                answer => return Ok(answer?),
            }
        }
        Ok(asked(&self.history.built(sealed, self.sealed.len())?)?)
    }

    /// The answer of the snapshot that ends at `last`, if there is a sound one.
    fn ask_snapshot<T>(
        &self,
        last: Position,
        question: impl Fn(&Table) -> Result<T, TableError>,
    ) -> Result<Option<T>, HistoryError> {
        let index = self.sealed.partition_point(|sealed| sealed.last < last);
        let Some(sealed) = self.sealed.get(index).filter(|sealed| sealed.last == last) else { return Ok(None) };
        let origin = self.history.origin(Kind::Snapshot, sealed);
        let Some(table) = self.history.files.table(&origin)? else { return Ok(None) };
        match question(&table) {
            Err(error @ TableError::Damaged(_)) => {
                self.history.files.forget(&origin, &error);
                Ok(None)
            }
            answer => Ok(Some(answer?)),
        }
    }
}
