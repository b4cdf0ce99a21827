//! The what-ifs of this process: what was found of each, and the threads that compute and apply them, one at a time each. All that is
//! lost with the process can be computed again from the log.

mod agreed;
mod apply;
mod batches;
mod compute;
mod due;
mod end;
mod fold;
mod known;
mod levels;
mod looks;
mod mark;
mod outside;
mod parts;
mod plan_id;
mod receivers;
mod repair;
mod stands;
mod summary;
mod unowned;
mod watch;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

use weirgate_types::Position;

use crate::{
    Refusal,
    handle::Shared,
    replay::{Deployments, ReplayError, WhatIf},
};
pub use apply::Applied;
#[cfg(feature = "sim")]
pub use compute::{compute_from, may_call};
pub use due::TimersAsOf;
pub use known::{Apply, Computed, Known};
use known::{Replays, Task, Worker};
#[cfg(feature = "sim")]
pub use looks::look;
pub use mark::KnownMark;
#[cfg(feature = "sim")]
pub use outside::Answers;
#[cfg(feature = "sim")]
pub use parts::repaired_parts;
pub use plan_id::PlanId;
#[cfg(feature = "sim")]
pub use repair::{InForce, Looked, Made, Part, Repairing};
pub use summary::Summary;
pub use watch::{Bounded, Watch};

/// The nice values of the threads: a small part of a busy processor. An application has more of it, because it holds keys.
const NICE: i32 = 15;
const NICE_APPLYING: i32 = 3;

/// See the module documentation.
#[derive(Default)]
pub struct WhatIfs {
    /// A std mutex: held for a few map operations.
    inner: Mutex<Inner>,
    /// An async mutex: held until a decision is durable, and what follows from it has begun.
    decisions: Arc<tokio::sync::Mutex<()>>,
    /// Read once for all keys that an application looks at.
    deployments: Arc<Deployments>,
}

/// The right to decide about a replay: one decision at a time, so that the next sees what came of it.
pub type Decision = tokio::sync::OwnedMutexGuard<()>;

#[derive(Default)]
struct Inner {
    replays: Replays,
    is_computing: bool,
    is_applying: bool,
}

impl Inner {
    fn is_running(&mut self, worker: Worker) -> &mut bool {
        match worker {
            Worker::Computes => &mut self.is_computing,
            Worker::Applies => &mut self.is_applying,
        }
    }
}

/// What came of a task.
enum Done {
    Computed(Box<Computed>),
    Applied,
}

