//! Examines a range: what differs on each key if the candidate alone is looked at, and what then differs at the receivers of its events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use weirgate_history::Look;
use weirgate_log::LogReader;
use weirgate_types::{HandlerName, Interest, Manifest, Position, Record};

use super::{
    Progress,
    asked::Repairs,
    deployments::{AllInForce, Deployments, begins_in},
    index::Index,
    notes::Examined,
    outside::{MayCall, Outside},
    request::{Runs, WhatIf},
    run::{Candidate, Fork, LaneId, Walked},
    walk::Walk,
};
use crate::{
    StorageError,
    replay::{ReplayError, execute::Load},
};

/// What a what-if found.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Examination {
    /// Keys on which the handler comes to something else, given the events of the log. The plan follows from it.
    pub alone: BTreeMap<String, Arc<Examined>>,
    /// Handlers and keys that come to something else where changed events reach their receivers.
    pub cascade: BTreeMap<LaneId, Arc<Examined>>,
    /// Keys of other handlers that differ without that: those that an undone replay has folded again.
    pub others: BTreeMap<LaneId, Arc<Examined>>,
    /// Handlers and keys that set a part of a status which another key owns in the log or in the fork, and do not differ in anything else that
    /// is shown, or are shown without it.
    pub moved: BTreeMap<LaneId, Arc<Examined>>,
    /// Of the cascade.
    pub index: Index,
    /// Keys of the handler that earlier replays have repaired, as the candidate would have it: what they emitted late is emitted in time in
    /// the fork.
    pub settled: BTreeSet<LaneId>,
    pub executed: u64,
    pub bound: Option<Bound>,
    /// A limit that ended the look at the receivers early; the plan does not depend on it.
    pub cascade_bound: Option<Bound>,
}

impl Examination {
    /// Takes what a walk found; returns the handlers and keys on which a difference remains.
    fn take(
        &mut self,
        examined: BTreeMap<LaneId, Examined>,
        may_move: impl Fn(&HandlerName) -> bool,
    ) -> BTreeMap<LaneId, Arc<Examined>> {
        let mut differ = BTreeMap::new();
        for (lane, examined) in examined {
            if !examined.comes_to_the_same() && !examined.is_as_a_fold_left_it() {
                differ.insert(lane, Arc::new(examined));
            } else if may_move(&lane.0) && !examined.lane.moved().is_empty() {
                self.moved.insert(lane, Arc::new(examined));
            }
        }
        differ
    }

    /// The keys of the handler on which a difference remains, or that set a part by another record.
    pub fn own<'a, 'h>(
        &'a self,
        handler: &'h HandlerName,
    ) -> impl Iterator<Item = (&'a String, &'a Arc<Examined>)> + use<'a, 'h> {
        let moved = self.moved.iter().filter(move |((of, _), _)| of == handler);
        self.alone.iter().chain(moved.map(|((_, key), examined)| (key, examined)))
    }

    /// The receivers of a handler's events that fail in the fork: what these would emit is not known.
    #[must_use]
    pub fn failing(&self, own: &HandlerName) -> BTreeSet<&HandlerName> {
        let fails = |examined: &Examined| examined.notes.fails().is_some_and(|fails| fails.behind.is_none());
        let failing = self.cascade.iter().filter(|(_, examined)| fails(examined));
        failing.map(|((handler, _), _)| handler).filter(|handler| *handler != own).collect()
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let mut seen = BTreeSet::new();
        let examined =
            self.alone.values().chain(self.cascade.values()).chain(self.others.values()).chain(self.moved.values());
        // Without a look at the receivers, the same is in two of them.
        let each = examined.filter(|examined| seen.insert(Arc::as_ptr(examined)));
        let index = u64::try_from(self.index.bytes()).unwrap_or(u64::MAX);
        let settled = self.settled.iter().map(|lane| lane.1.len().saturating_add(2 * size_of::<LaneId>()));
        let settled = settled.map(|bytes| u64::try_from(bytes).unwrap_or(u64::MAX));
        each.map(|examined| examined.bytes()).chain(settled).fold(index, u64::saturating_add)
    }
}

