//! The rules, written a second time: which record may follow which. Fed with every record that is staged; knows nothing of
//! the machine.

mod attempts;
mod decisions;
mod events;
pub mod migrations;
mod outcomes;
mod repairs;
mod resequence;
mod time;
pub mod versions;

use std::collections::{BTreeMap, BTreeSet};

use weirgate_engine::sim::Attempts;
use weirgate_types::{Anchor, DeliveryId, HandlerName, KeyHash, Mode, Position, Record, TimerId};

use crate::{
    Kind, Order, Plan, Takes,
    schedules::{Schedules, is_schedule},
};
use events::Seen;
use migrations::StateVersions;
use versions::TimerVersions;

/// The guarantees. Each is checked by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Nothing acknowledged is lost, and a batch that was being written is there as a whole or not at all.
    Acknowledged,
    /// Each effect once: one completion per delivery, each emission once, and nothing of a discarded attempt.
    OnceOnly,
    /// Order per key and handler.
    Order,
    /// Deliveries that overtake emit later.
    EmitOrder,
    /// A call holds deliveries that may share one, as many as are ready, and no more calls are in flight than allowed.
    Batches,
    /// No held key runs.
    Held,
    /// A delivery that awaits correction does not run without one.
    AwaitingCorrection,
    /// A correction applies to its key, to earlier events, once; and none is lost.
    Corrections,
    /// Attempts are counted, begin when they are due, and name the failed one before them.
    Attempts,
    /// The log holds the inputs of each attempt.
    Recorded,
    /// Retry stages in order; the dead letter after the last.
    Stages,
    /// No attempt begins while the handler is paused; while it drains it opens no delivery.
    Modes,
    /// While a breaker is open nothing begins, and then one probe.
    Breakers,
    /// A key is repaired as a whole, while no attempt of it is running; a key on hold has none.
    Repairs,
    /// A receiver that was folded again stands as if it had had the right events from the beginning; one that was not named stands as it was.
    Folds,
    /// A replay makes the calls that were consented to, each once, and uses the answers that the log has.
    Calls,
    /// The last writer by position owns a part of a status that several keys write.
    Shared,
    /// Timers fire when they are due, once.
    Timers,
    /// The time of records never decreases, and no wait is too long.
    Time,
    /// An attempt begins under the version in force, or one that finishes what its key has under way, and is committed by it; a removed
    /// handler leaves nothing.
    Versions,
    /// A key's state is migrated once, from the version that it has; and no deployment has an earlier one.
    Migrations,
    /// The checkpoint passes no open delivery.
    Checkpoint,
    /// What browsers see never goes back, and nothing is missing from it.
    Shown,
    /// Positions are dense.
    Dense,
    /// The views equal a replay of the log.
    Rebuilt,
    /// Memory is bounded by the limits.
    Bounded,
    /// Every delivery is closed, or waits where it can be seen.
    Liveness,
    /// No input within the limits ends the engine or prevents its next start.
    Opens,
    /// The machine does not panic.
    Panic,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub what: String,
}

pub type Checked = Result<(), Violation>;

/// Returns a violation unless `holds`.
pub fn check(rule: Rule, holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { rule, what: what() }) }
}

/// The phase of a delivery, by the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Ready,
    Running,
    /// When it is due in elapsed time.
    Retrying {
        due_ms: u64,
    },
    AwaitingCorrection,
    Held,
    Withheld,
    Dead,
    Done,
}

#[derive(Debug, Clone)]
pub struct Item {
    pub key: KeyHash,
    /// Its event's position in the sequence of its key.
    number: Option<u64>,
    pub life: Life,
    attempt: u32,
    /// The version that its last attempt began under.
    version: Position,
    /// As of which positions its version may be chosen.
    as_of: BTreeSet<Position>,
    spent: u32,
    /// Whether it was ever tried, in an attempt that was not discarded.
    pub tried: bool,
    hooked: bool,
    /// Whether it is the event of a repair, which shares no call.
    alone: bool,
    corrected: Option<Position>,
    /// The newest of its failed attempts, or the command that gave it up.
    failure: Option<Position>,
    /// The positions where it was opened last, and where its attempt began, and in which pass.
    opened_at: Position,
    begun_at: Position,
    begun_pass: u64,
    /// The length of its last wait, and when that has to be over by the monotonic clock.
    wait_ms: u64,
    wait_until_ms: u64,
}

impl Item {
    /// Where its last attempt began.
    #[must_use]
    pub fn begun_at(&self) -> Position {
        self.begun_at
    }

