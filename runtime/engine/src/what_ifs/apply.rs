//! Applies a replay, key by key: each is held, looked at again, and repaired by one record. What came since the what-if is part of it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicU64},
    thread,
    time::Duration,
};

use weirgate_types::{HandlerName, Position, RepairRefused, ReplayEnd};

use super::{
    Apply, Computed, Known, PlanId,
    compute::sources,
    end::record_end,
    looks::Looks,
    message_of,
    parts::{Called, HandlerParts, last_repair},
    receivers,
    repair::Part,
};
use crate::{
    Refusal,
    handle::{Handle, Shared},
    replay::{Folding, LaneId, ReplayError, Sources, WhatIf},
    replays::ReplayStep,
};

/// How often a key is looked at again that changes meanwhile.
const TRIES_MAX: u32 = 5;
/// The same for a key that writes a part of a status that other keys write meanwhile.
const PART_TRIES_MAX: u32 = 100;
/// Maximum number of records of one key.
const PARTS_MAX: u32 = 10_000;
/// Maximum number of keys that are listed with the reason why they were not repaired, those of receivers included.
const REFUSED_MAX: usize = 100;
/// Maximum number of characters of such a reason.
pub const REASON_CHARS_MAX: usize = 2_000;
/// How often keys that wait for a host are looked at again, all together, and the time between.
const OPEN_WAITS_MAX: u32 = 60;
const OPEN_WAIT: Duration = Duration::from_secs(1);
/// Why a key is not repaired of which as many records are appended as may be.
pub const MORE_IS_LEFT: &str = "more of its repair is left than one application appends; apply again";
/// How often it is looked whether to go on waiting.
pub const LOOK: Duration = Duration::from_millis(50);

/// What an application came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Applied {
    pub is_running: bool,
    /// Keys of the plan that were looked at, and those that were repaired.
    pub looked_at: u64,
    pub repaired: u64,
    /// Keys of receivers that were folded again, or whose folding was taken back.
    pub folded: u64,
    /// Keys that wait until a host may be called.
    pub waiting: u64,
    /// Timers that were not set, because they were due when their key was repaired.
    pub past_timers: u64,
    /// Keys that were not repaired, and why.
    pub refused: Refused,
    /// The error that ended it.
    pub error: Option<String>,
}

/// Keys that were not repaired: the first of them with the reason.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refused {
    pub first: BTreeMap<String, String>,
    /// Number of all of them.
    pub count: u64,
}

impl Refused {
    pub fn add(&mut self, name: String, reason: &str) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < REFUSED_MAX {
            self.first.insert(name, reason.chars().take(REASON_CHARS_MAX).collect());
        }
    }

    /// What is recorded of them.
    pub fn step(self, replay: Position) -> ReplayStep {
        let first = self.first.into_iter().map(|(key, reason)| RepairRefused { key, reason }).collect();
        ReplayStep::Refused { replay, first, count: self.count }
    }

    pub fn append(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        let room = REFUSED_MAX.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }
}

/// What came of a key.
pub enum KeyEnd {
    Repaired,
    /// It stands as the fork has it.
    Nothing,
    Refused(String),
    /// The breaker of a host that its deliveries call is open.
    Waits(String),
}

/// What came of the handler's keys.
#[derive(Default)]
pub struct Ends {
    /// Those that stand as the fork has them.
    standing: BTreeSet<String>,
    refused: u64,
}

pub fn apply(shared: &Arc<Shared>, id: PlanId, known: &Known, asked: &Apply) -> Result<(), ReplayError> {
    // The writer's answers are awaited on this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (handle, request) = (Handle::of(shared), &*known.request);
    let keys: Option<BTreeSet<&str>> =
        asked.choices.keys.as_ref().map(|keys| keys.iter().map(String::as_str).collect());
    let all = || {
        let (computed, keys) = (known.computed().ok_or(ReplayError::NotComputed)?, keys.as_ref());
        let of_receivers = receivers::lanes(&sources(shared, known, false)?, request, &computed.examination)?;
        let stored = (&shared.statuses.views, &shared.keys);
        let parts = HandlerParts::new(stored, (id, request), (computed, &of_receivers), keys)?;
        let (calls_left, called) = (Arc::new(AtomicU64::new(request.bounds.calls)), RefCell::default());
        let (runtime, handle) = (&runtime, &handle);
        Applying { runtime, handle, shared, id, known, request, asked, keys, parts, calls_left, called }.all()
    };
    let ended = catch_unwind(AssertUnwindSafe(all));
    let ended = ended.unwrap_or_else(|panic| Err(ReplayError::Panicked(message_of(&*panic))));
    let applied = shared.what_ifs.peek(id).and_then(|known| known.applied);
    let refused = applied.map(|applied| applied.refused).filter(|refused| refused.count > 0);
    record_end(&runtime, &handle, (id, known, asked), (ended, refused))
}

