//! Runs a what-if: a walk through the log from the first selected event to the end of the range, in the order of commits. Beside the log
//! it keeps a fork, which holds only what differs. Selected deliveries are executed by the candidate; others are executed again, under the
//! version that handled them, where their event or their state differs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use weirgate_host::Processor;
use weirgate_types::{
    Commit, DeliveryId, Deployed, Effects, Event, HandlerName, Interest, Ordering, Outcome, Position, Record,
    Subscription, TimerId,
};

use super::{
    Progress,
    added::Added,
    behind::Behind,
    delivered::{Delivered, Ran},
    deployments::{AllInForce, Deployments},
    earlier::Earlier,
    examine::Begin,
    for_later::ForLater,
    lane::Both,
    notes::{Examined, Fails},
    outcome::note,
    outside::{MayCall, NoOutside, Outside},
    repaired::{Lanes, Settled, Standing},
    request::{Closed, WhatIf},
    substitutes::{Substitute, Substitutes},
    walk::Walk,
};
use crate::replay::{ReplayError, execute::Executable};

/// The effects of a delivery that has none.
pub(super) static NOTHING: Effects =
    Effects { state: Vec::new(), status: Vec::new(), emitted: Vec::new(), timers: Vec::new(), withheld: Vec::new() };

/// A handler and key.
pub type LaneId = (HandlerName, String);

/// What a walk through the range has found.
#[derive(Debug, Default)]
pub struct Walked {
    /// What differs.
    pub examined: BTreeMap<LaneId, Examined>,
    /// Keys of the handler that earlier replays have repaired.
    pub settled: BTreeSet<LaneId>,
    /// Whether an earlier replay of the handler has folded receivers again.
    pub has_folds: bool,
}

/// A log and the fork beside it, at one position.
pub struct Fork {
    pub(super) request: Arc<WhatIf>,
    /// `None`: it is asked what would be without a repair.
    pub(super) candidate: Option<Candidate>,
    /// The versions in force there, of handlers that are not removed in the range: what a removed handler has done is history.
    pub(super) in_force: AllInForce,
    pub(super) deployments: Arc<Deployments>,
    pub(super) examined: BTreeMap<LaneId, Examined>,
    /// Receivers that something has reached in another form than in the log.
    pub(super) reached: Lanes,
    pub(super) substitutes: Substitutes,
    pub(super) waiting: VecDeque<Added>,
    pub(super) waiting_bytes: usize,
    /// For handlers that are deployed later and begin with the first event of the log.
    pub(super) for_later: ForLater,
    /// For events that only the candidate takes.
    pub(super) behind: Behind,
    pub(super) processor: Arc<dyn Processor>,
    pub(super) outside: Arc<dyn Outside>,
    pub(super) may_call: MayCall,
    /// How many more calls may be made.
    pub(super) calls_left: Arc<AtomicU64>,
    pub(super) begin: Begin,
    /// Whether emitted events that differ reach their receivers in the fork; then all other keys of the handler are known to come to the
    /// same unless such an event reaches them.
    pub(super) cascade: Option<Arc<BTreeSet<LaneId>>>,
    pub(super) executed: u64,
    /// What is kept of the keys takes in memory, about.
    bytes: u64,
    /// The same of what an earlier pass has kept.
    bytes_before: u64,
    /// Keys of which a delivery was selected, and those of which one was not.
    pub(super) selected: Lanes,
    pub(super) left_out: Lanes,
    /// Keys of the handler that were repaired before.
    pub(super) settled: Settled,
    pub(super) standing: Standing,
    /// Whether an earlier replay of the handler has folded receivers again.
    pub(super) has_folds: bool,
}

pub struct Candidate {
    pub executable: Executable,
    pub interest: Interest,
    pub subscriptions: Vec<Subscription>,
    pub ordering: Ordering,
    /// How long an outbound call may take.
    pub call_time_max: Duration,
}

