//! A world: a log, and the state that follows from it. Handlers are functions of an event and a state; each event is delivered with all
//! that follows from it before the next one is accepted.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use weirgate_history::History;
use weirgate_host::ReadState;
use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt};
use weirgate_testkit::SimStorage;
use weirgate_types::{
    Commit, DeliveryId, Deployed, Digest, Effects, Event, HandlerName, Manifest, Outcome, Position, Record, StateWrite,
    StatusWrite, StepAnswer, StepRequest, StepResult, Stepped,
};

use super::{
    super::{
        examine::Begin,
        run::{Fork, Walked},
        walk::Walk,
        *,
    },
    functions::{Functions, Handler, KeyState, executable},
    request,
};
use crate::{
    StorageError,
    replay::execute::{HandlerFunction, ItemInput},
};

pub const TOTALS: &str = "totals";
pub const REPORTS: &str = "reports";
pub const ALL: Position = Position(u64::MAX);

pub struct Everything;

impl Progress for Everything {
    fn go_on(&self, _: Position, _: u64) -> Result<(), ReplayError> {
        Ok(())
    }
}

/// xorshift64*: <https://www.jstatsoft.org/article/view/v008i14>.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }

    pub fn index(&mut self, len: usize) -> usize {
        index(self.below(len as u64))
    }
}

pub fn index(n: u64) -> usize {
    usize::try_from(n).expect("a small number")
}

fn number(state: &dyn ReadState, name: &str) -> u64 {
    let value = state.get(name).expect("a state");
    value.map_or(0, |value| String::from_utf8_lossy(&value).parse().expect("a number"))
}

fn write(name: &str, value: u64) -> StateWrite {
    StateWrite { name: name.into(), value: Some(value.to_string().into_bytes()) }
}

pub fn event(id: String, source: &str, r#type: &str, key: &str, data: u64) -> Event {
    Event {
        id,
        source: source.into(),
        r#type: r#type.into(),
        subject: Some(key.into()),
        time: None,
        data_content_type: None,
        data_schema: None,
        extensions: BTreeMap::new(),
        implied_key: None,
        data: data.to_string().into_bytes(),
    }
}

/// Adds numbers up, and publishes totals. The old version leaves out what it should not.
pub fn totals(leaves_out: u64) -> Handler {
    Arc::new(move |item, state| {
        let n: u64 = String::from_utf8_lossy(&item.event.data).parse().expect("a number");
        let key = item.event.key();
        if leaves_out > 0 && n.is_multiple_of(leaves_out) {
            return Effects::default();
        }
        let total = number(state, "total") + n;
        let mut effects = Effects { state: vec![write("total", total)], ..Effects::default() };
        if n.is_multiple_of(2) {
            let to = if n.is_multiple_of(4) { "all" } else { key };
            let id = format!("{}/1", item.delivery.position);
            effects.emitted.push(event(
                id,
                "/handlers/totals",
                "total",
                to,
                if n.is_multiple_of(3) { n } else { total },
            ));
        }
        if n % 7 < 4 {
            // Some subjects have a part that several keys write.
            let owner = if n.is_multiple_of(11) { "all" } else { key };
            let (subject, text, data) = (format!("{owner}/{}", n % 2), (total % 5).to_string(), None);
            effects.status.push(StatusWrite { subject, state: "total".into(), text, data });
        }
        if n % 13 == 5 {
            effects.state.push(StateWrite { name: "seen".into(), value: (total.is_multiple_of(2)).then(|| vec![1]) });
        }
        effects
    })
}

/// Keeps the sum of what it is told, and publishes it now and then.
pub fn reports() -> Handler {
    Arc::new(|item, state| {
        let n: u64 = String::from_utf8_lossy(&item.event.data).parse().expect("a number");
        let sum = number(state, "sum") + n;
        let mut effects = Effects { state: vec![write("sum", sum)], ..Effects::default() };
        if sum.is_multiple_of(3) {
            let id = format!("{}/1", item.delivery.position);
            effects.emitted.push(event(id, "/handlers/reports", "report", "all", sum));
        }
        effects
    })
}

