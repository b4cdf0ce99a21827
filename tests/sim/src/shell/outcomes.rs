//! How attempts' results are recorded: commits with their effects, corrections, released emissions.

use weirgate_core::{AttemptOutcome, HOOK};
use weirgate_types::{
    Carried, Commit, Correction, DeliveryCommand, DeliveryDecided, DeliveryId, Effects, HandlerName, Outcome, Position,
    Record, StateWrite,
};

use super::{DIGEST, Shell, Stop};

impl Shell {
    pub(super) fn commit(
        &mut self,
        handler: &HandlerName,
        outcomes: Vec<AttemptOutcome>,
        is_batch: bool,
    ) -> Result<(), Stop> {
        let mut commits: Vec<_> = outcomes.into_iter().map(|outcome| self.commit_of(handler, outcome)).collect();
        match (is_batch, commits.len()) {
            (false, 1) => commits.pop().map_or(Ok(()), |commit| self.record(Record::Committed(commit)).map(drop)),
            _ => self.record(Record::Batched(commits)).map(drop),
        }
    }

    fn commit_of(&mut self, handler: &HandlerName, outcome: AttemptOutcome) -> Commit {
        let key = self.event_at(outcome.position).key().to_owned();
        let left = self.settling.get_mut(&outcome.position).map(std::mem::take).unwrap_or_default();
        let mut effects = Effects::default();
        match &outcome.outcome {
            Outcome::Completed => (effects.emitted, effects.timers) = (left.emitted, left.timers),
            Outcome::Withheld => (effects.withheld, effects.timers) = (left.emitted, left.timers),
            Outcome::DeadLettered { .. } => effects.emitted.push(self.notice()),
            Outcome::Retry { .. } | Outcome::AwaitingCorrection { .. } => {
                // Its hook is called after the commit.
                let kept = self.settling.entry(outcome.position).or_default();
                kept.corrects = left.corrects;
            }
        }
        if matches!(outcome.outcome, Outcome::Completed | Outcome::Withheld) {
            let known = self.views.facts.states.get(&(handler.clone(), key.clone()));
            let mut value = known.cloned().unwrap_or_default();
            value.push(outcome.position.0.to_le_bytes()[0]);
            effects.state.push(StateWrite { name: "seen".to_owned(), value: Some(value) });
        }
        Commit {
            handler: handler.clone(),
            event: outcome.position,
            key,
            attempt: outcome.attempt,
            digest: DIGEST,
            at_ms: self.now_ms,
            outcome: outcome.outcome,
            depth: 1,
            effects,
            log: Vec::new(),
        }
    }

    pub(super) fn correct(&mut self, delivery: DeliveryId, with: Option<Position>) -> Result<(), Stop> {
        if with.is_none() && !self.settling.get(&delivery.position).is_some_and(|left| left.corrects) {
            return Ok(());
        }
        let actor = if with.is_some() { "event" } else { HOOK }.to_owned();
        let correction = Correction { data: Vec::new(), data_content_type: None, event: with };
        let (key, command) = (self.event_at(delivery.position).key().to_owned(), DeliveryCommand::Correct(correction));
        let (carried, reason, at_ms, emitted) = (Carried::default(), String::new(), self.now_ms, Vec::new());
        self.record(Record::DeliveryDecided(DeliveryDecided {
            delivery,
            key,
            command,
            carried,
            actor,
            reason,
            at_ms,
            emitted,
        }))
        .map(drop)
    }

    pub(super) fn release(&mut self, delivery: DeliveryId, commit: Position) -> Result<(), Stop> {
        let found = self.records.iter().rfind(|(first, _)| *first == commit);
        let withheld = found.and_then(|(_, record)| record.commits().first());
        let (key, emitted) =
            withheld.map(|commit| (commit.key.clone(), commit.effects.withheld.clone())).unwrap_or_default();
        let at_ms = self.now_ms;
        self.record(Record::Released { delivery, key, emitted, depth: 1, at_ms }).map(drop)
    }
}
