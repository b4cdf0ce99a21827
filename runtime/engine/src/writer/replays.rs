//! How the writer carries out replays: keys are put on hold, repairs and the steps of a replay are staged.

use std::collections::BTreeMap;

use weirgate_core::{HoldId, Input};
use weirgate_types::{
    ApplyBegun, HandlerName, KeyHash, Position, Record, Repaired, RepairsRefused, ReplayAnswered, ReplayApproved,
    ReplayEnd, ReplayEnded, ReplayRequested, UndoRequested,
};

use super::{After, Exit, Writer};
use crate::{
    Refusal, StorageError,
    command::{Audit, HoldToken, Reply},
    handle::Choices,
    replays::{ReplayRow, ReplayState, ReplayStep, check_text},
};

/// Maximum size of a repair's record, in bytes.
const REPAIR_BYTES_MAX: usize = 10 << 20;

/// Callers that wait for their hold, until no attempt of its key is running.
#[derive(Debug, Default)]
pub struct Holds {
    begun: u64,
    waiting: BTreeMap<HoldId, (HoldToken, Reply<HoldToken>)>,
}

impl Writer {
    pub(super) fn hold_key(&mut self, handler: &HandlerName, key: String, reply: Reply<HoldToken>) -> Result<(), Exit> {
        let hash = self.delivery.machine().hash_key(&key);
        if let Err(refusal) = self.check_hold(handler, hash) {
            drop(reply.send(Err(refusal)));
            return Ok(());
        }
        self.holds.begun += 1;
        let hold = HoldId(self.holds.begun);
        let token = HoldToken { hold, handler: handler.clone(), key, wall_ms: 0, parts_through: None };
        self.holds.waiting.insert(hold, (token, reply));
        self.feed(Input::Hold { hold, handler, key: hash })
    }

    fn check_hold(&self, handler: &HandlerName, key: KeyHash) -> Result<(), Refusal> {
        let machine = self.delivery.machine();
        if machine.handler(handler).is_none() {
            return Err(Refusal::UnknownHandler(handler.clone()));
        }
        if !self.durability.has_space() {
            return Err(Refusal::DiskFull);
        }
        if machine.may_hold(handler, key) { Ok(()) } else { Err(Refusal::KeyOnHold(handler.clone())) }
    }

    /// The reply is sent when the last attempt of the key is durable and in the views.
    pub(super) fn report_quiet(&mut self, hold: HoldId) {
        if let Some((mut token, reply)) = self.holds.waiting.remove(&hold) {
            token.wall_ms = self.time.now().wall_ms;
            self.durability.when_durable(After::Held { reply, token });
        }
    }

    pub(super) fn report_hold_over(&mut self, hold: HoldId) {
        if let Some((_, reply)) = self.holds.waiting.remove(&hold) {
            drop(reply.send(Err(Refusal::HoldOver)));
        }
    }

    pub(super) fn end_hold(&mut self, hold: HoldId) -> Result<(), Exit> {
        self.feed(Input::EndHold { hold })
    }

    /// `has_more`: the key stays on hold for the next part. A repair that is refused ends the hold.
    pub(super) fn repair(
        &mut self,
        token: &HoldToken,
        mut repaired: Repaired,
        has_more: bool,
        reply: Reply<Position>,
    ) -> Result<(), Exit> {
        repaired.at_ms = self.time.at_ms();
        match self.check_repair(token, &repaired) {
            Err(refusal) => {
                drop(reply.send(Err(refusal)));
                return self.end_hold(token.hold);
            }
            Ok(()) => {
                let position = self.stage(Record::Repaired(Box::new(repaired)))?;
                self.durability.when_durable(After::Commanded { reply, position });
            }
        }
        self.perform(None)?;
        if has_more { Ok(()) } else { self.end_hold(token.hold) }
    }

