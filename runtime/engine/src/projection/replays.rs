//! A row for each replay, one for each of its repairs, and the replay that is being applied to a handler.

use weirgate_types::{
    ApplyBegun, HandlerName, Position, Repaired, ReplayAnswered, ReplayApproved, ReplayEnd, ReplayEnded,
    ReplayRequested, UndoRequested,
};

use super::Projection;
use crate::{
    StorageError, keys,
    replays::{RepairId, ReplayRow, ReplayState},
};

impl Projection {
    pub(super) fn replay_requested(
        &mut self,
        position: Position,
        requested: &ReplayRequested,
    ) -> Result<(), StorageError> {
        self.put(keys::replay(position), ReplayRow::requested(requested).encode()?);
        Ok(())
    }

    pub(super) fn replay_approved(&mut self, position: Position, one: &ReplayApproved) -> Result<(), StorageError> {
        self.is_under_way(&one.handler, one.replay)?;
        self.change_replay(one.replay, |row| row.approved(position, one.undoes, one.at_ms))
    }

    pub(super) fn undo_requested(&mut self, position: Position, one: &UndoRequested) -> Result<(), StorageError> {
        self.change_replay(one.replay, |row| row.undo_requested = Some(position))
    }

    pub(super) fn apply_begun(&mut self, position: Position, begun: &ApplyBegun) -> Result<(), StorageError> {
        // After an end in part, it is under way again.
        self.is_under_way(&begun.handler, begun.replay)?;
        self.change_replay(begun.replay, |row| {
            (row.state, row.begun) = (ReplayState::Applying, Some(position));
            (row.refused, row.ended) = (None, None);
        })
    }

    pub(super) fn replay_ended(&mut self, position: Position, ended: &ReplayEnded) -> Result<(), StorageError> {
        // One that ended in part, and is cancelled, leaves another under way; so does an undo that was only asked for.
        let is_over = ended.end != ReplayEnd::UndoCancelled;
        if is_over && self.replay_under_way(&ended.handler)? == Some(ended.replay) {
            self.remove(keys::replaying(&ended.handler));
        }
        // One that wrote nothing, because later replays have repaired the same, is undone all the same.
        let has_undone = |row: ReplayRow| {
            let is_any = row.last_undone.is_some() || ended.end == ReplayEnd::Undone;
            row.undoes && row.state == ReplayState::Applying && is_any
        };
        if is_over && self.replay(ended.replay)?.is_some_and(has_undone) {
            self.undone_beside(position, ended)?;
        }
        self.change_replay(ended.replay, |row| row.ended(ended.end, (position, ended.at_ms)))
    }

    /// An undo has ended: plans of the handler's other replays were made without what it has brought back.
    fn undone_beside(&mut self, position: Position, ended: &ReplayEnded) -> Result<(), StorageError> {
        let mut open = Vec::new();
        for (key, value) in self.scan(keys::replays(), usize::MAX)? {
            let (row, replay) = (ReplayRow::decode(&value)?, keys::replay_of(&key));
            let is_asked_for = row.is_open() || row.undo_requested.is_some() && row.state != ReplayState::Undone;
            open.extend(
                replay.filter(|replay| is_asked_for && row.handler == ended.handler && *replay != ended.replay),
            );
        }
        open.into_iter().try_for_each(|replay| self.change_replay(replay, |row| row.undone_beside = Some(position)))
    }

    pub(super) fn count_repair(&mut self, position: Position, repaired: &Repaired) -> Result<(), StorageError> {
        let Repaired { replay, is_undo, handler, .. } = repaired;
        let (replay, is_undo, key) = (*replay, *is_undo, self.keys.hash(&repaired.key));
        let is_new = self.scan_keys(&keys::repairs_of_lane(replay, is_undo, (handler, key)), 1)?.is_empty();
        let id = RepairId { is_undo, key, handler: handler.clone(), position };
        self.put(keys::repair(replay, &id), Vec::new());
        self.change_replay(replay, |row| {
            row.state = ReplayState::Applying;
            row.records = row.records.saturating_add(1);
            let last = if is_undo { &mut row.last_undone } else { &mut row.last_repair };
            *last = Some(position);
            let keys = if is_undo { &mut row.keys_undone } else { &mut row.keys };
            *keys = keys.saturating_add(u64::from(is_new && row.handler == *handler));
        })
    }

