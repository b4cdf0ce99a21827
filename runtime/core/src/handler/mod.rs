//! One handler: its scanned position, its open deliveries, and when its next attempt may begin.

mod resequence;
mod scan;
mod versions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_types::{Deployed, Digest, EmitOrder, Interest, KeyHash, Manifest, Mode, Ordering, Position};

use crate::{
    Action, DeliveryRow, HandlerRow, Limits, Sequence,
    breaker::Breaker,
    emission_rate::EmissionRate,
    lanes::{Inserted, Lanes},
};
pub use scan::Found;
pub use versions::{MovedLane, Version};

/// The lane of a handler that handles one event at a time, regardless of key.
const ONE_LANE: KeyHash = KeyHash(0);

#[derive(Debug)]
pub struct Handler {
    pub deployed: Deployed,
    deployed_at: Position,
    /// Earlier versions that finish what was under way, in order of position.
    finishing: Vec<Version>,
    /// The modules that can be called, of those that deliveries run under.
    loaded: BTreeSet<Digest>,
    /// What keys of the next record or scan have under way besides open deliveries in memory, and since which position.
    pub under_way: BTreeMap<KeyHash, Position>,
    /// The last deployment that turned resequencing on or off.
    era: Position,
    /// Shared with those who list the handlers: it may be large.
    pub manifest: Arc<Manifest>,
    pub mode: Mode,
    pub lanes: Lanes,
    pub breaker: Option<Breaker>,
    pub since_deployed: SinceDeployed,
    /// Subscriptions by the position from which they apply: an event is matched by the manifest in force at its position,
    /// even if it is scanned later; an event from before the first deployment by the first known one. Entries that no event
    /// still to be scanned can need are dropped.
    subscriptions: Vec<(Position, Interest)>,
    /// All events up to here are closed, do not match, or are open.
    scanned: Position,
    /// Number of events up to there.
    seen: u64,
    scanning: bool,
    /// All events up to this time have been scanned, even if the handler lags.
    seen_ms: u64,
    /// Deliveries beyond `scanned` that records name; `None` for closed ones. Used only while the log is replayed to a
    /// handler that lags, until the scan that it forces has been answered.
    ahead: BTreeMap<Position, Option<DeliveryRow>>,
    /// What it had scanned at least before the process stopped, by what records say; may be ahead of `scanned` after a start.
    reached: Position,
    pub emission_rate: EmissionRate,
    /// Whether a deployment has changed the order of deliveries.
    pub reordered: bool,
    /// Deliveries whose correction is being staged, so that none is staged twice.
    correcting: BTreeSet<Position>,
}

/// A scanned position, and the number of events up to it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Scanned {
    pub position: Position,
    pub events: u64,
}

/// Outcomes of the deliveries since the last deployment. Restarts reset the counts.
#[derive(Debug, Default, Clone, Copy)]
pub struct SinceDeployed {
    pub closed: u32,
    pub dead: u32,
    /// About to be paused because of dead letters; the record of it follows.
    pub stopping: bool,
}

impl Handler {
    pub fn new(position: Position, deployed: Deployed, manifest: Manifest, from: Scanned, limits: &Limits) -> Self {
        let emission_rate = EmissionRate::new(manifest.limits.emitted_per_second);
        let lanes =
            Lanes::new(lane_max(&manifest, limits)).resequencing(manifest.resequence.map(|policy| policy.first));
        Self {
            deployed,
            deployed_at: position,
            finishing: Vec::new(),
            loaded: BTreeSet::new(),
            under_way: BTreeMap::new(),
            era: position,
            subscriptions: vec![(position, Interest::new(&manifest.subscriptions))],
            breaker: manifest.breaker.map(Breaker::new),
            since_deployed: SinceDeployed::default(),
            manifest: Arc::new(manifest),
            mode: Mode::Running,
            lanes,
            scanned: from.position,
            seen: from.events,
            scanning: false,
            seen_ms: 0,
            ahead: BTreeMap::new(),
            reached: Position::ZERO,
            emission_rate,
            reordered: false,
            correcting: BTreeSet::new(),
        }
    }

    pub fn row(&self) -> HandlerRow {
        let subscribed = self.subscriptions.iter().map(|(from, _)| *from);
        let finishing = self.finishing.iter().map(|version| version.position);
        let deployments: BTreeSet<_> = subscribed.chain(finishing).chain([self.deployed_at]).collect();
        HandlerRow {
            deployments: deployments.into_iter().collect(),
            mode: self.mode,
            era: self.era,
            seen: self.seen,
            reordered: self.reordered,
            scanned: self.scanned,
            reached: self.reached,
            breaker: self.breaker.as_ref().and_then(Breaker::open),
            offers: self.lanes.spilled.offers(),
        }
    }

