//! The what-ifs of this process: what was found of each, and the thread that computes and applies them, one at a time. All that is
//! lost with the process can be computed again from the log.

mod apply;
mod compute;
mod plan_id;
mod stands;
mod summary;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use weirgate_types::{Digest, Position};

use crate::{
    Audit, Refusal,
    handle::{Choices, Shared},
    replay::{Examination, KeyPlan, Progress, ReplayError, WhatIf},
};
pub use apply::Applied;
pub use plan_id::PlanId;
pub use summary::Summary;

/// Maximum number of replays whose results are kept in memory; others are computed again when they are asked for.
const KEPT_MAX: usize = 16;
/// The nice value of the thread: a small part of a busy processor.
const NICE: i32 = 15;

/// See the module documentation. A std mutex: held for a few map operations.
#[derive(Default)]
pub struct WhatIfs(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    known: BTreeMap<PlanId, Known>,
    queue: VecDeque<(PlanId, Task)>,
    is_running: bool,
}

/// What is known of a replay.
#[derive(Clone)]
pub struct Known {
    pub request: Arc<WhatIf>,
    pub watch: Arc<Watch>,
    /// `None` while it is computed.
    pub result: Option<Result<Arc<Computed>, String>>,
    /// What the last application came to, or has come to so far.
    pub applied: Option<Applied>,
}

/// What a what-if found, and the plan.
#[derive(Debug)]
pub struct Computed {
    pub examination: Examination,
    /// By key; only keys for which something is to be done or said.
    pub plans: BTreeMap<String, KeyPlan>,
    pub digest: Digest,
    pub summary: Summary,
}

/// How far a replay is, and whether it is to end.
#[derive(Debug, Default)]
pub struct Watch {
    pub from: AtomicU64,
    pub at: AtomicU64,
    pub executed: AtomicU64,
    /// Processor time that it has used, in milliseconds.
    pub cpu_ms: AtomicU64,
    is_cancelled: AtomicBool,
}

/// What the thread does.
#[derive(Debug, Clone)]
pub enum Task {
    Compute,
    Apply(Apply),
}

/// What is applied, and by whom.
#[derive(Debug, Clone)]
pub struct Apply {
    pub choices: Choices,
    pub audit: Audit,
}

impl Watch {
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// A watched run with a limit of processor time.
struct Bounded<'a> {
    watch: &'a Watch,
    /// In milliseconds, of the running thread.
    began_cpu_ms: u64,
    cpu_ms_max: u64,
}

/// Until the thread's processor time is looked at again, in executed deliveries.
const LOOK_EVERY: u64 = 64;

impl<'a> Bounded<'a> {
    fn new(watch: &'a Watch, request: &WhatIf) -> Self {
        let cpu_ms_max = request.bounds.cpu_seconds.saturating_mul(1_000);
        Self { watch, began_cpu_ms: cpu_ms(), cpu_ms_max }
    }
}

impl Progress for Bounded<'_> {
    fn go_on(&self, at: Position, executed: u64) -> Result<(), ReplayError> {
        if self.watch.is_cancelled() {
            return Err(ReplayError::Cancelled);
        }
        self.watch.at.store(at.0, Ordering::Relaxed);
        self.watch.executed.store(executed, Ordering::Relaxed);
        if !executed.is_multiple_of(LOOK_EVERY) && !at.0.is_multiple_of(1_024) {
            return Ok(());
        }
        let used_ms = cpu_ms().saturating_sub(self.began_cpu_ms);
        self.watch.cpu_ms.store(used_ms, Ordering::Relaxed);
        match used_ms > self.cpu_ms_max {
            true => Err(ReplayError::Bound("cpu_seconds")),
            false => Ok(()),
        }
    }
}

/// The processor time of this thread.
fn cpu_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000)
}