    /// Whether its last attempt was discarded, and none has begun since.
    #[must_use]
    pub fn was_discarded(&self) -> bool {
        self.life == Life::Ready && self.attempt > 0
    }

    /// Whether its attempt began in this pass, and it was closed in it: discarded by a deployment, then decided.
    #[must_use]
    pub fn was_closed_at_once(&self, pass: u64) -> bool {
        self.life == Life::Done && self.begun_pass == pass
    }

    /// Whether it was closed and opened again, so that later ones of its key may be running.
    #[must_use]
    pub fn was_opened_again(&self, position: Position) -> bool {
        self.opened_at != position
    }
}

/// The known state of a handler.
#[derive(Debug)]
pub struct Watched {
    pub kind: &'static Kind,
    pub concurrency: u64,
    versions: Vec<(Position, Takes)>,
    /// Earlier versions that finish what is under way.
    finishing: Vec<Position>,
    pub items: BTreeMap<Position, Item>,
    pub open: BTreeSet<Position>,
    running: usize,
    pub mode: Mode,
    mode_at: Position,
    /// In elapsed time.
    pub breaker_open_until_ms: Option<u64>,
    corrections: Vec<(Position, KeyHash)>,
    /// The next number, by key, if it is not the first.
    next: BTreeMap<KeyHash, u64>,
    /// The version under which the last attempt at each key began.
    key_versions: BTreeMap<KeyHash, Position>,
    /// The record that last wrote a key's state.
    written: BTreeMap<KeyHash, Position>,
}

#[derive(Debug)]
pub struct Checks {
    pub handlers: [Watched; 3],
    pub head: Position,
    events: Vec<Seen>,
    pub timers: BTreeMap<TimerId, u64>,
    timer_versions: TimerVersions,
    pub schedules: Schedules,
    pub state_versions: StateVersions,
    /// How often schedules have fired.
    pub schedules_fired: u64,
    /// The clock readings.
    pub wall_ms: u64,
    pub monotonic_ms: u64,
    /// What the wall clock said when this pass began, where the disk stalled since.
    pub stalled_from_ms: Option<u64>,
    /// How record time maps to elapsed time.
    anchor: Anchor,
    /// What attempts began with, by the records.
    pub inputs: Attempts,
    latest_at_ms: u64,
    emitted: BTreeSet<String>,
    /// Keys that may be on hold for a repair, with their handlers, and when that is over at the latest.
    pub on_hold: BTreeMap<(usize, KeyHash), u64>,
    /// The number of durable moments.
    pub pass: u64,
    from_beginning: [bool; 3],
}

/// Handlers are named by one letter.
pub fn index_of(handler: &HandlerName) -> usize {
    handler.as_str().bytes().next().map_or(0, |dead_letter| usize::from(dead_letter.saturating_sub(b'a'))).min(2)
}

impl Checks {
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let watched = |index: usize| Watched {
            kind: plan.handlers.get(index).map_or(&crate::KINDS[0], |setting| setting.kind),
            concurrency: plan.handlers.get(index).map_or(u64::MAX, |setting| setting.concurrency),
            versions: Vec::new(),
            finishing: Vec::new(),
            items: BTreeMap::new(),
            open: BTreeSet::new(),
            running: 0,
            mode: Mode::Running,
            mode_at: Position::ZERO,
            breaker_open_until_ms: None,
            corrections: Vec::new(),
            next: BTreeMap::new(),
            key_versions: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        Self {
            handlers: [0, 1, 2].map(watched),
            head: Position::ZERO,
            events: Vec::new(),
            timers: BTreeMap::new(),
            timer_versions: TimerVersions::default(),
            schedules: Schedules::default(),
            state_versions: StateVersions::default(),
            schedules_fired: 0,
            wall_ms: 0,
            monotonic_ms: 0,
            stalled_from_ms: None,
            anchor: Anchor::default(),
            inputs: Attempts::default(),
            latest_at_ms: 0,
            emitted: BTreeSet::new(),
            on_hold: BTreeMap::new(),
            pass: 0,
            from_beginning: [0, 1, 2].map(|index: usize| plan.handlers.get(index).is_some_and(|s| s.from_beginning)),
        }
    }