impl Fork {
    /// The receivers of events have what the log holds.
    pub fn alone(request: Arc<WhatIf>, candidate: Option<Candidate>, begin: Begin, progress: &dyn Progress) -> Self {
        Self {
            calls_left: Arc::new(AtomicU64::new(request.bounds.calls)),
            request,
            candidate,
            in_force: AllInForce::new(),
            deployments: Arc::default(),
            examined: BTreeMap::new(),
            reached: Lanes::default(),
            substitutes: Substitutes::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            for_later: ForLater::default(),
            behind: Behind::default(),
            processor: progress.processor(),
            outside: Arc::new(NoOutside),
            may_call: MayCall::Nothing,
            begin,
            cascade: None,
            executed: 0,
            bytes: 0,
            bytes_before: 0,
            selected: Lanes::default(),
            left_out: Lanes::default(),
            settled: Settled::default(),
            standing: Standing::default(),
            has_folds: false,
        }
    }

    /// Calls without a recorded answer go there.
    #[must_use]
    pub fn calling(self, outside: Arc<dyn Outside>, may_call: MayCall, left: Option<Arc<AtomicU64>>) -> Self {
        let calls_left = left.unwrap_or(self.calls_left);
        Self { outside, may_call, calls_left, ..self }
    }

    /// What an earlier pass has kept, which stays in memory.
    #[must_use]
    pub fn beside(self, kept: &BTreeMap<LaneId, Arc<Examined>>) -> Self {
        let bytes = kept.iter().map(|(lane, examined)| held_bytes(lane, examined));
        Self { bytes_before: bytes.fold(0, u64::saturating_add), ..self }
    }

    /// Receivers have what the fork emits. `differing` are the keys on which the handler alone comes to something else. Calls that may change
    /// something are made for these alone, where each is repaired.
    #[must_use]
    pub fn cascading(self, differing: Arc<BTreeSet<LaneId>>) -> Self {
        Self { cascade: Some(differing), may_call: self.may_call.min(MayCall::Safe), ..self }
    }

    /// A handler is deployed in the range that begins with the first event of the log, or none is.
    #[must_use]
    pub fn beginning_later(self, is_any: bool) -> Self {
        Self { for_later: ForLater::new(is_any), ..self }
    }

    /// Whether a key of the handler may come to something else.
    pub(super) fn may_differ(&self, lane: &LaneId) -> bool {
        self.cascade.as_ref().is_none_or(|differing| differing.contains(lane)) || self.examined.contains_key(lane)
    }

    /// Whether the fork has the deliveries of a handler, as it stands there.
    pub(super) fn has_handler(&self, handler: &HandlerName) -> bool {
        self.in_force.contains_key(handler)
    }

    /// Takes the versions that are in force where the walk begins, of handlers that are not removed behind that.
    #[must_use]
    pub fn beginning(self, in_force: AllInForce, deployments: Arc<Deployments>) -> Self {
        Self { in_force, deployments, ..self }
    }

    fn deployed(&mut self, walk: &Walk, position: Position, deployed: &Deployed) -> Result<(), ReplayError> {
        if walk.is_removed_behind(&deployed.handler, position)? {
            return Ok(());
        }
        let in_force = self.deployments.decoded(position, deployed)?;
        let begins = in_force.begins;
        let is_first = self.in_force.insert(deployed.handler.clone(), in_force).is_none();
        if is_first && begins {
            // It gets what the fork has emitted before.
            self.for_later.of(&deployed.handler).try_for_each(|added| self.add(added))?;
        }
        Ok(())
    }

    pub fn into_found(self) -> Walked {
        Walked { examined: self.examined, settled: self.settled.into_lanes(), has_folds: self.has_folds }
    }

