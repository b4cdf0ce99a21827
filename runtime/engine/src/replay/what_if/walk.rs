//! The log's side of a what-if: its records in order, and the inputs of the calls that end with them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use weirgate_history::Look;
use weirgate_host::{ReadState, StateError};
use weirgate_log::LogReader;
use weirgate_types::{Commit, Effects, Event, HandlerName, Position, Record, TimerSetting};

use super::{
    asked::{AskedReplays, Repairs},
    delivered::Delivered,
    earlier::Earlier,
    lane::Stood,
    lane_past::{LanePast, Wrote},
    late::Emitted,
    run::LaneId,
    written::{PartWrites, part_in},
};
use crate::{
    StorageError, corrections,
    job::StoredRecord,
    replay::{
        ReplayError,
        attempts::{Attempts, Begun, Ended, EndedCall},
        execute::Load,
        inputs::{Deployment, Inputs, States},
        recorded::RecordedCalls,
    },
};

/// Maximum number of records with events that are kept in memory, and their size in bytes: most are delivered soon.
const RECENT_MAX: usize = 8_192;
const RECENT_BYTES_MAX: usize = 32 << 20;
/// Maximum number of bytes of state in memory; beyond it, it is looked up again.
const STATES_BYTES_MAX: usize = 64 << 20;

type KeyState = BTreeMap<String, Vec<u8>>;

/// See the module documentation.
pub struct Walk {
    inputs: Inputs,
    pub(super) look: Arc<Look>,
    /// The record that it is at.
    at: Option<StoredRecord>,
    attempts: Attempts,
    /// With their sizes.
    recent: BTreeMap<Position, (StoredRecord, usize)>,
    recent_bytes: usize,
    states: RefCell<Held>,
    past: RefCell<Past>,
    pub(super) emitted: Emitted,
    pub(super) asked: AskedReplays,
}

/// The state of handlers and keys that were asked for, as the log has it at the present record.
#[derive(Default)]
struct Held {
    lanes: HashMap<LaneId, Arc<KeyState>>,
    bytes: usize,
    /// The last record whose writes are in it.
    through: Position,
    /// Whether the commits of the present record were taken.
    is_taken: bool,
}

/// What is known of the records of handlers and keys that were asked for.
#[derive(Default)]
struct Past {
    lanes: HashMap<LaneId, LanePast>,
    bytes: usize,
}

/// The event of a delivery, in its record.
pub struct Found {
    position: Position,
    stored: StoredRecord,
    /// The event with the correction that it was delivered with.
    corrected: Option<Event>,
}

impl Walk {
    pub fn new(look: Arc<Look>, modules: Arc<dyn Load>, repairs: Arc<dyn Repairs>, through: Position) -> Self {
        let inputs = Inputs::new(look.log().clone(), modules, States::History(Arc::clone(&look)));
        Self {
            inputs,
            look,
            at: None,
            attempts: Attempts::default(),
            recent: BTreeMap::new(),
            recent_bytes: 0,
            states: RefCell::default(),
            past: RefCell::default(),
            emitted: Emitted::default(),
            asked: AskedReplays::new(repairs, through),
        }
    }

    pub fn log(&self) -> &LogReader {
        self.look.log()
    }

    /// The log has more records than when it began.
    pub fn look_anew(&mut self, look: Arc<Look>, repairs: Arc<dyn Repairs>, through: Position) {
        self.look = look;
        self.emitted.forget();
        self.asked.look_anew(repairs, through);
    }

    /// Goes to the next record; returns the calls that it ends.
    pub fn go_to(&mut self, position: Position, record: &Arc<Record>) -> Vec<EndedCall> {
        let stored = StoredRecord { first: position, record: Arc::clone(record) };
        self.at = Some(stored.clone());
        self.states.get_mut().is_taken = false;
        if stored.record.events(position).next().is_some() {
            let bytes = record.encoded_size();
            self.recent_bytes = self.recent_bytes.saturating_add(bytes);
            self.recent.insert(position, (stored, bytes));
            while (self.recent.len() > RECENT_MAX || self.recent_bytes > RECENT_BYTES_MAX)
                && let Some((_, (_, bytes))) = self.recent.pop_first()
            {
                self.recent_bytes = self.recent_bytes.saturating_sub(bytes);
            }
        }
        // The writes of attempts that began before the walk count at once; those of others when their call has ended.
        let unknown = record.commits().iter().filter(|commit| !self.attempts.is_running(&commit.delivery()));
        let unknown: Vec<_> = unknown.map(|commit| (lane_of(commit), &commit.effects)).collect();
        let mut states = self.states.borrow_mut();
        for (lane, effects) in unknown {
            states.apply(&lane, effects);
        }
        drop(states);
        self.attempts.apply(position, record)
    }

