//! The pool: assigns jobs to worker threads, and processors to their calls, as [`Shares`] decides.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use weirgate_core::{CallId, Grant, Shares, WorkerSlots};
use weirgate_host::Processor;

use crate::{
    Clock,
    job::{DeployedHandler, Job},
};

/// See the module documentation. There are as many workers as shared threads.
pub struct Pool {
    clock: Arc<dyn Clock>,
    /// A std mutex: held for a few map operations. Each worker waits on its own condition variable.
    state: Mutex<State>,
    wake: Vec<Condvar>,
}

struct State {
    shares: Shares<Job>,
    /// Idle workers. The last to become idle is the first to be used: its caches are warm, and the others stay asleep.
    idle: Vec<usize>,
    /// The next task of each worker.
    given: Vec<Given>,
    /// Which worker makes a call.
    workers: BTreeMap<CallId, usize>,
    is_closed: bool,
}

#[derive(Default)]
enum Given {
    #[default]
    Nothing,
    Begin(CallId, Box<Job>),
    Resume,
}

impl Pool {
    pub fn new(slots: WorkerSlots, clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = State {
            shares: Shares::new(slots),
            idle: (0..slots.threads).rev().collect(),
            given: (0..slots.threads).map(|_| Given::Nothing).collect(),
            workers: BTreeMap::new(),
            is_closed: false,
        };
        let wake = (0..slots.threads).map(|_| Condvar::new()).collect();
        Arc::new(Self { clock, state: Mutex::new(state), wake })
    }

    pub fn submit(&self, job: Job) {
        let mut state = self.state();
        state.shares.submit(&job.handler.clone(), job);
        self.dispatch(&mut state);
    }

    /// The next job of a worker; `None` when the pool is closed.
    pub fn next(&self, worker: usize) -> Option<(CallId, Job)> {
        match self.wait(self.state(), worker) {
            Given::Begin(call, job) => Some((call, *job)),
            Given::Nothing | Given::Resume => None,
        }
    }

    /// A worker's call is over.
    pub fn end(&self, worker: usize, call: CallId) {
        let mut state = self.state();
        state.shares.end(call, self.clock.monotonic());
        state.workers.remove(&call);
        state.idle.push(worker);
        self.dispatch(&mut state);
    }

    /// Closes the pool: calls in flight continue without waiting for others, queued jobs are dropped.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.wake.iter().for_each(Condvar::notify_all);
    }

    fn tick(&self, worker: usize, call: CallId) {
        let mut state = self.state();
        if !state.is_closed && state.shares.tick(call, self.clock.monotonic()) {
            self.dispatch(&mut state);
            drop(self.wait(state, worker));
        }
    }

    fn release(&self, call: CallId) {
        let mut state = self.state();
        state.shares.release(call, self.clock.monotonic());
        self.dispatch(&mut state);
    }

    fn acquire(&self, worker: usize, call: CallId) {
        let mut state = self.state();
        state.shares.acquire(call);
        self.dispatch(&mut state);
        drop(self.wait(state, worker));
    }

    /// Waits until a worker gets a task, or the pool is closed.
    fn wait(&self, state: MutexGuard<'_, State>, worker: usize) -> Given {
        let has_nothing =
            |state: &mut State| !state.is_closed && matches!(state.given.get(worker), Some(Given::Nothing));
        let Some(wake) = self.wake.get(worker) else { return Given::Nothing };
        let mut state = wake.wait_while(state, has_nothing).unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            Given::Nothing
        } else {
            state.given.get_mut(worker).map(std::mem::take).unwrap_or_default()
        }
    }

    fn dispatch(&self, state: &mut State) {
        while let Some(grant) = state.shares.next(self.clock.monotonic()) {
            let (worker, given) = match grant {
                Grant::Begin(call, job) => {
                    let worker = state.idle.pop();
                    state.workers.extend(worker.map(|worker| (call, worker)));
                    (worker, Given::Begin(call, Box::new(job)))
                }
                Grant::Resume(call) => (state.workers.get(&call).copied(), Given::Resume),
            };
            // A call holds one thread, and there are as many threads as workers.
            let worker = worker.unwrap_or_else(|| unreachable!("no worker for a call that holds a thread"));
            if let (Some(place), Some(wake)) = (state.given.get_mut(worker), self.wake.get(worker)) {
                *place = given;
                wake.notify_one();
            }
        }
    }

    /// A panic while the lock is held can come only from a map operation, which leaves no inconsistent state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's access to a processor.
pub struct ProcessorSlot {
    pub pool: Arc<Pool>,
    pub worker: usize,
    pub call: CallId,
    /// What is called.
    pub deployed: Arc<DeployedHandler>,
}

impl Processor for ProcessorSlot {
    fn tick(&self) {
        self.pool.tick(self.worker, self.call);
    }

    fn release(&self) {
        self.pool.release(self.call);
    }

    fn acquire(&self) {
        self.pool.acquire(self.worker, self.call);
    }

    fn is_discarded(&self) -> bool {
        self.deployed.is_discarded()
    }
}

impl fmt::Debug for ProcessorSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessorSlot").field("worker", &self.worker).field("call", &self.call).finish_non_exhaustive()
    }
}
