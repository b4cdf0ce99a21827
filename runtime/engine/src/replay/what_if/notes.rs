//! What a what-if found out about one handler and key beside the differences that remain. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use weirgate_types::{Effects, Event, HandlerName, KeyRepaired, Position, Repaired, StatusWrite};

use super::{
    calls::{AnsweredCall, LateStep, UnansweredCall, UnmadeCall},
    emissions::Emission,
    held::{Measured, held_bytes},
    lane::Lane,
    outside::is_safe,
    request::Closed,
    run::LaneId,
};

/// Maximum number of entries in each list of a key; the others are counted.
pub const LISTED_MAX: usize = 100;

/// A list that is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    pub first: Vec<T>,
    /// Number of those that were left out.
    pub more: u64,
    #[serde(skip)]
    bytes: usize,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { first: Vec::new(), more: 0, bytes: 0 }
    }
}

impl<T: Serialize> Listed<T> {
    pub fn push(&mut self, one: T) {
        if self.first.len() < LISTED_MAX {
            self.bytes = self.bytes.saturating_add(held_bytes(&one));
            self.first.push(one);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

/// Calls, all of them: they are part of a plan.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Calls {
    pub all: Vec<(Position, UnmadeCall)>,
    #[serde(skip)]
    bytes: usize,
}

impl Calls {
    pub fn push(&mut self, call: (Position, UnmadeCall)) {
        self.bytes = self.bytes.saturating_add(size_of_val(&call)).saturating_add(held_bytes(&call));
        self.all.push(call);
    }

    /// Leaves out those that are not wanted.
    fn retain(&mut self, is_wanted: impl Fn(&(Position, UnmadeCall)) -> bool) {
        std::mem::take(self).all.into_iter().filter(is_wanted).for_each(|call| self.push(call));
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// A handler and key on which the fork came to something else.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Examined {
    pub lane: Lane,
    pub notes: Notes,
    /// The version of its state in the fork, once that follows from other records than in the log.
    pub state_version: Option<u32>,
}

/// See the module documentation.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Notes {
    /// The first delivery that the fork executed, and the record of the last one.
    pub from: Position,
    pub through: Position,
    /// Number of executed deliveries.
    pub executed: u64,
    /// Events that no delivery in the log was opened for.
    pub opened: Listed<Position>,
    /// Deliveries that the fork does not have.
    pub dropped: Listed<Position>,
    pub outcomes: Listed<OutcomeChange>,
    /// Steps in the path of statuses that differ.
    pub path: Listed<PathStep>,
    /// The subjects of the steps that were left out there.
    pub more_subjects: Measured<()>,
    /// Calls that the log holds no answer for, and calls of the log that the fork did not make.
    pub unanswered: Listed<(Position, UnansweredCall)>,
    pub not_made: Calls,
    /// Calls that late deliveries made, and the fork makes where these would have come: those are not left out.
    #[serde(skip)]
    pub late_steps: BTreeSet<LateStep>,
    /// Earlier repairs have handed over a part of what they changed: the handler would be given half of it now.
    pub is_handed_over_in_part: bool,
    /// Calls that this replay made, now or before.
    pub made: Listed<(Position, AnsweredCall)>,
    /// The handler and key whose emission first reached it in another form; `None` where the candidate itself ran.
    pub caused_by: Option<(HandlerName, String)>,
    /// Why no plan can be made for it.
    pub fails: Option<Fails>,
    /// The last fold of a receiver that is not in the fork and has handed nothing over: events from before it that the fork does not have stand
    /// because its handler compensates none.
    #[serde(skip)]
    pub left_standing: Option<Position>,
    /// Earlier repairs, by their replays, that took deliveries which this selection does not take: no plan can be made for it either.
    pub repairs_left_out: BTreeMap<Position, Fails>,
}

/// A delivery that comes to another outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomeChange {
    pub event: Position,
    /// `None`: the log has no delivery of it.
    pub recorded: Option<Closed>,
    /// The failure; `None`: it completes.
    pub fork: Option<String>,
}

/// A status that a delivery set on one side only, or differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathStep {
    pub event: Position,
    pub subject: String,
    pub recorded: Option<StatusWrite>,
    pub fork: Option<StatusWrite>,
}