/// A limit that ended it early: what lies behind the position was not examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    pub what: &'static str,
    pub at: Position,
}

/// The positions behind which the fork begins, and the events that are selected.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    pub fork: Position,
    pub selection: Position,
}

/// What a what-if reads.
#[derive(Clone)]
pub struct Sources {
    pub look: Arc<Look>,
    pub modules: Arc<dyn Load>,
    /// Where calls without a recorded answer go, and which are made.
    pub outside: Arc<dyn Outside>,
    pub may_call: MayCall,
    /// How many more calls may be made; `None`: as many as the request allows.
    pub calls_left: Option<Arc<AtomicU64>>,
    pub repairs: Arc<dyn Repairs>,
    /// Shared by all that read the same log.
    pub deployments: Arc<Deployments>,
}

impl Sources {
    pub(super) fn log(&self) -> &LogReader {
        self.look.log()
    }

    /// Examines the whole range, and the receivers.
    ///
    /// # Errors
    /// It was cancelled, or an input cannot be read.
    pub fn examine(&self, request: &WhatIf, progress: &dyn Progress) -> Result<Examination, ReplayError> {
        let begin = self.begin(request)?;
        let mut found = Examination::default();
        let asked = Arc::new(request.clone());
        let fork = self.fork(Arc::clone(&asked), (begin, request.through), progress)?;
        let (Walked { examined, settled, has_folds }, bound) = self.run(fork, progress, &mut found.executed)?;
        (found.bound, found.settled) = (bound, settled);
        let alone = found.take(examined, |_| true);
        // What was folded for events that keys did not emit any more may be wrong now, though they emit all that the log has.
        let reaches_receivers = has_folds || alone.values().any(|examined| !examined.lane.emissions().is_empty());
        if reaches_receivers && found.bound.is_none() {
            // A key that fails is not repaired: receivers have what it has emitted.
            let fails = |lane: &LaneId| alone.get(lane).is_some_and(|examined| examined.notes.fails().is_some());
            let differing = alone.keys().chain(&found.settled).filter(|lane| !fails(lane)).cloned().collect();
            let begins_later = begins_in(&self.look, begin.fork, request.through)?;
            let fork =
                self.fork(asked, (begin, request.through), progress)?.cascading(Arc::new(differing)).beside(&alone);
            let fork = fork.beginning_later(begins_later);
            let (Walked { examined, .. }, bound) = self.run(fork, progress, &mut found.executed)?;
            // An undo takes back what was folded, whatever would reach receivers.
            let is_folded_again =
                |handler: &HandlerName| matches!(request.runs, Runs::Candidate(_)) && *handler != request.handler;
            let cascade = found.take(examined, is_folded_again);
            (found.cascade, found.cascade_bound) = (cascade, bound);
            // What is known without receivers of the handler's keys that were not executed, or not to the end.
            let left_out = |lane: &LaneId| lane.0 == request.handler && (bound.is_some() || fails(lane));
            let left_out = alone.iter().filter(|(lane, _)| left_out(lane));
            found.cascade.extend(left_out.map(|(lane, examined)| (lane.clone(), Arc::clone(examined))));
        } else {
            found.cascade = alone.clone();
            found.cascade_bound = found.bound.filter(|_| reaches_receivers);
        }
        found.index = Index::of(found.cascade.iter().map(|(lane, examined)| (lane, &**examined)));
        for (lane, examined) in alone {
            match lane.0 == request.handler {
                true => drop(found.alone.insert(lane.1, examined)),
                false => drop(found.others.insert(lane, examined)),
            }
        }
        Ok(found)
    }

