//! The machine: all handlers, driven by records and answers.

use std::collections::BTreeMap;

use weirgate_types::{
    AttemptFailure, Commit, DeliveryId, Deployed, Digest, FailureKind, HandlerName, KeyHash, Manifest, Outcome,
    Position, Record, Start,
};

use crate::{Action, DeliveryRow, DeliveryView, Entropy, EventHead, HandlerRow, Input, Verdict, handler::Handler};

/// What bounds the memory a handler's open deliveries take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Deliveries that could run or do run; beyond it a handler falls behind and reads back later.
    pub active_max: usize,
    /// Open deliveries in all, those retrying and parked behind included.
    pub open_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { active_max: 4_096, open_max: 200_000 }
    }
}

/// The delivery machine. See the crate's documentation.
#[derive(Debug)]
pub struct Machine {
    handlers: BTreeMap<HandlerName, Handler>,
    limits: Limits,
    entropy: Entropy,
    /// The last position that a record has covered.
    head: Position,
    durable: Position,
    /// While the log is replayed nothing is begun.
    recovering: bool,
    /// Before the end neither.
    stopping: bool,
}

/// A handler, as operators see it.
#[derive(Debug, Clone)]
pub struct HandlerView<'a> {
    pub deployed: &'a Deployed,
    pub manifest: &'a Manifest,
    pub paused: bool,
    pub ready: bool,
    pub checkpoint: Position,
    pub scanned: Position,
    pub open: usize,
    pub running: usize,
    pub retrying: usize,
}

impl Machine {
    /// A machine before recovery, with nothing in it.
    #[must_use]
    pub fn new(limits: Limits, entropy: Entropy) -> Self {
        Self {
            handlers: BTreeMap::new(),
            limits,
            entropy,
            head: Position::ZERO,
            durable: Position::ZERO,
            recovering: true,
            stopping: false,
        }
    }

    /// Take up where a view left off: the view's applied position, then its handlers, then their open deliveries.
    pub fn restore_head(&mut self, applied: Position) {
        (self.head, self.durable) = (applied, applied);
    }

    /// `deployments` are the records that the row names, with their positions.
    pub fn restore_handler(&mut self, deployments: Vec<(Position, Deployed)>, row: &HandlerRow) {
        for (position, deployed) in deployments {
            self.deployed(position, &deployed);
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

    /// Take in what happened and add to `actions` what is to be done about it. `now_ms` is Unix time in milliseconds.
    pub fn apply(&mut self, input: Input<'_>, now_ms: u64, actions: &mut Vec<Action>) {
        match input {
            Input::Appended { position, record } => self.appended(position, record, actions),
            Input::Durable { position } => self.durable = self.durable.max(position),
            Input::Scanned { handler, events, through } => self.scanned(handler, events, through, actions),
            Input::Finished { delivery, attempt, result } => self.finished(delivery, attempt, result, now_ms, actions),
            Input::Ready { handler, digest } => self.set_ready(handler, Some(digest)),
            Input::Unready { handler } => self.set_ready(handler, None),
            Input::Tick => {}
            Input::Stopping => self.stopping = true,
            Input::Recovered => self.recovered(now_ms, actions),
        }
        if !self.recovering && !self.stopping {
            self.begin_attempts(now_ms, actions);
        }
        self.read_on(actions);
    }

    /// When something becomes due, in Unix milliseconds.
    #[must_use]
    pub fn wake_at_ms(&self) -> Option<u64> {
        self.handlers.values().filter(|handler| !handler.paused).filter_map(|handler| handler.lanes.next_due_ms()).min()
    }

    /// How many attempts are under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.handlers.values().map(|handler| handler.lanes.running()).sum()
    }

    /// May the handler be paused (`true`) or resumed?
    #[must_use]
    pub fn may_pause(&self, name: &HandlerName, pause: bool) -> Verdict {
        match self.handlers.get(name) {
            None => Verdict::UnknownHandler,
            Some(handler) if handler.paused == pause => Verdict::AlreadySo,
            Some(_) => Verdict::Granted,
        }
    }

    #[must_use]
    pub fn is_open(&self, delivery: &DeliveryId) -> bool {
        self.handlers.get(&delivery.handler).is_some_and(|handler| handler.lanes.get(delivery.position).is_some())
    }

    /// The last position that a record has covered.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    /// Handlers that have not looked at everything yet, and how far they have.
    pub fn lagging(&self) -> impl Iterator<Item = (&HandlerName, Position)> {
        let handlers = self.handlers.iter().map(|(name, handler)| (name, handler.scanned()));
        handlers.filter(|(_, scanned)| *scanned != self.head)
    }

    /// The handlers' rows, to be kept with whatever was kept since.
    pub fn rows(&self) -> impl Iterator<Item = (&HandlerName, HandlerRow)> {
        self.handlers.iter().map(|(name, handler)| (name, handler.row()))
    }

    pub fn handlers(&self) -> impl Iterator<Item = (&HandlerName, HandlerView<'_>)> {
        self.handlers.iter().map(|(name, handler)| (name, view(handler)))
    }

    #[must_use]
    pub fn handler(&self, name: &HandlerName) -> Option<HandlerView<'_>> {
        self.handlers.get(name).map(view)
    }