/// A delivery that fails in the fork, though it completed; or one that was not examined, because a host could not be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fails {
    pub event: Position,
    pub reason: String,
    /// The call that it lacks the answer of; an application may make it.
    pub needs: Option<UnansweredCall>,
    /// The breaker of a host that it calls is open: it is not known what it comes to.
    pub is_open: bool,
    /// It takes an event of a handler that fails: what that would emit is not known.
    pub behind: Option<HandlerName>,
}

impl Fails {
    /// An earlier repair that took more: what is left of it cannot be told apart.
    #[must_use]
    pub fn repaired(repaired: &Repaired) -> Self {
        let Repaired { replay, from, .. } = repaired;
        let reason = format!(
            "the replay {replay} has repaired the key from event {from} on, and took deliveries that this selection leaves out; ask again \
             with that replay's selection, or undo it"
        );
        Self { event: *from, reason, needs: None, is_open: false, behind: None }
    }

    /// A replay of another handler that folded the key again, with events that the log does not have.
    #[must_use]
    pub fn folded(repaired: &Repaired) -> Self {
        let Repaired { replay, from, .. } = repaired;
        let reason = format!(
            "the replay {replay} of another handler has folded the key again, and what the candidate would come to with its events cannot be \
             told; undo that replay first"
        );
        Self { event: *from, reason, needs: None, is_open: false, behind: None }
    }
}

impl Fails {
    /// A delivery of an event that comes from a handler and key that fail, or would come from them.
    #[must_use]
    pub fn behind(event: Position, (handler, key): &LaneId) -> Self {
        let reason = format!("{handler} fails for {key}, and what it would emit is not known");
        Self { event, reason, needs: None, is_open: false, behind: Some(handler.clone()) }
    }

    /// A receiver that was folded again for several keys of the handler, of which the fork leaves some as they are.
    #[must_use]
    pub fn repaired_with_others(repaired: &Repaired) -> Self {
        let Repaired { replay, from, .. } = repaired;
        let reason = format!(
            "the replay {replay} has folded the key again for keys that this selection leaves out; ask again with that replay's selection, \
             or undo it"
        );
        Self { event: *from, reason, needs: None, is_open: false, behind: None }
    }

    /// A receiver that another handler's replay has repaired, or its own.
    #[must_use]
    pub fn repaired_otherwise(repaired: &Repaired) -> Self {
        let Repaired { replay, from, .. } = repaired;
        let reason = format!(
            "the replay {replay} has repaired the key, and what it would come to with the right events from the beginning is not known; \
             undo that replay first"
        );
        Self { event: *from, reason, needs: None, is_open: false, behind: None }
    }
}

impl Examined {
    /// The subjects whose status differs, or differed.
    #[must_use]
    pub fn subjects(&self) -> BTreeSet<&str> {
        let of_path = self.notes.path.first.iter().map(|step| &step.subject);
        let subjects = self.lane.status().keys().chain(of_path).chain(self.notes.more_subjects.keys());
        subjects.map(String::as_str).collect()
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let parts = [2 * size_of::<Self>(), self.lane.bytes(), self.notes.bytes()];
        u64::try_from(parts.into_iter().fold(0, usize::saturating_add)).unwrap_or(u64::MAX)
    }

    /// Whether nothing is worth keeping: neither a difference that remains nor one that has been.
    #[must_use]
    pub fn is_same(&self) -> bool {
        let Notes { path, late_steps, .. } = &self.notes;
        self.comes_to_the_same() && path.is_empty() && late_steps.is_empty() && self.lane.is_same()
    }

    /// Whether no difference remains. On the way there, other statuses may have been set.
    #[must_use]
    pub fn comes_to_the_same(&self) -> bool {
        !self.lane.differs() && self.notes.end_the_same()
    }
}

impl Examined {
    /// Whether all that remains are events that stood already when an earlier fold of the receiver was approved.
    #[must_use]
    pub fn is_as_a_fold_left_it(&self) -> bool {
        let stood = |emission: &Emission| self.notes.left_standing.is_some_and(|fold| emission.at < fold);
        let emissions = self.lane.emissions();
        self.lane.differs_in_emissions_alone()
            && emissions.only_fork().is_empty()
            && emissions.only_recorded().into_iter().all(stood)
            && self.notes.end_the_same()
    }

