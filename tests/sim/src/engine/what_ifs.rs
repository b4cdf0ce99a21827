//! Operators compute what-ifs of a fix, approve them, apply them key by key and undo them, beside the traffic of the same keys and through
//! crashes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_engine::{
    Computed, PlanId, ReplayRow, ReplayState, ReplayStep,
    replay::{Examination, KeyPlan, LaneId},
    sim::{Candidate, Closed, KeyRepair, LookedKey, MissingAnswers, Replay, Runs, Selection, WhatIf},
};
use weirgate_types::{
    Event, HandlerName, Position, Record, Repaired, ReplayApproved, ReplayEnd, ReplayRequested, StatusWrite,
};

use super::{
    History, Stop,
    repairs::{Sent, audit},
    unreadable,
};
use crate::{
    Rule,
    checks::{check, index_of},
    handlers::{self, Modules, SHARED},
    plan::name,
};

/// A replay that is being applied, or undone.
pub struct Applying {
    pub replay: Replay,
    /// Its approval.
    pub approved: Option<Position>,
    /// The version that was approved to handle the keys.
    pub version: Position,
    /// The keys of the plan that are left, each with the number of its next record.
    pub left: BTreeMap<LaneId, u32>,
    /// Keys that stand as the fork has them, and those that were refused.
    pub standing: BTreeSet<LaneId>,
    pub refused: BTreeSet<LaneId>,
    /// Keys of the handler that had been repaired before and stand so: by the records, and as it was computed.
    pub settled: BTreeSet<String>,
    pub computed: Computed,
    /// Receivers that were folded again, and what has to be handled before that.
    pub folded: BTreeSet<LaneId>,
    pub appended: Option<Position>,
}

/// What operators know of what-ifs.
#[derive(Default)]
pub struct WhatIfs {
    /// Lost with the process, and computed again.
    pub applying: Option<Applying>,
    /// What each was found to come to, by the end of its range, and how many replays were undone and calls of it answered by then.
    found: BTreeMap<(PlanId, Position, usize, usize), Examination>,
    /// No replay is cancelled any more.
    pub is_last: bool,
}

impl WhatIfs {
    pub fn are_cut_off(&mut self) {
        self.applying = None;
    }

    /// A repair is in the log.
    pub fn repaired(&mut self, lane: &LaneId, is_all: bool) {
        let Some(applying) = &mut self.applying else { return };
        match applying.left.get_mut(lane) {
            Some(part) if !is_all => *part += 1,
            _ if is_all => applying.ended(lane, true),
            _ => {}
        }
    }
}

impl Applying {
    /// How it ends when nothing is left to be done.
    pub fn end(&self) -> ReplayEnd {
        match &self.replay.choices.keys {
            Some(keys) if keys.len() < self.computed.plans.len() => ReplayEnd::InPart,
            _ => ReplayEnd::Applied,
        }
    }

    /// What was approved of a key.
    fn plan(&self, lane: &LaneId) -> Option<&KeyPlan> {
        match lane.0 == self.replay.request.handler {
            true => self.computed.plans.get(&lane.1),
            false => self.computed.receivers.get(lane),
        }
    }

    /// Nothing is left to be done for a key.
    pub fn ended(&mut self, lane: &LaneId, stands: bool) {
        self.left.remove(lane);
        if lane.0 != self.replay.request.handler {
            self.folded.insert(lane.clone());
        }
        drop(if stands { self.standing.replace(lane.clone()) } else { self.refused.replace(lane.clone()) });
    }
}