impl WhatIfs {
    /// A panic while it is held leaves no inconsistent state.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn decision(&self) -> Decision {
        Arc::clone(&self.decisions).lock_owned().await
    }

    /// What is known of a replay; its result is kept longer for that.
    pub fn get(&self, id: PlanId) -> Option<Known> {
        self.inner().replays.used(id)
    }

    /// What is known of a replay, for a list.
    pub fn peek(&self, id: PlanId) -> Option<Known> {
        self.inner().replays.seen(id)
    }

    /// Whether what is known of a replay has changed.
    pub fn mark(&self, id: PlanId) -> Option<KnownMark> {
        self.inner().replays.mark(id)
    }

    /// Takes a replay, and starts to compute it.
    pub fn begin(&self, id: PlanId, request: WhatIf, shared: &Arc<Shared>) -> Known {
        let known = self.inner().replays.begin(id, request);
        self.run(Worker::Computes, shared);
        self.let_go();
        known
    }

    /// The same, unless too many wait.
    pub fn try_begin(&self, id: PlanId, request: WhatIf, shared: &Arc<Shared>) -> Option<Known> {
        self.has_room().then(|| self.begin(id, request, shared))
    }

    /// Whether another replay may wait to be computed.
    pub fn has_room(&self) -> bool {
        self.inner().replays.has_room()
    }

    /// Applies a replay whose plan was approved.
    ///
    /// # Errors
    /// It is being applied already, or is not known any more.
    pub fn apply(&self, id: PlanId, apply: Apply, shared: &Arc<Shared>) -> Result<(), Refusal> {
        self.inner().replays.apply(id, apply)?;
        self.run(Worker::Applies, shared);
        Ok(())
    }

    /// Ends all work; what was applied stays.
    pub fn stop(&self) {
        self.inner().replays.stop();
    }

    /// Ends the thread's work for a replay that is queued or runs.
    pub fn cancel(&self, replay: Position) {
        self.inner().replays.cancel(replay);
        self.let_go();
    }

    /// Forgets what was computed of a replay, unless it is being applied. Returns whether it is forgotten.
    pub fn forget(&self, id: PlanId) -> bool {
        let is_forgotten = self.inner().replays.forget_one(id);
        self.let_go();
        is_forgotten
    }

    /// Frees what was forgotten: a large result takes seconds, and callers may be asynchronous.
    fn let_go(&self) {
        let forgotten = self.inner().replays.take_forgotten();
        if !forgotten.is_empty() {
            // Without a thread, the closure and all of it are dropped here.
            drop(thread::Builder::new().name("let-go".into()).spawn(move || drop(forgotten)));
        }
    }

    /// Starts the thread of a worker, if it does not run.
    fn run(&self, worker: Worker, shared: &Arc<Shared>) {
        let mut inner = self.inner();
        if std::mem::replace(inner.is_running(worker), true) {
            return;
        }
        let weak = Arc::downgrade(shared);
        let name = match worker {
            Worker::Computes => "what-ifs",
            Worker::Applies => "repairs",
        };
        let started = thread::Builder::new().name(name.into()).spawn(move || work(worker, &weak));
        if let Err(error) = started {
            *inner.is_running(worker) = false;
            tracing::warn!(%error, name, "a thread cannot be started; ask for the replay again");
        }
    }

    fn change(&self, id: PlanId, change: impl FnOnce(&mut Known)) {
        self.inner().replays.change(id, change);
    }

    /// Does what is next, if there is anything. A task that panics fails alone.
    fn step(&self, worker: Worker, does: impl FnOnce(PlanId, &Task, &Known) -> Result<Done, ReplayError>) -> bool {
        let next = {
            let mut inner = self.inner();
            let next = inner.replays.next(worker);
            *inner.is_running(worker) = next.is_some();
            next
        };
        let Some((id, task, known)) = next else { return false };
        let result = catch_unwind(AssertUnwindSafe(|| does(id, &task, &known)));
        let result = result.unwrap_or_else(|panic| Err(ReplayError::Panicked(message_of(&*panic))));
        if let Err(error) = &result
            && !matches!(error, ReplayError::Cancelled)
        {
            let error = error as &dyn std::error::Error;
            tracing::warn!(replay = %id, error, "a replay ended early");
        }
        let result = result.map_err(|error| chain(&error));
        let mut inner = self.inner();
        if !inner.replays.is_current(&known) {
            return true;
        }
        match (result, task) {
            (Ok(Done::Computed(computed)), _) => inner.replays.computed(id, Ok(Arc::new(*computed))),
            (Err(reason), Task::Compute) => inner.replays.computed(id, Err(reason)),
            (Ok(Done::Applied), _) => inner.replays.applied(id, None),
            (Err(reason), Task::Apply(_)) => inner.replays.applied(id, Some(reason)),
        }
        true
    }
}

fn work(worker: Worker, weak: &Weak<Shared>) {
    // Of this thread alone: on Linux, a priority is a thread's.
    let nice = if worker == Worker::Applies { NICE_APPLYING } else { NICE };
    if let Err(error) = rustix::process::nice(nice) {
        tracing::debug!(%error, "the priority of a thread of what-ifs stays as it is");
    }
    while let Some(shared) = weak.upgrade() {
        let does = |id, task: &Task, known: &Known| match task {
            Task::Compute => compute::compute(&shared, known).map(|computed| Done::Computed(Box::new(computed))),
            Task::Apply(asked) => apply::apply(&shared, id, known, asked).map(|()| Done::Applied),
        };
        let is_done = shared.what_ifs.step(worker, does);
        // What was computed may wait to be applied.
        if worker == Worker::Computes {
            shared.what_ifs.run(Worker::Applies, &shared);
        }
        shared.what_ifs.let_go();
        if !is_done {
            return;
        }
    }
}

/// What a panic says.
fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Maximum number of characters of a panic's message.
const MESSAGE_CHARS_MAX: usize = 500;

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
