//! Replays: their steps are recorded, keys are put on hold and repaired, and what was done is listed.

use std::collections::BTreeSet;

use weirgate_types::{HandlerName, KeyHasher, Position, Record, Repaired};
use weirgate_views::Views;

use super::{
    Handle, blocking, versions,
    what_ifs::{VersionNumbers, request_of},
};
use crate::{
    Audit, Refusal, ReplayItem, ReplayStep, StorageError,
    command::{Command, HoldToken},
    keys,
    replay::{LaneId, Repairs, WhatIf},
    replays::{RepairId, ReplayRow, ReplayState},
    statuses::Statuses,
    tables::REPLAYING,
};

/// Maximum bytes of what the replays of a page were asked for; the replay that reaches it is the last.
const REQUESTS_BYTES_MAX: usize = 4 << 20;

/// Number of rows that are read at once where all have to be looked at.
const SLICE: usize = 256;

/// A key on hold: no attempt of it is running and none begins, for at most a second. Dropping it ends the hold.
pub struct KeyHold {
    handle: Handle,
    token: Option<HoldToken>,
}

impl KeyHold {
    /// The wall clock's time when it was known that no attempt runs.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.wall_ms)
    }

    /// Writes the repair, which ends the hold. `parts_through` is the position up to which the parts of statuses that it writes were looked
    /// at.
    ///
    /// # Errors
    /// Nothing was written: the hold is over ([`Refusal::HoldOver`]), another version is in force
    /// ([`Refusal::VersionChanged`]) than the approved one ([`Refusal::ApprovalOver`]), a timer came due ([`Refusal::TimerDue`]), another
    /// key has written one of the parts ([`Refusal::PartWritten`]), the replay is not under way, the repair is too large, or there is no
    /// space.
    pub async fn repair(mut self, repaired: Repaired, parts_through: Position) -> Result<Position, Refusal> {
        let token = self.token.take().ok_or(Refusal::HoldOver)?;
        let token = HoldToken { parts_through: Some(parts_through), ..token };
        let repaired = Box::new(repaired);
        self.handle.ask(|reply| Command::Repair { token, repaired, has_more: false, reply }).await
    }
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            // If the queue is full, the hold ends when its time is over.
            drop(self.handle.send(Command::EndHold { hold: token.hold }));
        }
    }
}

impl Handle {
    /// Records a step of a replay. Returns the position of the record; that of a request names the replay.
    ///
    /// # Errors
    /// There is no such handler or replay, the step does not follow from its state, or another replay of the handler is being
    /// applied.
    pub async fn step_replay(&self, step: ReplayStep, audit: Audit) -> Result<Position, Refusal> {
        let step = Box::new(step);
        self.ask(|reply| Command::StepReplay { step, audit, reply }).await
    }

    /// Puts a key of a handler on hold, and waits until no attempt of it is running: then all that its attempts have written can
    /// be read.
    ///
    /// # Errors
    /// There is no such handler; the key, or too many others, are on hold ([`Refusal::KeyOnHold`]); an attempt of the key was
    /// still running after a second ([`Refusal::HoldOver`]).
    pub async fn hold_key(&self, handler: HandlerName, key: String) -> Result<KeyHold, Refusal> {
        let token = self.ask(|reply| Command::HoldKey { handler, key, reply }).await?;
        Ok(KeyHold { handle: self.clone(), token: Some(token) })
    }

    /// The replays before one, the newest first, with what was asked; at most `limit`, and fewer if that is large. And where the
    /// next page begins.
    ///
    /// # Errors
    /// The views cannot be read; [`Refusal::TooManyQueries`].
    pub(super) async fn replays(
        &self,
        before: Option<Position>,
        limit: usize,
    ) -> Result<(Vec<(ReplayItem, WhatIf, VersionNumbers)>, Option<Position>), Refusal> {
        let (statuses, scan) = (self.0.statuses.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let rows = rows(&statuses.views, before, limit.saturating_add(1))?;
            let (count, mut items, mut bytes) = (rows.len(), Vec::new(), 0_usize);
            for (replay, value) in rows.into_iter().take(limit) {
                if bytes >= REQUESTS_BYTES_MAX {
                    break;
                }
                let item = item(&statuses, replay, &value)?;
                bytes = bytes.saturating_add(item.requested.request.len());
                let request = request_of(&item)?;
                let versions = versions::numbers(&statuses, &request)?;
                items.push((item, request, versions));
            }
            let next = items.last().map(|(last, ..)| last.replay).filter(|_| items.len() < count);
            Ok((items, next))
        })
        .await?
    }

    /// # Errors
    /// There is no such replay.
    pub async fn replay(&self, replay: Position) -> Result<ReplayItem, Refusal> {
        let statuses = self.0.statuses.clone();
        let read = move || {
            let value = statuses.views.get(&keys::replay(replay))?;
            value.map(|value| item(&statuses, replay, &value)).transpose()
        };
        self.0.queries.own_read(read).await??.ok_or(Refusal::UnknownReplay(replay))
    }
}

