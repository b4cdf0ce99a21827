//! One handler: how far it has looked through the log, what it has open, and when the next attempt may begin.

use std::collections::BTreeMap;

use weirgate_types::{AttemptFailure, Deployed, Event, FailureClass, Manifest, Outcome, Position, Subscription};

use crate::{DeliveryRow, Entropy, EventHead, HandlerRow, Limits, backoff::delay_ms, lanes::Lanes};

#[derive(Debug)]
pub struct Handler {
    pub deployed: Deployed,
    deployed_at: Position,
    pub manifest: Manifest,
    pub paused: bool,
    /// Whether the module can be called.
    pub ready: bool,
    pub lanes: Lanes,
    /// What the handler takes from each position on: an event is matched by the manifest that was in force at its
    /// position, whenever it is looked at; one from before the first deployment by the first that is known. Those that no
    /// event to come can need are forgotten.
    subscriptions: Vec<(Position, Vec<Subscription>)>,
    /// All events up to here are finished, not for this handler, or open.
    scanned: Position,
    scanning: bool,
    /// What records say of deliveries beyond `scanned`. Met only while the log is replayed to a handler that lags, and
    /// only until the scan that it forces has been answered.
    ahead: BTreeMap<Position, Ahead>,
}

/// The state of a delivery that has not been scanned yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ahead {
    Open { attempt: u32, running: bool, due_ms: u64 },
    Finished,
}

impl Handler {
    pub fn new(position: Position, deployed: Deployed, manifest: Manifest, scanned: Position) -> Self {
        Self {
            deployed,
            deployed_at: position,
            subscriptions: vec![(position, manifest.subscriptions.clone())],
            manifest,
            paused: false,
            ready: false,
            lanes: Lanes::default(),
            scanned,
            scanning: false,
            ahead: BTreeMap::new(),
        }
    }

    pub fn row(&self) -> HandlerRow {
        let mut deployments: Vec<_> = self.subscriptions.iter().map(|(from, _)| *from).collect();
        if deployments.last() != Some(&self.deployed_at) {
            deployments.push(self.deployed_at);
        }
        HandlerRow { deployments, paused: self.paused, scanned: self.scanned }
    }

    /// Take up where a row left off.
    pub fn resume(&mut self, row: &HandlerRow) {
        (self.paused, self.scanned) = (row.paused, row.scanned);
    }

    /// From `position` on the handler is another version.
    pub fn redeploy(&mut self, position: Position, deployed: Deployed, manifest: Manifest) {
        self.ready &= self.deployed.digest == deployed.digest;
        if self.manifest.subscriptions != manifest.subscriptions {
            self.subscriptions.push((position, manifest.subscriptions.clone()));
        }
        (self.deployed, self.deployed_at, self.manifest) = (deployed, position, manifest);
    }

    pub fn restore(&mut self, position: Position, row: DeliveryRow) {
        self.lanes.insert(position, row);
    }

    /// Everything up to here is done with.
    pub fn checkpoint(&self) -> Position {
        self.lanes.first_open().map_or(self.scanned, Position::before)
    }

    pub fn scanned(&self) -> Position {
        self.scanned
    }

    /// Take the events of a record that was appended, if all before it has been taken and there is room. `width` is the
    /// number of positions the record covers.
    pub fn follow<'a>(
        &mut self,
        first: Position,
        width: u64,
        events: impl Iterator<Item = (Position, &'a Event)>,
        limits: &Limits,
    ) -> Vec<(Position, DeliveryRow)> {
        if self.scanned.next() != first || !self.has_room(limits) {
            return Vec::new();
        }
        let mut opened = Vec::new();
        for (position, event) in events {
            if self.wants(position, &event.r#type, &event.source) {
                let head = EventHead::of(position, event);
                opened.extend(self.open(&head));
            }
        }
        self.set_scanned(first.plus(width).before());
        opened
    }