pub struct Applying<'a> {
    pub runtime: &'a tokio::runtime::Runtime,
    pub handle: &'a Handle,
    pub shared: &'a Arc<Shared>,
    pub id: PlanId,
    pub known: &'a Known,
    pub request: &'a WhatIf,
    pub asked: &'a Apply,
    /// The keys that the approval names; `None`: all of the plan.
    keys: Option<&'a BTreeSet<&'a str>>,
    pub parts: HandlerParts<'a>,
    /// How many more calls it may make, for all keys together.
    calls_left: Arc<AtomicU64>,
    called: RefCell<Called>,
}

impl Applying<'_> {
    fn all(&self) -> Result<ReplayEnd, ReplayError> {
        let computed = self.computed()?;
        if !self.asked.is_of(computed.digest) {
            return Err(Refusal::PlanChanged { replay: self.id.replay, plan: computed.digest }.into());
        }
        let (handler, mut ends) = (&self.request.handler, Ends::default());
        let mut own = Vec::new();
        for (key, plan) in computed.plans.iter().filter(|(key, _)| self.is_asked_for(key)) {
            let lane = (handler.clone(), key.clone());
            match plan.refused.as_ref().filter(|_| !plan.may_be_repaired(self.asked.choices.allow_calls)) {
                Some(reason) => self.note(&mut ends, lane, &KeyEnd::Refused(reason.clone())),
                None => own.push(lane),
            }
        }
        self.repair(handler, own, &mut ends)?;
        if self.id.is_undo {
            let receivers: Vec<&LaneId> = computed.receivers.keys().filter(|(_, key)| self.is_asked_for(key)).collect();
            for of_receiver in receivers.chunk_by(|(one, _), (next, _)| one == next) {
                let Some((receiver, _)) = of_receiver.first() else { continue };
                self.repair(receiver, of_receiver.iter().copied().cloned().collect(), &mut ends)?;
            }
        }
        let Ends { standing, mut refused } = ends;
        if !self.id.is_undo && !self.asked.choices.fold_again.is_empty() {
            let folded = self.fold(&self.emitting(standing)?)?;
            refused = refused.saturating_add(folded.refused.count);
            self.shared.what_ifs.change(self.id, |known| {
                let applied = known.applied.get_or_insert_with(Applied::default);
                applied.folded += u64::try_from(folded.repaired.len()).unwrap_or(u64::MAX);
                applied.refused.append(folded.refused);
            });
        }
        Ok(match (refused == 0 && self.is_whole(computed)?, self.id.is_undo) {
            (false, _) => ReplayEnd::InPart,
            (true, true) => ReplayEnd::Undone,
            (true, false) => ReplayEnd::Applied,
        })
    }

    pub fn computed(&self) -> Result<&Computed, ReplayError> {
        self.known.computed().ok_or(ReplayError::NotComputed)
    }

    /// Deliveries that come are handled by the version in force: keys are repaired to be as if that had always been so, and no host is
    /// called for another one. The writer looks at it again for each record.
    pub fn check_version(&self) -> Result<(), ReplayError> {
        let handler = &self.request.handler;
        let in_force = self.runtime.block_on(self.handle.handler(handler.clone()))?.version;
        if !self.id.is_undo && in_force > self.asked.approved {
            let (handler, replay) = (handler.clone(), self.id.replay);
            return Err(Refusal::ApprovalOver { handler, replay }.into());
        }
        Ok(())
    }

    /// Repairs keys of a handler.
    fn repair(&self, handler: &HandlerName, lanes: Vec<LaneId>, ends: &mut Ends) -> Result<(), ReplayError> {
        if self.takes_batches(handler)? { self.batched(lanes, ends) } else { self.lanes(lanes, ends) }
    }

    /// Repairs keys, each in its turn. Those whose hosts cannot be called wait for the others, and then for the breakers.
    fn lanes(&self, lanes: Vec<LaneId>, ends: &mut Ends) -> Result<(), ReplayError> {
        let mut waiting = VecDeque::new();
        for lane in lanes {
            match self.key(&lane)? {
                KeyEnd::Waits(_) => {
                    waiting.push_back(lane);
                    self.note_waiting(waiting.len());
                }
                end => self.note(ends, lane, &end),
            }
        }
        let mut waits = 0;
        while let Some(lane) = waiting.pop_front() {
            let end = self.key(&lane)?;
            if !matches!(end, KeyEnd::Waits(_)) {
                self.note_waiting(waiting.len());
            }
            match end {
                KeyEnd::Waits(_) if waits < OPEN_WAITS_MAX => {
                    waits += 1;
                    waiting.push_back(lane);
                    self.wait_for(OPEN_WAIT)?;
                }
                KeyEnd::Waits(reason) => {
                    let reason = format!("{reason}; apply again when it is closed");
                    self.note(ends, lane, &KeyEnd::Refused(reason));
                    self.note_waiting(waiting.len());
                }
                end => self.note(ends, lane, &end),
            }
        }
        Ok(())
    }

    fn note_waiting(&self, keys: usize) {
        self.shared.what_ifs.change(self.id, |known| {
            let applied = known.applied.get_or_insert_with(|| Applied { is_running: true, ..Applied::default() });
            applied.waiting = u64::try_from(keys).unwrap_or(u64::MAX);
        });
    }

    pub fn note_past_timers(&self, timers: usize) {
        if timers > 0 {
            self.shared.what_ifs.change(self.id, |known| {
                let applied = known.applied.get_or_insert_with(|| Applied { is_running: true, ..Applied::default() });
                applied.past_timers = applied.past_timers.saturating_add(u64::try_from(timers).unwrap_or(u64::MAX));
            });
        }
    }

    fn wait_for(&self, time: Duration) -> Result<(), ReplayError> {
        let mut waited = Duration::ZERO;
        while waited < time {
            if self.known.watch.is_cancelled() {
                return Err(ReplayError::Cancelled);
            }
            thread::park_timeout(LOOK);
            waited += LOOK;
        }
        Ok(())
    }

    /// Notes what came of a key, also for those who follow the replay.
    pub fn note(&self, ends: &mut Ends, (handler, key): LaneId, end: &KeyEnd) {
        let is_own = handler == self.request.handler;
        self.shared.what_ifs.change(self.id, |known| {
            let applied = known.applied.get_or_insert_with(|| Applied { is_running: true, ..Applied::default() });
            applied.looked_at += u64::from(is_own);
            match end {
                KeyEnd::Repaired if is_own => applied.repaired += 1,
                KeyEnd::Repaired => applied.folded += 1,
                KeyEnd::Refused(reason) | KeyEnd::Waits(reason) => {
                    applied.refused.add(if is_own { key.clone() } else { format!("{handler} {key}") }, reason);
                }
                KeyEnd::Nothing => {}
            }
        });
        match end {
            KeyEnd::Refused(_) | KeyEnd::Waits(_) => ends.refused += 1,
            KeyEnd::Repaired | KeyEnd::Nothing => drop(ends.standing.insert(key)),
        }
    }

    /// The handler's keys that emit what the fork does: those that stand as it has them, and those that an earlier application has repaired.
    fn emitting(&self, mut standing: BTreeSet<String>) -> Result<BTreeSet<LaneId>, ReplayError> {
        let computed = self.computed()?;
        let known = (&self.shared.statuses.views, &self.shared.keys);
        for key in computed.plans.keys() {
            if !standing.contains(key) && last_repair(known, self.id, (&self.request.handler, key))?.is_some() {
                standing.insert(key.clone());
            }
        }
        let standing = standing.into_iter().map(|key| (self.request.handler.clone(), key)).collect();
        Ok(computed.emitting(standing))
    }

    pub fn is_asked_for(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }

    fn key(&self, lane: &LaneId) -> Result<KeyEnd, ReplayError> {
        let (mut end, mut tries) = (KeyEnd::Nothing, 0);
        let mut part = 0;
        // What is known of the key is kept for all its tries and records, and for no other key.
        let mut looks = Looks::new(Folding::of_key(self.id.replay, self.request, lane));
        while part < PARTS_MAX {
            match self.own_part(lane, &mut looks, part) {
                Ok(Part::Whole) => return Ok(KeyEnd::Repaired),
                Ok(Part::More) => {
                    (end, tries) = (KeyEnd::Repaired, 0);
                    part += 1;
                }
                Ok(Part::Nothing) => return Ok(end),
                Ok(Part::Refused(reason)) => return Ok(KeyEnd::Refused(reason)),
                Ok(Part::Waits(reason)) => return Ok(KeyEnd::Waits(reason)),
                Err(ReplayError::Refused(refusal)) if matches!(*refusal, Refusal::Busy) => self.wait_for(LOOK)?,
                // It changed meanwhile, or took too long.
                Err(ReplayError::Refused(refusal)) if is_busy(&refusal) && tries < tries_max(&refusal) => tries += 1,
                Err(ReplayError::Refused(refusal)) if is_busy(&refusal) => {
                    return Ok(KeyEnd::Refused(refusal.to_string()));
                }
                Err(ReplayError::Refused(refusal)) if is_of_key(&refusal) => {
                    return Ok(KeyEnd::Refused(refusal.to_string()));
                }
                Err(error @ ReplayError::Bound(_)) => return Ok(KeyEnd::Refused(error.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(KeyEnd::Refused(MORE_IS_LEFT.to_owned()))
    }

    /// One record of a key that is repaired as it was approved.
    pub fn own_part(&self, lane: &LaneId, looks: &mut Looks, part: u32) -> Result<Part, ReplayError> {
        let came = {
            let called = self.called.borrow();
            let after = self.parts.after(&called, lane, self.id);
            let parts = after.as_ref().unwrap_or_else(|| self.parts.repaired(&lane.0));
            self.part(lane, looks, (part, true), parts)?
        };
        let needed_call = self.computed()?.plans.get(&lane.1).is_some_and(|plan| plan.needs.is_some());
        if needed_call
            && lane.0 == self.request.handler
            && matches!(came, Part::Whole | Part::More | Part::Nothing)
            && let Some(examined) = looks.examined_of(lane)
        {
            self.called.borrow_mut().repaired(&lane.1, examined, looks.through());
        }
        Ok(came)
    }

    pub fn sources(&self) -> Result<Sources, ReplayError> {
        let sources = sources(self.shared, self.known, self.asked.choices.allow_calls)?;
        Ok(Sources { calls_left: Some(Arc::clone(&self.calls_left)), ..sources })
    }
}

/// Whether the key alone cannot be repaired.
pub fn is_of_key(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::KeyFinishes { .. } | Refusal::RepairTooLarge { .. })
}

/// Whether the key can be tried again: an attempt of it ran for too long, a timer came due meanwhile, or another version was deployed:
/// if that is of the candidate's handler, the next try ends the application.
pub fn is_busy(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::HoldOver
            | Refusal::KeyOnHold(_)
            | Refusal::TimerDue
            | Refusal::VersionChanged(_)
            | Refusal::PartWritten { .. }
            | Refusal::Busy
    )
}

/// Keys that write a part often leave little time to look at it.
fn tries_max(refusal: &Refusal) -> u32 {
    if matches!(refusal, Refusal::PartWritten { .. }) { PART_TRIES_MAX } else { TRIES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_keys_are_counted_and_the_first_of_them_listed() {
        let refused = |name: &str| {
            let mut refused = Refused::default();
            (0..100_000).for_each(|n| refused.add(format!("{name}/{n}"), &"no".repeat(REASON_CHARS_MAX)));
            refused
        };
        let mut all = refused("own");
        all.append(refused("receiver"));
        assert_eq!((all.count, all.first.len()), (200_000, REFUSED_MAX));
        assert!(all.first.values().all(|reason| reason.len() == REASON_CHARS_MAX));
    }
}
