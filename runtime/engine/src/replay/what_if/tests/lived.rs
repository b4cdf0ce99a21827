//! Worlds in which deliveries overlap, fail, are corrected, skipped and taken back, and keys are repaired meanwhile.

use std::collections::VecDeque;

use weirgate_types::{
    AttemptFailure, Carried, Commit, Correction, DeliveryCommand, DeliveryDecided, DeliveryId, FailureKind,
    HandlerName, Outcome, TimerId, TimerSetting, TimerWrite,
};

use super::{
    world::{KnownRepairs, event},
    *,
};
use crate::replay::execute::ItemInput;

pub const KEYS: u64 = 3;

/// A delivery that is open.
#[derive(Clone)]
struct Open {
    position: Position,
    event: Event,
    depth: u32,
    attempt: u32,
    correction: Option<Vec<u8>>,
    is_running: bool,
}

/// A world in which deliveries overlap, fail, are corrected, skipped and taken back.
pub struct Lived {
    pub world: World,
    pub chance: Chance,
    open: Vec<Open>,
    withheld: Vec<(DeliveryId, String, Vec<Event>)>,
    /// The replays that have repaired keys, and where they were undone.
    pub replays: Vec<Position>,
    pub undone: BTreeMap<Position, Position>,
    count: usize,
}

