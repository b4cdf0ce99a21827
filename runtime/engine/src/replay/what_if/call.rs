//! Takes calls that ended: each as a whole, or in parts, where the fork delivers events between its deliveries.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{Commit, Position};

use super::{
    Progress,
    delivered::{Delivered, Ran, closed},
    earlier::Earlier,
    execute::By,
    notes::Examined,
    outside::MayCall,
    request::Closed,
    run::Fork,
    state::Names,
    walk::Walk,
};
use crate::{
    StorageError,
    job::StoredRecord,
    replay::{
        ReplayError,
        attempts::{Ended, EndedCall},
    },
};

impl Fork {
    /// Takes a call that ended: executes it where the selection, its events or their states say so.
    pub(super) fn fold_call(
        &mut self,
        walk: &mut Walk,
        call: &EndedCall,
        progress: &dyn Progress,
    ) -> Result<(), ReplayError> {
        let stored = call.iter().map(|ended| walk.commit_record(ended)).collect::<Result<Vec<_>, _>>()?;
        let commits = call.iter().zip(&stored).map(|(ended, stored)| commit_of(ended, stored.as_ref()));
        let commits = commits.collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&Commit> = commits.iter().flatten().copied().collect();
        let behind = |index: usize| all.iter().skip(index.saturating_add(1)).copied();
        let is_several = all.len() > 1;
        let matters = |(index, commit): (usize, &&Commit)| {
            self.matters(commit) || is_several && self.is_awaited(commit, behind(index))
        };
        let left_open = all.iter().filter(|commit| closed(commit).is_none()).map(|commit| commit.event);
        let left_open: BTreeSet<Position> = left_open.collect();
        if !all.iter().enumerate().any(matters) {
            for (commit, at) in commits.iter().zip(call).filter_map(|(commit, ended)| commit.zip(ended.commit)) {
                if closed(commit).is_some() {
                    self.closed(&commit.delivery(), &commit.key, at, |other| left_open.contains(&other))?;
                }
                walk.committed(commit);
            }
            return Ok(());
        }
        let events = call.iter().zip(&commits).map(|(ended, commit)| match commit {
            Some(_) => walk.delivered(&ended.begun).map(Some),
            None => Ok(None),
        });
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let mut delivered = Vec::new();
        for ((ended, commit), event) in call.iter().zip(&commits).zip(&events) {
            let (Some(commit), Some(at), Some(event)) = (*commit, ended.commit, event) else { continue };
            let first_emitted = walk.first_emitted(at, commit)?;
            delivered.push(self.delivered(event, &ended.begun, commit, (at, first_emitted))?);
        }
        let (mut rest, mut earlier, mut keys_open) = (delivered.as_mut_slice(), Earlier::default(), BTreeSet::new());
        while !rest.is_empty() {
            let by = self.part(walk, rest, &earlier)?;
            let (part, later) = rest.split_at_mut(by.len());
            let next = later.first().map(|next| next.delivery.clone());
            keys_open
                .extend(part.iter().filter(|one| one.closed().is_none()).filter_map(|one| Some(&*one.commit?.key)));
            let passed = self.passed_by(part.last(), later);
            self.fold_part(walk, part, &by, (&mut earlier, &left_open), next.is_some())?;
            if let Some((last, at)) = passed {
                self.passed(last, at, &keys_open)?;
            }
            if let Some(next) = next {
                earlier.before(next);
                self.deliver_added(walk, &earlier, progress)?;
            }
            rest = later;
        }
        commits.iter().flatten().for_each(|commit| walk.committed(commit));
        Ok(())
    }

    /// The last delivery of a part, where events that wait for it come before later ones.
    fn passed_by<'c>(&self, last: Option<&Delivered<'c>>, later: &[Delivered<'_>]) -> Option<(&'c Commit, Position)> {
        let last = last?;
        let commit = last.commit?;
        let is_awaited = self.is_awaited(commit, later.iter().filter_map(|later| later.commit));
        is_awaited.then_some((commit, last.at))
    }