    /// Takes what a delivery came to on both sides. `ran` is `None` where the fork does not execute it.
    pub(super) fn take(
        &mut self,
        walk: &Walk,
        delivered: &Delivered<'_>,
        ran: Option<Ran>,
        earlier: &Earlier,
    ) -> Result<(), ReplayError> {
        let recorded = delivered.commit.map_or(&NOTHING, recorded_effects);
        let lane = delivered.lane.clone();
        self.executed += u64::from(ran.is_some());
        let is_same = |ran: &Ran| {
            delivered.closed() == Some(Closed::Completed) && ran.is_as_recorded(recorded) && !delivered.is_unknown
        };
        if !self.examined.contains_key(&lane) && ran.as_ref().is_some_and(is_same) {
            // Nearly always: where nothing differs and nothing will, there is nothing to note.
            return Ok(());
        }
        let mut examined = self.open_lane(&lane);
        let own;
        let fork = match ran {
            Some(ran) => {
                own = note(&mut examined, delivered, ran);
                &own
            }
            None if delivered.is_dropped => {
                examined.notes.begin(delivered.delivery.position);
                examined.notes.dropped.push(delivered.delivery.position);
                examined.notes.unmade_of_dropped(delivered.delivery.position, self.calls_of_dropped(walk, delivered)?);
                let stood = delivered.commit.map(|commit| commit.migrated_from.unwrap_or(commit.state_version));
                examined.state_version = examined.state_version.or(stood);
                &NOTHING
            }
            None => recorded,
        };
        if let Some(cause) = delivered.cause.as_ref().filter(|_| delivered.is_unknown) {
            examined.notes.fails.get_or_insert_with(|| Fails::behind(delivered.delivery.position, cause));
        }
        let is_unknown = examined.notes.fails().is_some();
        examined.notes.through = delivered.at;
        examined.notes.statuses(delivered.delivery.position, recorded, fork);
        let both = Both {
            event: delivered.delivery.position,
            at: delivered.at,
            depth: delivered.depth.saturating_add(1),
            recorded,
            first_emitted: delivered.first_emitted,
            fork,
        };
        let value = |name: &str| earlier.value(&lane, name, || Ok(walk.state(&lane)?.get(name).cloned()));
        let timer = |name: &str| earlier.timer(&lane, name, || walk.timer(&lane, name));
        let part = |subject: &str| walk.part(delivered, earlier, subject);
        let pairs = examined.lane.fold::<ReplayError>(both, value, timer, part)?;
        examined.lane.forget_moved(&lane.1, &[]);
        if self.cascade.is_some() {
            let first = (Some(&delivered.delivery), delivered.first_emitted);
            self.substitutes.emitted((recorded, fork), first, &pairs, (&lane, is_unknown));
        }
        let added = pairs.added.iter().filter(|_| self.cascade.is_some());
        for event in added.filter_map(|index| fork.emitted.get(*index)).collect::<Vec<_>>() {
            let (event, of, at, behind) = (event.clone(), both.at, both.at, walk.end());
            let (depth, cause, to) = (both.depth, Some(lane.clone()), None);
            self.add(Added { event, of, at, behind, depth, cause, is_unknown, to })?;
        }
        if !examined.is_same() {
            self.keep(lane, examined)?;
        }
        Ok(())
    }

    /// Takes out what is known of a key, to change it.
    pub(super) fn open_lane(&mut self, lane: &LaneId) -> Examined {
        let Some(examined) = self.examined.remove(lane) else { return Examined::default() };
        self.bytes = self.bytes.saturating_sub(held_bytes(lane, &examined));
        examined
    }

    /// Keeps what is known of a key that was taken out.
    pub(super) fn keep(&mut self, lane: LaneId, examined: Examined) -> Result<(), ReplayError> {
        let bounds = self.request.bounds;
        if u64::try_from(self.examined.len()).unwrap_or(u64::MAX) >= bounds.keys {
            return Err(ReplayError::Bound("keys"));
        }
        self.bytes = self.bytes.saturating_add(held_bytes(&lane, &examined));
        if self.cascade.is_some() && lane.0 != self.request.handler {
            self.reached.insert(&lane);
        }
        self.examined.insert(lane, examined);
        match self.held_bytes() > bounds.bytes {
            true => Err(ReplayError::Bound("bytes")),
            false => Ok(()),
        }
    }

    /// What it takes in memory, about.
    fn held_bytes(&self) -> u64 {
        let beside = [
            self.substitutes.bytes(),
            self.for_later.bytes(),
            self.behind.bytes(),
            self.settled.bytes(),
            self.standing.bytes(),
            self.reached.bytes(),
            self.selected.bytes(),
            self.left_out.bytes(),
            self.waiting_bytes,
        ];
        let beside = beside.into_iter().fold(0, usize::saturating_add);
        let bytes = self.bytes.saturating_add(self.bytes_before);
        bytes.saturating_add(u64::try_from(beside).unwrap_or(u64::MAX))
    }