    /// A record was staged.
    ///
    /// # Errors
    /// It violates a rule.
    pub fn take(&mut self, position: Position, record: &Record) -> Checked {
        check(Rule::Dense, position == self.head.next(), || format!("{position} follows {}", self.head))?;
        self.head = position.plus(record.width()).before();
        self.check_time(record)?;
        self.inputs.apply(position, record);
        match record {
            Record::Attempted { delivery, attempt, version, at_ms, .. } => {
                self.attempted(position, delivery, (*attempt, *version), *at_ms)?;
            }
            Record::Committed(_) | Record::Batched(_) => {
                for commit in record.commits() {
                    self.committed(position, commit)?;
                    self.migrated(commit)?;
                }
                record.effects().for_each(|written| self.key_written(position, written));
            }
            Record::DeliveryDecided(one) => self.decided(position, one)?,
            Record::Released { delivery, emitted, .. } => self.released(delivery, emitted)?,
            Record::Fired { timer, due_ms, next_ms, event, .. } if is_schedule(event) => {
                self.schedule_fired(timer, *due_ms, *next_ms)?;
            }
            Record::Fired { timer, due_ms, at_ms, .. } => self.fired(timer, *due_ms, *at_ms)?,
            Record::Deployed(deployed) => {
                self.schedules.deployed(deployed);
                self.state_version_deployed(position, deployed)?;
                self.deployed(position, deployed);
            }
            Record::Removed(removed) => self.removed(&removed.handler)?,
            Record::ModeChanged(changed) => {
                let watched = self.watched(&changed.handler);
                (watched.mode, watched.mode_at) = (changed.mode, position);
            }
            Record::BreakerChanged(changed) => self.breaker_changed(changed),
            Record::GapPassed(gap) => self.gap_passed(gap)?,
            Record::Repaired(repaired) => self.repaired(position, repaired)?,
            Record::TimeAnchored(anchor) => self.anchor = *anchor,
            Record::Accepted { .. }
            | Record::Stepped(_)
            | Record::RuntimeChanged(_)
            | Record::Paced { .. }
            | Record::CorrectionRefused(_)
            | Record::ReplayRequested(_)
            | Record::ReplayApproved(_)
            | Record::ReplayAnswered(_)
            | Record::ReplayEnded(_)
            | Record::ApplyBegun(_)
            | Record::UndoRequested(_)
            | Record::RepairsRefused(_)
            | Record::Lost(_) => {}
        }
        self.see_events(position, record);
        Ok(())
    }

    pub fn watched(&mut self, handler: &HandlerName) -> &mut Watched {
        let [a, b, c] = &mut self.handlers;
        match index_of(handler) {
            0 => a,
            1 => b,
            _ => c,
        }
    }

    #[must_use]
    pub fn item(&self, delivery: &DeliveryId) -> Option<&Item> {
        self.handlers.get(index_of(&delivery.handler))?.items.get(&delivery.position)
    }

    /// An item that has to exist.
    fn known(&mut self, rule: Rule, delivery: &DeliveryId) -> Result<&mut Item, Violation> {
        let found = self.watched(&delivery.handler).items.get_mut(&delivery.position);
        found.ok_or_else(|| Violation { rule, what: format!("{delivery} is none of its handler's") })
    }
}

impl Watched {
    #[must_use]
    pub fn is_deployed(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Whether two deliveries wait for each other.
    fn share_lane(&self, one: &Item, other: &Item) -> bool {
        match self.kind.order {
            Order::Key => one.key == other.key,
            Order::Handler => true,
            Order::None { .. } => false,
        }
    }

    pub fn settle(&mut self, position: Position, life: Life) {
        let Some(item) = self.items.get_mut(&position) else { return };
        if item.life == Life::Running {
            self.running = self.running.saturating_sub(1);
        }
        item.life = life;
        let (key, number) = (item.key, item.number);
        if matches!(life, Life::Dead | Life::Done) {
            self.passed_number(key, number);
        }
        match life {
            Life::Dead | Life::Done => drop(self.open.remove(&position)),
            _ => drop(self.open.insert(position)),
        }
    }
}

impl Watched {
    /// The phase of the first delivery that a delivery waits for; its own, if it is the first.
    #[must_use]
    pub fn first_of_lane(&self, position: Position) -> Option<Life> {
        let item = self.items.get(&position)?;
        if self.kind.resequences {
            return Some(self.begun_in_lane(position).map_or(item.life, |(_, begun)| begun.life));
        }
        let mut before = self.open.iter().filter_map(|other| self.items.get(other));
        match self.kind.order {
            Order::None { input: true } if item.life == Life::Withheld => {
                before.find(|other| other.key == item.key).map(|other| other.life)
            }
            Order::None { .. } => Some(item.life),
            Order::Key | Order::Handler => before.find(|other| self.share_lane(other, item)).map(|other| other.life),
        }
    }

    /// Whether its deliveries stay in memory, however many wait.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        self.kind.order == (Order::None { input: true })
    }
}