    pub(super) fn replay_answered(&mut self, position: Position, answered: &ReplayAnswered) {
        self.put(keys::answer(&answered.delivery, position), keys::position_value(answered.replay));
    }

    /// Notes that a replay of the handler is under way. One whose request was lost could not be ended.
    fn is_under_way(&mut self, handler: &HandlerName, replay: Position) -> Result<(), StorageError> {
        if self.replay(replay)?.is_some() {
            self.put(keys::replaying(handler), keys::position_value(replay));
        }
        Ok(())
    }

    /// A replay whose request was lost has no row.
    pub(super) fn change_replay(
        &mut self,
        replay: Position,
        change: impl FnOnce(&mut ReplayRow),
    ) -> Result<(), StorageError> {
        let Some(mut row) = self.replay(replay)? else { return Ok(()) };
        change(&mut row);
        self.put(keys::replay(replay), row.encode()?);
        Ok(())
    }

    pub fn replay(&mut self, replay: Position) -> Result<Option<ReplayRow>, StorageError> {
        let value = self.get(&keys::replay(replay))?;
        value.map(|value| ReplayRow::decode(&value)).transpose()
    }

    /// The replay whose plan is approved for a handler, and that has not ended.
    pub fn replay_under_way(
        &mut self,
        handler: &weirgate_types::HandlerName,
    ) -> Result<Option<Position>, StorageError> {
        Ok(self.get(&keys::replaying(handler))?.and_then(|value| keys::value_position(&value)))
    }

    /// Whether the handler was removed after a position.
    pub fn is_removed_since(
        &mut self,
        handler: &weirgate_types::HandlerName,
        position: Position,
    ) -> Result<bool, StorageError> {
        let removed = self.get(&keys::removed(handler))?.and_then(|value| keys::value_position(&value));
        Ok(removed.is_some_and(|removed| removed > position))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt};
    use weirgate_testkit::SimStorage;
    use weirgate_types::{Effects, HandlerName, Record};
    use weirgate_views::{ViewOptions, Views};

    use super::*;
    use crate::{statuses::Statuses, tables::TABLES};

    fn repaired(handler: &HandlerName, key: &str) -> Record {
        Record::Repaired(Box::new(Repaired {
            replay: Position(1),
            handler: handler.clone(),
            key: key.into(),
            part: 0,
            version: Position(1),
            state_version: 1,
            from: Position(1),
            through: Position(1),
            depth: 1,
            corrected: None,
            effects: Effects::default(),
            unset: Vec::new(),
            is_undo: false,
            actor: String::new(),
            reason: String::new(),
            at_ms: 0,
        }))
    }

    fn requested(handler: &HandlerName) -> Record {
        let (request, actor, reason) = (String::new(), String::new(), String::new());
        Record::ReplayRequested(ReplayRequested { handler: handler.clone(), request, actor, reason, at_ms: 0 })
    }

    fn projection() -> Projection {
        let dir = tempfile::tempdir().expect("a directory");
        let identity = Identity { epoch: Epoch(*b"the golden epoch"), salt: Salt(*b"salt and pepper.") };
        let log = Log::open(Arc::new(SimStorage::default()), identity, LogOptions::default()).expect("a log");
        let views = Views::open(&dir.path().join("views"), TABLES, (log.epochs(), log.head()), ViewOptions::default());
        let statuses = Statuses { views: views.expect("views"), log: log.reader() };
        Projection::new(statuses, log.key_hasher())
    }

