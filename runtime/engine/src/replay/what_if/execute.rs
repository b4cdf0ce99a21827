//! Executes deliveries of the fork: by the candidate, or again under the version that handled them.

use std::{borrow::Cow, cell::RefCell, collections::BTreeSet, sync::Arc, time::Duration};

use weirgate_host::CallError;
use weirgate_types::{Commit, Correction, FIRST_STATE_VERSION, Position, RUNTIME_TYPES, Stepped};

use super::{
    calls::{Asking, ForkCalls, UnmadeCall},
    delivered::{Delivered, Ran},
    deployments::InForce,
    earlier::Earlier,
    notes::Examined,
    outside::MayCall,
    request::{Closed, Facts},
    run::{Fork, LaneId},
    state::{ForkState, Names},
    walk::{Found, HeldState, Walk},
};
use crate::replay::{
    ReplayError,
    attempts::Begun,
    execute::{CallInput, Executable, Execution, ItemInput, Services},
    recorded::RecordedCalls,
};

/// Who handles a delivery in the fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// What the log holds stands.
    Record,
    /// The fork does not have it.
    Dropped,
    Candidate,
    /// The version that handled it.
    Version(Position),
}

impl By {
    /// Whether a delivery may be taken together with one of the same key before it.
    pub(super) fn goes_on_after(self, before: Self) -> bool {
        let is_new = |by| matches!(by, Self::Candidate | Self::Dropped);
        self == before || is_new(self) && is_new(before)
    }
}

impl Fork {
    /// Does something with what handles a delivery, if it is executed.
    pub(super) fn by_executable<T>(
        &self,
        walk: &mut Walk,
        by: By,
        does: impl FnOnce(&Walk, &Executable) -> Result<T, ReplayError>,
    ) -> Result<Option<T>, ReplayError> {
        match by {
            By::Record | By::Dropped => Ok(None),
            By::Candidate => self.candidate.as_ref().map(|candidate| does(walk, &candidate.executable)).transpose(),
            By::Version(version) => match &walk.deployment(version)?.executable {
                Some(executable) => does(walk, executable).map(Some),
                None => Err(ReplayError::NoModule(version)),
            },
        }
    }

