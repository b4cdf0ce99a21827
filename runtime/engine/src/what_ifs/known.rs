//! What is known of each replay, and what is to be done next. Pure: it starts no thread and computes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
};

use weirgate_types::{Digest, Position};

use super::{Applied, KnownMark, PlanId, Summary, Watch};
use crate::{
    Audit, Refusal,
    handle::Choices,
    replay::{Examination, KeyPlan, LaneId, WhatIf},
};

/// Maximum number of replays whose results are kept in memory, and of the bytes that these take together. Others are computed again
/// when they are asked for; the one that was used last is kept however large it is.
const KEPT_MAX: usize = 16;
const KEPT_BYTES_MAX: u64 = 512 << 20;
/// Maximum number of replays that wait to be computed.
const WAITING_MAX: usize = 64;

/// What is known of a replay.
#[derive(Clone)]
pub struct Known {
    pub id: PlanId,
    pub request: Arc<WhatIf>,
    pub watch: Arc<Watch>,
    /// `None` while it is computed.
    pub result: Option<Result<Arc<Computed>, String>>,
    /// What the last application came to, or has come to so far.
    pub applied: Option<Applied>,
    /// The number of its last use.
    used: u64,
}

/// What a what-if found, and the plan.
#[derive(Debug)]
pub struct Computed {
    pub examination: Examination,
    /// By key; only keys for which something is to be done or said.
    pub plans: BTreeMap<String, KeyPlan>,
    /// By handler and key: receivers that may be folded again; of an undo, those that were.
    pub receivers: BTreeMap<LaneId, KeyPlan>,
    pub digest: Digest,
    pub summary: Summary,
    /// What it takes in memory, about.
    pub bytes: u64,
}

impl Computed {
    /// The handler's keys that emit in the fork what is right, where `standing` of those with a plan stand as the fork has them: these, and
    /// those that an earlier replay has repaired.
    #[must_use]
    pub fn emitting(&self, standing: BTreeSet<LaneId>) -> BTreeSet<LaneId> {
        let is_left = |lane: &&LaneId| !self.plans.contains_key(&lane.1);
        let settled: Vec<LaneId> = self.examination.settled.iter().filter(is_left).cloned().collect();
        standing.into_iter().chain(settled).collect()
    }

    /// Nothing that differs, as if it were of a size.
    #[cfg(test)]
    #[must_use]
    pub fn nothing(bytes: u64) -> Self {
        let (examination, plans, summary) = (Examination::default(), BTreeMap::new(), Summary::default());
        let (digest, receivers) = (crate::replay::plan_digest(&plans), BTreeMap::new());
        Self { examination, plans, receivers, digest, summary, bytes }
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Task {
    Compute,
    Apply(Apply),
}

/// The threads: an application does not wait for what others compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worker {
    Computes,
    Applies,
}

/// What is applied, and by whom.
#[derive(Debug, Clone)]
pub struct Apply {
    pub choices: Choices,
    /// The digest of the plan that was approved.
    pub plan: Digest,
    /// The `ReplayApproved`: the version that was in force then is the candidate.
    pub approved: Position,
    pub audit: Audit,
}

impl Apply {
    /// Whether the plan of this digest was approved. Where calls are allowed, it changes with the answers that the application gets.
    pub fn is_of(&self, plan: Digest) -> bool {
        self.choices.allow_calls || self.plan == plan
    }
}

/// See the module documentation.
#[derive(Default)]
pub struct Replays {
    known: BTreeMap<PlanId, Known>,
    queue: VecDeque<(PlanId, Task)>,
    /// What was forgotten: it may be large, and is let go of outside the lock.
    forgotten: Vec<Known>,
    uses: u64,
    is_stopped: bool,
}

impl Known {
    /// `None` while it is computed, and where that failed.
    #[must_use]
    pub fn computed(&self) -> Option<&Computed> {
        Some(self.result.as_ref()?.as_ref().ok()?)
    }

    fn is_being_applied(&self) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.is_running)
    }
}

impl Replays {
    /// What is known of a replay. That counts as a use of it.
    pub fn used(&mut self, id: PlanId) -> Option<Known> {
        self.uses += 1;
        let known = self.known.get_mut(&id)?;
        known.used = self.uses;
        Some(known.clone())
    }

    pub fn seen(&self, id: PlanId) -> Option<Known> {
        self.known.get(&id).cloned()
    }

    /// The same without a copy of it.
    pub fn mark(&self, id: PlanId) -> Option<KnownMark> {
        self.known.get(&id).map(KnownMark::of)
    }

