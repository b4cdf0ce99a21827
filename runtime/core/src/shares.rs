//! Shares: which handler's call gets the next free processor, and which may take another thread.
//!
//! Start-time fair queueing, by the processor time that each handler has used: the one that has used least comes first. A
//! handler that had nothing to do gets next to no credit for it, but comes first among those that always compete. A call that is computing gives its processor up at a tick when
//! another handler has used less, and goes on later; while it waits for the network it holds none.
//!
//! Threads are shared by a dynamic threshold (Choudhury and Hahne, 1998): a handler takes another one while it holds fewer
//! than are free. So whatever some handlers hold, there is one left for the next.
//!
//! Knows no thread and no clock: time comes from outside and only grows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use weirgate_types::HandlerName;

/// What a handler that had nothing to do may have used less than all that compete.
const CREDIT: Duration = Duration::from_millis(20);

/// What there is to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSlots {
    /// How many calls may compute at once.
    pub processors: usize,
    /// How many calls may be under way at once: computing, waiting for the network, or waiting for a processor.
    pub threads: usize,
}

impl WorkerSlots {
    /// Room for so many calls that compute, and beside them for `others` that wait.
    #[must_use]
    pub fn new(processors: usize, others: usize) -> Self {
        // Twice, so that one handler alone can use all processors, for it takes a thread only while it holds fewer than are free.
        Self { processors, threads: processors * 2 + others }
    }
}

/// Names a call that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// A processor for a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant<J> {
    /// The call of this job begins, on a thread of its own.
    Begin(CallId, J),
    /// A call that waited for a processor goes on.
    Resume(CallId),
}

/// See the module. `J` is what a call is made of.
#[derive(Debug)]
pub struct Shares<J> {
    free: WorkerSlots,
    handlers: BTreeMap<HandlerName, Share<J>>,
    /// Handlers that compete for processors, by the time that they have used.
    competing: BTreeSet<(Duration, HandlerName)>,
    calls: BTreeMap<CallId, Call>,
    /// The least time that any competing handler has used; it only grows.
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
    /// Since when it has been computing without its handler being charged.
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

    /// Whether it has a use for a processor.
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

    /// A processor for the call that comes next, if one is free and a call may have it. Asked until there is none.
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

    /// A call has computed for a while. Whether it has to wait for another processor now, because a handler that has used
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

    /// A call gives up its processor, for instance to wait for the network.
    pub fn release(&mut self, call: CallId, now: Duration) {
        let Some(handler) = self.charge(call, now) else { return };
        if let Some(call) = self.calls.get_mut(&call) {
            call.since = None;
        }
        self.free.processors += 1;
        self.change(&handler, |share| share.computing -= 1);
    }

    /// A call that gave its processor up wants one again.
    pub fn acquire(&mut self, call: CallId) {
        if let Some(handler) = self.calls.get(&call).map(|call| call.handler.clone()) {
            self.change(&handler, |share| share.paused.push_back(call));
        }
    }

    /// A call is over.
    pub fn end(&mut self, call: CallId, now: Duration) {
        self.release(call, now);
        let Some(Call { handler, .. }) = self.calls.remove(&call) else { return };
        self.free.threads += 1;
        self.change(&handler, |share| {
            share.paused.retain(|paused| *paused != call);
            share.threads -= 1;
        });
    }

    /// Count what a call has computed since it was last asked. Its handler, where it computes.
    fn charge(&mut self, call: CallId, now: Duration) -> Option<HandlerName> {
        let call = self.calls.get_mut(&call)?;
        let since = call.since.replace(now)?;
        let handler = call.handler.clone();
        self.change(&handler, |share| share.used += now.saturating_sub(since));
        Some(handler)
    }

    /// Of the handlers that have a use for a processor, the one that has used least time.
    fn first_in_want(&self) -> Option<HandlerName> {
        let wants = |name: &HandlerName| self.handlers.get(name).is_some_and(|share| share.wants(self.free.threads));
        self.competing.iter().map(|(_, name)| name).find(|name| wants(name)).cloned()
    }

    /// Change a handler's share, and its place among those that compete.
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
