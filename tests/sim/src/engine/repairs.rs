//! Operators repair keys while events of the same keys come in: a replay is requested and approved, a key is put on hold, and a
//! repair that builds on its state is written. Some holds are never ended.

use std::collections::BTreeMap;

use weirgate_core::HOLD_MS_MAX;
use weirgate_engine::{
    Audit, Refusal, ReplayRow, ReplayState, ReplayStep,
    sim::{Answer, Hold, Holding, LookedKey},
};
use weirgate_types::{
    DeliveryId, Digest, Effects, Event, HandlerName, KEY_REPAIRED, KeyHash, KeyHasher, Position, Record, Repaired,
    ReplayEnd, StateWrite, StatusWrite,
};

use super::{History, Stop, unreadable, what_ifs::WhatIfs};
use crate::{
    Checked, NAMES, Rule,
    attempts::some_timer,
    checks::{check, index_of},
    clients,
    handlers::COUNT,
    plan::name,
};

/// What a repair adds to the count of a key.
pub const ADDED: u64 = 100;

/// The hold of a key, from its request on.
struct KeyHold {
    index: usize,
    key: String,
    holding: Option<Holding>,
    hold: Option<Hold>,
    /// Elapsed times between which it began.
    from_ms: u64,
    until_ms: Option<u64>,
    /// The key's count, and the version in force, when it was quiet.
    seen: (u64, Position),
    /// An end was sent.
    is_ended: bool,
    /// How many records there were when it was known to be quiet.
    quiet_at: Option<usize>,
    /// How a what-if saw the key before.
    looked: Option<LookedKey>,
}

/// A repair that waits for its answer.
pub struct Sent {
    pub repaired: Repaired,
    /// Nothing is left to another record.
    pub is_all: bool,
    pub answer: Answer<Position>,
}

#[derive(Default)]
pub struct Repairs {
    hold: Option<KeyHold>,
    pub sent: Option<Sent>,
    pub what_ifs: WhatIfs,
    /// The handler whose replay is gone on with, mostly.
    index: usize,
    /// Makes the ids of emissions unique.
    made: u64,
    /// The idempotency keys of replays' calls, each with the replay and the delivery.
    pub keys: BTreeMap<String, (Position, DeliveryId)>,
}

impl Repairs {
    pub fn are_cut_off(&mut self) {
        (self.hold, self.sent) = (None, None);
        self.what_ifs.are_cut_off();
    }

    /// A key is on hold, or about to be repaired.
    pub fn is_busy(&self) -> bool {
        self.hold.is_some() || self.sent.is_some()
    }

    /// The hold that a what-if uses now. It ends with that.
    pub fn take_looked(&mut self) -> Option<(Hold, LookedKey)> {
        let current = self.hold.as_mut()?;
        let looked = current.looked.take()?;
        current.is_ended = true;
        Some((current.hold.take()?, looked))
    }

    /// The key that may be on hold, with its handler.
    pub fn on_hold(&self) -> Option<(usize, KeyHash)> {
        self.hold.as_ref().map(|hold| (hold.index, KeyHasher::default().hash(&hold.key)))
    }
}

pub fn audit() -> Audit {
    Audit { actor: "operator".to_owned(), reason: "a bug".to_owned() }
}

