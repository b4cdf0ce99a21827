//! Executes deliveries of the fork: by the candidate, or again under the version that handled them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_host::CallError;
use weirgate_types::{Commit, DeliveryId, Event, HandlerName, Outcome, Position, RUNTIME_TYPES};

use super::{
    calls::{Asking, ForkCalls},
    notes::Examined,
    request::{Closed, Facts},
    run::{Earlier, Fork, LaneId},
    state::{ForkState, Names},
    walk::{HeldState, Walk},
};
use crate::{
    StorageError,
    job::StoredRecord,
    replay::{
        ReplayError,
        attempts::{Begun, Ended, EndedCall},
        compare::Repeated,
        execute::{CallInput, Executable, Execution, ItemInput, Services},
        recorded::RecordedCalls,
    },
};

/// A delivery of the log, of the fork, or of both.
pub struct Delivered<'a> {
    pub delivery: DeliveryId,
    pub key: String,
    /// As the fork delivers it.
    pub event: Event,
    pub depth: u32,
    /// The record that committed it; in the fork, where that would have been.
    pub at: Position,
    /// The attempt that closed it, and its commit; `None` for one that only the fork has.
    pub begun: Option<Begun>,
    pub commit: Option<&'a Commit>,
    pub first_emitted: Position,
    /// The fork does not have it.
    pub is_dropped: bool,
    /// Who emitted its event in another form.
    pub cause: Option<LaneId>,
    times: (u64, u64),
    accepted_at_ms: u64,
    /// It is for its handler whatever that subscribes to.
    is_addressed: bool,
    pub answers: Answers,
}

/// Which answers the calls of a delivery get beside those that it got itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// None: the log does not hold its event, so no other answer could be found again.
    Own,
    /// Those that replays got.
    OfReplays,
    /// Hosts may be asked, too: the candidate executes it.
    Asked,
}

/// What a delivery of the fork came to.
pub struct Ran {
    pub repeated: Repeated,
    pub calls: ForkCalls,
    /// The form of the state that it left.
    pub state_version: u32,
}

/// Who handles a delivery in the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// What the log holds stands.
    Record,
    /// The fork does not have it.
    Dropped,
    Candidate,
    /// The version that handled it.
    Version(Position),
}

impl Delivered<'_> {
    /// A delivery that the log does not hold.
    pub fn added(handler: HandlerName, event: &Event, (at, depth): (Position, u32), times: (u64, u64)) -> Self {
        Self {
            delivery: DeliveryId { handler, position: at },
            key: event.key().to_owned(),
            event: event.clone(),
            depth,
            at,
            begun: None,
            commit: None,
            first_emitted: at,
            is_dropped: false,
            cause: None,
            times,
            accepted_at_ms: times.0,
            is_addressed: false,
            answers: Answers::Own,
        }
    }

    pub fn closed(&self) -> Option<Closed> {
        self.commit.and_then(closed)
    }

    fn lane(&self) -> LaneId {
        (self.delivery.handler.clone(), self.key.clone())
    }

    fn input(&self) -> ItemInput {
        ItemInput {
            delivery: self.delivery.clone(),
            attempt: self.begun.as_ref().map_or(1, |begun| begun.attempt),
            event: self.event.clone(),
            depth: self.depth,
            migrate_from: None,
        }
    }
}