/// The position behind which an undo looks: its replay, or an older one of which something was undone while that stood. Without it, that
/// would come back. It may be one of another handler that has repaired keys of the same, as receivers.
pub(crate) fn undo_after(views: &Views, own: Position) -> Result<Position, StorageError> {
    let (of_own, mut repaired) = (row_of(views, own)?.map(|row| row.handler), None);
    behind_undone(views, own, |replay, row| {
        if of_own.as_ref() == Some(&row.handler) {
            return Ok(true);
        }
        let repaired = match &mut repaired {
            Some(repaired) => repaired,
            none => none.insert(repaired_handlers(views, own, |_| false)?),
        };
        let others = repaired_handlers(views, replay, |handler| repaired.contains(handler))?;
        Ok(!others.is_disjoint(repaired))
    })
}

/// A position, or that of an older replay of which something was undone behind it, if that matters.
fn behind_undone(
    views: &Views,
    mut after: Position,
    mut matters: impl FnMut(Position, &ReplayRow) -> Result<bool, StorageError>,
) -> Result<Position, StorageError> {
    let mut before = after;
    loop {
        let slice = rows(views, Some(before), SLICE)?;
        for (replay, value) in &slice {
            let row = ReplayRow::decode(value)?;
            let ended = row.ended.filter(|_| row.state == ReplayState::Undone);
            if row.last_undone.max(ended) > Some(after) && matters(*replay, &row)? {
                after = *replay;
            }
        }
        match slice.last() {
            Some((last, _)) if slice.len() == SLICE => before = *last,
            _ => return Ok(after),
        }
    }
}

/// Whether another replay has repaired keys of a handler, and was not undone.
pub(super) fn is_repaired_by_another(
    views: &Views,
    own: Position,
    handler: &HandlerName,
) -> Result<bool, StorageError> {
    let mut before = None;
    loop {
        let slice = rows(views, before, SLICE)?;
        for (replay, value) in slice.iter().filter(|(replay, _)| *replay != own) {
            let is_undone = ReplayRow::decode(value)?.state == ReplayState::Undone;
            if !is_undone && repaired_handlers(views, *replay, |of| of == handler)?.contains(handler) {
                return Ok(true);
            }
        }
        match slice.last() {
            Some((last, _)) if slice.len() == SLICE => before = Some(*last),
            _ => return Ok(false),
        }
    }
}

/// The handlers of which a replay has repaired keys, up to the first that is enough.
fn repaired_handlers(
    views: &Views,
    replay: Position,
    is_enough: impl Fn(&HandlerName) -> bool,
) -> Result<BTreeSet<HandlerName>, StorageError> {
    let (mut handlers, mut after) = (BTreeSet::new(), None);
    loop {
        let rows = views.scan_keys(&keys::repairs_of(replay), after.as_deref(), SLICE)?;
        for RepairId { handler, .. } in rows.iter().filter_map(|row| keys::repair_of(row)) {
            let is_over = is_enough(&handler);
            handlers.insert(handler);
            if is_over {
                return Ok(handlers);
            }
        }
        match rows.last() {
            Some(last) if rows.len() == SLICE => after = Some(last.clone()),
            _ => return Ok(handlers),
        }
    }
}

fn row_of(views: &Views, replay: Position) -> Result<Option<ReplayRow>, StorageError> {
    views.get(&keys::replay(replay))?.map(|value| ReplayRow::decode(&value)).transpose()
}

/// The newest replays.
pub(super) fn newest(statuses: &Statuses, limit: usize) -> Result<Vec<ReplayItem>, StorageError> {
    rows(&statuses.views, None, limit)?.into_iter().map(|(replay, value)| item(statuses, replay, &value)).collect()
}

/// The rows of replays before one, the newest first.
fn rows(views: &Views, before: Option<Position>, limit: usize) -> Result<Vec<(Position, Vec<u8>)>, StorageError> {
    let rows = views.scan(keys::replays(), before.map(keys::replay).as_deref(), limit)?.into_iter();
    let replay = |key: &[u8]| keys::replay_of(key).ok_or_else(|| StorageError::row("a replay's position"));
    rows.map(|(key, value)| Ok((replay(&key)?, value))).collect()
}

/// What the views know of repairs.
pub(crate) struct StoredRepairs {
    pub views: Views,
    pub hasher: KeyHasher,
}

impl StoredRepairs {
    fn first(
        &self,
        replay: Position,
        is_undo: bool,
        (handler, key): &LaneId,
    ) -> Result<Option<Position>, StorageError> {
        let of_lane = keys::repairs_of_lane(replay, is_undo, (handler, self.hasher.hash(key)));
        let first = self.views.scan_keys(&of_lane, None, 1)?;
        Ok(first.first().and_then(|row| keys::repair_of(row)).map(|first| first.position))
    }
}