    /// The record at the present position has been taken.
    pub fn leave(&self, record: &Record) {
        let mut states = self.states.borrow_mut();
        if let Some(at) = &self.at {
            states.through = at.first;
        }
        match record {
            Record::Repaired(repaired) => {
                states.apply(&(repaired.handler.clone(), repaired.key.clone()), &repaired.effects);
            }
            Record::Removed(removed) => states.lanes.retain(|(handler, _), _| *handler != removed.handler),
            _ => {}
        }
    }

    /// A commit of a call that ended has been taken.
    pub fn committed(&self, commit: &Commit) {
        let mut states = self.states.borrow_mut();
        states.is_taken = true;
        if !states.lanes.is_empty() && !commit.effects.state.is_empty() {
            states.apply(&lane_of(commit), &commit.effects);
        }
    }

    /// The record with the commit of an attempt; `None` if the attempt was discarded.
    pub fn commit_record(&self, ended: &Ended) -> Result<Option<StoredRecord>, ReplayError> {
        self.inputs.commit_record(ended, self.at.as_ref())
    }

    pub fn calls(&self, begun: &Begun) -> Result<RecordedCalls, ReplayError> {
        self.inputs.calls(begun)
    }

    pub fn deployment(&mut self, version: Position) -> Result<Arc<Deployment>, ReplayError> {
        self.inputs.deployment(version)
    }

    /// The event of a delivery, as it was delivered.
    pub fn delivered(&self, begun: &Begun) -> Result<Found, ReplayError> {
        let position = begun.delivery.position;
        let missing = || StorageError::Missing { what: "event", position };
        let stored = self.stored(position)?.ok_or_else(missing)?;
        let event = stored.event(position).ok_or_else(missing)?;
        let corrected = corrections::as_delivered(self.log(), event, begun.carried.correction)?;
        Ok(Found { position, stored, corrected })
    }

    /// The first position of a commit's emitted events, if it has any.
    pub fn first_emitted(&self, at: Position, commit: &Commit) -> Result<Position, ReplayError> {
        if commit.effects.emitted.is_empty() {
            return Ok(at.next());
        }
        let stored = self.stored(at)?.ok_or(StorageError::Missing { what: "commit", position: at })?;
        let before = stored.record.commits().iter().take_while(|other| other.delivery() != commit.delivery());
        let events: usize = before.map(|other| other.effects.emitted.len()).sum();
        Ok(stored.first.next().plus(u64::try_from(events).unwrap_or(u64::MAX)))
    }

    /// The time of the present record, as record time and by the wall clock.
    pub fn times(&self) -> (u64, u64) {
        let at_ms = self.at.as_ref().map_or(0, |at| at.record.at_ms());
        (at_ms, at_ms)
    }

    /// A handler's state for a key, as the log has it before the present record, or with that once its commits were taken.
    pub fn state(&self, lane: &LaneId) -> Result<Arc<KeyState>, ReplayError> {
        let mut states = self.states.borrow_mut();
        if let Some(held) = states.lanes.get(lane) {
            return Ok(Arc::clone(held));
        }
        let through = match &self.at {
            Some(at) => until(at, lane, states.is_taken).before(),
            None => states.through,
        };
        let state = Arc::new(self.look.state_at(&lane.0, &lane.1, through)?);
        if states.bytes > STATES_BYTES_MAX {
            (states.lanes, states.bytes) = (HashMap::new(), 0);
        }
        states.bytes += state.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        states.lanes.insert(lane.clone(), Arc::clone(&state));
        Ok(state)
    }