/// A call with its answer.
fn called(delivery: DeliveryId) -> Stepped {
    let (method, url) = ("POST".into(), "https://example.org/charges".into());
    Stepped {
        delivery,
        attempt: 1,
        step: "charge".into(),
        request: StepRequest { method, url, digest: Digest([2; 32]) },
        result: StepResult::Answered(StepAnswer { status: 201, headers: Vec::new(), body: Vec::new() }),
        requests: 1,
        previous: None,
        at_ms: 0,
    }
}

/// A log, and the state that follows from it.
pub struct World {
    pub log: Log,
    /// The disk of the log, which counts its operations.
    pub storage: SimStorage,
    pub versions: BTreeMap<HandlerName, (Position, Handler)>,
    pub states: BTreeMap<LaneId, BTreeMap<String, Vec<u8>>>,
    pub statuses: BTreeMap<(HandlerName, String), StatusWrite>,
    pub emitted: BTreeMap<LaneId, Vec<Digest>>,
    /// Replays whose repairs were undone, and those of which only some handlers' keys were.
    pub undone: BTreeSet<Position>,
    pub undone_in_part: BTreeSet<(Position, LaneId)>,
    /// What handles a call as a whole.
    pub of_calls: BTreeMap<HandlerName, Arc<HandlerFunction>>,
    /// Whether the first handler makes an outbound call in each delivery. In a what-if, none is made.
    pub is_calling: bool,
    /// How many writes of parts were looked at.
    pub looked_at: Cell<usize>,
    history: Arc<History>,
}

/// The repairs of a world, and which of them were undone: of replays, where that was.
pub struct KnownRepairs {
    pub repaired: BTreeSet<(Position, LaneId)>,
    pub undone: BTreeMap<Position, Position>,
    pub undone_in_part: BTreeSet<(Position, LaneId)>,
}

impl Repairs for KnownRepairs {
    fn is_undone(&self, replay: Position, lane: &LaneId, through: Position) -> Result<bool, StorageError> {
        let is_whole = self.undone.get(&replay).is_some_and(|at| *at <= through);
        Ok(is_whole || self.undone_in_part.contains(&(replay, lane.clone())))
    }

    fn has_repaired(&self, replay: Position, lane: &LaneId) -> Result<bool, StorageError> {
        Ok(self.repaired.contains(&(replay, lane.clone())))
    }

    fn begins_behind(&self, _: &HandlerName, after: Position) -> Result<Position, StorageError> {
        let in_part = self.undone_in_part.iter().map(|(replay, _)| *replay);
        Ok(self.undone.keys().copied().chain(in_part).fold(after, Position::min))
    }
}

pub fn name(text: &str) -> HandlerName {
    text.parse().expect("a name")
}