    /// Restores a handler from its row.
    pub fn resume(&mut self, row: &HandlerRow) {
        (self.mode, self.scanned, self.era) = (row.mode, row.scanned, row.era);
        self.breaker = self.manifest.breaker.map(|policy| Breaker::resumed(policy, row.breaker));
        for (lane, key, correction) in &row.offers {
            self.lanes.spilled.offer(*lane, *key, *correction);
        }
        (self.seen, self.reordered, self.reached) = (row.seen, row.reordered, row.reached);
    }

    /// A new deployment applies from `position` on. It is a fence: running attempts are discarded, unspent, but for those of
    /// versions that finish. Returns their rows.
    pub fn redeploy(
        &mut self,
        position: Position,
        deployed: Deployed,
        manifest: Manifest,
        (limits, live): (&Limits, bool),
    ) -> Vec<(Position, DeliveryRow)> {
        if self.manifest.subscriptions != manifest.subscriptions {
            self.subscriptions.push((position, Interest::new(&manifest.subscriptions)));
        }
        if self.manifest.resequence.is_some() != manifest.resequence.is_some() {
            self.era = position;
        }
        self.reordered |= self.manifest.ordering != manifest.ordering;
        let open = self.breaker.as_ref().and_then(Breaker::open);
        self.breaker = manifest.breaker.map(|policy| Breaker::resumed(policy, open));
        self.since_deployed = SinceDeployed::default();
        self.emission_rate.change(manifest.limits.emitted_per_second);
        self.lanes.resequence(manifest.resequence.map(|policy| policy.first));
        self.lanes.set_lane_max(lane_max(&manifest, limits));
        self.replace(position, deployed, manifest);
        let keeps = self.keeps_attempt();
        self.ahead.values_mut().flatten().filter(|row| !keeps(row)).for_each(DeliveryRow::discard);
        self.lanes.discard_running(keeps, live)
    }

    /// Called in order of position.
    pub fn restore(&mut self, position: Position, row: DeliveryRow) {
        match row.spilled {
            true => self.lanes.restore_spilled(&row),
            false => self.lanes.insert_in_memory(position, row),
        }
    }

    /// All deliveries up to here are closed, as far as memory knows.
    pub fn checkpoint(&self) -> Position {
        self.lanes.first_open().map_or(self.scanned, Position::before)
    }

    /// The position of the deployment in force.
    pub fn version(&self) -> Position {
        self.deployed_at
    }

    /// Number of distinct subscriptions in force for events that are not scanned yet.
    pub fn subscriptions_pending(&self) -> usize {
        self.subscriptions.len()
    }

    pub fn scanned(&self) -> Position {
        self.scanned
    }

    /// Number of events up to the scanned position.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether the row of a delivery that a record names may be on disk.
    pub fn may_be_spilled(&self, position: Position) -> bool {
        self.lanes.spilled.rows() > 0 && position <= self.scanned && self.lanes.get(position).is_none()
    }

    /// The next deliveries to attempt together in one call, all under one version.
    pub fn next_call(&mut self, now_ms: u64) -> Vec<Begun> {
        if !self.emission_rate.allows(now_ms) {
            return Vec::new();
        }
        let Some(room) = self.room_of_next_call(now_ms) else { return Vec::new() };
        let Some(first) = self.lanes.pop_runnable() else { return Vec::new() };
        let Some(version) = self.lanes.get(first).map(|row| self.version_of(row)) else { return Vec::new() };
        let most = room.min(events_max(self.manifest_of(version)));
        let mut call = vec![first];
        while call.len() < most {
            let Some(last) = call.last().copied() else { break };
            let Some(next) = self.next_of_batch(first, last, version) else { break };
            call.push(next);
        }
        call.into_iter().filter_map(|position| self.begin(position, first, version)).collect()
    }

    /// How many deliveries the next call may take besides the limit of its version; `None` if no call may begin.
    fn room_of_next_call(&self, now_ms: u64) -> Option<usize> {
        let calls_max = self.breaker.as_ref().map_or(usize::MAX, |breaker| breaker.calls_max(now_ms));
        let has_place = self.lanes.calls() < calls_max.min(self.manifest.concurrency as usize);
        let is_stopped = self.mode == Mode::Paused || self.since_deployed.stopping;
        let may = !is_stopped && self.is_ready() && has_place;
        // The half-open probe runs alone.
        may.then_some(if calls_max == usize::MAX { usize::MAX } else { 1 })
    }