    /// The open deliveries of a handler after a position, in order of position.
    pub fn deliveries(&self, name: &HandlerName, after: Position) -> impl Iterator<Item = DeliveryView> {
        self.handlers.get_key_value(name).into_iter().flat_map(move |(name, handler)| {
            handler.lanes.states(after).map(|(position, row, state)| DeliveryView {
                delivery: DeliveryId { handler: name.clone(), position },
                key: row.key,
                attempt: row.attempt,
                state,
            })
        })
    }

    fn appended(&mut self, position: Position, record: &Record, actions: &mut Vec<Action>) {
        match record {
            Record::Accepted { .. } => {}
            Record::Attempted { delivery, attempt, at_ms } => self.attempted(delivery, *attempt, *at_ms, actions),
            Record::Committed(commit) => self.committed(commit, actions),
            Record::Deployed(deployed) => self.deployed(position, deployed),
            Record::Paused { handler, .. } => self.pause(handler, true),
            Record::Resumed { handler, .. } => self.pause(handler, false),
            Record::Resubmitted { delivery, key, .. } => self.resubmitted(delivery, KeyHash::of(key), actions),
        }
        self.follow(position, record, actions);
    }

    /// Show the record to every handler that is up to date.
    fn follow(&mut self, position: Position, record: &Record, actions: &mut Vec<Action>) {
        for (name, handler) in &mut self.handlers {
            let opened = handler.follow(position, record.width(), record.events(position), &self.limits);
            keep_opened(name, opened, actions);
        }
        self.head = position.plus(record.width()).before();
    }

    fn attempted(&mut self, delivery: &DeliveryId, attempt: u32, at_ms: u64, actions: &mut Vec<Action>) {
        let Some(handler) = self.handlers.get_mut(&delivery.handler) else { return };
        if let Some(row) = handler.attempted(delivery.position, attempt) {
            actions.push(Action::Keep { delivery: delivery.clone(), row: Some(row), is_new: false });
        }
        if !self.recovering {
            actions.push(Action::Deliver { delivery: delivery.clone(), attempt, at_ms });
        }
    }

    fn committed(&mut self, commit: &Commit, actions: &mut Vec<Action>) {
        let Some(handler) = self.handlers.get_mut(&commit.handler) else { return };
        let delivery = DeliveryId { handler: commit.handler.clone(), position: commit.event };
        let row = match &commit.outcome {
            Outcome::Completed | Outcome::DeadLettered { .. } => {
                if !handler.finished(commit.event) {
                    return;
                }
                None
            }
            Outcome::Retry { due_ms, .. } => match handler.retried(commit.event, commit.attempt, *due_ms) {
                None => return,
                row => row,
            },
        };
        actions.push(Action::Keep { delivery, row, is_new: false });
    }

    fn deployed(&mut self, position: Position, deployed: &Deployed) {
        // The manifest was checked before the record was written; one that a later version refuses leaves the handler be.
        let Ok(manifest) = Manifest::from_record(&deployed.manifest) else { return };
        if let Some(handler) = self.handlers.get_mut(&deployed.handler) {
            return handler.redeploy(position, deployed.clone(), manifest);
        }
        let scanned = match manifest.start {
            Start::Now => position.before(),
            Start::Beginning => Position::ZERO,
        };
        let handler = Handler::new(position, deployed.clone(), manifest, scanned);
        self.handlers.insert(deployed.handler.clone(), handler);
    }

