//! Shares: which handler's call gets the next free processor, and which handler may take another thread.
//!
//! Start-time fair queueing by the processor time that each handler has used: the handler with the least comes first. A
//! handler that was idle gets almost no credit for it, but comes before those that always compete. A computing call yields
//! its processor at a tick when another handler has used less, and continues later; while it waits for the network it holds
//! none.
//!
//! Threads are shared by a dynamic threshold (Choudhury and Hahne, 1998): a handler takes another one while it holds fewer
//! than are free. So, whatever some handlers hold, one is left for the next handler.
//!
//! Knows no thread and no clock: time is an input and never decreases.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use weirgate_types::HandlerName;

/// Maximum credit, in processor time, of a handler that was idle.
const CREDIT: Duration = Duration::from_millis(20);

/// The resources to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSlots {
    /// Maximum number of calls that compute at once.
    pub processors: usize,
    /// Maximum number of calls in flight at once: computing, waiting for the network, or waiting for a processor.
    pub threads: usize,
}

impl WorkerSlots {
    /// Resources for this many computing calls, and for `others` that wait.
    #[must_use]
    pub fn new(processors: usize, others: usize) -> Self {
        // Twice, so that one handler alone can use all processors: it takes a thread only while it holds fewer than are
        // free.
        Self { processors, threads: processors * 2 + others }
    }
}

/// The id of a call that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// A processor for a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant<J> {
    /// The call of this job begins, on its own thread.
    Begin(CallId, J),
    /// A call that waited for a processor continues.
    Resume(CallId),
}

/// See the module documentation. `J` is the type of a call's job.
#[derive(Debug)]
pub struct Shares<J> {
    free: WorkerSlots,
    handlers: BTreeMap<HandlerName, Share<J>>,
    /// Handlers that compete for processors, by the time that they have used.
    competing: BTreeSet<(Duration, HandlerName)>,
    calls: BTreeMap<CallId, Call>,
    /// The least time that any competing handler has used; it never decreases.
    floor: Duration,
    begun: u64,
}

/// A handler's share.
#[derive(Debug)]
struct Share<J> {
    used: Duration,
    waiting: VecDeque<J>,
    /// Calls that have begun and wait for a processor.
    paused: VecDeque<CallId>,
    /// How many of its calls compute.
    computing: usize,
    /// How many threads it holds.
    threads: usize,
}

#[derive(Debug)]
struct Call {
    handler: HandlerName,
    /// Since when it has been computing without being charged to its handler.
    since: Option<Duration>,
}

impl<J> Default for Share<J> {
    fn default() -> Self {
        let (waiting, paused) = (VecDeque::new(), VecDeque::new());
        Self { used: Duration::ZERO, waiting, paused, computing: 0, threads: 0 }
    }
}

impl<J> Share<J> {
    fn competes(&self) -> bool {
        !self.waiting.is_empty() || !self.paused.is_empty() || self.computing > 0
    }

    /// Whether it can use a processor.
    fn wants(&self, threads_free: usize) -> bool {
        !self.paused.is_empty() || !self.waiting.is_empty() && self.threads < threads_free
    }
}

impl<J> Shares<J> {
    #[must_use]
    pub fn new(slots: WorkerSlots) -> Self {
        let (handlers, competing, calls) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { free: slots, handlers, competing, calls, floor: Duration::ZERO, begun: 0 }
    }

    /// A call of a handler is to be made.
    pub fn submit(&mut self, handler: &HandlerName, job: J) {
        self.change(handler, |share| share.waiting.push_back(job));
    }