    fn next_of_batch(&mut self, first: Position, last: Position, version: Position) -> Option<Position> {
        if !self.lanes.get(first)?.may_share() {
            return None;
        }
        let is_of_version = |handler: &Self, next: Position| {
            handler.lanes.get(next).is_some_and(|row| handler.version_of(row) == version)
        };
        let follower = self.lanes.followers(last, 1).first().copied();
        if let Some(follower) = follower.filter(|next| is_of_version(self, *next)) {
            return Some(follower);
        }
        let next = self.lanes.pop_fresh()?;
        if is_of_version(self, next) {
            return Some(next);
        }
        self.lanes.put_back(next);
        None
    }

    /// From now on it takes a slot, so that the next check counts it; the record of it follows at once.
    fn begin(&mut self, position: Position, call: Position, version: Position) -> Option<Begun> {
        let attempt = self.lanes.get(position)?.attempt + 1;
        self.lanes.start(position, call, |row| row.start(attempt, version));
        Some(Begun { position, attempt, version })
    }

    /// Request that a delivery runs again, with the data of the event at `with` or with its hook's.
    pub fn correct(&mut self, position: Position, with: Option<Position>, actions: &mut Vec<Action>) {
        if self.correcting.insert(position) {
            actions.push(Action::Correct { delivery: self.id(position), with });
        }
    }

    /// An operator's command was applied to the delivery.
    pub fn decided(&mut self, position: Position) {
        self.correcting.remove(&position);
    }

    /// A record changes a delivery. Returns the changed row, if it is in memory.
    pub fn change(&mut self, position: Position, change: impl FnOnce(&mut DeliveryRow)) -> Option<DeliveryRow> {
        if position > self.scanned {
            self.reached = self.reached.max(position);
            let unknown = || DeliveryRow::new(KeyHash(0), KeyHash(0));
            let row = self.ahead.entry(position).or_insert_with(|| Some(unknown()));
            change(row.get_or_insert_with(unknown));
            return None;
        }
        self.lanes.change(position, change).cloned()
    }

    /// The delivery is closed. Returns its row, if it had one.
    pub fn close(&mut self, position: Position) -> Option<DeliveryRow> {
        if position > self.scanned {
            self.reached = self.reached.max(position);
            self.ahead.insert(position, None);
            return None;
        }
        self.lanes.close(position)
    }

    /// Opens a delivery that is not open.
    pub fn reopen(&mut self, position: Position, key: KeyHash, change: impl FnOnce(&mut DeliveryRow)) -> Opened {
        // Its number was passed already.
        let sequence = self.manifest.resequence.map(|_| Sequence { number: None, due_ms: 0 });
        // It was closed: under way is what its key has besides. That may be among the events that are not scanned yet.
        let own = self.version().min(self.scanned.max(self.reached).next()).max(position);
        let mut row = DeliveryRow { sequence, ..self.row_for(position, key, own) };
        change(&mut row);
        self.place(position, row)
    }

    fn place(&mut self, position: Position, row: DeliveryRow) -> Opened {
        let placed = self.lanes.insert(position, row.clone());
        let spilled = placed == Inserted::Spilled;
        Opened { position, row: DeliveryRow { spilled, ..row } }
    }

    /// The row of a delivery that is being opened. `own`: as of which position its version is chosen, if its key has nothing
    /// under way.
    fn row_for(&self, position: Position, key: KeyHash, own: Position) -> DeliveryRow {
        let alone = KeyHash(position.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (lane, parallel) = match (self.manifest.ordering, self.manifest.emit_order) {
            (Ordering::Key, _) => (key, false),
            (Ordering::Handler, _) => (ONE_LANE, false),
            (Ordering::None, EmitOrder::Any) => (alone, false),
            (Ordering::None, EmitOrder::Input) => (key, true),
        };
        let as_of = self.as_of(lane, key, own);
        DeliveryRow { parallel, era: self.era, as_of, ..DeliveryRow::new(key, lane) }
    }

    fn has_room(&self, limits: &Limits) -> bool {
        self.mode != Mode::Draining
            && self.lanes.active() < limits.active_max
            && self.lanes.in_memory() < limits.open_max
    }
}

/// An attempt that begins.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    pub position: Position,
    pub attempt: u32,
    pub version: Position,
}

/// The maximum number of deliveries of one call.
fn events_max(manifest: &Manifest) -> usize {
    manifest.batch.map_or(1, |batch| batch.events_max).max(1) as usize
}

/// How many deliveries of a lane stay in memory: enough for full calls.
fn lane_max(manifest: &Manifest, limits: &Limits) -> usize {
    limits.lane_max.next_multiple_of(events_max(manifest))
}

/// A delivery was opened with this row, in memory or, if the lanes say so, on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub position: Position,
    pub row: DeliveryRow,
}