    /// Replays of the handler that are open, or whose undo was asked for and is not done, are looked at anew after an undo; no others.
    #[test]
    fn an_undo_makes_plans_of_the_handlers_other_replays_outdated() {
        let mut projection = projection();
        let [own, other] = ["invoice", "report"].map(|name| name.parse::<HandlerName>().expect("a name"));
        for (at, handler) in [(1, &own), (2, &own), (3, &own), (4, &other)] {
            projection.project(Position(at), &requested(handler)).expect("projected");
        }
        let ended = |replay: u64, end| {
            Record::ReplayEnded(ReplayEnded {
                replay: Position(replay),
                handler: own.clone(),
                end,
                repaired: 0,
                actor: String::new(),
                reason: String::new(),
                at_ms: 0,
            })
        };
        let applying = |row: &mut ReplayRow| (row.undoes, row.state) = (true, ReplayState::Applying);
        projection.change_replay(Position(1), applying).expect("a row");
        projection.project(Position(5), &ended(2, ReplayEnd::Cancelled)).expect("projected");
        let after = |projection: &mut Projection, at: u64, record: &Record| {
            projection.project(Position(at), record).expect("projected");
            [1, 2, 3, 4]
                .map(|replay| projection.replay(Position(replay)).expect("rows").expect("its row").undone_beside)
        };
        let found = after(&mut projection, 6, &ended(1, ReplayEnd::InPart));
        assert_eq!(found, [None; 4], "it has taken nothing back");
        let mut undo = repaired(&own, "k");
        if let Record::Repaired(repaired) = &mut undo {
            repaired.is_undo = true;
        }
        assert_eq!(after(&mut projection, 7, &undo), [None; 4], "it has not ended");
        let is_outdated = [None, None, Some(Position(8)), None];
        assert_eq!(after(&mut projection, 8, &ended(1, ReplayEnd::InPart)), is_outdated);
        let found = after(&mut projection, 9, &ended(1, ReplayEnd::Cancelled));
        assert_eq!(found, is_outdated, "it was not being applied");
        assert_eq!(after(&mut projection, 10, &ended(3, ReplayEnd::Cancelled)), is_outdated, "it undoes nothing");
        let asked = |row: &mut ReplayRow| row.undo_requested = Some(Position(10));
        projection.change_replay(Position(1), asked).expect("a row");
        projection.change_replay(Position(3), applying).expect("a row");
        let found = after(&mut projection, 11, &ended(3, ReplayEnd::Undone));
        assert_eq!(found[0], Some(Position(11)), "others have taken its place, and it is undone");
    }

    #[test]
    fn keys_of_receivers_are_kept_apart_from_the_handlers() {
        let mut projection = projection();
        let [own, receiver] = ["invoice", "report"].map(|name| name.parse::<HandlerName>().expect("a name"));
        projection.project(Position(1), &requested(&own)).expect("projected");
        let mut repairs = |at: u64, handler: &HandlerName, key: &str| {
            projection.project(Position(at), &repaired(handler, key)).expect("projected");
            let row = projection.replay(Position(1)).expect("rows").expect("its row");
            let hash = projection.keys.hash("k");
            let rows = [&own, &receiver].map(|handler| {
                let prefix = keys::repairs_of_lane(Position(1), false, (handler, hash));
                projection.scan_keys(&prefix, usize::MAX).expect("rows").len()
            });
            (row.keys, row.records, rows)
        };
        assert_eq!(repairs(2, &receiver, "k"), (0, 1, [0, 1]), "the handler's key is not repaired by that");
        assert_eq!(repairs(3, &own, "k"), (1, 2, [1, 1]));
        assert_eq!(repairs(4, &own, "k"), (1, 3, [2, 1]), "in parts");
        assert_eq!(repairs(5, &own, "l"), (2, 4, [2, 1]));
    }
}