pub fn manifest(handler: &str, r#type: &str) -> String {
    format!(r#"{{"name":"{handler}","subscriptions":[{{"types":["{type}"]}}],"start":"beginning"}}"#)
}

impl World {
    pub fn new(old: Handler) -> Self {
        let mut world = Self::without_reports(old);
        world.deploy(REPORTS, "total", reports());
        world
    }

    /// The handler of totals is deployed alone.
    pub fn without_reports(old: Handler) -> Self {
        Self::with_segments(old, 60_000)
    }

    /// The same; the segments of the log have a size.
    pub fn with_segments(old: Handler, segment_bytes_max: u64) -> Self {
        let identity = Identity { epoch: Epoch(*b"the golden epoch"), salt: Salt(*b"salt and pepper.") };
        let options = LogOptions { segment_bytes_max, reserve_bytes: 0, ..LogOptions::default() };
        let storage = SimStorage::default();
        let log = Log::open(Arc::new(storage.clone()), identity, options).expect("a log");
        let (versions, states) = (BTreeMap::new(), BTreeMap::new());
        let history = History::without_files(log.reader(), Arc::clone(log.epochs()), log.key_hasher());
        let mut world = Self {
            log,
            storage,
            versions,
            states,
            statuses: BTreeMap::new(),
            emitted: BTreeMap::new(),
            undone: BTreeSet::new(),
            undone_in_part: BTreeSet::new(),
            of_calls: BTreeMap::new(),
            is_calling: false,
            looked_at: Cell::new(0),
            history: Arc::new(history),
        };
        world.deploy(TOTALS, "number", old);
        world
    }

    pub fn stage(&mut self, record: &Record) -> Position {
        let position = self.log.stage(record).expect("staged");
        self.log.commit().expect("a sync");
        position
    }

    pub fn deploy(&mut self, handler: &str, r#type: &str, code: Handler) {
        let deployed = Deployed {
            handler: name(handler),
            digest: Digest([0; 32]),
            manifest: manifest(handler, r#type),
            actor: String::new(),
            reason: String::new(),
            copied_from: None,
            finishing: Vec::new(),
            at_ms: 0,
            wall_ms: 0,
        };
        let position = self.stage(&Record::Deployed(deployed));
        self.versions.insert(name(handler), (position, code));
    }

    /// Accepts a number, and delivers what follows from it.
    pub fn accept(&mut self, id: usize, key: &str, n: u64) {
        let event = event(id.to_string(), "/numbers", "number", key, n);
        let position = self.stage(&Record::Accepted { event: event.clone(), to: None, at_ms: 0 });
        self.follow([(position, event, 0)].into());
    }

    /// Deploys a handler, which begins with the first event of the log.
    pub fn begin(&mut self, handler: &str, r#type: &str, code: Handler) {
        self.deploy(handler, r#type, code);
        let mut waiting = VecDeque::new();
        for (first, record) in self.log.reader().scan(Position::ZERO).map(|read| read.expect("a record")) {
            let taken = record.events(first).filter(|(_, event)| event.r#type == r#type);
            waiting.extend(taken.map(|(position, event)| (position, event.clone(), 1)));
        }
        self.follow(waiting);
    }

    /// Accepts numbers of a key together, each of a type, and then delivers those that a handler takes.
    pub fn accept_together(&mut self, key: &str, numbers: &[(&str, u64)]) {
        let mut accepted = VecDeque::new();
        for (id, (r#type, n)) in numbers.iter().enumerate() {
            let event = event(id.to_string(), "/numbers", r#type, key, *n);
            let position = self.stage(&Record::Accepted { event: event.clone(), to: None, at_ms: 0 });
            accepted.push_back((position, event, 0));
        }
        self.follow(accepted);
    }

    /// Delivers events, and what follows from them.
    pub fn follow(&mut self, mut waiting: VecDeque<(Position, Event, u32)>) {
        while let Some((position, event, depth)) = waiting.pop_front() {
            let handler = match event.r#type.as_str() {
                "number" => name(TOTALS),
                "total" => name(REPORTS),
                _ => continue,
            };
            if !self.versions.contains_key(&handler) {
                continue;
            }
            waiting.extend(self.deliver(&handler, position, &event, depth));
        }
    }

    fn deliver(
        &mut self,
        handler: &HandlerName,
        position: Position,
        event: &Event,
        depth: u32,
    ) -> Vec<(Position, Event, u32)> {
        let (version, code) = self.versions.get(handler).cloned().expect("it is deployed");
        let delivery = DeliveryId { handler: handler.clone(), position };
        let (attempt, call) = (1, position);
        self.stage(&Record::Attempted {
            delivery: delivery.clone(),
            attempt,
            version,
            call,
            at_ms: 0,
            wall_behind_ms: 0,
        });
        if self.is_calling && *handler == name(TOTALS) {
            self.stage(&Record::Stepped(called(delivery.clone())));
        }
        let lane = (handler.clone(), event.key().to_owned());
        let item = ItemInput { delivery, attempt, event: Cow::Borrowed(event), depth, migrate_from: None };
        let effects = code(&item, &self.state_of(&lane));
        let commit = Commit {
            handler: handler.clone(),
            event: position,
            key: lane.1.clone(),
            attempt,
            version,
            digest: Digest([0; 32]),
            at_ms: 0,
            outcome: Outcome::Completed,
            depth: depth + 1,
            effects: effects.clone(),
            log: Vec::new(),
            state_version: 1,
            migrated_from: None,
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
        };
        let at = self.stage(&Record::Committed(commit));
        self.keep(&lane, &effects);
        let positions = (1_u64..).map(|offset| at.plus(offset));
        positions.zip(effects.emitted).map(|(position, event)| (position, event, depth + 1)).collect()
    }

    pub fn state_of(&self, lane: &LaneId) -> KeyState {
        KeyState(self.states.get(lane).cloned().unwrap_or_default())
    }

    pub fn keep(&mut self, lane: &LaneId, effects: &Effects) {
        let state = self.states.entry(lane.clone()).or_default();
        for StateWrite { name, value } in &effects.state {
            match value {
                Some(value) => drop(state.insert(name.clone(), value.clone())),
                None => drop(state.remove(name)),
            }
        }
        for status in &effects.status {
            self.statuses.insert((lane.0.clone(), status.subject.clone()), status.clone());
        }
        let emitted = self.emitted.entry(lane.clone()).or_default();
        emitted.extend(effects.emitted.iter().map(emissions::content));
        emitted.sort_unstable();
    }

    /// What a what-if of a candidate reads of it now.
    pub fn sources(&self, candidate: Option<&Handler>) -> Sources {
        let versions = self.versions.iter().map(|(name, (_, handler))| (name.clone(), Arc::clone(handler))).collect();
        let functions = Functions { versions, candidate: candidate.cloned(), of_calls: self.of_calls.clone() };
        Sources {
            look: Arc::new(self.history.look()),
            modules: Arc::new(functions),
            outside: Arc::new(NoOutside),
            may_call: MayCall::Nothing,
            calls_left: None,
            repairs: Arc::new(self.repairs()),
            deployments: Arc::default(),
        }
    }

    /// Whether a repair has removed the part of a status.
    pub fn has_removed_part(&self) -> bool {
        let mut records = self.log.reader().scan(Position::ZERO).map(|read| read.expect("a record"));
        records.any(|(_, record)| matches!(record, Record::Repaired(one) if !one.unset.is_empty()))
    }

    pub fn repairs(&self) -> KnownRepairs {
        let records = self.log.reader().scan(Position::ZERO).map(|read| read.expect("a record"));
        let repaired = records.filter_map(|(_, record)| match record {
            Record::Repaired(one) if !one.is_undo => Some((one.replay, (one.handler, one.key))),
            _ => None,
        });
        let undone = self.undone.iter().map(|replay| (*replay, Position::ZERO)).collect();
        KnownRepairs { repaired: repaired.collect(), undone, undone_in_part: self.undone_in_part.clone() }
    }

    /// What-ifs of the candidate over all that happened.
    pub fn examine(&self, candidate: &Handler, cascade: Option<&BTreeSet<LaneId>>) -> BTreeMap<LaneId, Examined> {
        self.examine_as(&request(), candidate, cascade)
    }

    /// Keys that earlier replays have repaired as the candidate would have it.
    pub fn settled(&self, candidate: &Handler) -> BTreeSet<LaneId> {
        self.find(&request(), candidate, None).settled
    }

    pub fn examine_as(
        &self,
        request: &WhatIf,
        candidate: &Handler,
        cascade: Option<&BTreeSet<LaneId>>,
    ) -> BTreeMap<LaneId, Examined> {
        self.find(request, candidate, cascade).examined
    }

    fn find(&self, request: &WhatIf, candidate: &Handler, cascade: Option<&BTreeSet<LaneId>>) -> Walked {
        let Sources { look, modules, repairs, .. } = self.sources(None);
        let mut walk = Walk::new(look, modules, repairs, ALL);
        let candidate = match &request.runs {
            Runs::Candidate(Candidate { manifest, .. }) => {
                let manifest = Manifest::from_record(manifest).expect("a manifest");
                let interest = weirgate_types::Interest::new(&manifest.subscriptions);
                let executable = executable(candidate, &manifest);
                let Manifest { subscriptions, ordering, .. } = manifest;
                let call_time_max = std::time::Duration::ZERO;
                Some(run::Candidate { executable, interest, subscriptions, ordering, call_time_max })
            }
            Runs::Without(_) => None,
        };
        let mut fork = Fork::alone(Arc::new(request.clone()), candidate, Begin::default(), &Everything);
        if let Some(differing) = cascade {
            fork = fork.cascading(Arc::new(differing.clone())).beginning_later(true);
        }
        let records = self.sources(None).scan(Position::ZERO, ALL);
        fork.run(&mut walk, records, &Everything).expect("a what-if");
        fork.into_found()
    }
}