    /// Takes a replay that is to be computed, unless it is known.
    pub fn begin(&mut self, id: PlanId, request: WhatIf) -> Known {
        if let Some(known) = self.used(id) {
            return known;
        }
        let watch = Arc::new(Watch::default());
        watch.from.store(request.selection.after.0, Ordering::Relaxed);
        if self.is_stopped {
            watch.cancel();
        }
        let known = Known { id, request: Arc::new(request), watch, result: None, applied: None, used: self.uses };
        self.known.insert(id, known.clone());
        self.queue.push_back((id, Task::Compute));
        self.forget(id);
        known
    }

    /// Whether fewer replays wait to be computed than may.
    pub fn has_room(&self) -> bool {
        self.queue.iter().filter(|(_, task)| matches!(task, Task::Compute)).count() < WAITING_MAX
    }

    pub fn take_forgotten(&mut self) -> Vec<Known> {
        std::mem::take(&mut self.forgotten)
    }

    /// # Errors
    /// It is being applied already, or is not known any more.
    pub fn apply(&mut self, id: PlanId, apply: Apply) -> Result<(), Refusal> {
        let is_queued = self.queue.iter().any(|(other, task)| *other == id && matches!(task, Task::Apply(_)));
        let known = self.known.get_mut(&id).ok_or(Refusal::ReplayNotReady(id.replay))?;
        if is_queued || known.is_being_applied() {
            return Err(Refusal::ReplayRuns(id.replay));
        }
        known.applied = Some(Applied { is_running: true, ..Applied::default() });
        self.queue.push_back((id, Task::Apply(apply)));
        Ok(())
    }