    /// The version of a handler's state for a key, as the log has it before the present record; `None` without state.
    pub fn state_version(&self, lane: &LaneId) -> Result<Option<u32>, ReplayError> {
        if self.state(lane)?.is_empty() {
            return Ok(None);
        }
        self.last_of(lane, &Wrote::StateVersion, self.until(lane), |_, record| {
            record.state_version_of(&lane.0, &lane.1)
        })
    }

    /// Whether a handler is removed behind a position, and before the range ends.
    pub fn is_removed_behind(&self, handler: &HandlerName, position: Position) -> Result<bool, ReplayError> {
        Ok(self.look.removed_before(handler, self.asked.through().next())? > position)
    }

    /// The position of the present record.
    pub(super) fn at(&self) -> Position {
        self.at.as_ref().map_or(Position::ZERO, |at| at.first)
    }

    /// The position before which the log is looked at for a key.
    fn until(&self, lane: &LaneId) -> Position {
        let is_taken = self.states.borrow().is_taken;
        self.at.as_ref().map_or(Position::ZERO, |at| until(at, lane, is_taken))
    }

    /// The position of the last event in it.
    pub(super) fn end(&self) -> Position {
        self.at.as_ref().map_or(Position::ZERO, |at| at.first.plus(at.record.width()).before())
    }

    /// What is found in the last record of a handler and key before a position that wrote it.
    fn last_of<T>(
        &self,
        lane: &LaneId,
        wrote: &Wrote,
        before: Position,
        find: impl Fn(Position, &Record) -> Option<T>,
    ) -> Result<Option<T>, ReplayError> {
        let read = |at: Position| self.log().read(at).map_err(StorageError::from);
        let previous = |before: Position, not_before: Position| {
            let at = self.look.of_lane_before(&lane.0, &lane.1, before)?;
            let Some(at) = at.filter(|at| *at >= not_before) else { return Ok(None) };
            Ok(read(at)?.map(|(first, record)| (first, Wrote::all_of(&record, first, lane))))
        };
        let mut held = self.past.borrow_mut();
        let Past { lanes, bytes } = &mut *held;
        let past = lanes.entry(lane.clone()).or_insert_with(|| {
            let past = LanePast::default();
            *bytes = bytes.saturating_add(lane.1.len()).saturating_add(past.bytes());
            past
        });
        *bytes = bytes.saturating_sub(past.bytes());
        let at = past.last::<ReplayError>(wrote, before, previous);
        *bytes = bytes.saturating_add(past.bytes());
        let Some(at) = at? else { return Ok(None) };
        Ok(read(at)?.and_then(|(first, record)| find(first, &record)))
    }

    /// What it knows of the log in memory, about, beside what has a limit of its own.
    pub fn bytes(&self) -> usize {
        self.past.borrow().bytes.saturating_add(self.emitted.bytes()).saturating_add(self.asked.bytes())
    }

    /// Forgets what it knows of the log: that is read again where it is asked for.
    pub fn forget(&self) {
        self.past.take();
        self.emitted.forget();
        self.asked.forget();
    }

    /// The setting of a timer, as the log has it before the present record: of the last commit that set or cancelled it, unless it has
    /// fired since.
    pub fn timer(&self, lane: &LaneId, name: &str) -> Result<Option<TimerSetting>, ReplayError> {
        let ((handler, key), until) = (lane, self.until(lane));
        let removed = self.look.removed_before(handler, until)?;
        let set = self.last_of(lane, &Wrote::Timer(name.to_owned()), until, |at, record| {
            if at < removed {
                return None;
            }
            if let Record::Fired { timer, .. } = record
                && (timer.handler == *handler && timer.key == *key && timer.name == name)
            {
                return Some(None);
            }
            let of_lane = record.effects().filter(|written| written.handler == handler && written.key == key);
            let writes = of_lane.flat_map(|written| &written.effects.timers).filter(|write| write.name == name);
            writes.last().map(|write| write.set.clone())
        });
        Ok(set?.flatten())
    }