impl WhatIfs {
    /// A panic while it is held leaves no inconsistent state.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, id: PlanId) -> Option<Known> {
        self.inner().known.get(&id).cloned()
    }

    /// Takes a replay, and starts to compute it.
    pub fn begin(&self, id: PlanId, request: WhatIf, shared: &Arc<Shared>) -> Known {
        let mut inner = self.inner();
        if let Some(known) = inner.known.get(&id) {
            return known.clone();
        }
        let watch = Arc::new(Watch::default());
        watch.from.store(request.selection.after.0, Ordering::Relaxed);
        let known = Known { request: Arc::new(request), watch, result: None, applied: None };
        while inner.known.len() >= KEPT_MAX
            && let Some(idle) = inner.oldest_idle()
        {
            inner.known.remove(&idle);
        }
        inner.known.insert(id, known.clone());
        inner.queue.push_back((id, Task::Compute));
        Self::run(inner, shared);
        known
    }

    /// Applies a replay whose plan was approved.
    ///
    /// # Errors
    /// It is being applied already.
    pub fn apply(&self, id: PlanId, apply: Apply, shared: &Arc<Shared>) -> Result<(), Refusal> {
        let mut inner = self.inner();
        let is_queued = inner.queue.iter().any(|(other, task)| *other == id && matches!(task, Task::Apply(_)));
        if let Some(known) = inner.known.get_mut(&id) {
            if is_queued || known.applied.as_ref().is_some_and(|applied| applied.is_running) {
                return Err(Refusal::ReplayRuns(id.replay));
            }
            known.applied = Some(Applied { is_running: true, ..Applied::default() });
        }
        inner.queue.push_back((id, Task::Apply(apply)));
        Self::run(inner, shared);
        Ok(())
    }

    /// Ends all work; what was applied stays.
    pub fn stop(&self) {
        let mut inner = self.inner();
        inner.queue.clear();
        inner.known.values().for_each(|known| known.watch.cancel());
    }

    /// Ends the thread of a replay that is queued or runs.
    pub fn cancel(&self, replay: Position) {
        let mut inner = self.inner();
        inner.queue.retain(|(id, _)| id.replay != replay);
        for is_undo in [false, true] {
            if let Some(known) = inner.known.remove(&PlanId { replay, is_undo }) {
                known.watch.cancel();
            }
        }
    }

    /// Starts the thread, if it does not run.
    fn run(mut inner: MutexGuard<'_, Inner>, shared: &Arc<Shared>) {
        if std::mem::replace(&mut inner.is_running, true) {
            return;
        }
        let weak = Arc::downgrade(shared);
        let started = thread::Builder::new().name("what-ifs".into()).spawn(move || work(&weak));
        if let Err(error) = started {
            inner.is_running = false;
            tracing::warn!(%error, "the thread of what-ifs cannot be started; ask for the replay again");
        }
    }

    fn next(&self) -> Option<(PlanId, Task, Known)> {
        let mut inner = self.inner();
        loop {
            let Some((id, task)) = inner.queue.pop_front() else {
                inner.is_running = false;
                return None;
            };
            if let Some(known) = inner.known.get(&id) {
                return Some((id, task, known.clone()));
            }
        }
    }

    fn change(&self, id: PlanId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.inner().known.get_mut(&id) {
            change(known);
        }
    }
}

impl Inner {
    /// The oldest replay that is neither queued nor runs.
    fn oldest_idle(&self) -> Option<PlanId> {
        let is_idle = |(id, known): &(&PlanId, &Known)| {
            known.result.is_some()
                && known.applied.as_ref().is_none_or(|applied| !applied.is_running)
                && !self.queue.iter().any(|(queued, _)| queued == *id)
        };
        self.known.iter().find(is_idle).map(|(id, _)| *id)
    }
}

fn work(weak: &Weak<Shared>) {
    // Of this thread alone: on Linux, a priority is a thread's.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority of the thread of what-ifs stays as it is");
    }
    while let Some(shared) = weak.upgrade() {
        let Some((id, task, known)) = shared.what_ifs.next() else { return };
        match task {
            Task::Compute => {
                let result = compute::compute(&shared, &known);
                if let Err(error) = &result
                    && !matches!(error, ReplayError::Cancelled)
                {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(replay = %id.replay, error, "a what-if ended early");
                }
                let result = result.map(Arc::new).map_err(|error| chain(&error));
                shared.what_ifs.change(id, |known| known.result = Some(result));
            }
            Task::Apply(asked) => apply::apply(&shared, id, &known, &asked),
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