impl History<'_> {
    /// A step of what operators do before a pass.
    pub(super) fn repair_step(&mut self) -> Result<(), Stop> {
        if self.chance.one_in(2) {
            if self.chance.one_in(5) {
                self.repairs.index = self.chance.index(NAMES.len());
            }
            match self.plan.has_what_ifs {
                true => self.go_on_with_what_if(self.repairs.index)?,
                false => self.go_on_with_replay(self.repairs.index)?,
            }
        }
        // It may have begun just now, after a stall of the disk.
        let given_up = self.repairs.on_hold();
        self.use_hold()?;
        self.note_holds(given_up);
        Ok(())
    }

    /// A hold that its caller gave up lasts until its time is over.
    fn note_holds(&mut self, given_up: Option<(usize, KeyHash)>) {
        let now_ms = self.checks.monotonic_ms;
        self.checks.on_hold.retain(|_, over_ms| *over_ms > now_ms);
        let held = given_up.into_iter().chain(self.repairs.on_hold());
        self.checks.on_hold.extend(held.map(|held| (held, now_ms + HOLD_MS_MAX + 1)));
    }

    /// The newest replay of a handler that was not removed since.
    pub(super) fn replay_of(&self, handler: &HandlerName) -> Result<Option<(Position, ReplayRow)>, Stop> {
        let mut newest = None;
        for (position, record) in &self.records {
            match record {
                Record::ReplayRequested(one) if one.handler == *handler => newest = Some(*position),
                Record::Removed(one) if one.handler == *handler => newest = None,
                _ => {}
            }
        }
        let Some(replay) = newest else { return Ok(None) };
        let row = self.engine.replay_row(replay).map_err(unreadable)?;
        check(Rule::Repairs, row.is_some(), || format!("replay {replay} has no row"))?;
        Ok(row.map(|row| (replay, row)))
    }

    fn go_on_with_replay(&mut self, index: usize) -> Result<(), Stop> {
        let handler = name(index);
        let found = self.replay_of(&handler)?;
        let head = self.checks.head;
        let approve = |replay, undoes| {
            let (plan, through, choices) = (Digest([7; 32]), head, "{}".to_owned());
            ReplayStep::Approve { replay, plan, through, choices, undoes, version: None }
        };
        let step = match found {
            Some((replay, row)) if row.state == ReplayState::Requested => approve(replay, false),
            Some((replay, row)) if row.state == ReplayState::Approved && !self.chance.one_in(8) => {
                let approved = row.approved.unwrap_or(Position::ZERO);
                ReplayStep::Begin { replay, approved, undoes: row.undoes }
            }
            Some((_, row)) if row.is_under_way() && !self.chance.one_in(8) => {
                self.ask_for_hold(index);
                return Ok(());
            }
            Some((replay, row)) if row.is_under_way() => {
                let done = if row.undoes { ReplayEnd::Undone } else { ReplayEnd::Applied };
                let end = self.chance.pick(&[ReplayEnd::Cancelled, ReplayEnd::InPart, done]).copied().unwrap_or(done);
                ReplayStep::End { replay, end }
            }
            Some((replay, row)) if row.is_in_part() && self.chance.one_in(2) => approve(replay, row.undoes),
            Some((replay, row)) if row.may_request_undo() && self.chance.one_in(2) => {
                ReplayStep::RequestUndo { replay }
            }
            Some((replay, _)) if self.chance.one_in(10) => ReplayStep::End { replay, end: ReplayEnd::UndoCancelled },
            Some((replay, _)) if self.chance.one_in(2) => approve(replay, true),
            _ => ReplayStep::Request { handler, request: "{}".to_owned() },
        };
        drop(self.engine.step_replay(step, audit()));
        Ok(())
    }

    fn ask_for_hold(&mut self, index: usize) {
        if self.repairs.hold.is_none() {
            let key = format!("k{}", self.chance.below(self.plan.keys));
            self.hold(index, key, None);
        }
    }

    pub(super) fn hold(&mut self, index: usize, key: String, looked: Option<LookedKey>) {
        self.repairs.hold = Some(KeyHold {
            index,
            holding: Some(self.engine.hold_key(name(index), key.clone())),
            key,
            hold: None,
            from_ms: self.engine.now().elapsed_ms,
            until_ms: None,
            seen: (0, Position::ZERO),
            is_ended: false,
            quiet_at: None,
            looked,
        });
    }

    /// A hold that is quiet is used, ended, or forgotten until its time is over.
    pub(super) fn use_hold(&mut self) -> Result<(), Stop> {
        if self.repairs.hold.as_ref().is_some_and(|hold| hold.looked.is_some()) && self.chance.one_in(4) {
            self.look_again()?;
        }
        let Some(current) = self.repairs.hold.as_ref().filter(|current| current.hold.is_some() && !current.is_ended)
        else {
            return Ok(());
        };
        if self.repairs.sent.is_some() {
            return Ok(());
        }
        let (index, key, seen) = (current.index, current.key.clone(), current.seen);
        match self.chance.below(6) {
            0 | 1 if current.looked.is_some() => self.repair_looked_at()?,
            0 | 1 => {
                let Some((replay, row)) = self.replay_of(&name(index))? else { return Ok(()) };
                let repaired = self.some_repair((replay, row.undoes), index, &key, seen);
                let has_more = self.chance.one_in(4);
                let Some(current) = self.repairs.hold.as_mut() else { return Ok(()) };
                let Some(hold) = &current.hold else { return Ok(()) };
                let answer = self.engine.repair(hold, repaired.clone(), has_more);
                self.repairs.sent = Some(Sent { repaired, is_all: true, answer });
                current.is_ended = !has_more;
                if has_more {
                    // If this part is refused, the hold is over.
                    (current.quiet_at, current.seen.0) = (None, current.seen.0 + ADDED);
                }
            }
            2 => {
                let Some(current) = self.repairs.hold.as_mut() else { return Ok(()) };
                current.is_ended = true;
                current.hold.iter().for_each(|hold| self.engine.end_hold(hold));
            }
            _ => {}
        }
        Ok(())
    }

    /// Before the key is quiet, and then.
    fn look_again(&mut self) -> Result<(), Stop> {
        let replay = self.repairs.what_ifs.applying.as_ref().map(|applying| applying.replay.clone());
        let looked = self.repairs.hold.as_mut().and_then(|hold| hold.looked.take());
        let Some((replay, looked)) = replay.zip(looked) else { return Ok(()) };
        let looked = self.look_on(&replay, looked)?;
        let Some(current) = self.repairs.hold.as_mut() else { return Ok(()) };
        match looked {
            Some(looked) => current.looked = Some(looked),
            None => {
                current.is_ended = true;
                current.hold.iter().for_each(|hold| self.engine.end_hold(hold));
            }
        }
        Ok(())
    }

    fn some_repair(
        &mut self,
        (replay, is_undo): (Position, bool),
        index: usize,
        key: &str,
        (count, version): (u64, Position),
    ) -> Repaired {
        let (handler, count) = (name(index), count + ADDED);
        self.repairs.made += 1;
        let id = format!("{handler}-r{}", self.repairs.made);
        let mut effects = Effects::default();
        effects.state.push(StateWrite { name: COUNT.to_owned(), value: Some(count.to_le_bytes().to_vec()) });
        let mut unset = Vec::new();
        match self.chance.below(3) {
            0 => unset.push(key.to_owned()),
            1 => {
                let (state, data) = ("repaired".to_owned(), Some(format!("{{\"count\":{count}}}")));
                effects.status.push(StatusWrite { subject: key.to_owned(), state, text: String::new(), data });
            }
            _ => {}
        }
        let source = format!("/handlers/{handler}");
        if index != 2 && self.chance.one_in(2) {
            effects.emitted.push(Event { source, ..clients::event(&id, key, "out.0") });
        }
        effects.timers.extend(some_timer(&mut self.chance, self.ground.clock().wall_ms()));
        let corrected = self.chance.one_in(2).then(|| clients::event(&id, key, KEY_REPAIRED));
        let Audit { actor, reason } = audit();
        let state_version = self.checks.state_versions.latest(&handler).unwrap_or(1);
        let (from, through, key) = (Position(1), self.checks.head, key.to_owned());
        Repaired {
            replay,
            handler,
            key,
            part: 0,
            version,
            from,
            through,
            state_version,
            depth: 1,
            effects,
            unset,
            corrected,
            is_undo,
            actor,
            reason,
            at_ms: 0,
        }
    }

    /// What came of it, after a pass.
    pub(super) fn look_at_repairs(&mut self) -> Result<(), Stop> {
        let given_up = self.repairs.on_hold();
        self.hear_of_repair()?;
        self.look_at_hold()?;
        self.note_holds(given_up);
        Ok(())
    }

    fn look_at_hold(&mut self) -> Result<(), Stop> {
        let now_ms = self.engine.now().elapsed_ms;
        let Some(mut current) = self.repairs.hold.take() else { return Ok(()) };
        current.until_ms.get_or_insert(now_ms + HOLD_MS_MAX);
        self.check_no_attempt(&current, now_ms)?;
        if current.is_ended || current.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            // It is over, or was ended before this pass.
            return Ok(());
        }
        match current.holding.as_mut().and_then(Holding::poll) {
            Some(Err(_)) => return Ok(()),
            Some(Ok(hold)) => {
                let version = self.engine.handlers().into_iter().find(|item| item.name == name(current.index));
                current.seen = (
                    self.counts(&name(current.index), &current.key).all,
                    version.map_or(Position::ZERO, |item| item.version),
                );
                (current.hold, current.holding, current.quiet_at) = (Some(hold), None, Some(self.records.len()));
            }
            None => {}
        }
        self.repairs.hold = Some(current);
        Ok(())
    }

    /// From when a hold is known to be quiet until it is ended or its time is over, no attempt of its key begins.
    fn check_no_attempt(&self, current: &KeyHold, now_ms: u64) -> Checked {
        let Some(quiet_at) = current.quiet_at.filter(|_| !current.is_ended && now_ms < current.from_ms + HOLD_MS_MAX)
        else {
            return Ok(());
        };
        for (position, record) in self.records.iter().skip(quiet_at) {
            match record {
                Record::Attempted { delivery, .. } if index_of(&delivery.handler) == current.index => {
                    let is_its = self.event_at(delivery.position).key() == current.key;
                    check(Rule::Repairs, !is_its, || format!("{delivery} begins at {position}, and is on hold"))?;
                }
                // A later handler of that name.
                Record::Removed(removed) if index_of(&removed.handler) == current.index => break,
                _ => {}
            }
        }
        Ok(())
    }

    /// A repair that was accepted is in the log as it was sent.
    fn hear_of_repair(&mut self) -> Result<(), Stop> {
        let Some(Sent { repaired: sent, is_all, mut answer }) = self.repairs.sent.take() else { return Ok(()) };
        match answer.poll() {
            None => self.repairs.sent = Some(Sent { repaired: sent, is_all, answer }),
            Some(Ok(position)) => {
                self.figures.repairs += 1;
                self.figures.folds += u64::from(self.is_of_another(&sent));
                self.repairs.what_ifs.repaired(&(sent.handler.clone(), sent.key.clone()), is_all);
                let found = self.records.binary_search_by_key(&position, |(first, _)| *first).ok();
                let record = found.and_then(|found| self.records.get(found)).map(|(_, record)| record);
                let is_it =
                    matches!(record, Some(Record::Repaired(one)) if (Repaired { at_ms: 0, ..(**one).clone() }) == sent);
                check(Rule::Repairs, is_it, || format!("{sent:?} was written at {position}: {record:?}"))?;
                let rows = self.engine.repair_rows(sent.replay).map_err(unreadable)?;
                let has_row = rows.iter().any(|row| row.position == position);
                check(Rule::Repairs, has_row, || format!("the repair at {position} has no row"))?;
            }
            // The disk was full.
            Some(Err(Refusal::OutcomeUnknown)) => {}
            Some(Err(_)) => {
                let is_there = |record: &Record| matches!(record, Record::Repaired(one) if (Repaired { at_ms: 0, ..(**one).clone() }) == sent);
                let found = self.records.iter().any(|(_, record)| is_there(record));
                check(Rule::Repairs, !found, || format!("{sent:?} was refused and is in the log"))?;
            }
        }
        Ok(())
    }

    /// No replay is under way any more. A hold stays, and ends when its time is over.
    pub(super) fn end_replays(&mut self) -> Result<(), Stop> {
        for (index, _) in NAMES.iter().enumerate() {
            let Some((replay, row)) = self.replay_of(&name(index))? else { continue };
            if row.is_under_way() {
                drop(self.engine.step_replay(ReplayStep::End { replay, end: ReplayEnd::Cancelled }, audit()));
            }
        }
        Ok(())
    }

    /// The rows of replays say what the records say, and no key is repaired before an approved plan begins to be applied.
    pub(super) fn check_replays(&self) -> Result<(), Stop> {
        self.check_approvals()?;
        self.check_undos()?;
        let mut begun: BTreeMap<Position, bool> = BTreeMap::new();
        for (position, record) in &self.records {
            match record {
                Record::ReplayApproved(one) => drop(begun.remove(&one.replay)),
                // Nothing but an undo that was not approved has ended.
                Record::ReplayEnded(one) if one.end == ReplayEnd::UndoCancelled => {}
                Record::ReplayEnded(one) => drop(begun.remove(&one.replay)),
                Record::ApplyBegun(one) => drop(begun.insert(one.replay, one.undoes)),
                Record::Repaired(one) => check(Rule::Repairs, begun.get(&one.replay) == Some(&one.is_undo), || {
                    format!("{position} repairs a key for replay {}, which was not begun", one.replay)
                })?,
                _ => {}
            }
        }
        for (replay, record) in &self.records {
            let Record::ReplayRequested(_) = record else { continue };
            let row = self.engine.replay_row(*replay).map_err(unreadable)?;
            let of_it = |record: &&Record| matches!(record, Record::Repaired(one) if one.replay == *replay);
            let repaired = self.records.iter().map(|(_, record)| record).filter(of_it).count() as u64;
            let counted = row.map(|row| row.records);
            check(Rule::Repairs, counted == Some(repaired), || {
                format!("replay {replay} has {repaired} repairs, and counts {counted:?}")
            })?;
        }
        Ok(())
    }
}
