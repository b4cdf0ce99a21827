//! Attempts: which begin, and what follows when they end.

use weirgate_types::{
    AttemptFailure, BreakerId, Commit, DeliveryId, Digest, EmitOrder, FailureKind, HandlerName, Outcome, Position,
    Record,
};

use super::{Machine, breakers::change_breaker};
use crate::{
    Action, AttemptOutcome, AttemptResult, DeliveryRow, Now, StateChange,
    handler::{Begun, Handler},
    outcome,
};

/// The actor of corrections that a handler's hook makes.
pub const HOOK: &str = "on-correctable";

impl Machine {
    /// A result counts only for the running attempt. Any other is that of a discarded attempt, or a duplicate.
    pub(super) fn take_results(
        &mut self,
        name: &HandlerName,
        results: &[AttemptResult<'_>],
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let Some(handler) = self.handlers.get_mut(name) else { return };
        let mut outcomes = Vec::new();
        let mut hooked = Vec::new();
        let mut breaker_transition = None;
        for one in results {
            if handler.lanes.returned(one.position) {
                continue;
            }
            let Some(row) = handler.lanes.get(one.position) else { continue };
            if !row.is_running() || row.attempt != one.attempt {
                continue;
            }
            let outcome = match one.result {
                Ok(()) => completed(handler, one.position, row),
                Err(failure) => {
                    let manifest = handler.manifest_of(row.version);
                    outcome::after_failure(manifest, row, failure, now, &mut self.entropy)
                }
            };
            let may_be_hooked = one.corrected && !row.hooked && row.offered.is_none();
            if may_be_hooked && matches!(outcome, Outcome::AwaitingCorrection { .. }) {
                hooked.push(one.position);
            }
            let recovered = row.failed && one.result.is_ok();
            outcomes.push(AttemptOutcome { position: one.position, attempt: one.attempt, outcome, recovered });
            if let (Some(breaker), Some(is_failure)) = (&mut handler.breaker, counts(one.result)) {
                breaker_transition = breaker.count(is_failure, now.elapsed_ms).or(breaker_transition);
            }
        }
        if outcomes.is_empty() {
            return;
        }
        let is_batch = results.len() > 1;
        actions.push(Action::Commit { handler: name.clone(), outcomes, is_batch });
        for position in hooked {
            handler.correct(position, None, actions);
        }
        if let Some(transition) = breaker_transition {
            change_breaker(BreakerId::Handler(name.clone()), transition, actions);
        }
    }

    pub(super) fn set_ready(&mut self, name: &HandlerName, digest: Digest, is_ready: bool) {
        if let Some(handler) = self.handlers.get_mut(name) {
            handler.set_loaded(digest, is_ready);
        }
    }

    /// Ends the attempts that a crash cut off. They count: a component that kills the process must not be called for ever.
    /// Actions that records called for when the runtime stopped follow now.
    pub(super) fn recovered(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.recovering = false;
        let failure = AttemptFailure::found(FailureKind::Interrupted, "the runtime stopped during the attempt");
        for (name, handler) in &mut self.handlers {
            for position in handler.lanes.running_now() {
                let Some(row) = handler.lanes.get(position) else { continue };
                let manifest = handler.manifest_of(row.version);
                let outcome = outcome::after_failure(manifest, row, &failure, now, &mut self.entropy);
                let outcome = AttemptOutcome { position, attempt: row.attempt, outcome, recovered: false };
                actions.push(Action::Commit { handler: name.clone(), outcomes: vec![outcome], is_batch: false });
            }
            for (position, correction) in handler.lanes.correctable_now() {
                handler.correct(position, Some(correction), actions);
            }
        }
    }

    /// Begins runnable deliveries, each call with as many as are ready and fit.
    pub(super) fn begin_attempts(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.recovering || self.stopping {
            return;
        }
        for (name, handler) in &mut self.handlers {
            handler.lanes.release_due(now.elapsed_ms);
            if !self.has_space {
                continue;
            }
            while let Some((position, commit)) = handler.lanes.pop_released() {
                actions.push(Action::Release { delivery: handler.id(position), commit });
            }
            loop {
                let call = handler.next_call(now.elapsed_ms);
                if call.is_empty() {
                    break;
                }
                let first = call.first().map_or(Position::ZERO, |begun| begun.position);
                for Begun { position, attempt, version } in call {
                    actions.push(Action::Stage(Record::Attempted {
                        delivery: DeliveryId { handler: name.clone(), position },
                        attempt,
                        version,
                        call: first,
                        at_ms: now.at_ms,
                        wall_behind_ms: now.at_ms.saturating_sub(now.wall_ms),
                    }));
                }
            }
        }
    }

    /// Never beyond the head: while the log is replayed, later positions may belong to another version of the handler.
    pub(super) fn read_on(&mut self, actions: &mut Vec<Action>) {
        let until = self.durable.min(self.head);
        for (name, handler) in &mut self.handlers {
            if let Some((after, until)) = handler.scan_after(until, &self.limits) {
                actions.push(Action::Scan { handler: name.clone(), after, until });
            }
        }
    }

    /// A delivery of a handler ended. A version that makes too many dead letters is paused; what an earlier one finishes does
    /// not count for it.
    pub(super) fn count_outcome(&mut self, commit: &Commit) {
        let Some(handler) = self.handlers.get_mut(&commit.handler) else { return };
        if commit.version != handler.version() {
            return;
        }
        let outcome = &commit.outcome;
        let is_dead = matches!(outcome, Outcome::DeadLettered { .. });
        if is_dead || matches!(outcome, Outcome::Completed | Outcome::Withheld) {
            handler.since_deployed.closed += 1;
            handler.since_deployed.dead += u32::from(is_dead);
        }
    }

    /// Checked after each commit of a handler.
    pub(super) fn stop_if_dying(&mut self, name: &HandlerName, actions: &mut Vec<Action>) {
        let Some(handler) = self.handlers.get_mut(name) else { return };
        let Some(policy) = handler.manifest.dead_letter_stop else { return };
        let since = handler.since_deployed;
        let is_dying = since.closed >= policy.ended_min
            && since.dead > 0
            && f64::from(since.dead) > f64::from(since.closed) * policy.ratio;
        if is_dying && handler.mode == weirgate_types::Mode::Running && !since.stopping {
            handler.since_deployed.stopping = true;
            let reason = format!("{} of {} deliveries since its deployment are dead letters", since.dead, since.closed);
            actions.push(Action::ChangeState(StateChange::Stop { handler: name.clone(), reason }));
        }
    }
}

/// Completed; but its emissions are withheld while earlier deliveries of its lane are open.
fn completed(handler: &Handler, position: Position, row: &DeliveryRow) -> Outcome {
    let waits = row.parallel
        && handler.manifest.emit_order == EmitOrder::Input
        && handler.lanes.first_of_lane(row.lane) != Some(position);
    if waits { Outcome::Withheld } else { Outcome::Completed }
}

/// Whether an outcome counts for the breaker, and whether as a failure.
fn counts(result: Result<(), &AttemptFailure>) -> Option<bool> {
    match result {
        Ok(()) => Some(false),
        Err(failure) => match failure.kind {
            FailureKind::CircuitOpen | FailureKind::NotReached | FailureKind::Interrupted => None,
            _ => Some(outcome::is_breaking(failure)),
        },
    }
}
