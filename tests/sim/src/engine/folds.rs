//! Receivers are folded again: an approver names the receiver of what a handler emits, and once the handler's keys are repaired, and what was
//! appended is handled, the receiver's keys get what they would have come to with the right events from the beginning.

use std::collections::BTreeSet;

use weirgate_engine::{
    Choices, Computed, ReplayRow, ReplayStep,
    replay::{KeyPlan, LaneId},
    sim::{Candidate, MissingAnswers, Replay, Runs, WhatIf},
};
use weirgate_types::{HandlerName, Position, Record, Repaired, ReplayApproved, ReplayEnd};

use super::{
    History, Stop,
    corrected::{Right, Stand},
    repairs::audit,
    unreadable,
    what_ifs::Applying,
};
use crate::{
    Checked, Order, Rule,
    checks::{check, index_of},
    handlers::SHARED,
    plan::name,
};

/// The handler that takes what the others emit.
const RECEIVER: usize = 2;

impl History<'_> {
    /// What an approver chooses: as of a what-if, whether the receiver is folded again.
    pub(super) fn chosen(&mut self, computed: &Computed, undoes: bool) -> Choices {
        let mut receivers: Vec<HandlerName> = computed.receivers.keys().map(|(handler, _)| handler.clone()).collect();
        receivers.dedup();
        let is_whole = computed.examination.cascade_bound.is_none();
        let is_named = undoes || is_whole && !receivers.is_empty() && self.chance.one_in(2);
        let allow_calls = self.plan.has_calls && !undoes && self.chance.one_in(2);
        // Some keys first.
        let is_part = !undoes && self.plan.shares && self.chance.one_in(3);
        let mut some: Vec<String> = computed.plans.keys().cloned().collect();
        some.retain(|_| self.chance.one_in(2));
        let keys = is_part.then_some(some);
        Choices { fold_again: if is_named { receivers } else { Vec::new() }, allow_calls, keys, ..Choices::default() }
    }

    /// What the newest approval chose.
    pub(super) fn choices(&self, row: &ReplayRow) -> Result<Choices, Stop> {
        let approved = row.approved.and_then(|approved| self.record_at(approved));
        let Some(Record::ReplayApproved(ReplayApproved { choices, .. })) = approved else {
            return Ok(Choices::default());
        };
        Ok(serde_json::from_str(choices).map_err(unreadable)?)
    }

    /// `None`: it waits for the answer of a call.
    pub(super) fn begin_applying(
        &mut self,
        replay: Replay,
        approved: Option<Position>,
    ) -> Result<Option<Applying>, Stop> {
        let Some(computed) = self.compute(&replay)? else { return Ok(None) };
        let replay = Replay { is_applied: true, ..replay };
        let handler = &replay.request.handler;
        let is_asked_for = |key: &&String| replay.choices.keys.as_ref().is_none_or(|keys| keys.contains(*key));
        let own = computed.plans.keys().filter(is_asked_for).map(|key| (handler.clone(), key.clone()));
        let of_receivers = computed.receivers.keys().filter(|_| replay.id.is_undo).cloned();
        Ok(Some(Applying {
            version: match &replay.request.runs {
                Runs::Candidate(candidate) => candidate.version.unwrap_or_default(),
                Runs::Without(_) => Position::ZERO,
            },
            left: own.chain(of_receivers).map(|lane| (lane, 0)).collect(),
            standing: BTreeSet::new(),
            refused: BTreeSet::new(),
            settled: self.settled(handler),
            folded: BTreeSet::new(),
            appended: None,
            approved,
            computed,
            replay,
        }))
    }

    /// Puts the next key of the receiver on hold. When there is none, the replay ends.
    pub(super) fn fold_next(&mut self, mut applying: Applying) -> Result<(), Stop> {
        let (replay, receiver) = (applying.replay.id.replay, name(RECEIVER));
        let appended = *applying.appended.get_or_insert(self.checks.head);
        let item = self.engine.handlers().into_iter().find(|item| item.name == receiver);
        let Some(item) =
            item.filter(|item| item.checkpoint >= appended || self.repairs.what_ifs.is_last || !self.chance.one_in(6))
        else {
            // It is gone, or does not come to it; it is asked for again later.
            drop(self.engine.step_replay(ReplayStep::End { replay, end: ReplayEnd::InPart }, audit()));
            return Ok(());
        };
        if item.checkpoint >= appended {
            let mut standing = applying.own_standing();
            standing.extend(self.repaired_before(&applying));
            let emitting = applying.computed.emitting(standing);
            let looked = self.engine.look_at_receivers(&applying.replay, &emitting);
            let Some(looked) = self.unless_it_waits(&applying.replay, looked)? else {
                self.repairs.what_ifs.applying = Some(applying);
                return Ok(());
            };
            let named = &applying.replay.choices.fold_again;
            let mut lanes = looked.lanes();
            lanes.retain(|lane| named.contains(&lane.0));
            self.check_others_stand(&applying, &lanes.iter().map(|lane| lane.1.clone()).collect::<Vec<_>>())?;
            lanes.retain(|lane| !applying.folded.contains(lane));
            if lanes.is_empty() {
                // It is kept for the rules.
                drop(self.engine.step_replay(ReplayStep::End { replay, end: applying.end() }, audit()));
            } else {
                let lane = lanes.swap_remove(self.chance.index(lanes.len()));
                self.hold(RECEIVER, lane.1.clone(), Some(looked.of(lane)));
            }
        }
        self.repairs.what_ifs.applying = Some(applying);
        Ok(())
    }

    /// Keys of the plan that are not approved now, and were repaired upon an earlier approval.
    fn repaired_before(&self, applying: &Applying) -> Vec<LaneId> {
        let Replay { request, choices, .. } = &applying.replay;
        let is_left = |key: &String| choices.keys.as_ref().is_some_and(|keys| !keys.contains(key));
        let repaired = self.settled(&request.handler);
        let before = applying.computed.plans.keys().filter(|key| is_left(key) && repaired.contains(*key));
        before.map(|key| (request.handler.clone(), key.clone())).collect()
    }

    /// Deliveries without order overlap: the later commit wins.
    fn is_folded_in_order(&self) -> bool {
        let order = self.checks.handlers.get(RECEIVER).map(|watched| watched.kind.order);
        !matches!(order, Some(Order::None { .. }))
    }

    /// Keys of the receiver that are not folded again stand as if they had had the right events from the beginning.
    fn check_others_stand(&self, applying: &Applying, looked: &[String]) -> Checked {
        if !self.is_folded_in_order() {
            return Ok(());
        }
        let receiver = name(RECEIVER);
        let stands = self.corrected(&receiver, &applying.right(), self.checks.head);
        for (key, stand) in stands.iter().filter(|(key, stand)| !stand.is_unknown && !looked.contains(key)) {
            let counts = self.counts(&receiver, key);
            check(Rule::Folds, counts == stand.counts, || {
                format!("{receiver} {key} is not folded again and has {counts:?}, not {stand:?}")
            })?;
        }
        Ok(())
    }

    /// Nothing else goes on: the receiver stands as if it had had the right events from the beginning, also in the browser; and to ask about
    /// it again finds nothing to do.
    pub(super) fn check_receiver(&mut self, replay: &Replay) -> Result<(), Stop> {
        let Some(applying) = self.repairs.what_ifs.applying.take().filter(|one| one.replay.id == replay.id) else {
            return Ok(());
        };
        let checked = self.check_receiver_of(&applying, replay);
        self.repairs.what_ifs.applying = Some(applying);
        checked
    }

    fn check_receiver_of(&mut self, applying: &Applying, replay: &Replay) -> Result<(), Stop> {
        if applying.replay.choices.fold_again.is_empty() || !self.is_folded_in_order() {
            return Ok(());
        }
        let (receiver, head) = (name(RECEIVER), self.checks.head);
        let is_refused = |key: &str| applying.refused.contains(&(receiver.clone(), key.to_owned()));
        for (key, stand) in self.corrected(&receiver, &applying.right(), head) {
            if stand.is_unknown || is_refused(&key) {
                continue;
            }
            self.check_stand(&receiver, &key, &stand)?;
        }
        let left = self.compute_whole(replay)?.receivers;
        // What a refused key would emit reaches the receiver in the fork only.
        let is_whole = applying.refused.is_empty();
        let left = left.into_iter().find(|(_, plan)| !is_empty_but_for_shared(plan) && is_whole);
        check(Rule::Folds, left.is_none(), || format!("replay {} leaves {left:?}", replay.id))?;
        self.check_fold_stands(replay)
    }

    fn check_stand(&self, receiver: &HandlerName, key: &str, stand: &Stand) -> Checked {
        let counts = self.counts(receiver, key);
        check(Rule::Folds, counts == stand.counts, || format!("{receiver} {key} has {counts:?}, not {stand:?}"))?;
        let shown = self.watching.shown(key, receiver);
        let wanted = stand.status.as_ref().map(|status| (&*status.state, status.data.as_deref().unwrap_or("")));
        let removed = |record: &Record| matches!(record, Record::Removed(removed) if removed.handler == *receiver);
        let was_removed = self.records.iter().any(|(_, record)| removed(record));
        let is_shown = wanted.map_or(shown == ("", "") || was_removed, |wanted| shown == wanted);
        check(Rule::Folds, is_shown, || format!("{receiver} {key} is shown as {shown:?}, not {wanted:?}"))
    }

    /// What if the receiver's version in force had handled all that it has completed? Keys that were folded again are left as they are.
    fn check_fold_stands(&self, replay: &Replay) -> Result<(), Stop> {
        let receiver = name(RECEIVER);
        let Some(item) = self.engine.handlers().into_iter().find(|item| item.name == receiver) else { return Ok(()) };
        let Some(Record::Deployed(deployed)) = self.record_at(item.version) else { return Ok(()) };
        let candidate =
            Candidate { module: item.digest, manifest: deployed.manifest.clone(), version: Some(item.version) };
        let request = WhatIf {
            handler: receiver,
            runs: Runs::Candidate(candidate),
            missing_answers: MissingAnswers::Fail,
            ..replay.request.clone()
        };
        let asked = Replay { request, ..replay.clone() };
        let mut plans = self.engine.compute(&asked).map_err(unreadable)?.plans;
        let folded: BTreeSet<&str> = self.folded_by(replay.id.replay).collect();
        plans.retain(|key, plan| folded.contains(key.as_str()) && !plan.is_empty());
        Ok(check(Rule::Folds, plans.is_empty(), || format!("what if {} had handled it: {plans:?}", item.version))?)
    }

    /// The receiver's keys that a replay has folded again.
    fn folded_by(&self, replay: Position) -> impl Iterator<Item = &str> {
        self.records.iter().filter_map(move |(_, record)| match record {
            Record::Repaired(one) if one.replay == replay && self.is_of_another(one) => Some(one.key.as_str()),
            _ => None,
        })
    }

    /// Nothing else goes on: once its folding is taken back, the receiver stands as it has handled what came.
    pub(super) fn check_receiver_undone(&self, replay: Position) -> Checked {
        if !self.is_folded_in_order() {
            return Ok(());
        }
        let (receiver, head) = (name(RECEIVER), self.checks.head);
        let others = |record: &Record| match record {
            Record::Repaired(one) if one.handler == receiver && one.replay != replay => Some(one.key.clone()),
            _ => None,
        };
        let others: BTreeSet<String> = self.records.iter().filter_map(|(_, record)| others(record)).collect();
        let right = Right { handler: &receiver, version: Position::ZERO, keys: BTreeSet::new() };
        let folded: BTreeSet<&str> = self.folded_by(replay).collect();
        for (key, stand) in self.corrected(&receiver, &right, head) {
            if folded.contains(key.as_str()) && !others.contains(&key) {
                self.check_stand(&receiver, &key, &stand)?;
            }
        }
        Ok(())
    }

    /// A key of the receiver that is folded again stands then as if it had had the right events from the beginning.
    pub(super) fn check_folded(&self, repaired: &Repaired) -> Checked {
        let Some(applying) = &self.repairs.what_ifs.applying else { return Ok(()) };
        let Repaired { handler, key, through, effects, .. } = repaired;
        let is_named = applying.replay.choices.fold_again.contains(handler) && index_of(handler) == RECEIVER;
        check(Rule::Folds, is_named, || format!("{handler} {key} is folded again, and was not named"))?;
        if !self.is_folded_in_order() {
            return Ok(());
        }
        let stands = self.corrected(handler, &applying.right(), *through);
        let Some(stand) = stands.get(key) else { return Ok(()) };
        check(Rule::Folds, !stand.is_unknown, || {
            format!("{handler} {key} is folded again, and another replay has repaired it otherwise")
        })?;
        let counts = self.counts(handler, key).with(&effects.state);
        check(Rule::Folds, counts == stand.counts, || {
            format!("{handler} {key} is folded again to {counts:?}, not {stand:?}")
        })
    }
}

/// Which of the receiver's keys writes a part that they share follows from what an application has made of the others before: the simulator folds
/// each for itself.
fn is_empty_but_for_shared(plan: &KeyPlan) -> bool {
    let mut plan = plan.clone();
    plan.status.retain(|write| write.subject != SHARED);
    plan.unset.retain(|subject| subject != SHARED);
    plan.is_empty()
}

impl Applying {
    /// The handler's keys that stand as the fork has them.
    fn own_standing(&self) -> BTreeSet<LaneId> {
        self.standing.iter().filter(|lane| lane.0 == self.replay.request.handler).cloned().collect()
    }

    /// The same, with those that had been repaired before.
    fn right(&self) -> Right<'_> {
        let handler = &self.replay.request.handler;
        let refused = |key: &String| self.refused.contains(&(handler.clone(), key.clone()));
        let settled = self.settled.iter().filter(|key| !refused(key)).cloned();
        let keys = self.own_standing().into_iter().map(|(_, key)| key).chain(settled).collect();
        Right { handler, version: self.version, keys }
    }
}