    /// A fork of a range that ends with a position.
    pub(super) fn fork(
        &self,
        request: Arc<WhatIf>,
        (begin, through): (Begin, Position),
        progress: &dyn Progress,
    ) -> Result<Fork, ReplayError> {
        let candidate = self.candidate(&request)?;
        let mut in_force = AllInForce::new();
        for (handler, version) in self.deployments.in_force(&self.look, begin.fork)?.iter() {
            if self.look.removed_before(handler, through.next())? <= begin.fork {
                in_force.insert(handler.clone(), Arc::clone(version));
            }
        }
        let fork = Fork::alone(request, candidate, begin, progress);
        let fork = fork.beginning(in_force, Arc::clone(&self.deployments));
        Ok(fork.calling(Arc::clone(&self.outside), self.may_call, self.calls_left.clone()))
    }

    fn run(
        &self,
        mut fork: Fork,
        progress: &dyn Progress,
        executed: &mut u64,
    ) -> Result<(Walked, Option<Bound>), ReplayError> {
        let (after, through) = (fork.begin.fork, fork.request.through);
        let (mut walk, mut at) = (self.walk(through), after);
        let records = self.scan(after, through);
        let records = records.inspect(|read| at = read.as_ref().map_or(at, |(position, _)| *position));
        let bound = match fork.run(&mut walk, records, progress) {
            Ok(()) => None,
            Err(ReplayError::Bound(what)) => Some(Bound { what, at }),
            Err(error) => return Err(error),
        };
        *executed += fork.executed;
        Ok((fork.into_found(), bound))
    }

    pub(super) fn walk(&self, through: Position) -> Walk {
        Walk::new(Arc::clone(&self.look), Arc::clone(&self.modules), Arc::clone(&self.repairs), through)
    }

    pub(super) fn scan(
        &self,
        after: Position,
        through: Position,
    ) -> impl Iterator<Item = Result<(Position, Arc<Record>), ReplayError>> + use<> {
        let records = self.log().scan(after.next()).map(|read| read.map_err(|error| StorageError::from(error).into()));
        // A record that begins before the range was covered by it.
        let in_range = move |read: &Result<(Position, Record), ReplayError>| {
            read.as_ref().map_or(true, |(position, _)| *position <= through)
        };
        records.take_while(in_range).map(|read| read.map(|(position, record)| (position, Arc::new(record))))
    }

    fn candidate(&self, request: &WhatIf) -> Result<Option<Candidate>, ReplayError> {
        let Runs::Candidate(candidate) = &request.runs else { return Ok(None) };
        let manifest = Manifest::from_record(&candidate.manifest).map_err(|error| ReplayError::Manifest {
            position: candidate.version.unwrap_or_default(),
            reason: error.to_string(),
        })?;
        let executable = self.modules.load_for(candidate.module, &manifest);
        let executable = executable.map_err(|source| ReplayError::Module { digest: candidate.module, source })?;
        let executable = executable.into_candidate(&manifest);
        let call_time_max = Duration::from_millis(manifest.limits.wall_ms);
        let Manifest { subscriptions, ordering, .. } = manifest;
        let interest = Interest::new(&subscriptions);
        Ok(Some(Candidate { executable, interest, subscriptions, ordering, call_time_max }))
    }

    pub(super) fn begin(&self, request: &WhatIf) -> Result<Begin, ReplayError> {
        let named = request.selection.after;
        let selection = match request.selection.since_ms {
            Some(since_ms) => named.max(self.deployments.older(&self.look, since_ms, || self.before_time(since_ms))?),
            None => named,
        };
        let is_all = selection == Position::ZERO || matches!(request.runs, Runs::Without(_));
        let fork = if is_all { selection } else { self.repairs.begins_behind(&request.handler, selection)? };
        Ok(Begin { fork, selection })
    }

    /// The last position whose record is older than a time: records' times never fall.
    fn before_time(&self, since_ms: u64) -> Result<Position, ReplayError> {
        let (mut low, mut high) = (0, self.log().head().0);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let read = self.log().read(Position(middle)).map_err(StorageError::from)?;
            match read {
                Some((first, record)) if record.at_ms() < since_ms => {
                    low = first.plus(record.width()).before().0.max(middle);
                }
                Some((first, _)) => high = first.before().0.min(middle - 1),
                None => high = middle - 1,
            }
        }
        Ok(Position(low))
    }
}