    /// A delivery of the log, with what the fork delivers in place of its event.
    pub(super) fn delivered<'c>(
        &self,
        found: &'c Found,
        begun: &'c Begun,
        commit: &'c Commit,
        (at, first_emitted): (Position, Position),
    ) -> Result<Delivered<'c>, ReplayError> {
        let substitute = self.substitutes.get(begun.delivery.position);
        let (mut event, mut is_gone) = (Cow::Borrowed(found.event()?), false);
        match substitute.map(|substitute| &substitute.event) {
            Some(Some(other)) => event = Cow::Owned(other.clone()),
            Some(None) => is_gone = true,
            None => {}
        }
        Ok(Delivered {
            delivery: begun.delivery.clone(),
            lane: (commit.handler.clone(), commit.key.clone()),
            event,
            depth: found.depth(),
            at,
            first_emitted,
            begun: Some(begun),
            commit: Some(commit),
            is_dropped: is_gone,
            cause: substitute.map(|substitute| substitute.cause.clone()),
            is_unknown: substitute.is_some_and(|substitute| substitute.is_unknown),
            times: (begun.at_ms, begun.wall_ms),
            accepted_at_ms: found.accepted_at_ms(),
            is_addressed: found.is_addressed(),
            may_call: MayCall::Safe,
        })
    }

    pub(super) fn by(&self, walk: &mut Walk, one: &Delivered<'_>, earlier: &Earlier) -> Result<By, ReplayError> {
        let Some((closed, version)) = one.closed().zip(one.begun.map(|begun| begun.version)) else {
            return Ok(By::Record);
        };
        if one.is_dropped {
            return Ok(By::Dropped);
        }
        if let Some(candidate) = self.candidate.as_ref()
            && self.is_selected(walk, (one, earlier), (closed, version))?
        {
            let takes = one.is_addressed || candidate.interest.matches(&one.event.r#type, &one.event.source);
            return Ok(if takes { By::Candidate } else { By::Dropped });
        }
        let reads_otherwise = |examined: &Examined| examined.lane.reads_otherwise();
        let differs = one.cause.is_some() || self.examined.get(&one.lane).is_some_and(reads_otherwise);
        // What a dead letter would do is asked of the candidate alone.
        if !differs || closed != Closed::Completed {
            return Ok(By::Record);
        }
        let is_for_the_candidate = self.candidate.is_some()
            && one.delivery.handler == self.request.handler
            && !self.is_of_the_handlers(one)
            && self.is_of_a_later_form(walk, By::Version(version), (one, earlier))?;
        Ok(if is_for_the_candidate { By::Candidate } else { By::Version(version) })
    }

    /// Whether the fork's state of a key is in a form that what would handle a delivery does not read: the candidate has migrated it.
    fn is_of_a_later_form(
        &self,
        walk: &mut Walk,
        by: By,
        (one, earlier): (&Delivered<'_>, &Earlier),
    ) -> Result<bool, ReplayError> {
        let is_later = self.by_executable(walk, by, |walk, executable| {
            let had = self.state_version(walk, executable, (one, earlier))?;
            Ok(had.is_some_and(|had| had > executable.state_version))
        });
        Ok(is_later? == Some(true))
    }

    /// Whether it is a delivery of the handler that is asked about. What the runtime sent is history.
    pub(super) fn is_of_the_handlers(&self, one: &Delivered<'_>) -> bool {
        one.delivery.handler == self.request.handler && !one.event.r#type.starts_with(RUNTIME_TYPES)
    }

    fn is_selected(
        &self,
        walk: &mut Walk,
        (one, earlier): (&Delivered<'_>, &Earlier),
        (closed, version): (Closed, Position),
    ) -> Result<bool, ReplayError> {
        let may_differ = one.cause.is_some() || self.may_differ(&one.lane);
        if !self.is_of_the_handlers(one) || !may_differ {
            return Ok(false);
        }
        let facts = Facts {
            event: one.delivery.position,
            at_ms: one.accepted_at_ms,
            key: &one.lane.1,
            r#type: &one.event.r#type,
            data: &one.event.data,
            closed: Some(closed),
            version,
        };
        if !self.request.selection.takes(facts) {
            return Ok(false);
        }
        let Some(name) = &self.request.selection.read_state else { return Ok(true) };
        self.has_read(walk, (one, earlier), version, name)
    }

    /// Whether the version that handled a delivery reads a value of the state, given the fork's.
    fn has_read(
        &self,
        walk: &mut Walk,
        (one, earlier): (&Delivered<'_>, &Earlier),
        version: Position,
        name: &str,
    ) -> Result<bool, ReplayError> {
        let deployment = walk.deployment(version)?;
        let Some(executable) = &deployment.executable else { return Err(ReplayError::NoModule(version)) };
        let names = Names::default();
        // What it reads of the state may depend on answers; none is asked for to find that out.
        self.execute_items(walk, executable, &[&one.silent()], (&names, earlier))?;
        Ok(names.has(name))
    }

    /// Executes a delivery that the log does not hold.
    pub(super) fn execute_added(
        &self,
        walk: &Walk,
        (delivered, earlier): (&Delivered<'_>, &Earlier),
        executable: &Executable,
    ) -> Result<Ran, ReplayError> {
        let mut ran = self.execute_items(walk, executable, &[delivered], (&Names::default(), earlier))?;
        ran.pop().ok_or(ReplayError::NoItem(0))
    }

    /// Executes a call. As live, a component's hook corrects a delivery once, which is then executed with the corrected data.
    pub(super) fn execute_items(
        &self,
        walk: &Walk,
        executable: &Executable,
        items: &[&Delivered<'_>],
        state: (&Names, &Earlier),
    ) -> Result<Vec<Ran>, ReplayError> {
        let (ran, correction) = self.execute_once(walk, executable, items, state)?;
        match (items, correction) {
            ([one], Some(correction)) => {
                Ok(self.execute_once(walk, executable, &[&one.corrected(correction)], state)?.0)
            }
            _ => Ok(ran),
        }
    }

    fn execute_once(
        &self,
        walk: &Walk,
        executable: &Executable,
        items: &[&Delivered<'_>],
        state: (&Names, &Earlier),
    ) -> Result<(Vec<Ran>, Option<Correction>), ReplayError> {
        let (at_ms, wall_ms) = items.first().map_or((0, 0), |first| first.times);
        let version = executable.state_version;
        let had = items.iter().map(|one| self.state_version(walk, executable, (one, state.1)));
        let had = had.collect::<Result<Vec<_>, _>>()?;
        if let Some(later) = had.iter().flatten().find(|had| **had > version) {
            return Ok((items.iter().map(|_| Ran::not_converted(*later, version)).collect(), None));
        }
        let input = CallInput { at_ms, wall_ms, items: inputs(items, &had) };
        // A call for which the host has no room at first is tried again, with new services.
        let calls = RefCell::new(vec![None; items.len()]);
        let services = |index: usize| {
            let one = items.get(index).ok_or(ReplayError::NoItem(index))?;
            let (services, own) = self.services(walk, one, executable, state)?;
            if let Some(slot) = calls.borrow_mut().get_mut(index) {
                *slot = Some(own);
            }
            Ok(services)
        };
        let Execution { repeated, correction, hosts } = executable.execute_for(&self.processor, &input, services)?;
        if let Some(first) = items.first() {
            self.outside.called(&first.delivery.handler, hosts);
        }
        if repeated.iter().any(|one| matches!(one.result, Err(CallError::Discarded))) {
            return Err(ReplayError::Cancelled);
        }
        let calls = calls.into_inner();
        if calls.iter().flatten().any(ForkCalls::is_over) {
            return Err(ReplayError::Bound("calls"));
        }
        let ran = repeated.into_iter().zip(calls).enumerate().map(|(index, (repeated, calls))| {
            Ok(Ran { repeated, calls: calls.ok_or(ReplayError::NoItem(index))?, state_version: version })
        });
        Ok((ran.collect::<Result<_, ReplayError>>()?, correction))
    }

    /// The version of the key's state before a delivery, if it has state of another version than the executable's: where the fork still has
    /// the form of the log, that of the version that handled the delivery.
    fn state_version(
        &self,
        walk: &Walk,
        executable: &Executable,
        (one, earlier): (&Delivered<'_>, &Earlier),
    ) -> Result<Option<u32>, ReplayError> {
        let lane = &one.lane;
        let migrated = self.examined.get(lane).and_then(|examined| examined.state_version);
        let had = match (migrated, one.commit) {
            (Some(migrated), _) => migrated,
            // 0: no call returned.
            (None, Some(commit)) if commit.state_version > 0 => commit.migrated_from.unwrap_or(commit.state_version),
            (None, _) if self.has_one_version(lane, executable) => executable.state_version,
            (None, _) => match earlier.state_version(lane) {
                Some(version) => version,
                None => walk.state_version(lane)?.unwrap_or(executable.state_version),
            },
        };
        if had == executable.state_version {
            return Ok(None);
        }
        let has_state = self.examined.contains_key(lane) || earlier.has_state(lane) || !walk.state(lane)?.is_empty();
        Ok(Some(had).filter(|_| has_state))
    }

    /// Whether no version of the handler can have left state of another version.
    fn has_one_version(&self, lane: &LaneId, executable: &Executable) -> bool {
        let in_force = self.in_force.get(&lane.0).map_or(FIRST_STATE_VERSION, |one| one.state_version);
        in_force.max(executable.state_version) == FIRST_STATE_VERSION
    }

    fn services(
        &self,
        walk: &Walk,
        one: &Delivered<'_>,
        executable: &Executable,
        (names, earlier): (&Names, &Earlier),
    ) -> Result<(Services, ForkCalls), ReplayError> {
        let base = HeldState(earlier.on(&one.lane, walk.state(&one.lane)?));
        let calls = self.calls(walk, one, executable)?;
        let differs = self.examined.get(&one.lane).map(|examined| examined.lane.shared_state()).unwrap_or_default();
        let state = ForkState::new(Box::new(base), differs, names);
        Ok(((Box::new(state), Box::new(calls.clone())), calls))
    }

    fn calls(&self, walk: &Walk, one: &Delivered<'_>, executable: &Executable) -> Result<ForkCalls, ReplayError> {
        let asking = self.time_of_calls(walk, one, executable)?.map(|time_max| Asking {
            outside: Arc::clone(&self.outside),
            may_call: self.may_call.min(one.may_call),
            delivery: one.delivery.clone(),
            left: Arc::clone(&self.calls_left),
            time_max,
            processor: Arc::clone(&self.processor),
        });
        let given = self.outside.answers(&one.delivery)?;
        let calls = ForkCalls::new(recorded_calls(walk, one)?, given, self.request.missing_answers, asking);
        Ok(match &one.cause {
            Some(emitter) if executable.makes_calls() => {
                let mut late = walk.late_calls(&one.delivery.handler, emitter, &one.event)?;
                // Of equal events each has its own late delivery.
                if let Some(examined) = self.examined.get(&one.lane) {
                    late.retain(|late| !examined.notes.late_steps.contains(&late.step()));
                }
                calls.with_late(late)
            }
            _ => calls,
        })
    }

    /// How long a call may take, if hosts may be called: the candidate was compared with the version in force when it was asked for; of others,
    /// those that may reach no more than the version in force.
    fn time_of_calls(
        &self,
        walk: &Walk,
        one: &Delivered<'_>,
        executable: &Executable,
    ) -> Result<Option<Duration>, ReplayError> {
        if self.may_call.min(one.may_call) == MayCall::Nothing || !executable.makes_calls() {
            return Ok(None);
        }
        if let Some(candidate) = self.candidate.as_ref().filter(|_| one.may_call == MayCall::All) {
            return Ok(Some(candidate.call_time_max));
        }
        let in_force = self.deployments.in_force(&walk.look, self.request.through)?;
        let may = |in_force: &&Arc<InForce>| executable.reaches_no_more_than(&in_force.capabilities);
        Ok(in_force.get(&one.delivery.handler).filter(may).map(|in_force| in_force.call_time_max))
    }

    /// The calls of a delivery that the fork does not have.
    pub(super) fn calls_of_dropped(&self, walk: &Walk, one: &Delivered<'_>) -> Result<Vec<UnmadeCall>, ReplayError> {
        if one.closed() != Some(Closed::Completed) {
            return Ok(Vec::new());
        }
        let given = self.outside.answers(&one.delivery)?;
        Ok(ForkCalls::new(recorded_calls(walk, one)?, given, self.request.missing_answers, None).not_made())
    }
}

/// The inputs of a call, with the versions of the keys' states before it that are earlier ones: the first delivery of a key migrates its state
/// for the others.
fn inputs<'c>(items: &'c [&Delivered<'_>], had: &[Option<u32>]) -> Vec<ItemInput<'c>> {
    let mut seen = BTreeSet::new();
    let inputs = items.iter().zip(had).map(|(one, had)| {
        let is_first = seen.insert(&one.lane);
        one.input(had.filter(|_| is_first))
    });
    inputs.collect()
}

/// The calls of a delivery's attempts.
fn recorded_calls(walk: &Walk, one: &Delivered<'_>) -> Result<Vec<Stepped>, ReplayError> {
    let Some(begun) = one.begun else { return Ok(Vec::new()) };
    let RecordedCalls { before, own } = walk.calls(begun)?;
    Ok(before.into_iter().chain(own).collect())
}