    /// Grants a processor to the next call, if one is free and a call may have it. Called until it returns `None`.
    pub fn next(&mut self, now: Duration) -> Option<Grant<J>> {
        if self.free.processors == 0 {
            return None;
        }
        let handler = self.first_in_want()?;
        let resumed = self.change(&handler, |share| {
            share.computing += 1;
            share.paused.pop_front().ok_or_else(|| {
                share.threads += 1;
                share.waiting.pop_front()
            })
        });
        self.free.processors -= 1;
        match resumed {
            Ok(call) => {
                if let Some(call) = self.calls.get_mut(&call) {
                    call.since = Some(now);
                }
                Some(Grant::Resume(call))
            }
            Err(job) => {
                self.free.threads -= 1;
                self.begun += 1;
                let call = CallId(self.begun);
                self.calls.insert(call, Call { handler, since: Some(now) });
                job.map(|job| Grant::Begin(call, job))
            }
        }
    }

    /// A call has computed for a while. Returns whether it has to yield its processor, because a handler that has used less
    /// time needs it.
    /// less time wants this one.
    pub fn tick(&mut self, call: CallId, now: Duration) -> bool {
        let Some(handler) = self.charge(call, now) else { return false };
        let used = self.handlers.get(&handler).map_or(Duration::ZERO, |share| share.used);
        let is_first =
            self.first_in_want().and_then(|first| self.handlers.get(&first)).is_none_or(|first| first.used >= used);
        if is_first {
            return false;
        }
        self.release(call, now);
        self.acquire(call);
        true
    }

    /// A call yields its processor, for instance to wait for the network.
    pub fn release(&mut self, call: CallId, now: Duration) {
        let Some(handler) = self.charge(call, now) else { return };
        if let Some(call) = self.calls.get_mut(&call) {
            call.since = None;
        }
        self.free.processors += 1;
        self.change(&handler, |share| share.computing -= 1);
    }

    /// A call that yielded its processor needs one again.
    pub fn acquire(&mut self, call: CallId) {
        if let Some(handler) = self.calls.get(&call).map(|call| call.handler.clone()) {
            self.change(&handler, |share| share.paused.push_back(call));
        }
    }

    /// A call ended.
    pub fn end(&mut self, call: CallId, now: Duration) {
        self.release(call, now);
        let Some(Call { handler, .. }) = self.calls.remove(&call) else { return };
        self.free.threads += 1;
        self.change(&handler, |share| {
            share.paused.retain(|paused| *paused != call);
            share.threads -= 1;
        });
    }

    /// Charges a call's computing time since the last charge. Returns its handler, if it computes.
    fn charge(&mut self, call: CallId, now: Duration) -> Option<HandlerName> {
        let call = self.calls.get_mut(&call)?;
        let since = call.since.replace(now)?;
        let handler = call.handler.clone();
        self.change(&handler, |share| share.used += now.saturating_sub(since));
        Some(handler)
    }

    /// Of the handlers that can use a processor, the one that has used the least time.
    fn first_in_want(&self) -> Option<HandlerName> {
        let wants = |name: &HandlerName| self.handlers.get(name).is_some_and(|share| share.wants(self.free.threads));
        self.competing.iter().map(|(_, name)| name).find(|name| wants(name)).cloned()
    }

    /// Changes a handler's share, and its rank among the competing ones.
    fn change<T>(&mut self, handler: &HandlerName, change: impl FnOnce(&mut Share<J>) -> T) -> T {
        let share = self.handlers.entry(handler.clone()).or_default();
        let (was_in, used) = (share.competes(), share.used);
        let changed = change(share);
        let (is_in, is_idle) = (share.competes(), share.threads == 0);
        if is_in && !was_in {
            share.used = share.used.max(self.floor.saturating_sub(CREDIT));
        }
        if was_in && (!is_in || share.used != used) {
            self.competing.remove(&(used, handler.clone()));
        }
        if is_in && (!was_in || share.used != used) {
            self.competing.insert((share.used, handler.clone()));
        }
        if !is_in && is_idle && share.used <= self.floor {
            self.handlers.remove(handler);
        }
        if let Some((least, _)) = self.competing.first() {
            self.floor = self.floor.max(*least);
        }
        changed
    }
}