    /// Ends all work, and that of replays that are taken from now on.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        self.queue.clear();
        self.known.values().for_each(|known| known.watch.cancel());
    }

    /// Ends the work for a replay and its undo, and forgets both.
    pub fn cancel(&mut self, replay: Position) {
        self.queue.retain(|(id, _)| id.replay != replay);
        for is_undo in [false, true] {
            if let Some(known) = self.known.remove(&PlanId { replay, is_undo }) {
                known.watch.cancel();
                self.forgotten.push(known);
            }
        }
    }

    /// Ends the computation of a replay, and forgets it, unless it is being applied. Returns whether it is forgotten.
    pub fn forget_one(&mut self, id: PlanId) -> bool {
        if self.known.get(&id).is_some_and(Known::is_being_applied) {
            return false;
        }
        self.queue.retain(|(queued, _)| *queued != id);
        if let Some(known) = self.known.remove(&id) {
            known.watch.cancel();
            self.forgotten.push(known);
        }
        true
    }

    /// Whether a task's replay was not forgotten, and begun anew, since the task began.
    pub fn is_current(&self, task: &Known) -> bool {
        self.known.get(&task.id).is_some_and(|known| Arc::ptr_eq(&known.watch, &task.watch))
    }

    /// What a worker does next: an application begins once its replay is computed.
    pub fn next(&mut self, worker: Worker) -> Option<(PlanId, Task, Known)> {
        self.queue.retain(|(id, _)| self.known.contains_key(id));
        let is_its = |(id, task): &(PlanId, Task)| match task {
            Task::Compute => worker == Worker::Computes,
            Task::Apply(_) => worker == Worker::Applies && self.known.get(id).is_some_and(|one| one.result.is_some()),
        };
        let index = self.queue.iter().position(is_its)?;
        let (id, task) = self.queue.remove(index)?;
        let known = self.known.get(&id)?.clone();
        Some((id, task, known))
    }

    /// Takes what came of a computation, if the replay was not cancelled meanwhile.
    pub fn computed(&mut self, id: PlanId, result: Result<Arc<Computed>, String>) {
        self.change(id, |known| known.result = Some(result));
        self.forget(id);
    }

    /// An application has ended, by an error if there is one.
    pub fn applied(&mut self, id: PlanId, error: Option<String>) {
        self.change(id, |known| {
            let applied = known.applied.get_or_insert_with(Applied::default);
            (applied.is_running, applied.waiting, applied.error) = (false, 0, error);
        });
    }

    pub fn change(&mut self, id: PlanId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.known.get_mut(&id) {
            change(known);
        }
    }

    /// Keeps the limits: forgets replays that are neither queued nor run, but for one, the longest unused first.
    fn forget(&mut self, kept: PlanId) {
        while self.known.len() > KEPT_MAX || self.bytes() > KEPT_BYTES_MAX {
            let idle = self.known.iter().filter(|(id, known)| **id != kept && self.is_idle(**id, known));
            let Some(longest) = idle.min_by_key(|(_, known)| known.used).map(|(id, _)| *id) else { return };
            self.forgotten.extend(self.known.remove(&longest));
        }
    }

    fn bytes(&self) -> u64 {
        let computed = self.known.values().filter_map(|known| known.result.as_ref()?.as_ref().ok());
        computed.map(|computed| computed.bytes).fold(0, u64::saturating_add)
    }

    fn is_idle(&self, id: PlanId, known: &Known) -> bool {
        known.result.is_some() && !known.is_being_applied() && !self.queue.iter().any(|(queued, _)| *queued == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::what_ifs::tests::{id, request};

    fn compute(replays: &mut Replays, replay: u64, bytes: u64) {
        replays.begin(id(replay), request());
        let (next, _, _) = replays.next(Worker::Computes).expect("it is queued");
        replays.computed(next, Ok(Arc::new(Computed::nothing(bytes))));
    }

    fn kept(replays: &Replays) -> Vec<u64> {
        replays.known.keys().map(|id| id.replay.0).collect()
    }

    #[test]
    fn the_results_share_one_limit_of_memory() {
        let mut replays = Replays::default();
        (1..=3).for_each(|replay| compute(&mut replays, replay, KEPT_BYTES_MAX / 3));
        assert_eq!(kept(&replays), [1, 2, 3]);
        assert!(replays.used(id(1)).is_some());
        compute(&mut replays, 4, KEPT_BYTES_MAX / 3);
        assert_eq!(kept(&replays), [1, 3, 4], "the longest unused is forgotten");
        compute(&mut replays, 5, 2 * KEPT_BYTES_MAX);
        assert_eq!(kept(&replays), [5], "a large one is kept alone, until another is used");
        compute(&mut replays, 6, 1);
        assert_eq!(kept(&replays), [6]);
        assert!(replays.begin(id(5), request()).result.is_none(), "it is computed again");
    }

    #[test]
    fn what_is_queued_or_runs_is_not_forgotten() {
        let mut replays = Replays::default();
        (0..100).for_each(|replay| drop(replays.begin(id(replay), request())));
        assert_eq!(kept(&replays).len(), 100);
        let audit = || Audit { actor: "ada".into(), reason: String::new() };
        let apply =
            || Apply { choices: Choices::default(), plan: Digest([0; 32]), approved: Position(2), audit: audit() };
        compute(&mut replays, 100, 0);
        let mut order = Vec::new();
        replays.apply(id(3), apply()).expect("it is queued");
        assert!(matches!(replays.apply(id(3), apply()), Err(Refusal::ReplayRuns(Position(3)))));
        assert!(matches!(replays.apply(id(999), apply()), Err(Refusal::ReplayNotReady(Position(999)))));
        while let Some((next, task, _)) = replays.next(Worker::Computes).or_else(|| replays.next(Worker::Applies)) {
            if matches!(task, Task::Compute) {
                replays.computed(next, Ok(Arc::new(Computed::nothing(0))));
            }
            order.push(next.replay.0);
        }
        assert_eq!(order.last(), Some(&3), "it is applied after it was computed");
        assert_eq!(kept(&replays).len(), KEPT_MAX);
        assert!(replays.seen(id(3)).is_some_and(|known| known.applied.is_some()), "it is being applied");
    }

    #[test]
    fn what_is_forgotten_is_computed_anew() {
        let mut replays = Replays::default();
        let first = replays.begin(id(1), request());
        let (_, _, task) = replays.next(Worker::Computes).expect("it is queued");
        assert!(replays.is_current(&task) && replays.forget_one(id(1)));
        assert!(first.watch.is_cancelled() && replays.seen(id(1)).is_none());
        replays.begin(id(1), request());
        assert!(!replays.is_current(&task), "what came of the first is not taken for the second");
        let (_, _, task) = replays.next(Worker::Computes).expect("it is queued again");
        assert!(replays.is_current(&task));
        replays.computed(id(1), Ok(Arc::new(Computed::nothing(0))));
        let audit = Audit { actor: "ada".into(), reason: String::new() };
        let apply = Apply { choices: Choices::default(), plan: Digest([0; 32]), approved: Position(2), audit };
        replays.apply(id(1), apply).expect("it is queued");
        assert!(!replays.forget_one(id(1)), "it is being applied");
    }

    #[test]
    fn work_ends_with_a_cancel_and_with_a_stop() {
        let mut replays = Replays::default();
        let cancelled = replays.begin(id(1), request());
        let stopped = replays.begin(id(2), request());
        replays.cancel(Position(1));
        assert!(cancelled.watch.is_cancelled() && !stopped.watch.is_cancelled());
        replays.computed(id(1), Ok(Arc::new(Computed::nothing(0))));
        assert!(replays.seen(id(1)).is_none(), "its result is not taken");
        replays.stop();
        assert!(stopped.watch.is_cancelled() && replays.next(Worker::Applies).is_none());
        assert!(replays.begin(id(3), request()).watch.is_cancelled(), "nothing begins any more");
    }
}