    /// Take what reading back found.
    pub fn scanned_to(&mut self, events: &[EventHead], through: Position) -> Vec<(Position, DeliveryRow)> {
        self.scanning = false;
        let mut opened = Vec::new();
        let scanned = self.scanned;
        for head in events.iter().filter(|head| head.position > scanned) {
            if self.wants(head.position, &head.r#type, &head.source) {
                opened.extend(self.open(head));
            }
        }
        self.set_scanned(self.scanned.max(through));
        self.ahead = self.ahead.split_off(&self.scanned.next());
        opened
    }

    /// Where to read on from, when there is something to read and room for it.
    pub fn scan_after(&mut self, until: Position, limits: &Limits) -> Option<Position> {
        let wanted = self.has_room(limits) || !self.ahead.is_empty();
        let wanted = wanted && !self.scanning && self.scanned < until;
        self.scanning |= wanted;
        wanted.then_some(self.scanned)
    }

    /// The next delivery to attempt, and which attempt it is.
    pub fn next_attempt(&mut self) -> Option<(Position, u32)> {
        let limit = usize::try_from(self.manifest.concurrency).unwrap_or(usize::MAX);
        if self.paused || !self.ready || self.lanes.running() >= limit {
            return None;
        }
        let position = self.lanes.pop_runnable()?;
        let attempt = self.lanes.get(position)?.attempt + 1;
        // From now on it takes a place, so that the next call sees it; the record that says so follows at once.
        self.lanes.start(position, attempt);
        Some((position, attempt))
    }

    pub fn attempted(&mut self, position: Position, attempt: u32) -> Option<DeliveryRow> {
        if position > self.scanned {
            self.ahead.insert(position, Ahead::Open { attempt, running: true, due_ms: 0 });
            return None;
        }
        self.lanes.start(position, attempt).cloned()
    }

    pub fn retried(&mut self, position: Position, attempt: u32, due_ms: u64) -> Option<DeliveryRow> {
        if position > self.scanned {
            self.ahead.insert(position, Ahead::Open { attempt, running: false, due_ms });
            return None;
        }
        self.lanes.retry(position, due_ms).cloned()
    }

    /// The delivery is no longer open. Whether it was.
    pub fn finished(&mut self, position: Position) -> bool {
        if position > self.scanned {
            self.ahead.insert(position, Ahead::Finished);
            return false;
        }
        self.lanes.finish(position).is_some()
    }

    /// What follows from a failed attempt.
    pub fn outcome(&self, attempt: u32, failure: &AttemptFailure, now_ms: u64, entropy: &mut Entropy) -> Outcome {
        let failure = failure.clone();
        let policy = &self.manifest.retry;
        if failure.class != FailureClass::Transient || attempt >= policy.attempts_max {
            return Outcome::DeadLettered { failure };
        }
        let delay_ms = delay_ms(policy, attempt, entropy).max(failure.retry_after_ms.unwrap_or(0));
        Outcome::Retry { due_ms: now_ms.saturating_add(delay_ms), failure }
    }

    fn wants(&self, position: Position, r#type: &str, source: &str) -> bool {
        let in_force = self.subscriptions.iter().rfind(|(from, _)| *from <= position).or(self.subscriptions.first());
        in_force.is_some_and(|(_, subscriptions)| subscriptions.iter().any(|one| one.matches(r#type, source)))
    }

    fn set_scanned(&mut self, scanned: Position) {
        self.scanned = scanned;
        while self.subscriptions.get(1).is_some_and(|(from, _)| *from <= scanned.next()) {
            self.subscriptions.remove(0);
        }
    }

    fn has_room(&self, limits: &Limits) -> bool {
        self.lanes.active() < limits.active_max && self.lanes.len() < limits.open_max
    }

    fn open(&mut self, head: &EventHead) -> Option<(Position, DeliveryRow)> {
        let (attempt, running, due_ms) = match self.ahead.remove(&head.position) {
            None => (0, false, 0),
            Some(Ahead::Open { attempt, running, due_ms }) => (attempt, running, due_ms),
            Some(Ahead::Finished) => return None,
        };
        let row = DeliveryRow { key: head.key, attempt, running, due_ms };
        self.lanes.insert(head.position, row.clone());
        Some((head.position, row))
    }
}
