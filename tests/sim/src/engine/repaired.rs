//! The end of a history with what-ifs: the fix is in force, nothing else goes on, and a handler is repaired whole. Then its keys stand as if
//! the fix had handled all that they have completed.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_engine::{ReplayState, ReplayStep};
use weirgate_types::{Event, HandlerName, Outcome, Position, Record, ReplayEnd, StatusWrite};

use super::{History, Stop, repairs::audit, unreadable};
use crate::{
    NAMES, Order, Rule, Takes,
    checks::{check, index_of},
    handlers::{self, Counts, Delivered, EMITTED},
    plan::name,
};

/// Maximum number of passes until a replay has been applied.
const PASSES_MAX: u32 = 2_000;

/// The type, key and data of an emitted event.
pub type Content = (String, String, Vec<u8>);

pub fn content(event: &Event) -> Content {
    (event.r#type.clone(), event.key().to_owned(), event.data.clone())
}

/// What a key comes to.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is found in another record")]
struct Fixed {
    counts: Counts,
    status: Option<StatusWrite>,
    /// Number of emitted events, by their content.
    emitted: BTreeMap<Content, usize>,
    /// What its deliveries and other replays have emitted in fact.
    others: BTreeMap<Content, usize>,
    /// What the replay has appended.
    appended: BTreeMap<Content, usize>,
    /// Whether a version with the bug has handled a delivery that this is about, or another replay has repaired the key.
    is_affected: bool,
    /// Whether the replay has a record of it.
    is_repaired: bool,
    /// Whether another handler's replay has folded it again: what the fix would come to with that one's events is not known.
    is_folded: bool,
    /// Whether a call of it has no answer.
    lacks_answer: bool,
}

impl History<'_> {
    pub(super) fn repair_all(&mut self, passes: &mut u64) -> Result<(), Stop> {
        if !self.plan.has_what_ifs {
            return Ok(());
        }
        let index = self.chance.index(NAMES.len());
        let handler = name(index);
        self.end_replays()?;
        // It takes all that any version has taken.
        self.deploy_version(index, Takes { payments: true, emissions: index == 2 }, true);
        self.ready_all();
        self.run_dry(passes)?;
        self.repairs.what_ifs.is_last = true;
        self.ask_what_if(&handler)?;
        self.pass()?;
        let Some((replay, _)) = self.replay_of(&handler)? else {
            return Err(unreadable(format!("there is no replay of {handler}")).into());
        };
        self.apply_all(index, ReplayState::Applied)?;
        self.run_dry(passes)?;
        self.check_nothing_left(replay, false)?;
        if let Some(mut asked) = self.asked(replay, None) {
            asked.request.through = self.checks.head;
            self.check_receiver(&asked)?;
        }
        self.check_fixed(&handler, replay)?;
        self.check_shared(&handler, replay)?;
        let is_undone = self.replay_of(&handler)?.is_some_and(|(_, row)| row.may_request_undo());
        if is_undone && self.chance.one_in(2) {
            drop(self.engine.step_replay(ReplayStep::RequestUndo { replay }, audit()));
            self.pass()?;
            self.approve(replay, true)?;
            self.pass()?;
            self.apply_all(index, ReplayState::Undone)?;
            self.run_dry(passes)?;
            self.check_nothing_left(replay, true)?;
            self.check_receiver_undone(replay)?;
            self.check_shared_undone(&handler, replay)?;
        }
        Ok(())
    }

    /// No undo is approved that was not asked for, or that was withdrawn since.
    pub(super) fn check_undos(&self) -> Result<(), Stop> {
        let mut asked = BTreeMap::new();
        for (position, record) in &self.records {
            match record {
                Record::UndoRequested(one) => drop(asked.insert(one.replay, *position)),
                Record::ReplayEnded(one) if matches!(one.end, ReplayEnd::Cancelled | ReplayEnd::UndoCancelled) => {
                    asked.remove(&one.replay);
                }
                Record::ReplayApproved(one) => {
                    check(Rule::Repairs, !one.undoes || asked.contains_key(&one.replay), || {
                        format!("{position} approves the undo of replay {}, which was not asked for", one.replay)
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Goes on with the handler's newest replay until it has ended.
    fn apply_all(&mut self, index: usize, wanted: ReplayState) -> Result<(), Stop> {
        let mut row = None;
        for _ in 0..PASSES_MAX {
            self.go_on_with_what_if(index)?;
            self.use_hold()?;
            self.pass()?;
            for call in std::mem::take(&mut self.calls) {
                self.end(call, 0);
            }
            row = self.replay_of(&name(index))?;
            if let Some((replay, _)) = row.as_ref().filter(|(_, row)| row.state == ReplayState::AppliedInPart) {
                self.check_shared(&name(index), *replay)?;
            }
            if row.as_ref().is_some_and(|(_, row)| row.state == wanted) {
                return Ok(());
            }
        }
        Ok(check(Rule::Liveness, false, || format!("a replay does not come to {wanted:?}: {row:?}"))?)
    }

    /// Computed again over all that has happened, it appends nothing: to apply it twice is to apply it once.
    fn check_nothing_left(&mut self, replay: Position, is_undo: bool) -> Result<(), Stop> {
        let head = self.checks.head;
        let Some(mut asked) = self.asked(replay, is_undo.then_some(head)) else { return Ok(()) };
        asked.request.through = head;
        let mut computed = self.compute_whole(&asked)?;
        if !is_undo {
            computed.receivers.clear();
        }
        let left = computed.plans.into_values().chain(computed.receivers.into_values()).find(|plan| !plan.is_empty());
        Ok(check(Rule::Repairs, left.is_none(), || format!("replay {} was applied, and leaves {left:?}", asked.id))?)
    }

    /// The keys stand as if the fix had handled all that they have completed, and no event was appended that was there.
    fn check_fixed(&self, handler: &HandlerName, replay: Position) -> Result<(), Stop> {
        let order = self.checks.handlers.get(index_of(handler)).map(|watched| watched.kind.order);
        if matches!(order, Some(Order::None { .. })) {
            return Ok(());
        }
        let removes = |record: &Record| matches!(record, Record::Removed(removed) if removed.handler == *handler);
        let was_removed = self.records.iter().any(|(_, record)| removes(record));
        let applying = self.repairs.what_ifs.applying.as_ref();
        let is_refused =
            |key: &str| applying.is_some_and(|one| one.refused.contains(&(handler.clone(), key.to_owned())));
        for (key, fixed) in self.fixed(handler, replay) {
            check(Rule::Calls, !fixed.lacks_answer || !fixed.is_repaired, || {
                format!("{handler} {key} is repaired, and a call of it has no answer: {fixed:?}")
            })?;
            if fixed.is_folded || is_refused(key) {
                continue;
            }
            let counts = self.counts(handler, key);
            check(Rule::Repairs, counts == fixed.counts, || format!("{handler} {key} has {counts:?}, not {fixed:?}"))?;
            check(Rule::Repairs, fixed.is_affected || !fixed.is_repaired, || {
                format!("{handler} {key} was right, and is repaired")
            })?;
            let shown = self.watching.shown(key, handler);
            let wanted = fixed.status.as_ref().map(|status| (&*status.state, status.data.as_deref().unwrap_or("")));
            // What a removed handler of that name has shown stays.
            let is_shown = wanted.map_or(shown == ("", "") || was_removed, |wanted| shown == wanted);
            check(Rule::Repairs, is_shown, || format!("{handler} {key} is shown as {shown:?}, not {wanted:?}"))?;
            let missing = fixed
                .emitted
                .iter()
                .map(|(data, wanted)| (data, wanted.saturating_sub(fixed.others.get(data).copied().unwrap_or(0))));
            let missing: BTreeMap<_, _> = missing.filter(|(_, missing)| *missing > 0).collect();
            let is_right = missing
                .iter()
                .map(|(data, count)| (*data, *count))
                .eq(fixed.appended.iter().map(|(data, count)| (data, *count)));
            check(Rule::Repairs, is_right, || {
                format!("{handler} {key}: {missing:?} were to be appended, of {fixed:?}")
            })?;
        }
        Ok(())
    }

    /// By key.
    fn fixed(&self, handler: &HandlerName, replay: Position) -> BTreeMap<&str, Fixed> {
        let (mut keys, mut wrong): (BTreeMap<&str, Fixed>, BTreeSet<Position>) = Default::default();
        let asked = self.asked(replay, None);
        for (position, record) in &self.records {
            if matches!(record, Record::Deployed(deployed) if !handlers::is_fixed_record(deployed)) {
                wrong.insert(*position);
            }
            if matches!(record, Record::Removed(removed) if removed.handler == *handler) {
                keys.clear();
            }
            for written in record.effects().filter(|written| written.handler == handler) {
                let fixed = keys.entry(written.key).or_default();
                let is_its = matches!(record, Record::Repaired(repaired) if repaired.replay == replay);
                fixed.is_repaired |= is_its;
                fixed.is_affected |= !is_its && matches!(record, Record::Repaired(_));
                let others = |record: &Record| matches!(record, Record::Repaired(one) if self.is_of_another(one));
                fixed.is_folded |= others(record);
                let emitted = if is_its { &mut fixed.appended } else { &mut fixed.others };
                // Not the runtime's notices.
                for event in written.effects.emitted.iter().filter(|event| event.r#type.starts_with(EMITTED)) {
                    *emitted.entry(content(event)).or_default() += 1;
                }
            }
            // Calls of the log that the fix does not make are listed.
            if let Record::Stepped(stepped) = record
                && stepped.delivery.handler == *handler
            {
                keys.entry(self.event_at(stepped.delivery.position).key()).or_default().is_affected = true;
            }
            let completed = |outcome: &Outcome| matches!(outcome, Outcome::Completed | Outcome::Withheld);
            let commits = record.commits().iter();
            for commit in commits.filter(|commit| commit.handler == *handler && completed(&commit.outcome)) {
                let fixed = keys.entry(&commit.key).or_default();
                let (key, position, r#type) = (commit.key.as_str(), commit.event, &*self.event_at(commit.event).r#type);
                let request = self.handlers.request(handler, r#type, position, true);
                let answer = request.map(|request| self.answer_of(&commit.delivery(), &request, asked.as_ref()));
                fixed.lacks_answer |= answer == Some(None);
                let answer = answer.flatten().unwrap_or(0);
                let delivered = Delivered { handler, key, r#type, position, wall_ms: 0, answer };
                fixed.is_affected |= wrong.contains(&commit.version) && self.handlers.is_hit(handler, r#type, position);
                let effects = self.handlers.handle(delivered, true, &mut fixed.counts);
                let own = effects.status.into_iter().rfind(|write| write.subject == key);
                fixed.status = own.or_else(|| fixed.status.take());
                for event in effects.emitted {
                    *fixed.emitted.entry(content(&event)).or_default() += 1;
                }
            }
        }
        keys
    }
}