    fn pause(&mut self, name: &HandlerName, paused: bool) {
        if let Some(handler) = self.handlers.get_mut(name) {
            handler.paused = paused;
        }
    }

    fn resubmitted(&mut self, delivery: &DeliveryId, key: KeyHash, actions: &mut Vec<Action>) {
        let Some(handler) = self.handlers.get_mut(&delivery.handler) else { return };
        if handler.lanes.get(delivery.position).is_none() {
            let row = DeliveryRow { key, attempt: 0, running: false, due_ms: 0 };
            handler.lanes.insert(delivery.position, row.clone());
            actions.push(Action::Keep { delivery: delivery.clone(), row: Some(row), is_new: false });
        }
    }

    fn scanned(&mut self, name: &HandlerName, events: &[EventHead], through: Position, actions: &mut Vec<Action>) {
        let Some(handler) = self.handlers.get_mut(name) else { return };
        let opened = handler.scanned_to(events, through);
        keep_opened(name, opened, actions);
    }

    /// An answer counts only for the attempt that is under way; any other is an echo of something already settled.
    fn finished(
        &mut self,
        delivery: &DeliveryId,
        attempt: u32,
        result: Result<(), &AttemptFailure>,
        now_ms: u64,
        actions: &mut Vec<Action>,
    ) {
        let Some(handler) = self.handlers.get(&delivery.handler) else { return };
        if !handler.lanes.get(delivery.position).is_some_and(|row| row.running && row.attempt == attempt) {
            return;
        }
        let outcome = match result {
            Ok(()) => Outcome::Completed,
            Err(failure) => handler.outcome(attempt, failure, now_ms, &mut self.entropy),
        };
        actions.push(Action::Commit { delivery: delivery.clone(), attempt, outcome });
    }

    fn set_ready(&mut self, name: &HandlerName, digest: Option<Digest>) {
        if let Some(handler) = self.handlers.get_mut(name) {
            handler.ready = digest == Some(handler.deployed.digest);
        }
    }

    /// End the attempts that the runtime's own end cut off. They count: a component that kills the process must not be
    /// called for ever.
    fn recovered(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        self.recovering = false;
        let failure = AttemptFailure::found(FailureKind::Interrupted, "the runtime stopped during the attempt");
        for (name, handler) in &self.handlers {
            for (position, attempt) in handler.lanes.running_now() {
                let outcome = handler.outcome(attempt, &failure, now_ms, &mut self.entropy);
                let delivery = DeliveryId { handler: name.clone(), position };
                actions.push(Action::Commit { delivery, attempt, outcome });
            }
        }
    }

    fn begin_attempts(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        for (name, handler) in &mut self.handlers {
            handler.lanes.release_due(now_ms);
            while let Some((position, attempt)) = handler.next_attempt() {
                let delivery = DeliveryId { handler: name.clone(), position };
                actions.push(Action::Append(Record::Attempted { delivery, attempt, at_ms: now_ms }));
            }
        }
    }

    /// Never beyond the head: while the log is replayed, what lies beyond may be for another version of the handler.
    fn read_on(&mut self, actions: &mut Vec<Action>) {
        let until = self.durable.min(self.head);
        for (name, handler) in &mut self.handlers {
            if let Some(after) = handler.scan_after(until, &self.limits) {
                actions.push(Action::Scan { handler: name.clone(), after, until });
            }
        }
    }
}

fn keep_opened(name: &HandlerName, opened: Vec<(Position, DeliveryRow)>, actions: &mut Vec<Action>) {
    for (position, row) in opened {
        let delivery = DeliveryId { handler: name.clone(), position };
        actions.push(Action::Keep { delivery, row: Some(row), is_new: true });
    }
}

fn view(handler: &Handler) -> HandlerView<'_> {
    HandlerView {
        deployed: &handler.deployed,
        manifest: &handler.manifest,
        paused: handler.paused,
        ready: handler.ready,
        checkpoint: handler.checkpoint(),
        scanned: handler.scanned(),
        open: handler.lanes.len(),
        running: handler.lanes.running(),
        retrying: handler.lanes.count_retrying(),
    }
}
