//! Folds receivers again: what they would have come to, had they had the right events from the beginning, takes the place of what they
//! have come to with the appended ones, which came late.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    thread,
    time::Duration,
};

use weirgate_types::{HandlerName, Interest, Manifest, Position};

use super::{
    apply::{Applying, MORE_IS_LEFT, Refused, is_busy, is_of_key},
    levels::Reach,
    looks::Looks,
    parts::Claims,
    repair::Part,
};
use crate::{
    Refusal,
    replay::{Examined, Folding, LaneId, ReplayError, in_force},
};

/// How often receivers are looked at again that change meanwhile, or whose repair has several records.
const ROUNDS_MAX: u32 = 20;
/// How often it is looked whether a receiver has handled what was appended, and the time between.
const WAITS_MAX: u32 = 300;
const WAIT: Duration = Duration::from_millis(200);

/// What came of the receivers.
#[derive(Default)]
pub struct Folded {
    pub repaired: BTreeSet<LaneId>,
    pub refused: Refused,
}

impl Applying<'_> {
    /// Folds the approved receivers again, those first whose events reach others; `emitting` are the handler's keys that are repaired.
    pub fn fold(&self, emitting: &BTreeSet<LaneId>) -> Result<Folded, ReplayError> {
        let mut folded = Folded::default();
        if emitting.is_empty() {
            return Ok(folded);
        }
        let reach = Reach::new(&self.feeds()?);
        let mut left: BTreeSet<HandlerName> = self.asked.choices.fold_again.iter().cloned().collect();
        for level in reach.levels(&left) {
            // What one of them emits meanwhile may reach another.
            let (passes, mut behind) = (level.len().saturating_mul(level.len()), BTreeSet::new());
            for handler in level.iter().cycle().take(passes) {
                if behind.contains(handler) {
                    continue;
                }
                let Some(reason) = self.is_behind(handler)? else { continue };
                behind.insert(handler);
                let is_refused = |receiver: &HandlerName| receiver == handler || reach.reaches(handler, receiver);
                let refused: Vec<_> = left.iter().filter(|receiver| is_refused(receiver)).cloned().collect();
                for receiver in refused {
                    left.remove(&receiver);
                    folded.refused.add(receiver.to_string(), &reason);
                }
            }
            let receivers: BTreeSet<_> = level.intersection(&left).cloned().collect();
            if !receivers.is_empty() {
                self.fold_all(&receivers, emitting, &mut folded)?;
            }
        }
        Ok(folded)
    }

    /// The handlers that take events which the keys of others emit otherwise.
    fn feeds(&self) -> Result<BTreeMap<HandlerName, BTreeSet<HandlerName>>, ReplayError> {
        let (sources, mut emitted) = (self.sources()?, BTreeMap::<_, BTreeSet<_>>::new());
        let is_fed = |handler: &HandlerName, examined: &Examined| {
            *handler != self.request.handler || examined.notes.caused_by.is_some()
        };
        let cascade = self.computed()?.examination.cascade.iter();
        for ((handler, _), examined) in cascade.filter(|((handler, _), examined)| is_fed(handler, examined)) {
            let emissions = examined.lane.emissions();
            let events = emissions.only_fork().into_iter().chain(emissions.only_recorded()).map(|one| &one.event);
            emitted.entry(handler).or_default().extend(events.map(|event| (&event.r#type, &event.source)));
        }
        let mut feeds = self.unknown_feeds()?;
        for ((receiver, _), examined) in &self.computed()?.examination.cascade {
            if let Some(by) = examined.notes.fails().and_then(|fails| fails.behind.as_ref()) {
                feeds.entry(by.clone()).or_default().insert(receiver.clone());
            }
        }
        for (receiver, (position, deployed)) in in_force(&sources.look, sources.look.log().head())? {
            let manifest = Manifest::from_record(&deployed.manifest)
                .map_err(|error| ReplayError::Manifest { position, reason: error.to_string() })?;
            let interest = Interest::new(&manifest.subscriptions);
            for (handler, events) in &emitted {
                let is_fed = events.iter().any(|(r#type, source)| interest.matches(r#type, source));
                if is_fed {
                    feeds.entry((*handler).clone()).or_default().insert(receiver.clone());
                }
            }
        }
        Ok(feeds)
    }

    /// What receivers emit that fail in the fork is not known: it may reach all approved ones that do not. The same of those without a plan.
    fn unknown_feeds(&self) -> Result<BTreeMap<HandlerName, BTreeSet<HandlerName>>, ReplayError> {
        let (computed, approved) = (self.computed()?, &self.asked.choices.fold_again);
        let failing = computed.examination.failing(&self.request.handler);
        let is_planned = |receiver: &HandlerName| computed.receivers.keys().any(|(planned, _)| planned == receiver);
        let without = approved.iter().filter(|receiver| !is_planned(receiver));
        let unknown: BTreeSet<_> = failing.iter().copied().chain(without).collect();
        let fed = |by: &HandlerName| {
            let may = approved.iter().filter(|receiver| *receiver != by && !failing.contains(receiver));
            may.cloned().collect()
        };
        Ok(unknown.into_iter().map(|handler| (handler.clone(), fed(handler))).collect())
    }

    /// Folds receivers that do not wait for each other.
    fn fold_all(
        &self,
        receivers: &BTreeSet<HandlerName>,
        emitting: &BTreeSet<LaneId>,
        folded: &mut Folded,
    ) -> Result<(), ReplayError> {
        let is_as_approved = self.emit_as_approved(emitting)?;
        let emitting = Some(Arc::new(emitting.clone()));
        let mut looks = Looks::new(Folding::of_all(self.id.replay, self.request, emitting));
        let (mut refused, mut whole) = (Refused::default(), BTreeSet::new());
        let mut claims = Claims::of_folded(self)?;
        for round in 0..ROUNDS_MAX {
            refused = Refused::default();
            let mut is_over = true;
            self.look_on(&mut looks)?;
            let is_left = |lane: &LaneId| receivers.contains(&lane.0) && !whole.contains(lane);
            let left = looks.examined().filter(|(lane, _)| is_left(lane));
            let lanes = claims.take(left, looks.through());
            let parts = claims.parts(self.id, looks.through());
            let mut repaired = Vec::new();
            for lane in &lanes {
                let Some(parts) = parts.get(&lane.0) else { continue };
                let name = || format!("{} {}", lane.0, lane.1);
                match self.part(lane, &mut looks, (round, is_as_approved), parts) {
                    Ok(Part::Nothing) => {}
                    Ok(Part::Refused(reason) | Part::Waits(reason)) => refused.add(name(), &reason),
                    Ok(Part::Whole) => {
                        folded.repaired.insert(lane.clone());
                        whole.insert(lane.clone());
                        repaired.push((lane.clone(), looks.through()));
                    }
                    Ok(Part::More) => {
                        is_over = false;
                        folded.repaired.insert(lane.clone());
                        refused.add(name(), MORE_IS_LEFT);
                    }
                    // It changed meanwhile, or took too long.
                    Err(ReplayError::Refused(refusal)) if is_busy(&refusal) => {
                        is_over = false;
                        refused.add(name(), &refusal.to_string());
                    }
                    Err(ReplayError::Refused(refusal)) if is_of_key(&refusal) => {
                        refused.add(name(), &refusal.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            if is_over {
                break;
            }
            claims.repaired(repaired);
        }
        folded.refused.append(refused);
        Ok(())
    }

    /// Whether those keys of the plan are repaired that have one, and no others: then receivers come to what was approved of them.
    fn emit_as_approved(&self, emitting: &BTreeSet<LaneId>) -> Result<bool, ReplayError> {
        let handler = &self.request.handler;
        let mut planned = self.computed()?.plans.iter();
        // One that needed a call has no plan, and may be repaired since.
        let is_as_planned = |key: &String| emitting.contains(&(handler.clone(), key.clone()));
        Ok(planned.all(|(key, plan)| is_as_planned(key) == plan.refused.is_none()))
    }

    /// Waits until a receiver has handled everything that the log has by now; why it has not.
    fn is_behind(&self, handler: &HandlerName) -> Result<Option<String>, ReplayError> {
        let (through, mut checkpoint) = (self.sources()?.look.log().head(), Position::ZERO);
        for _ in 0..WAITS_MAX {
            if self.known.watch.is_cancelled() {
                return Err(ReplayError::Cancelled);
            }
            let item = match self.runtime.block_on(self.handle.handler(handler.clone())) {
                // One that was removed, and is only on the way, emits nothing more.
                Err(refusal @ Refusal::UnknownHandler(_)) => {
                    let is_folded = self.asked.choices.fold_again.contains(handler);
                    return Ok(is_folded.then(|| refusal.to_string()));
                }
                item => item?,
            };
            if item.checkpoint >= through {
                return Ok(None);
            }
            checkpoint = item.checkpoint;
            thread::park_timeout(WAIT);
        }
        Ok(Some(format!(
            "{handler} has open deliveries before position {through} (its checkpoint is {checkpoint}): what was appended has to be handled \
             before receivers are folded again; apply again later"
        )))
    }
}
