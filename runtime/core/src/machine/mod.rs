//! The machine: all handlers, driven by records and attempt results.

mod attempts;
mod breakers;
mod holds;
mod questions;
mod records;
mod resequence;
mod spill;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

pub use attempts::HOOK;
use holds::Hold;
pub use holds::{HOLD_MS_MAX, HoldId};
use timers::Timers;

use weirgate_types::{BreakerPolicy, CalledHost, DeliveryId, Deployed, HandlerName, KeyHasher, Position, Record};

use crate::{Action, Anchors, DeliveryRow, Entropy, HandlerRow, Input, Now, breaker::Breaker, handler::Handler};

/// Limits of the memory that a handler's open deliveries take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Runnable or running deliveries; beyond it a handler lags and scans the log later.
    pub active_max: usize,
    /// Deliveries in memory in total.
    pub open_max: usize,
    /// Waiting deliveries in memory; those beyond it are spilled.
    pub waiting_max: usize,
    /// Deliveries of one lane in memory; those behind them are spilled.
    pub lane_max: usize,
    /// For the breakers of hosts.
    pub host_breaker: BreakerPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        let host_breaker = BreakerPolicy { attempts_min: 10, ..BreakerPolicy::default() };
        Self { active_max: 4_096, open_max: 200_000, waiting_max: 16_384, lane_max: 64, host_breaker }
    }
}

/// The delivery machine; see the crate documentation.
#[derive(Debug)]
pub struct Machine {
    handlers: BTreeMap<HandlerName, Handler>,
    hosts: BTreeMap<CalledHost, Breaker>,
    holds: BTreeMap<HoldId, Hold>,
    /// The handlers of which earlier versions may have something to finish.
    finishing: BTreeSet<HandlerName>,
    limits: Limits,
    entropy: Entropy,
    keys: KeyHasher,
    /// The last position that a record has covered.
    head: Position,
    /// Number of events up to there.
    events: u64,
    durable: Position,
    timers: Timers,
    anchors: Anchors,
    /// No attempt begins while the log is replayed.
    recovering: bool,
    /// No attempt begins while the runtime is stopping.
    stopping: bool,
    /// Whether the disk has room for writes of handlers and timers. Without it no attempt begins.
    has_space: bool,
}

impl Machine {
    /// An empty machine, before recovery.
    #[must_use]
    pub fn new(limits: Limits, entropy: Entropy) -> Self {
        Self {
            handlers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            holds: BTreeMap::new(),
            finishing: BTreeSet::new(),
            limits,
            entropy,
            keys: KeyHasher::default(),
            head: Position::ZERO,
            events: 0,
            durable: Position::ZERO,
            timers: Timers::default(),
            anchors: Anchors::default(),
            recovering: true,
            stopping: false,
            has_space: true,
        }
    }

    /// The same, with the log's hash function for keys.
    #[must_use]
    pub fn hashing_keys_with(self, keys: KeyHasher) -> Self {
        Self { keys, ..self }
    }

    /// Restores from a view: its applied position and the number of events up to there, then its handlers, then their open
    /// deliveries.
    pub fn restore_head(&mut self, applied: Position, events: u64) {
        (self.head, self.durable, self.events) = (applied, applied, events);
    }

    /// Called before the handlers are restored.
    pub fn restore_anchors(&mut self, anchors: Anchors) {
        self.anchors = anchors;
    }

    /// `deployments` are the records that the row names, with their positions.
    pub fn restore_handler(&mut self, deployments: Vec<(Position, Deployed)>, row: &HandlerRow) {
        for (position, deployed) in deployments {
            // No delivery is open yet, so there are no actions.
            self.deployed(position, &deployed, &mut Vec::new());
            if let Some(handler) = self.handlers.get_mut(&deployed.handler) {
                handler.resume(row);
            }
        }
    }

    pub fn restore_delivery(&mut self, delivery: &DeliveryId, row: DeliveryRow) {
        if let Some(handler) = self.handlers.get_mut(&delivery.handler) {
            handler.restore(delivery.position, row);
        }
    }

    /// Handles an input and appends the resulting actions to `actions`.
    pub fn apply(&mut self, input: Input<'_>, now: impl Into<Now>, actions: &mut Vec<Action>) {
        let now = now.into();
        match input {
            // The record was decided on already and is about to be staged, so no other input may come first.
            Input::Staged { position, record: record @ Record::TimeAnchored(_) } => {
                return self.staged(position, record, actions);
            }
            Input::Staged { position, record } => self.staged(position, record, actions),
            Input::Durable { position } => self.made_durable(position, now, actions),
            Input::Scanned { handler, events, through } => self.scanned(handler, events, through, actions),
            Input::Reloaded { handler, lanes, due } => self.reloaded(handler, lanes, due, actions),
            Input::AttemptResults { handler, results } => self.take_results(handler, results, now, actions),
            Input::Called { handler, calls } => self.called(handler, calls, now, actions),
            Input::UnderWay { handler, keys } => return self.take_under_way(handler, keys),
            Input::Ready { handler, digest } => self.set_ready(handler, digest, true),
            Input::Unready { handler, digest } => self.set_ready(handler, digest, false),
            Input::TimersRead { next_due_ms } => self.timers.read(next_due_ms),
            Input::SetBreaker { breaker, open, actor, reason } => {
                self.set_breaker(breaker, open, (actor, reason), actions);
            }
            Input::Hold { hold, handler, key } => self.begin_hold(hold, handler, key, now),
            Input::EndHold { hold } => self.end_hold(hold),
            Input::Tick => self.begin_attempts(now, actions),
            Input::Stopping => self.stopping = true,
            Input::Space { has_space } => self.has_space = has_space,
            Input::Recovered => self.recovered(now, actions),
        }
        self.look_at_holds(now, actions);
        if self.has_space && !self.recovering && !self.stopping {
            self.pass_gaps(now, actions);
        }
        self.read_on(actions);
    }

    /// All records so far are durable and readable: spill and reload, and look at the timers.
    fn made_durable(&mut self, position: Position, now: Now, actions: &mut Vec<Action>) {
        self.durable = self.durable.max(position);
        self.spill_and_reload(now, actions);
        self.timers.settled();
        let now_ms = now.wall_ms;
        let is_due = self.timers.next_due_ms().is_some_and(|due_ms| due_ms <= now_ms);
        if is_due && !self.recovering && !self.stopping && self.has_space {
            actions.push(Action::FireTimers { now_ms });
        }
    }
}