    /// Who handles the first deliveries of a call: as many as are taken together. An event of the fork that waits for one of them comes before
    /// the others; and where another version handles a later delivery of a key, or none did, that has the state which the fork has by then.
    fn part(&self, walk: &mut Walk, rest: &[Delivered<'_>], earlier: &Earlier) -> Result<Vec<By>, ReplayError> {
        let (mut part, mut of_keys) = (Vec::new(), BTreeMap::new());
        let again = self.batch_again(walk, rest)?;
        for (index, one) in rest.iter().enumerate() {
            let by = match (self.by(walk, one, earlier)?, again) {
                (By::Record, Some(version)) if one.closed() == Some(Closed::Completed) => By::Version(version),
                (by, _) => by,
            };
            let is_of_the_batch = |by| matches!(by, By::Version(_) | By::Dropped) && again.is_some();
            let may_follow = |before| by.goes_on_after(before) || is_of_the_batch(by) && is_of_the_batch(before);
            if of_keys.insert(&one.lane, by).is_some_and(|before| !may_follow(before)) {
                break;
            }
            part.push(by);
            let later = rest.iter().skip(index.saturating_add(1)).filter_map(|later| later.commit);
            if one.commit.is_some_and(|commit| self.is_awaited(commit, later)) {
                break;
            }
        }
        Ok(part)
    }

    /// The version that handles all of a batch again, because some of its deliveries are not as they were: what comes of one may depend on the
    /// others.
    fn batch_again(&self, walk: &mut Walk, rest: &[Delivered<'_>]) -> Result<Option<Position>, ReplayError> {
        let is_other = |one: &Delivered<'_>| {
            let reads_otherwise = |examined: &Examined| examined.lane.reads_otherwise();
            one.is_dropped || one.cause.is_some() || self.examined.get(&one.lane).is_some_and(reads_otherwise)
        };
        let [first, _, ..] = rest else { return Ok(None) };
        let is_candidates = self.candidate.is_some() && first.delivery.handler == self.request.handler;
        let Some(version) = first.begun.map(|begun| begun.version).filter(|_| !is_candidates) else { return Ok(None) };
        if !rest.iter().any(is_other) {
            return Ok(None);
        }
        let is_batch = self.by_executable(walk, By::Version(version), |_, executable| Ok(executable.is_batch()))?;
        Ok(Some(version).filter(|_| is_batch == Some(true)))
    }

    /// Takes deliveries of a call, all of them or a part.
    fn fold_part(
        &mut self,
        walk: &mut Walk,
        part: &mut [Delivered<'_>],
        by: &[By],
        (earlier, left_open): (&mut Earlier, &BTreeSet<Position>),
        is_more: bool,
    ) -> Result<(), ReplayError> {
        for (one, by) in part.iter_mut().zip(by) {
            if *by == By::Candidate || *by == By::Dropped && !one.is_dropped {
                self.selected.insert(&one.lane);
            } else if *by != By::Dropped
                && one.delivery.position > self.begin.selection
                && self.is_of_the_handlers(one)
                && one.closed().is_some()
            {
                self.left_out.insert(&one.lane);
            }
            one.is_dropped = *by == By::Dropped;
            if *by == By::Candidate && self.is_of_the_handlers(one) {
                one.may_call = MayCall::All;
            }
        }
        let batches = self.execute_batches(walk, part, by, earlier)?;
        for ((one, by), ran) in part.iter().zip(by).zip(batches) {
            let ran = match ran {
                Some(ran) => Some(ran),
                None => self.execute_single(walk, one, *by, earlier)?,
            };
            let is_open = one.closed().is_none();
            if !is_open {
                self.closed(&one.delivery, &one.lane.1, one.at, |other| left_open.contains(&other))?;
            }
            if !is_open && (ran.is_some() || one.is_dropped || self.examined.contains_key(&one.lane)) {
                self.take(walk, one, ran, earlier)?;
            }
            if let Some(commit) = one.commit.filter(|_| is_more || part.len() > 1) {
                earlier.take(&one.lane, commit);
            }
        }
        Ok(())
    }

    /// Executes deliveries of a call that are a batch of what handles them: as a whole.
    fn execute_batches(
        &self,
        walk: &mut Walk,
        delivered: &[Delivered<'_>],
        by: &[By],
        earlier: &Earlier,
    ) -> Result<Vec<Option<Ran>>, ReplayError> {
        let mut ran: Vec<Option<Ran>> = delivered.iter().map(|_| None).collect();
        let there: Vec<usize> =
            (0..delivered.len()).filter(|index| delivered.get(*index).is_some_and(|one| !one.is_dropped)).collect();
        let items: Vec<_> = there.iter().filter_map(|index| delivered.get(*index)).collect();
        for version in by.iter().collect::<BTreeSet<_>>() {
            let results = self.by_executable(walk, *version, |walk, executable| match executable.is_batch() {
                true => self.execute_items(walk, executable, &items, (&Names::default(), earlier)),
                false => Ok(Vec::new()),
            })?;
            for (index, result) in there.iter().zip(results.into_iter().flatten()) {
                if let Some(slot) = ran.get_mut(*index).filter(|_| by.get(*index) == Some(version)) {
                    *slot = Some(result);
                }
            }
        }
        Ok(ran)
    }

    /// Executes a delivery of a call whose deliveries before it were taken, by what takes one at a time.
    fn execute_single(
        &self,
        walk: &mut Walk,
        one: &Delivered<'_>,
        by: By,
        earlier: &Earlier,
    ) -> Result<Option<Ran>, ReplayError> {
        let ran = self.by_executable(walk, by, |walk, executable| match executable.is_batch() {
            true => Ok(Vec::new()),
            false => self.execute_items(walk, executable, &[one], (&Names::default(), earlier)),
        });
        Ok(ran?.and_then(|mut ran| ran.pop()))
    }

    /// Whether a delivery may come to something else in the fork.
    fn matters(&self, commit: &Commit) -> bool {
        let is_examined =
            || !self.examined.is_empty() && self.examined.contains_key(&(commit.handler.clone(), commit.key.clone()));
        self.has_handler(&commit.handler)
            && (commit.handler == self.request.handler || self.substitutes.has(commit.event) || is_examined())
    }
}

/// The commit of an attempt in the record that holds it; `None` if the attempt was discarded.
fn commit_of<'r>(ended: &Ended, stored: Option<&'r StoredRecord>) -> Result<Option<&'r Commit>, ReplayError> {
    let Some(stored) = stored else { return Ok(None) };
    let commit = stored.record.commit_of(&ended.begun.delivery);
    Ok(Some(commit.ok_or(StorageError::Missing { what: "commit", position: stored.first })?))
}