    /// Takes what a repair has handed over to the handler, which has compensated it.
    pub fn settle(&mut self, handed_over: &KeyRepaired) {
        for emission in compensated(handed_over) {
            self.lane.compensated(emission);
        }
        self.settle_rest(handed_over);
    }

    /// The same of a repair that is in the fork, too: what both have is compensated in both. `is_left_out` says of an event that the fork does
    /// not have it.
    pub fn settle_both(&mut self, handed_over: &KeyRepaired, is_left_out: impl Fn(&Event) -> bool) {
        for emission in compensated(handed_over) {
            match is_left_out(&emission.event) {
                true => self.lane.compensated(emission),
                false => self.lane.compensated_in_both(&emission),
            }
        }
        self.settle_rest(handed_over);
    }

    /// A repair that is not in the fork has handed events over: what was emitted by one that was undone stands in the log without that, and in the
    /// fork not at all.
    ///
    /// # Errors
    /// That of `is_undone`.
    pub fn no_longer_settled<E>(
        &mut self,
        handed_over: &KeyRepaired,
        is_undone: impl Fn(&Event) -> Result<bool, E>,
    ) -> Result<(), E> {
        for emission in compensated(handed_over) {
            if is_undone(&emission.event)? {
                self.lane.no_longer_compensated(emission);
            }
        }
        Ok(())
    }

    fn settle_rest(&mut self, handed_over: &KeyRepaired) {
        self.notes.is_handed_over_in_part |= handed_over.truncated;
        let handed_over: BTreeSet<(Position, &str)> =
            handed_over.calls_before.iter().map(|call| (call.by, call.step.as_str())).collect();
        self.notes.not_made.retain(|(by, call)| !handed_over.contains(&(*by, call.step.as_str())));
    }

    /// A repair brought the key to where the fork is, so what differed on the way is over. Calls that may have changed something, which the
    /// fork did not make and the repair has not handed over, stand: the version that it was made for may have made them, too.
    #[must_use]
    pub fn repaired(self) -> Self {
        let Notes { from, through, mut not_made, is_handed_over_in_part, .. } = self.notes;
        not_made.retain(|(_, call)| !is_safe(&call.request.method));
        let notes = match not_made.is_empty() {
            true => Notes::default(),
            false => Notes { from, through, not_made, is_handed_over_in_part, ..Notes::default() },
        };
        Self { lane: self.lane, notes, state_version: None }
    }
}

impl Notes {
    /// Whether all deliveries came to the same outcome, with the same calls.
    fn end_the_same(&self) -> bool {
        let Self { outcomes, unanswered, not_made, .. } = self;
        outcomes.is_empty() && unanswered.is_empty() && not_made.is_empty() && self.fails().is_none()
    }

    /// What the lists take in memory beside their own places, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self { opened, dropped, outcomes, path, more_subjects, unanswered, not_made, made, caused_by, .. } = self;
        let lists = [opened.bytes, dropped.bytes, outcomes.bytes, path.bytes, unanswered.bytes, not_made.bytes];
        let others = [made.bytes, caused_by.as_ref().map_or(0, held_bytes), more_subjects.bytes()];
        let late = self.late_steps.iter().map(|(_, step, _)| step.len().saturating_add(2 * size_of::<LateStep>()));
        let fails = self.fails.iter().chain(self.repairs_left_out.values()).map(held_bytes);
        lists.into_iter().chain(others).chain(late).chain(fails).fold(0, usize::saturating_add)
    }

    /// Why no plan can be made.
    #[must_use]
    pub fn fails(&self) -> Option<&Fails> {
        self.fails.as_ref().or_else(|| self.repairs_left_out.values().next())
    }

    /// Notes the first delivery that was looked at.
    pub fn begin(&mut self, event: Position) {
        if self.from == Position::ZERO {
            self.from = event;
        }
    }

    /// Notes calls that would not have been made, each once.
    pub fn unmade(&mut self, calls: impl IntoIterator<Item = (Position, UnmadeCall)>) {
        let of = |(by, call): &(Position, UnmadeCall)| (*by, call.step.clone(), call.request.digest);
        let mut known: BTreeSet<_> = self.not_made.all.iter().map(of).collect();
        for call in calls.into_iter().filter(|(_, call)| !is_safe(&call.request.method)) {
            if known.insert(of(&call)) {
                self.not_made.push(call);
            }
        }
    }

    /// Notes the calls of a delivery that the fork does not have: but not those that it makes in its place.
    pub fn unmade_of_dropped(&mut self, event: Position, calls: impl IntoIterator<Item = UnmadeCall>) {
        let late = |call: &UnmadeCall| (event, call.step.clone(), call.request.digest);
        let unmade: Vec<_> = calls.into_iter().filter(|call| !self.late_steps.remove(&late(call))).collect();
        self.late_steps.retain(|(by, ..)| *by != event);
        self.unmade(unmade.into_iter().map(|call| (event, call)));
    }

    /// Notes a delivery's statuses that differ.
    pub fn statuses(&mut self, event: Position, recorded: &Effects, fork: &Effects) {
        if recorded.status == fork.status {
            return;
        }
        let find =
            |effects: &Effects, subject: &str| effects.status.iter().find(|write| write.subject == subject).cloned();
        let added = fork.status.iter().filter(|write| find(recorded, &write.subject).is_none());
        for write in recorded.status.iter().chain(added) {
            let subject = write.subject.clone();
            let (recorded, fork) = (find(recorded, &subject), find(fork, &subject));
            if recorded != fork {
                if self.path.first.len() >= LISTED_MAX {
                    self.more_subjects.insert(subject.clone(), ());
                }
                self.path.push(PathStep { event, subject, recorded, fork });
            }
        }
    }
}

