//! The what-ifs of this process: what was found of each, and the thread that computes and applies them, one at a time. All that is
//! lost with the process can be computed again from the log.

mod agreed;
mod apply;
mod batches;
mod compute;
mod due;
mod fold;
mod known;
mod mark;
mod outside;
mod plan_id;
mod receivers;
mod repair;
mod stands;
mod summary;
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
pub use compute::compute_from;
pub use due::TimersAsOf;
#[cfg(feature = "sim")]
pub use fold::look_at_all;
pub use known::{Apply, Computed, Known};
use known::{Replays, Task};
pub use mark::KnownMark;
pub use plan_id::PlanId;
#[cfg(feature = "sim")]
pub use repair::{InForce, Looked, Made, Part, Repairing, has_changed, look};
pub use summary::Summary;
pub use watch::{Bounded, Watch};

/// The nice value of the thread: a small part of a busy processor.
const NICE: i32 = 15;

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
    is_running: bool,
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
        let mut inner = self.inner();
        let known = inner.replays.begin(id, request);
        Self::run(inner, shared);
        known
    }

    /// Applies a replay whose plan was approved.
    ///
    /// # Errors
    /// It is being applied already, or is not known any more.
    pub fn apply(&self, id: PlanId, apply: Apply, shared: &Arc<Shared>) -> Result<(), Refusal> {
        let mut inner = self.inner();
        inner.replays.apply(id, apply)?;
        Self::run(inner, shared);
        Ok(())
    }

    /// Ends all work; what was applied stays.
    pub fn stop(&self) {
        self.inner().replays.stop();
    }

    /// Ends the thread's work for a replay that is queued or runs.
    pub fn cancel(&self, replay: Position) {
        self.inner().replays.cancel(replay);
    }

    /// Forgets what was computed of a replay, unless it is being applied. Returns whether it is forgotten.
    pub fn forget(&self, id: PlanId) -> bool {
        self.inner().replays.forget_one(id)
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

    fn change(&self, id: PlanId, change: impl FnOnce(&mut Known)) {
        self.inner().replays.change(id, change);
    }

    /// Does what is next, if there is anything. A task that panics fails alone.
    fn step(&self, does: impl FnOnce(PlanId, &Task, &Known) -> Result<Done, ReplayError>) -> bool {
        let next = {
            let mut inner = self.inner();
            let next = inner.replays.next();
            inner.is_running = next.is_some();
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

fn work(weak: &Weak<Shared>) {
    // Of this thread alone: on Linux, a priority is a thread's.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the priority of the thread of what-ifs stays as it is");
    }
    while let Some(shared) = weak.upgrade() {
        let does = |id, task: &Task, known: &Known| match task {
            Task::Compute => compute::compute(&shared, known).map(|computed| Done::Computed(Box::new(computed))),
            Task::Apply(asked) => apply::apply(&shared, id, known, asked).map(|()| Done::Applied),
        };
        if !shared.what_ifs.step(does) {
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

#[cfg(test)]
mod tests;