    /// Keeps the limit of memory, also where nothing differs. What the walk knows of the log can be read again.
    pub(super) fn check_bytes(&self, walk: &Walk) -> Result<(), ReplayError> {
        let (held, bytes_max) = (self.held_bytes(), self.request.bounds.bytes);
        if held > bytes_max {
            return Err(ReplayError::Bound("bytes"));
        }
        if held.saturating_add(u64::try_from(walk.bytes()).unwrap_or(u64::MAX)) > bytes_max {
            walk.forget();
        }
        Ok(())
    }

    /// Withheld events of the log have their positions.
    fn released(
        &mut self,
        position: Position,
        (delivery, key): (&DeliveryId, &String),
        emitted: &[Event],
    ) -> Result<(), ReplayError> {
        self.substitutes.released(delivery, position);
        let lane = (delivery.handler.clone(), key.clone());
        if !self.examined.contains_key(&lane) {
            return Ok(());
        }
        let mut examined = self.open_lane(&lane);
        examined.lane.released(delivery.position, emitted, position.next());
        self.keep(lane, examined)
    }

    /// A timer that the fork has not set does not fire there.
    fn fired(&mut self, position: Position, TimerId { handler, key, name }: &TimerId) -> Result<(), ReplayError> {
        let lane = (handler.clone(), key.clone());
        if !self.examined.contains_key(&lane) {
            return Ok(());
        }
        let mut examined = self.open_lane(&lane);
        if !examined.lane.fires(name) {
            self.substitutes.insert(position, Substitute { event: None, cause: lane.clone(), is_unknown: false });
        }
        if examined.is_same() { Ok(()) } else { self.keep(lane, examined) }
    }
}

impl Fork {
    /// Takes the records of the range, in order.
    ///
    /// # Errors
    /// It was ended by its progress or a bound, or an input cannot be read. Then a part of a record may be in it: it cannot be gone on with.
    pub fn run(
        &mut self,
        walk: &mut Walk,
        records: impl Iterator<Item = Result<(Position, Arc<Record>), ReplayError>>,
        progress: &dyn Progress,
    ) -> Result<(), ReplayError> {
        for read in records {
            let (position, record) = read?;
            progress.go_on(position, self.executed)?;
            let ended = walk.go_to(position, &record);
            self.record(walk, position, &record)?;
            let no_call = Earlier::default();
            self.deliver_added(walk, &no_call, progress)?;
            for call in &ended {
                self.fold_call(walk, call, progress)?;
                self.deliver_added(walk, &no_call, progress)?;
            }
            walk.leave(&record);
            self.check_bytes(walk)?;
        }
        Ok(())
    }

    fn record(&mut self, walk: &Walk, position: Position, record: &Record) -> Result<(), ReplayError> {
        match record {
            Record::Deployed(deployed) => self.deployed(walk, position, deployed)?,
            Record::Fired { timer, .. } => self.fired(position, timer)?,
            Record::Released { delivery, key, emitted, .. } => {
                self.released(position, (delivery, key), emitted)?;
            }
            Record::Repaired(repaired) if self.has_handler(&repaired.handler) => {
                self.repaired(walk, position, repaired)?;
            }
            Record::DeliveryDecided(decided) if decided.command.closes() => {
                let is_other = |other| other != decided.delivery.position;
                self.closed(&decided.delivery, &decided.key, position, is_other)?;
            }
            _ => {}
        }
        self.open(position, record)
    }
}

/// What is known of a key takes in memory, about.
fn held_bytes(lane: &LaneId, examined: &Examined) -> u64 {
    let name = lane.1.len().saturating_add(2 * size_of::<LaneId>());
    examined.bytes().saturating_add(u64::try_from(name).unwrap_or(u64::MAX))
}

/// The effects that stand of a commit.
fn recorded_effects(commit: &Commit) -> &Effects {
    match commit.outcome {
        Outcome::Completed | Outcome::Withheld => &commit.effects,
        _ => &NOTHING,
    }
}