/// The events that a repair has handed over. The position of each tells it apart from all that its delivery emits in the fork.
fn compensated(handed_over: &KeyRepaired) -> impl Iterator<Item = Emission> {
    handed_over.emitted_before.iter().map(|logged| Emission {
        delivery: logged.by,
        index: usize::try_from(logged.position.0).unwrap_or(usize::MAX),
        at: logged.position,
        depth: 1,
        event: logged.event.clone(),
    })
}

#[cfg(test)]
mod tests {
    use weirgate_types::{CallBefore, Digest, StepAnswer, StepRequest};

    use super::*;

    fn charge(by: u64) -> (Position, UnmadeCall) {
        let request =
            StepRequest { method: "POST".into(), url: "https://pay.example/charges".into(), digest: Digest([7; 32]) };
        let answer = StepAnswer { status: 201, headers: Vec::new(), body: Vec::new() };
        (Position(by), UnmadeCall { step: "charge".into(), request, answer: Some(answer) })
    }

    #[test]
    fn a_call_that_the_fork_makes_in_its_place_is_not_left_over_of_the_late_delivery() {
        let mut examined = Examined::default();
        let (_, call) = charge(90);
        examined.notes.late_steps.insert((Position(90), call.step.clone(), call.request.digest));
        assert!(!examined.is_same() && examined.comes_to_the_same(), "the late delivery is to come");
        let other = UnmadeCall { step: "confirm".into(), ..call.clone() };
        examined.notes.unmade_of_dropped(Position(90), [call.clone(), other.clone()]);
        assert_eq!(examined.notes.not_made.all, [(Position(90), other)]);
        examined.notes.unmade_of_dropped(Position(91), [call.clone()]);
        assert_eq!(examined.notes.not_made.all.len(), 2, "another delivery makes its own calls");
        assert!(examined.notes.late_steps.is_empty());
    }

    #[test]
    fn all_calls_are_kept_until_they_are_handed_over() {
        let charges: Vec<_> = (0..1_000).map(charge).collect();
        let mut examined = Examined::default();
        examined.notes.unmade(charges.clone());
        examined.notes.unmade(charges.clone());
        assert_eq!(examined.notes.not_made.all, charges, "each once");
        let handed_over = |(by, call): &(Position, UnmadeCall)| CallBefore {
            by: *by,
            step: call.step.clone(),
            method: call.request.method.clone(),
            url: call.request.url.clone(),
            status: call.answer.as_ref().map(|answer| answer.status),
            body: None,
        };
        let calls_before = charges.iter().take(990).map(handed_over).collect();
        let bytes = examined.bytes();
        examined.settle(&KeyRepaired { calls_before, ..KeyRepaired::default() });
        assert_eq!(examined.notes.not_made.all, charges[990..]);
        assert!(!examined.is_same() && examined.bytes() < bytes / 50);
        let calls_before = charges.iter().map(handed_over).collect();
        examined.settle(&KeyRepaired { calls_before, ..KeyRepaired::default() });
        assert!(examined.is_same());
    }
}