/// A key of which nothing has come since its plan was approved gets what that says.
fn check_approved(plan: Option<&KeyPlan>, repaired: &Repaired) -> Result<(), Stop> {
    if plan.is_some_and(|plan| plan.needs.is_some()) {
        // What its call is answered was approved.
        return Ok(());
    }
    let plan = plan.cloned().unwrap_or_default();
    let (effects, data) = (&repaired.effects, |event: &Event| (event.r#type.clone(), event.data.clone()));
    // A part that keys share is compared when nothing goes on any more: another key may have written it since.
    let own =
        |status: &[StatusWrite]| status.iter().filter(|write| write.subject != SHARED).cloned().collect::<Vec<_>>();
    let own_unset = |unset: &[String]| unset.iter().filter(|subject| *subject != SHARED).cloned().collect::<Vec<_>>();
    let is_same = effects.state == plan.state
        && own(&effects.status) == own(&plan.status)
        && own_unset(&repaired.unset) == own_unset(&plan.unset)
        && effects.emitted.iter().map(data).eq(plan.emitted.iter().map(|planned| data(&planned.event)));
    Ok(check(Rule::Repairs, is_same, || {
        format!("{} is repaired with {repaired:?}, and approved was {plan:?}", repaired.key)
    })?)
}

impl History<'_> {
    /// The next step of the newest replay of a handler.
    pub(super) fn go_on_with_what_if(&mut self, index: usize) -> Result<(), Stop> {
        let handler = name(index);
        let Some((replay, row)) = self.replay_of(&handler)? else { return self.ask_what_if(&handler) };
        let is_cancelled = row.is_under_way() && !self.repairs.what_ifs.is_last && self.chance.one_in(10);
        let step = match row.state {
            _ if is_cancelled => ReplayStep::End { replay, end: ReplayEnd::Cancelled },
            ReplayState::Requested => return self.approve(replay, false),
            ReplayState::Approved => {
                let approved = row.approved.unwrap_or_default();
                ReplayStep::Begin { replay, approved, undoes: row.undoes }
            }
            ReplayState::Applying if self.is_other_version(&handler, &row) => {
                ReplayStep::End { replay, end: ReplayEnd::InPart }
            }
            ReplayState::Applying => return self.apply_next(replay, &row),
            _ if row.is_in_part() && (self.repairs.what_ifs.is_last || self.chance.one_in(3)) => {
                return self.approve(replay, row.undoes);
            }
            _ if row.may_request_undo() && self.chance.one_in(2) => ReplayStep::RequestUndo { replay },
            _ if row.may_end(ReplayEnd::UndoCancelled) && self.chance.one_in(10) => {
                ReplayStep::End { replay, end: ReplayEnd::UndoCancelled }
            }
            _ if row.may_be_approved(true) && self.chance.one_in(2) => return self.approve(replay, true),
            _ => return self.ask_what_if(&handler),
        };
        drop(self.engine.step_replay(step, audit()));
        Ok(())
    }

    /// What if the version in force had handled all that was completed?
    pub(super) fn ask_what_if(&mut self, handler: &HandlerName) -> Result<(), Stop> {
        let item = self.engine.handlers().into_iter().find(|item| item.name == *handler);
        let Some(item) = item.filter(|item| handlers::is_fixed(&item.manifest)) else { return Ok(()) };
        let Some(Record::Deployed(deployed)) = self.record_at(item.version) else { return Ok(()) };
        let candidate =
            Candidate { module: item.digest, manifest: deployed.manifest.clone(), version: Some(item.version) };
        let request = WhatIf {
            handler: handler.clone(),
            runs: Runs::Candidate(candidate),
            selection: Selection { outcome: Some(Closed::Completed), ..Selection::default() },
            missing_answers: self.missing_answers(),
            bounds: weirgate_engine::replay::Bounds::default(),
            through: self.checks.head,
            asked_at_ms: 0,
        };
        let request = serde_json::to_string(&request).map_err(unreadable)?;
        drop(self.engine.step_replay(ReplayStep::Request { handler: handler.clone(), request }, audit()));
        Ok(())
    }

    fn missing_answers(&mut self) -> MissingAnswers {
        match self.chance.below(if self.plan.has_calls { 4 } else { 1 }) {
            0 => MissingAnswers::Fail,
            1 => MissingAnswers::Last,
            _ => MissingAnswers::Call,
        }
    }

    /// Approves a plan, or that of its undo, as far as the log goes.
    pub(super) fn approve(&mut self, replay: Position, undoes: bool) -> Result<(), Stop> {
        let Some(asked) = self.asked(replay, undoes.then_some(self.checks.head)) else { return Ok(()) };
        let version = match &asked.request.runs {
            Runs::Candidate(candidate) => candidate.version,
            Runs::Without(_) => None,
        };
        let handler = asked.request.handler.clone();
        if version.is_some() && version != self.in_force(&handler) {
            return self.ask_what_if(&handler);
        }
        let through = asked.request.through;
        let Some(computed) = self.compute(&asked)? else { return Ok(()) };
        let plan = computed.digest;
        let choices = serde_json::to_string(&self.chosen(&computed, undoes)).map_err(unreadable)?;
        let step = ReplayStep::Approve { replay, plan, through, choices, undoes, version };
        drop(self.engine.step_replay(step, audit()));
        Ok(())
    }

    pub(super) fn in_force(&self, handler: &HandlerName) -> Option<Position> {
        self.engine.handlers().into_iter().find(|item| item.name == *handler).map(|item| item.version)
    }

    /// Whether another version is in force than the one for which a plan was approved.
    fn is_other_version(&self, handler: &HandlerName, row: &ReplayRow) -> bool {
        !row.undoes && self.in_force(handler) > row.approved
    }

    /// Puts the next key on hold. When there is none, the replay ends.
    fn apply_next(&mut self, replay: Position, row: &ReplayRow) -> Result<(), Stop> {
        if self.repairs.is_busy() {
            return Ok(());
        }
        let id = PlanId { replay, is_undo: row.undoes };
        let applying = self.repairs.what_ifs.applying.take();
        let applying = applying.filter(|applying| (applying.replay.id, applying.approved) == (id, row.approved));
        let applying = match applying {
            Some(applying) => applying,
            None => {
                let through = row.approved.and_then(|approved| self.record_at(approved)).and_then(through_of);
                let Some(mut asked) = self.asked(replay, row.undoes.then_some(through.unwrap_or_default())) else {
                    return Ok(());
                };
                asked.choices = self.choices(row)?;
                let Some(applying) = self.begin_applying(asked, row.approved)? else { return Ok(()) };
                applying
            }
        };
        let keys: Vec<_> = applying.left.keys().cloned().collect();
        if !self.repairs.what_ifs.is_last && self.chance.one_in(12) {
            // The others were not approved, or are refused.
            drop(self.engine.step_replay(ReplayStep::End { replay, end: ReplayEnd::InPart }, audit()));
            return Ok(());
        }
        match self.chance.pick(&keys) {
            Some(lane) => {
                let looked = self.engine.look_at_key(&applying.replay, lane.clone());
                if let Some(looked) = self.unless_it_waits(&applying.replay, looked)? {
                    self.hold(index_of(&lane.0), lane.1.clone(), Some(looked));
                }
            }
            None if !row.undoes && !applying.replay.choices.fold_again.is_empty() => return self.fold_next(applying),
            None => {
                let end = match row.undoes {
                    true => ReplayEnd::Undone,
                    false => applying.end(),
                };
                drop(self.engine.step_replay(ReplayStep::End { replay, end }, audit()));
            }
        }
        self.repairs.what_ifs.applying = Some(applying);
        Ok(())
    }

    /// Repairs the key that is on hold, as it stands now.
    pub(super) fn repair_looked_at(&mut self) -> Result<(), Stop> {
        let Some((hold, looked)) = self.repairs.take_looked() else { return Ok(()) };
        let (lane, applying) = (looked.lane().clone(), self.repairs.what_ifs.applying.as_mut());
        let part = |applying: &Applying| applying.left.get(&lane).copied().or(applying.appended.map(|_| 0));
        let Some((applying, part)) = applying.and_then(|applying| part(applying).map(|part| (applying, part))) else {
            self.engine.end_hold(&hold);
            return Ok(());
        };
        let replay = applying.replay.clone();
        let Some(looked) = self.look_on(&replay, looked)? else {
            self.engine.end_hold(&hold);
            return Ok(());
        };
        let Some(applying) = self.repairs.what_ifs.applying.as_mut() else { return Ok(()) };
        let made = self.engine.repair_of((&replay, &applying.computed), &hold, &looked, part).map_err(unreadable)?;
        match made {
            not @ (KeyRepair::Nothing | KeyRepair::Refused(_)) => {
                applying.ended(&lane, matches!(not, KeyRepair::Nothing));
                self.engine.end_hold(&hold);
            }
            KeyRepair::Record { repaired, is_all } => {
                let look = self.engine.handle().history().look();
                let (handler, key, through) = (&repaired.handler, &repaired.key, applying.replay.request.through);
                let is_planned = applying.left.contains_key(&lane);
                if is_planned && look.of_lane(handler, key, through, 1).map_err(unreadable)?.is_empty() {
                    check_approved(applying.plan(&lane), &repaired)?;
                }
                if !is_planned {
                    self.check_folded(&repaired)?;
                }
                let answer = self.engine.repair(&hold, (*repaired).clone(), false);
                self.repairs.sent = Some(Sent { repaired: *repaired, is_all, answer });
            }
        }
        Ok(())
    }

    /// Looks at a key again: with what has come since it comes to what it comes to where all is looked at anew. `None`: it waits for the
    /// answer of a call.
    pub(super) fn look_on(&mut self, replay: &Replay, looked: LookedKey) -> Result<Option<LookedKey>, Stop> {
        let looked = self.engine.look_on(replay, looked);
        let Some(looked) = self.unless_it_waits(replay, looked)? else { return Ok(None) };
        self.figures.gone_on += u64::from(looked.has_gone_on());
        let differs = self.engine.differs_anew(replay, &looked);
        let Some(differs) = self.unless_it_waits(replay, differs)? else { return Ok(None) };
        check(Rule::Repairs, differs.is_none(), || {
            format!("{:?} was looked at for replay {} and comes to {differs:?}", looked.lane(), replay.id)
        })?;
        Ok(Some(looked))
    }

    /// A replay as it was asked for; with `undo_through`, its undo.
    pub(super) fn asked(&self, replay: Position, undo_through: Option<Position>) -> Option<Replay> {
        let Some(Record::ReplayRequested(ReplayRequested { request, at_ms, .. })) = self.record_at(replay) else {
            return None;
        };
        let mut request: WhatIf = serde_json::from_str(request).ok()?;
        request.asked_at_ms = *at_ms;
        if let Some(through) = undo_through {
            let selection = Selection { after: self.engine.undo_after(replay).ok()?, ..Selection::default() };
            request = WhatIf { runs: Runs::Without(replay), selection, through, ..request };
        }
        Some(Replay {
            id: PlanId { replay, is_undo: undo_through.is_some() },
            request,
            choices: weirgate_engine::Choices::default(),
            audit: audit(),
            modules: Arc::new(Modules { handlers: self.handlers, host: Arc::clone(&self.host) }),
            takes_corrected: self.plan.takes_corrected,
            is_applied: false,
            waits: Arc::default(),
        })
    }

    /// What is found does not depend on when it is computed, and by which process.
    /// `None`: it waits for the answer of a call.
    pub(super) fn compute(&mut self, asked: &Replay) -> Result<Option<Computed>, Stop> {
        let history = self.engine.handle().history();
        while history.make_next(&|_| true).map_err(unreadable)? != weirgate_engine::Made::Nothing {}
        let computed = self.engine.compute(asked);
        let Some(computed) = self.unless_it_waits(asked, computed)? else { return Ok(None) };
        let through = asked.request.through;
        let answered = |record: &Record| matches!(record, Record::ReplayAnswered(one) if one.replay == asked.id.replay);
        let answered = self.records.iter().filter(|(_, record)| answered(record)).count();
        let about = (asked.id, through, self.undone().len(), answered);
        let known = self.repairs.what_ifs.found.entry(about).or_insert(computed.examination.clone());
        check(Rule::Repairs, *known == computed.examination, || {
            format!("replay {} through {through} found {known:?}, and now {:?}", asked.id, computed.examination)
        })?;
        Ok(Some(computed))
    }

    pub(super) fn record_at(&self, position: Position) -> Option<&Record> {
        let found = self.records.binary_search_by_key(&position, |(first, _)| *first).ok()?;
        self.records.get(found).map(|(_, record)| record)
    }
}

fn through_of(record: &Record) -> Option<Position> {
    match record {
        Record::ReplayApproved(ReplayApproved { through, .. }) => Some(*through),
        _ => None,
    }
}