    fn check_repair(&mut self, token: &HoldToken, repaired: &Repaired) -> Result<(), Refusal> {
        let now = self.time.now();
        let (handler, machine) = (&repaired.handler, self.delivery.machine());
        let view = machine.handler(handler).ok_or_else(|| Refusal::UnknownHandler(handler.clone()))?;
        let is_its = token.handler == *handler && token.key == repaired.key;
        if !is_its || !machine.is_quiet(token.hold, handler, machine.hash_key(&repaired.key), now) {
            return Err(Refusal::HoldOver);
        }
        if view.version != repaired.version {
            return Err(Refusal::VersionChanged(handler.clone()));
        }
        if self.is_finishing(handler, &repaired.key)? {
            return Err(Refusal::KeyFinishes { handler: handler.clone(), key: repaired.key.clone() });
        }
        if !self.durability.has_space() {
            return Err(Refusal::DiskFull);
        }
        let row = self.replay_of(repaired.replay)?;
        let is_approved = row.handler == *handler || self.may_fold(&row, handler)?;
        if !is_approved || !row.may_repair(repaired.is_undo) {
            return Err(Refusal::ReplayState { replay: repaired.replay, state: row.state });
        }
        self.check_approval(repaired.replay, &row)?;
        if is_late(repaired, now.wall_ms) && !self.choices(&row)?.fire_past {
            return Err(Refusal::TimerDue);
        }
        self.check_parts(token, repaired)?;
        let bytes = postcard::experimental::serialized_size(repaired).unwrap_or(usize::MAX);
        match bytes > REPAIR_BYTES_MAX {
            true => Err(Refusal::RepairTooLarge { bytes, bytes_max: REPAIR_BYTES_MAX }),
            false => Ok(()),
        }
    }

    /// Another key may have written the handler's part of a status since it was looked at: its hold is of one key.
    fn check_parts(&mut self, token: &HoldToken, repaired: &Repaired) -> Result<(), Refusal> {
        let Some(looked_at) = token.parts_through else { return Ok(()) };
        let (handler, projection) = (&repaired.handler, self.durability.projection_mut());
        let written = repaired.effects.status.iter().map(|write| &write.subject);
        for subject in written.chain(&repaired.unset) {
            if projection.part_written(subject, handler)? > Some(looked_at) {
                return Err(Refusal::PartWritten { handler: handler.clone(), subject: subject.clone() });
            }
        }
        Ok(())
    }

    /// Whether it was approved that a receiver is folded again.
    fn may_fold(&self, row: &ReplayRow, handler: &HandlerName) -> Result<bool, Refusal> {
        Ok(self.choices(row)?.fold_again.contains(handler))
    }

    /// The plan was approved for the version that was in force, the candidate. That of an undo is of no version.
    fn check_approval(&self, replay: Position, row: &ReplayRow) -> Result<(), Refusal> {
        let in_force = self.delivery.machine().handler(&row.handler).map(|view| view.version);
        match row.undoes || in_force < row.approved {
            true => Ok(()),
            false => Err(Refusal::ApprovalOver { handler: row.handler.clone(), replay }),
        }
    }

    /// What the newest approval chose.
    fn choices(&self, row: &ReplayRow) -> Result<Choices, Refusal> {
        let Some(position) = row.approved else { return Ok(Choices::default()) };
        let Some((_, Record::ReplayApproved(approved))) = self.durability.reader().read(position)? else {
            return Err(StorageError::Missing { what: "approval", position }.into());
        };
        let choices = serde_json::from_str(&approved.choices);
        Ok(choices.map_err(StorageError::undecodable("the choices of an approval"))?)
    }

    fn row_of(&mut self, replay: Position) -> Result<ReplayRow, Refusal> {
        self.durability.projection_mut().replay(replay)?.ok_or(Refusal::UnknownReplay(replay))
    }

    /// The row of a replay whose handler is still there.
    fn replay_of(&mut self, replay: Position) -> Result<ReplayRow, Refusal> {
        let row = self.row_of(replay)?;
        let is_gone = self.durability.projection_mut().is_removed_since(&row.handler, replay)?;
        match is_gone || self.delivery.machine().handler(&row.handler).is_none() {
            true => Err(Refusal::HandlerReplaced { handler: row.handler, replay }),
            false => Ok(row),
        }
    }

    /// One replay of a handler is approved or applied at a time.
    pub(super) fn check_alone(&mut self, handler: &HandlerName, replay: Option<Position>) -> Result<(), Refusal> {
        let projection = self.durability.projection_mut();
        let other = projection.replay_under_way(handler)?.filter(|other| Some(*other) != replay);
        let Some(other) = other else { return Ok(()) };
        let row = projection.replay(other)?;
        let is_waiting = row.as_ref().is_some_and(|row| row.state == ReplayState::Approved);
        // An approval that is over, because another version was deployed since, stands in no one's way.
        if is_waiting && row.as_ref().is_some_and(|row| self.check_approval(other, row).is_err()) {
            return Ok(());
        }
        let state = row.map_or(ReplayState::Applying, |row| row.state);
        Err(Refusal::ReplayUnderWay { handler: handler.clone(), replay: other, state })
    }