/// Totals, with timers.
pub fn with_timers(totals: Handler) -> Handler {
    Arc::new(move |item, state| {
        let mut effects = totals(item, state);
        let n: u64 = String::from_utf8_lossy(&item.event.data).parse().expect("a number");
        let setting = TimerSetting { due_ms: n, r#type: "number".into(), data_content_type: None, data: b"9".to_vec() };
        if n % 4 == 1 {
            let total = state.get("total").expect("a state").map_or(0, |total| total.len());
            let set = (total.is_multiple_of(2) || n.is_multiple_of(3)).then_some(setting);
            effects.timers.push(TimerWrite { name: format!("t{}", n % 2), set });
        }
        effects
    })
}

impl Lived {
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(with_timers(totals(5)));
        world.is_calling = false;
        let chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (open, withheld, replays, undone) = (Vec::new(), Vec::new(), Vec::new(), BTreeMap::new());
        Self { world, chance, open, withheld, replays, undone, count: 0 }
    }

    fn accept(&mut self) {
        self.count += 1;
        let (key, n) = (format!("k{}", self.chance.below(KEYS)), self.chance.below(60));
        let r#type = if self.chance.below(5) == 0 { "other" } else { "number" };
        let event = event(self.count.to_string(), "/numbers", r#type, &key, n);
        let position = self.world.stage(&Record::Accepted { event: event.clone(), to: None, at_ms: 0 });
        self.opened([(position, event, 0)].into());
    }

    fn opened(&mut self, events: VecDeque<(Position, Event, u32)>) {
        let taken = events.into_iter().filter(|(_, event, _)| matches!(event.r#type.as_str(), "number" | "total"));
        self.open.extend(taken.map(|(position, event, depth)| Open {
            position,
            event,
            depth,
            attempt: 1,
            correction: None,
            is_running: false,
        }));
    }

    fn handler(open: &Open) -> HandlerName {
        name(if open.event.r#type == "total" { REPORTS } else { TOTALS })
    }

    /// The first open delivery of each key of each handler, by their places.
    fn first(&self) -> Vec<usize> {
        let mut lanes = BTreeSet::new();
        let is_first = |index: &usize| {
            let open = &self.open[*index];
            lanes.insert((Self::handler(open), open.event.key().to_owned()))
        };
        (0..self.open.len()).filter(is_first).collect()
    }

    /// Some of the first open deliveries that run, or do not.
    fn some(&mut self, is_running: bool) -> Option<usize> {
        let mut some = self.first();
        some.retain(|index| self.open[*index].is_running == is_running);
        (!some.is_empty()).then(|| some[self.chance.index(some.len())])
    }

    fn begin(&mut self, index: usize, call: Position) {
        let open = self.open[index].clone();
        let delivery = DeliveryId { handler: Self::handler(&open), position: open.position };
        let version = self.world.versions[&delivery.handler].0;
        let attempt = open.attempt;
        self.world.stage(&Record::Attempted { delivery, attempt, version, call, at_ms: 0, wall_behind_ms: 0 });
        self.open[index].is_running = true;
    }

    /// What an attempt comes to.
    fn commit(&mut self, open: &Open, outcome: Outcome) -> Commit {
        let handler = Self::handler(open);
        let (version, code) = self.world.versions[&handler].clone();
        let event = match &open.correction {
            Some(data) => Event { data: data.clone(), ..open.event.clone() },
            None => open.event.clone(),
        };
        let delivery = DeliveryId { handler: handler.clone(), position: open.position };
        let item = ItemInput {
            delivery,
            attempt: open.attempt,
            event: std::borrow::Cow::Borrowed(&event),
            depth: open.depth,
            migrate_from: None,
        };
        let lane = (handler.clone(), event.key().to_owned());
        let mut effects = match outcome {
            Outcome::Completed | Outcome::Withheld => code(&item, &self.world.state_of(&lane)),
            _ => Effects::default(),
        };
        if outcome == Outcome::Withheld {
            effects.withheld = std::mem::take(&mut effects.emitted);
            self.withheld.push((item.delivery.clone(), lane.1.clone(), effects.withheld.clone()));
        }
        self.world.keep(&lane, &effects);
        Commit {
            handler,
            event: open.position,
            key: lane.1,
            attempt: open.attempt,
            version,
            digest: Digest([0; 32]),
            at_ms: 0,
            outcome,
            depth: open.depth + 1,
            effects,
            log: Vec::new(),
            state_version: 1,
            migrated_from: None,
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
        }
    }

    /// The attempt ends.
    fn end(&mut self, index: usize) {
        let failure = AttemptFailure::found(FailureKind::Trap, "no".to_owned());
        let (carried, previous) = (Carried::default(), None);
        let outcome = match self.chance.below(12) {
            0 => Outcome::Retry { delay_ms: 1, due_ms: 1, stage: 0, spent: true, previous, failure },
            1 => Outcome::AwaitingCorrection { previous, failure },
            2 => Outcome::DeadLettered { held: false, carried, state: Vec::new(), failure },
            3 => Outcome::Withheld,
            _ => Outcome::Completed,
        };
        let is_open = matches!(outcome, Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. });
        let open = self.open[index].clone();
        let commit = self.commit(&open, outcome);
        let emitted = commit.effects.emitted.clone();
        let at = self.world.stage(&Record::Committed(commit));
        match is_open {
            true => (self.open[index].attempt, self.open[index].is_running) = (open.attempt + 1, false),
            false => drop(self.open.remove(index)),
        }
        self.emitted(at, emitted, open.depth + 1);
    }

    fn emitted(&mut self, at: Position, events: Vec<Event>, depth: u32) {
        let positions = (1_u64..).map(|offset| at.plus(offset));
        self.opened(positions.zip(events).map(|(position, event)| (position, event, depth)).collect());
    }

    /// The first deliveries of all keys of the handler run in one call, and end together, or one after the other.
    fn batch(&mut self) {
        let mut all = self.first();
        all.retain(|index| !self.open[*index].is_running && Self::handler(&self.open[*index]) == name(TOTALS));
        let Some(call) = all.first().map(|index| self.open[*index].position) else { return };
        for index in &all {
            self.begin(*index, call);
        }
        if self.chance.below(2) == 0 {
            return;
        }
        let items: Vec<Open> = all.iter().rev().map(|index| self.open.remove(*index)).collect();
        let commits: Vec<Commit> = items.iter().rev().map(|open| self.commit(open, Outcome::Completed)).collect();
        let emitted = commits.iter().flat_map(|commit| commit.effects.emitted.clone()).collect();
        let at = self.world.stage(&Record::Batched(commits));
        self.emitted(at, emitted, 1);
    }

    fn decide(&mut self) {
        let is_running = self.chance.below(3) == 0;
        let Some(index) = self.some(is_running) else { return };
        let open = self.open[index].clone();
        let data = self.chance.below(60).to_string().into_bytes();
        let command = match self.chance.below(5) {
            0 => DeliveryCommand::Skip,
            1 => DeliveryCommand::Resolve,
            _ => DeliveryCommand::Correct(Correction { data: data.clone(), data_content_type: None, event: None }),
        };
        let is_closed = command.closes();
        self.world.stage(&Record::DeliveryDecided(DeliveryDecided {
            delivery: DeliveryId { handler: Self::handler(&open), position: open.position },
            key: open.event.key().to_owned(),
            command,
            carried: Carried::default(),
            actor: String::new(),
            reason: String::new(),
            at_ms: 0,
            emitted: Vec::new(),
        }));
        match is_closed {
            true => drop(self.open.remove(index)),
            // One that runs has the data that it began with.
            false if !open.is_running => self.open[index].correction = Some(data),
            false => {}
        }
    }

    fn fire(&mut self) {
        let (key, name) = (format!("k{}", self.chance.below(KEYS)), format!("t{}", self.chance.below(2)));
        let timer = TimerId { handler: super::name(TOTALS), key: key.clone(), name };
        let event = event(format!("fired/{}", self.count), "/timers", "number", &key, 9);
        let record = Record::Fired { timer, due_ms: 0, next_ms: None, event: event.clone(), at_ms: 0 };
        let at = self.world.stage(&record);
        self.opened([(at, event, 0)].into());
    }

    /// Another version, or the same again: what runs is discarded.
    fn deploy(&mut self) {
        let leaves_out = 3 + self.chance.below(4);
        self.world.deploy(TOTALS, "number", with_timers(totals(leaves_out)));
        for open in self.open.iter_mut().filter(|open| Self::handler(open) == name(TOTALS)) {
            open.is_running = false;
        }
    }

    /// Some keys are repaired as the candidate would have it, or an earlier replay is undone.
    fn repair(&mut self, new: &Handler) {
        let is_undo = !self.replays.is_empty() && self.chance.below(2) == 0;
        let (replay, asked) = match is_undo {
            true => {
                let replay = self.replays.remove(0);
                (replay, undoing(replay))
            }
            false => {
                let replay = asked(&mut self.world);
                self.replays.push(replay);
                (replay, request())
            }
        };
        let examined = self.world.examine_as(&asked, new, None);
        for (lane, examined) in &examined {
            if !is_undo && self.chance.below(3) == 0 {
                continue;
            }
            let plan = planned(&self.world, (lane, examined));
            if plan.refused.is_none() {
                let (at, emitted) =
                    append_as(&mut self.world, replay, (lane, examined), plan, |one| one.is_undo = is_undo);
                self.emitted(at, emitted, 1);
            }
        }
        if is_undo {
            self.undone.insert(replay, self.world.log.head());
            self.world.undone.insert(replay);
        }
    }

    pub fn step(&mut self, new: &Handler) {
        match self.chance.below(24) {
            0..=5 => self.accept(),
            6..=11 => drop(self.some(false).map(|index| self.begin(index, self.open[index].position))),
            12..=16 => drop(self.some(true).map(|index| self.end(index))),
            17 => self.batch(),
            18 | 19 => self.decide(),
            20 => self.fire(),
            21 if self.chance.below(3) == 0 => self.deploy(),
            22 => {
                let Some((delivery, key, emitted)) = self.withheld.pop() else { return };
                let events = emitted.clone();
                let at = self.world.stage(&Record::Released { delivery, key, emitted, depth: 1, at_ms: 0 });
                self.emitted(at, events, 1);
            }
            23 if self.chance.below(2) == 0 => self.repair(new),
            _ => {}
        }
    }

    /// What a what-if reads, with what was undone by each position.
    pub fn sources(&self, new: &Handler) -> Sources {
        let repairs = KnownRepairs { undone: self.undone.clone(), ..self.world.repairs() };
        Sources { repairs: Arc::new(repairs), ..self.world.sources(Some(new)) }
    }

    /// Where records end.
    pub fn ends(&self) -> Vec<Position> {
        let records = self.world.log.reader().scan(Position::ZERO).map(|read| read.expect("a record"));
        records.map(|(first, record)| first.plus(record.width()).before()).collect()
    }
}