impl Repairs for StoredRepairs {
    /// An undo may take some keys back first, and writes nothing for one that later repairs own.
    fn is_undone(&self, replay: Position, lane: &LaneId, through: Position) -> Result<bool, StorageError> {
        if row_of(&self.views, replay)?
            .is_some_and(|row| row.state == ReplayState::Undone && row.ended <= Some(through))
        {
            return Ok(true);
        }
        Ok(self.first(replay, true, lane)?.is_some_and(|first| first <= through))
    }

    fn has_repaired(&self, replay: Position, lane: &LaneId) -> Result<bool, StorageError> {
        Ok(self.first(replay, false, lane)?.is_some())
    }

    fn begins_behind(&self, handler: &HandlerName, after: Position) -> Result<Position, StorageError> {
        behind_undone(&self.views, after, |replay, row| {
            let has_repaired = || repaired_handlers(&self.views, replay, |of| of == handler);
            Ok(row.handler == *handler || has_repaired()?.contains(handler))
        })
    }
}

/// The replays whose plans are approved, and not applied to all keys.
pub(super) fn under_way(statuses: &Statuses) -> Result<Vec<ReplayItem>, StorageError> {
    let rows = statuses.views.scan(REPLAYING.prefix(), None, usize::MAX)?;
    let mut items = Vec::new();
    for (_, value) in rows {
        let replay = keys::value_position(&value).ok_or_else(|| StorageError::row("a replay's position"))?;
        let row = statuses.views.get(&keys::replay(replay))?;
        match row.map(|row| item(statuses, replay, &row)).transpose() {
            Ok(item) => items.extend(item),
            Err(error) => {
                tracing::warn!(%replay, %error, "what is known of a replay cannot be read: it does not go on");
            }
        }
    }
    Ok(items)
}

fn item(statuses: &Statuses, replay: Position, value: &[u8]) -> Result<ReplayItem, StorageError> {
    let row = ReplayRow::decode(value)?;
    let Some((_, Record::ReplayRequested(requested))) = statuses.log.read(replay)? else {
        return Err(StorageError::Missing { what: "replay", position: replay });
    };
    let removed = statuses.views.get(&keys::removed(&row.handler))?.and_then(|value| keys::value_position(&value));
    let is_handler_removed = removed.is_some_and(|removed| removed > replay);
    Ok(ReplayItem { replay, row, requested, is_handler_removed })
}

#[cfg(test)]
mod tests {
    use weirgate_log::{Epoch, Epochs};
    use weirgate_types::{ReplayEnd, ReplayRequested};
    use weirgate_views::{Change, ViewOptions};

    use super::*;
    use crate::tables::TABLES;

    /// A replay's row, undone at a position.
    fn row(handler: &str, undone: Option<u64>) -> ReplayRow {
        let (request, actor, reason) = (String::new(), String::new(), String::new());
        let handler = handler.parse().expect("a name");
        let mut row = ReplayRow::requested(&ReplayRequested { handler, request, actor, reason, at_ms: 0 });
        if let Some(at) = undone {
            row.ended(ReplayEnd::Undone, (Position(at), 0));
        }
        row
    }

    #[test]
    fn an_undo_looks_behind_all_replays_that_were_undone_while_what_it_looks_at_stood() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = (&Epochs::new(Epoch([1; 16])), Position(9));
        let views = Views::open(&dir.path().join("views"), TABLES, log, ViewOptions::default()).expect("views");
        let change = |at: u64, row: &ReplayRow| Change::put(keys::replay(Position(at)), row.encode().expect("a row"));
        let put = |changes| views.write(changes, Position(9)).expect("written");
        put((1..=1_000).map(|at| change(at, &row("a", None))).collect());
        let after = || undo_after(&views, Position(900)).expect("rows").0;
        assert_eq!(after(), 900);
        let hasher = KeyHasher::new([1; 16]);
        let repaired = |replay: u64, handler: &str, key: &str| {
            let handler = handler.parse().expect("a name");
            let id = RepairId { is_undo: false, key: hasher.hash(key), handler, position: Position(replay + 1) };
            Change::put(keys::repair(Position(replay), &id), Vec::new())
        };
        put((0..1_000).map(|n| repaired(900, if n % 9 == 1 { "r" } else { "a" }, &n.to_string())).collect());
        put(vec![repaired(700, "b", "k"), repaired(700, "r", "k"), repaired(705, "b", "k")]);
        let in_part = ReplayRow { last_undone: Some(Position(1_990)), ..row("a", None) };
        for (at, undone, found) in [
            (800, row("a", Some(899)), 900),
            (950, row("a", Some(960)), 900),
            (705, row("b", Some(950)), 900),
            (700, row("b", Some(950)), 700),
            (690, row("a", Some(702)), 690),
            (680, row("a", Some(685)), 690),
            (600, in_part, 600),
            (20, row("a", Some(2_000)), 20),
            (300, row("a", Some(2_000)), 20),
        ] {
            put(vec![change(at, &undone)]);
            assert_eq!(after(), found, "{at}");
        }
    }
}