    pub(super) fn step_replay(&mut self, step: ReplayStep, audit: Audit, reply: Reply<Position>) -> Result<(), Exit> {
        let record = match self.record_of_step(step, audit) {
            Ok(record) => record,
            Err(refusal) => {
                drop(reply.send(Err(refusal)));
                return Ok(());
            }
        };
        let position = self.stage(record)?;
        self.durability.when_durable(After::Commanded { reply, position });
        self.perform(None)
    }

    /// The record of a step, if it may be taken.
    fn record_of_step(&mut self, step: ReplayStep, audit: Audit) -> Result<Record, Refusal> {
        let (Audit { actor, reason }, at_ms) = (audit, self.time.at_ms());
        Ok(match step {
            ReplayStep::Request { handler, request } => {
                if self.delivery.machine().handler(&handler).is_none() {
                    return Err(Refusal::UnknownHandler(handler));
                }
                check_text("what a replay is asked for", &request)?;
                Record::ReplayRequested(ReplayRequested { handler, request, actor, reason, at_ms })
            }
            ReplayStep::Approve { replay, plan, through, choices, undoes, version } => {
                let handler = self.check_approved((replay, undoes), through, version)?;
                check_text("the choices of an approval", &choices)?;
                Record::ReplayApproved(ReplayApproved {
                    replay,
                    handler,
                    plan,
                    through,
                    choices,
                    undoes,
                    actor,
                    reason,
                    at_ms,
                })
            }
            ReplayStep::RequestUndo { replay } => {
                let handler = self.check_replay(replay, ReplayRow::may_request_undo)?.handler;
                Record::UndoRequested(UndoRequested { replay, handler, actor, reason, at_ms })
            }
            ReplayStep::Begin { replay, approved, undoes } => {
                let may = |row: &ReplayRow| row.may_begin(undoes) && row.approved == Some(approved);
                let row = self.check_replay(replay, may)?;
                self.check_approval(replay, &row)?;
                let handler = row.handler;
                self.check_alone(&handler, Some(replay))?;
                Record::ApplyBegun(ApplyBegun { replay, handler, approved, undoes, actor, reason, at_ms })
            }
            ReplayStep::Answer { replay, delivery, step, request, answer } => {
                self.check_replay(replay, ReplayRow::is_open)?;
                if !self.durability.has_space() {
                    return Err(Refusal::DiskFull);
                }
                Record::ReplayAnswered(ReplayAnswered { replay, delivery, step, request, answer, at_ms })
            }
            ReplayStep::Refused { replay, first, count } => {
                let handler = self.check_replay(replay, |row| row.may_end(ReplayEnd::InPart))?.handler;
                Record::RepairsRefused(RepairsRefused { replay, handler, first, count, at_ms })
            }
            ReplayStep::End { replay, end } => {
                // One whose handler was removed can be ended, and nothing else.
                let row = if end == ReplayEnd::Cancelled { self.row_of(replay)? } else { self.replay_of(replay)? };
                if !row.may_end(end) {
                    return Err(Refusal::ReplayState { replay, state: row.state });
                }
                let (handler, repaired) = (row.handler, if row.undoes { row.keys_undone } else { row.keys });
                Record::ReplayEnded(ReplayEnded { replay, handler, end, repaired, actor, reason, at_ms })
            }
        })
    }

    /// Whether a plan that was computed up to a position may be approved.
    fn check_approved(
        &mut self,
        (replay, undoes): (Position, bool),
        through: Position,
        version: Option<Position>,
    ) -> Result<HandlerName, Refusal> {
        let row = self.check_replay(replay, |row| row.may_be_approved(undoes))?;
        if undoes && row.is_undo_outdated(through) {
            return Err(Refusal::ReplayNotReady(replay));
        }
        let handler = row.handler;
        self.check_alone(&handler, Some(replay))?;
        let in_force = self.delivery.machine().handler(&handler).map(|view| view.version);
        match version.is_some() && version != in_force {
            true => Err(Refusal::VersionChanged(handler)),
            false => Ok(handler),
        }
    }

    fn check_replay(&mut self, replay: Position, may: impl FnOnce(&ReplayRow) -> bool) -> Result<ReplayRow, Refusal> {
        let row = self.replay_of(replay)?;
        if may(&row) { Ok(row) } else { Err(Refusal::ReplayState { replay, state: row.state }) }
    }
}

/// Whether a timer of it is due before the repair is written, and so would fire at once.
fn is_late(repaired: &Repaired, wall_ms: u64) -> bool {
    let set = repaired.effects.timers.iter().filter_map(|timer| timer.set.as_ref());
    set.into_iter().any(|setting| setting.due_ms <= wall_ms)
}