    /// The handler's part of a subject's status, as the log has it before a delivery is committed; of one that only the fork has, where that is.
    pub fn part(&self, delivered: &Delivered<'_>, earlier: &Earlier, subject: &str) -> Result<Stood, ReplayError> {
        let Delivered { delivery, lane, commit, at, .. } = delivered;
        let Some(before) = commit.map_or_else(|| earlier.next(), |_| Some(delivery)) else {
            let after = self.at.as_ref().map_or(*at, |at| at.first.plus(at.record.width()));
            return self.part_before(lane, subject, after);
        };
        let stored = self.stored(*at)?.ok_or(StorageError::Missing { what: "commit", position: *at })?;
        let earlier = stored.record.commits().iter().take_while(|other| other.delivery() != *before);
        let of_handler = earlier.filter(|other| other.handler == delivery.handler);
        let writes = of_handler.flat_map(|other| other.effects.status.iter().map(move |write| (&other.key, write)));
        match writes.filter(|(_, write)| write.subject == subject).last() {
            Some((key, write)) => Ok(Stood { status: Some(write.clone()), is_own: *key == lane.1, at: stored.first }),
            None => self.part_before(lane, subject, stored.first),
        }
    }

    /// The same before a position.
    pub fn part_before(&self, (handler, key): &LaneId, subject: &str, before: Position) -> Result<Stood, ReplayError> {
        let named = (handler.clone(), subject.to_owned());
        let part = |at: Position, record: &Record| part_in((at, record), handler, subject, |_| true);
        let of_named = self.last_of(&named, &Wrote::NamedPart, before, part)?;
        let writes = PartWrites { look: &self.look, handler };
        let of_others = writes.last((subject, Position::ZERO), (Position::ZERO, before), |_, _| true)?;
        let last = of_named.into_iter().chain(of_others).max_by_key(|write| write.at);
        let is_own = last.as_ref().is_none_or(|write| write.by == *key);
        let at = last.as_ref().map_or(Position::ZERO, |write| write.at);
        Ok(Stood { status: last.and_then(|write| write.status), is_own, at })
    }

    fn stored(&self, position: Position) -> Result<Option<StoredRecord>, ReplayError> {
        let recent = self.recent.range(..=position).next_back().map(|(_, (stored, _))| stored);
        let holds =
            |stored: &&StoredRecord| stored.first <= position && position < stored.first.plus(stored.record.width());
        if let Some(known) = recent.into_iter().chain(&self.at).find(holds) {
            return Ok(Some(known.clone()));
        }
        Ok(StoredRecord::read(self.log(), position).map_err(StorageError::from)?)
    }
}

impl Found {
    /// As it was delivered.
    pub fn event(&self) -> Result<&Event, ReplayError> {
        let missing = StorageError::Missing { what: "event", position: self.position };
        let event = self.corrected.as_ref().or_else(|| self.stored.event(self.position));
        Ok(event.ok_or(missing)?)
    }

    pub fn depth(&self) -> u32 {
        self.stored.depth_at(self.position)
    }

    pub fn accepted_at_ms(&self) -> u64 {
        self.stored.record.at_ms()
    }

    /// Whether it is for one handler, whatever that subscribes to.
    pub fn is_addressed(&self) -> bool {
        self.stored.first == self.position && self.stored.record.addressee().is_some()
    }
}

impl Held {
    fn apply(&mut self, lane: &LaneId, effects: &Effects) {
        let Some(state) = self.lanes.get_mut(lane).filter(|_| !effects.state.is_empty()) else { return };
        let state = Arc::make_mut(state);
        for write in &effects.state {
            self.bytes += write.value.as_ref().map_or(0, Vec::len);
            match &write.value {
                Some(value) => drop(state.insert(write.name.clone(), value.clone())),
                None => drop(state.remove(&write.name)),
            }
        }
    }
}

/// A state that was looked up.
pub struct HeldState(pub Arc<KeyState>);

impl ReadState for HeldState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(name).cloned())
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        let names = self.0.range(prefix.to_owned()..).map(|(name, _)| name);
        Ok(names.take_while(|name| name.starts_with(prefix)).take(limit).cloned().collect())
    }
}

/// The position before which the log is looked at for a key: that of a record, or behind it where its commits of the key were taken.
fn until(at: &StoredRecord, (handler, key): &LaneId, is_taken: bool) -> Position {
    let is_its = |commit: &Commit| commit.handler == *handler && commit.key == *key;
    if is_taken && at.record.commits().iter().any(is_its) { at.first.next() } else { at.first }
}

fn lane_of(commit: &Commit) -> (HandlerName, String) {
    (commit.handler.clone(), commit.key.clone())
}