impl Fork<'_> {
    /// Takes a call that ended: executes it where the selection, its events or their states say so.
    pub(super) fn fold_call(&mut self, walk: &mut Walk, call: &EndedCall) -> Result<(), ReplayError> {
        let stored = call.iter().map(|ended| walk.commit_record(ended)).collect::<Result<Vec<_>, _>>()?;
        let commits = call.iter().zip(&stored).map(|(ended, stored)| commit_of(ended, stored.as_ref()));
        let commits = commits.collect::<Result<Vec<_>, _>>()?;
        if !commits.iter().flatten().any(|commit| self.matters(commit)) {
            commits.iter().flatten().for_each(|commit| walk.committed(commit));
            return Ok(());
        }
        let mut delivered = Vec::new();
        for (ended, commit) in call.iter().zip(&commits) {
            let (Some(commit), Some(at)) = (*commit, ended.commit) else { continue };
            delivered.push(self.delivered(walk, &ended.begun, commit, at)?);
        }
        let by = delivered.iter().map(|one| self.by(walk, one)).collect::<Result<Vec<_>, _>>()?;
        for (one, by) in delivered.iter_mut().zip(&by) {
            one.is_dropped = *by == By::Dropped;
            if *by == By::Candidate {
                one.answers = Answers::Asked;
            }
        }
        let mut ran: Vec<Option<Ran>> = delivered.iter().map(|_| None).collect();
        let mut versions: Vec<By> = by.iter().copied().filter(|by| !matches!(by, By::Record | By::Dropped)).collect();
        versions.dedup();
        for version in versions {
            let wanted: Vec<bool> = by.iter().map(|by| *by == version).collect();
            let results = match version {
                By::Record | By::Dropped => continue,
                By::Candidate => match &self.candidate {
                    Some(candidate) => self.execute(walk, &candidate.executable, &delivered, &wanted)?,
                    None => continue,
                },
                By::Version(version) => match &walk.deployment(version)?.executable {
                    Some(executable) => self.execute(walk, executable, &delivered, &wanted)?,
                    None => return Err(ReplayError::NoModule(version)),
                },
            };
            for ((slot, result), wanted) in ran.iter_mut().zip(results).zip(&wanted) {
                if *wanted {
                    *slot = result;
                }
            }
        }
        let mut earlier = Earlier::new();
        for (one, ran) in delivered.iter().zip(ran) {
            let is_open = one.closed().is_none();
            if !is_open && (ran.is_some() || one.is_dropped || self.examined.contains_key(&one.lane())) {
                self.take(walk, one, ran, &earlier)?;
            }
            let writes = one.commit.iter().flat_map(|commit| &commit.effects.state);
            earlier.extend(writes.map(|write| ((one.lane(), write.name.clone()), write.value.clone())));
        }
        commits.iter().flatten().for_each(|commit| walk.committed(commit));
        Ok(())
    }

    /// Whether a delivery may come to something else in the fork.
    fn matters(&self, commit: &Commit) -> bool {
        commit.handler == self.request.handler
            || self.substitutes.has(commit.event)
            || (!self.examined.is_empty() && self.examined.contains_key(&(commit.handler.clone(), commit.key.clone())))
    }

    /// A delivery of the log, with what the fork delivers in place of its event.
    fn delivered<'c>(
        &self,
        walk: &Walk,
        begun: &Begun,
        commit: &'c Commit,
        at: Position,
    ) -> Result<Delivered<'c>, ReplayError> {
        let found = walk.delivered(begun)?;
        let substitute = self.substitutes.get(begun.delivery.position);
        let (mut event, mut is_gone) = (found.item.event, false);
        match substitute.map(|substitute| &substitute.event) {
            Some(Some(other)) => event = other.clone(),
            Some(None) => is_gone = true,
            None => {}
        }
        Ok(Delivered {
            delivery: begun.delivery.clone(),
            key: commit.key.clone(),
            event,
            depth: found.item.depth,
            at,
            first_emitted: walk.first_emitted(at, commit)?,
            begun: Some(begun.clone()),
            commit: Some(commit),
            is_dropped: is_gone,
            cause: substitute.map(|substitute| substitute.cause.clone()),
            times: (begun.at_ms, begun.wall_ms),
            accepted_at_ms: found.accepted_at_ms,
            is_addressed: found.is_addressed,
            answers: Answers::OfReplays,
        })
    }

    fn by(&self, walk: &mut Walk, one: &Delivered<'_>) -> Result<By, ReplayError> {
        let Some((closed, version)) = one.closed().zip(one.begun.as_ref().map(|begun| begun.version)) else {
            return Ok(By::Record);
        };
        if one.is_dropped {
            return Ok(By::Dropped);
        }
        if let Some(candidate) = self.candidate.as_ref()
            && self.is_selected(walk, one, (closed, version))?
        {
            let takes = one.is_addressed || candidate.interest.matches(&one.event.r#type, &one.event.source);
            return Ok(if takes { By::Candidate } else { By::Dropped });
        }
        let reads_otherwise = |examined: &Examined| examined.lane.reads_otherwise();
        let differs = one.cause.is_some() || self.examined.get(&one.lane()).is_some_and(reads_otherwise);
        // What a dead letter would do is asked of the candidate alone.
        let again = differs && closed == Closed::Completed;
        Ok(if again { By::Version(version) } else { By::Record })
    }

    fn is_selected(
        &self,
        walk: &mut Walk,
        one: &Delivered<'_>,
        handled: (Closed, Position),
    ) -> Result<bool, ReplayError> {
        // What the runtime sent is history.
        let is_runtimes = one.event.r#type.starts_with(RUNTIME_TYPES);
        let may_differ = one.cause.is_some() || self.may_differ(&one.lane());
        if one.delivery.handler != self.request.handler || is_runtimes || !may_differ {
            return Ok(false);
        }
        let facts = Facts {
            event: one.delivery.position,
            at_ms: one.accepted_at_ms,
            key: &one.key,
            r#type: &one.event.r#type,
            data: &one.event.data,
            handled: Some(handled),
        };
        if !self.request.selection.takes(facts) {
            return Ok(false);
        }
        let Some(name) = &self.request.selection.read_state else { return Ok(true) };
        self.has_read(walk, one, handled.1, name)
    }

    /// Whether a delivery read a value of the state when it was handled.
    fn has_read(
        &self,
        walk: &mut Walk,
        one: &Delivered<'_>,
        version: Position,
        name: &str,
    ) -> Result<bool, ReplayError> {
        let deployment = walk.deployment(version)?;
        let Some(executable) = &deployment.executable else { return Err(ReplayError::NoModule(version)) };
        let names = Names::default();
        self.execute_items(walk, executable, &[one], &names)?;
        Ok(names.has(name))
    }

    /// Executes those deliveries of a call that are wanted; a batch as a whole.
    fn execute(
        &self,
        walk: &Walk,
        executable: &Executable,
        delivered: &[Delivered<'_>],
        wanted: &[bool],
    ) -> Result<Vec<Option<Ran>>, ReplayError> {
        let mut ran: Vec<Option<Ran>> = delivered.iter().map(|_| None).collect();
        let there: Vec<usize> =
            (0..delivered.len()).filter(|index| delivered.get(*index).is_some_and(|one| !one.is_dropped)).collect();
        let groups: Vec<Vec<usize>> = if executable.is_batch() {
            vec![there]
        } else {
            there.into_iter().filter(|index| wanted.get(*index) == Some(&true)).map(|index| vec![index]).collect()
        };
        for group in groups {
            let items: Vec<_> = group.iter().filter_map(|index| delivered.get(*index)).collect();
            let results = self.execute_items(walk, executable, &items, &Names::default())?;
            for (index, result) in group.into_iter().zip(results) {
                if let Some(slot) = ran.get_mut(index) {
                    *slot = Some(result);
                }
            }
        }
        Ok(ran)
    }

    /// Executes a delivery that the log does not hold.
    pub(super) fn execute_added(
        &self,
        walk: &Walk,
        delivered: &Delivered<'_>,
        executable: &Executable,
    ) -> Result<Ran, ReplayError> {
        let mut ran = self.execute_items(walk, executable, &[delivered], &Names::default())?;
        ran.pop().ok_or(ReplayError::NoItem(0))
    }

    fn execute_items(
        &self,
        walk: &Walk,
        executable: &Executable,
        items: &[&Delivered<'_>],
        names: &Names,
    ) -> Result<Vec<Ran>, ReplayError> {
        let (at_ms, wall_ms) = items.first().map_or((0, 0), |first| first.times);
        let input = CallInput { at_ms, wall_ms, items: self.inputs(walk, executable, items)? };
        // A call for which the host has no room at first is tried again, with new services.
        let calls = RefCell::new(vec![None; items.len()]);
        let services = |index: usize| {
            let one = items.get(index).ok_or(ReplayError::NoItem(index))?;
            let (services, own) = self.services(walk, one, names)?;
            if let Some(slot) = calls.borrow_mut().get_mut(index) {
                *slot = Some(own);
            }
            Ok(services)
        };
        let Execution { repeated, hosts, .. } = executable.execute_for(&self.processor, &input, services)?;
        self.outside.called(&self.request.handler, hosts);
        if repeated.iter().any(|one| matches!(one.result, Err(CallError::Discarded))) {
            return Err(ReplayError::Cancelled);
        }
        let calls = calls.into_inner();
        if calls.iter().flatten().any(ForkCalls::is_over) {
            return Err(ReplayError::Bound("calls"));
        }
        let ran = repeated.into_iter().zip(calls).enumerate().map(|(index, (repeated, calls))| {
            Ok(Ran {
                repeated,
                calls: calls.ok_or(ReplayError::NoItem(index))?,
                state_version: executable.state_version,
            })
        });
        ran.collect()
    }

    fn inputs(
        &self,
        walk: &Walk,
        executable: &Executable,
        items: &[&Delivered<'_>],
    ) -> Result<Vec<ItemInput>, ReplayError> {
        let mut seen = BTreeSet::new();
        let inputs = items.iter().map(|one| {
            // The first of a key in a call migrates its state for the others.
            let is_first = seen.insert(one.lane());
            let migrate_from = if is_first { self.migrates_from(walk, executable, one)? } else { None };
            Ok(ItemInput { migrate_from, ..one.input() })
        });
        inputs.collect()
    }

    /// The version of the key's state that is migrated before a delivery: where the fork still has the form of the log, that of the
    /// version that handled the delivery.
    fn migrates_from(
        &self,
        walk: &Walk,
        executable: &Executable,
        one: &Delivered<'_>,
    ) -> Result<Option<u32>, ReplayError> {
        let lane = one.lane();
        let migrated = self.examined.get(&lane).and_then(|examined| examined.state_version);
        let from = match (migrated, one.commit) {
            (Some(migrated), _) => migrated,
            (None, Some(commit)) => commit.migrated_from.unwrap_or(commit.state_version),
            (None, None) => self.in_force.get(&lane.0).map_or(executable.state_version, |one| one.state_version),
        };
        let has_state = !walk.state(&lane)?.is_empty() || self.examined.contains_key(&lane);
        Ok(Some(from).filter(|from| *from < executable.state_version && has_state))
    }

    fn services(&self, walk: &Walk, one: &Delivered<'_>, names: &Names) -> Result<(Services, ForkCalls), ReplayError> {
        let base = HeldState(walk.state(&one.lane())?);
        let recorded = match &one.begun {
            Some(begun) => {
                let RecordedCalls { before, own } = walk.calls(begun)?;
                before.into_iter().chain(own).collect()
            }
            None => Vec::new(),
        };
        let is_own = one.delivery.handler == self.request.handler && one.answers != Answers::Own;
        let given = if is_own { self.outside.answers(&one.delivery)? } else { Vec::new() };
        let candidate = self.candidate.as_ref().filter(|_| is_own && one.answers == Answers::Asked);
        let asking = candidate.map(|candidate| Asking {
            outside: Arc::clone(&self.outside),
            may_call: self.may_call,
            delivery: one.delivery.clone(),
            left: Arc::clone(&self.calls_left),
            time_max: candidate.call_time_max,
            processor: Arc::clone(&self.processor),
        });
        let calls = ForkCalls::new(recorded, given, self.request.missing_answers, asking);
        let none = BTreeMap::new();
        let differs = self.examined.get(&one.lane()).map_or(&none, |examined| examined.lane.state());
        let state = ForkState::new(Box::new(base), differs, names);
        Ok(((Box::new(state), Box::new(calls.clone())), calls))
    }
}

/// The commit of an attempt in the record that holds it; `None` if the attempt was discarded.
fn commit_of<'r>(ended: &Ended, stored: Option<&'r StoredRecord>) -> Result<Option<&'r Commit>, ReplayError> {
    let Some(stored) = stored else { return Ok(None) };
    let commit = stored.record.commit_of(&ended.begun.delivery);
    Ok(Some(commit.ok_or(StorageError::Missing { what: "commit", position: stored.first })?))
}

/// How a commit closed its delivery.
fn closed(commit: &Commit) -> Option<Closed> {
    match &commit.outcome {
        Outcome::Completed | Outcome::Withheld => Some(Closed::Completed),
        Outcome::DeadLettered { .. } => Some(Closed::DeadLettered),
        Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. } => None,
    }
}
