//! How records change the machine's state. It changes by these only, so replaying the log rebuilds it.

use std::borrow::Cow;

use weirgate_types::{
    Commit, CorrectionRefused, DeliveryCommand, DeliveryDecided, DeliveryId, Deployed, HandlerName, Manifest, Mode,
    ModeChanged, Outcome, Position, Record, Repaired, Start,
};

use super::{Machine, resequence::keep_next};
use crate::{
    Action, DeliveryPhase, DeliveryRow, EventHead,
    handler::{Found, Handler, MovedLane, Opened, Scanned},
};

impl Machine {
    pub(super) fn staged(&mut self, position: Position, record: &Record, actions: &mut Vec<Action>) {
        match record {
            Record::Stepped(stepped) if stepped.result.finished().is_some() => {
                let step = |row: &mut DeliveryRow| {
                    (row.carried.step, row.carried.steps) = (Some(position), row.carried.steps.saturating_add(1));
                };
                self.change(&stepped.delivery, step, actions);
            }
            // The call of a step without a final answer is made again.
            Record::Accepted { .. }
            | Record::Paced { .. }
            | Record::Lost(_)
            | Record::RuntimeChanged(_)
            | Record::Stepped(_)
            | Record::ReplayRequested(_)
            | Record::ReplayApproved(_)
            | Record::ReplayAnswered(_)
            | Record::ReplayEnded(_)
            | Record::ApplyBegun(_)
            | Record::UndoRequested(_)
            | Record::RepairsRefused(_) => {}
            Record::Repaired(repaired) => self.repaired(repaired, actions),
            Record::Fired { next_ms, .. } => self.timers.fired(*next_ms),
            Record::Attempted { delivery, attempt, version, at_ms, wall_behind_ms, .. } => {
                let wall_ms = at_ms.saturating_sub(*wall_behind_ms);
                self.attempted(delivery, (*attempt, *version), (*at_ms, wall_ms), actions);
            }
            Record::Committed(_) | Record::Batched(_) => {
                for commit in record.commits() {
                    self.committed(position, commit, actions);
                }
            }
            Record::Deployed(deployed) => self.deployed(position, deployed, actions),
            Record::Removed(removed) => self.removed(&removed.handler),
            Record::ModeChanged(ModeChanged { handler, mode, .. }) => self.set_mode(handler, *mode),
            Record::DeliveryDecided(decided) => self.decided(position, decided, actions),
            Record::BreakerChanged(changed) => self.breaker_changed(position, changed),
            Record::Released { delivery, .. } => self.close_delivery(delivery, actions),
            Record::GapPassed(gap) => self.gap_passed(gap, actions),
            Record::CorrectionRefused(refused) => self.correction_refused(refused, actions),
            Record::TimeAnchored(anchor) => self.anchors.push(position, *anchor),
        }
        self.follow(position, record, actions);
    }

    /// Passes the record to every handler that is up to date.
    fn follow(&mut self, position: Position, record: &Record, actions: &mut Vec<Action>) {
        let events: Vec<_> =
            EventHead::of(position, record, self.keys).map(|head| self.in_elapsed_time(head)).collect();
        let live = !self.recovering;
        for handler in self.handlers.values_mut() {
            let found = handler.follow(position, record.width(), &events, &self.limits);
            handler.under_way.clear();
            take_found(handler, found, live, actions);
        }
        self.head = position.plus(record.width()).before();
        self.events += events.len() as u64;
    }

    pub(super) fn scanned(
        &mut self,
        name: &HandlerName,
        events: &[EventHead],
        through: Position,
        actions: &mut Vec<Action>,
    ) {
        let live = !self.recovering;
        let events = match self.anchors.is_empty() {
            true => Cow::Borrowed(events),
            false => events.iter().cloned().map(|head| self.in_elapsed_time(head)).collect(),
        };
        let Some(handler) = self.handlers.get_mut(name) else { return };
        let found = handler.scanned_to(&events, through);
        handler.under_way.clear();
        take_found(handler, found, live, actions);
    }

    /// Handlers know elapsed time only.
    fn in_elapsed_time(&self, head: EventHead) -> EventHead {
        EventHead { at_ms: self.anchors.elapsed_ms(head.position, head.at_ms), ..head }
    }

    fn attempted(
        &mut self,
        delivery: &DeliveryId,
        (attempt, version): (u32, Position),
        (at_ms, wall_ms): (u64, u64),
        actions: &mut Vec<Action>,
    ) {
        let Some(handler) = self.handlers.get_mut(&delivery.handler) else { return };
        if let Some(moved) = handler.move_lane(delivery.position, version) {
            keep_moved(handler, moved, actions);
        }
        let Some(row) = handler.change(delivery.position, |row| row.start(attempt, version)) else { return };
        let (carried, call) = (row.carried.clone(), handler.lanes.call_of(delivery.position));
        let call = call.unwrap_or(delivery.position);
        actions.push(Action::Keep { delivery: delivery.clone(), row: Some(row), is_new: false });
        if !self.recovering {
            let delivery = delivery.clone();
            actions.push(Action::Deliver { delivery, attempt, version, at_ms, wall_ms, carried, call });
        }
    }

    fn repaired(&mut self, repaired: &Repaired, actions: &mut Vec<Action>) {
        self.timers.written(&repaired.effects);
        let lane = self.keys.hash(&repaired.key);
        if let Some(handler) = self.handlers.get_mut(&repaired.handler).filter(|_| self.recovering)
            && let Some(moved) = handler.move_repaired(lane, repaired.version)
        {
            keep_moved(handler, moved, actions);
        }
    }

    fn committed(&mut self, position: Position, commit: &Commit, actions: &mut Vec<Action>) {
        self.timers.written(&commit.effects);
        let delivery = commit.delivery();
        if let Some(handler) = self.handlers.get_mut(&commit.handler).filter(|_| !self.recovering) {
            handler.emission_rate.spend(commit.effects.emitted.len());
        }
        self.count_outcome(commit);
        if !self.recovering {
            self.stop_if_dying(&commit.handler, actions);
        }
        match &commit.outcome {
            Outcome::Completed | Outcome::DeadLettered { held: false, .. } => self.close_delivery(&delivery, actions),
            Outcome::DeadLettered { held: true, .. } => {
                let hold = |row: &mut DeliveryRow| {
                    (row.phase, row.failed, row.carried.failure) = (DeliveryPhase::Held, true, Some(position));
                };
                self.change(&delivery, hold, actions);
            }
            Outcome::Retry { delay_ms, stage, spent, .. } => {
                let due_ms = self.anchors.elapsed_ms(position, commit.at_ms).saturating_add(*delay_ms);
                let retry = |row: &mut DeliveryRow| {
                    row.phase = DeliveryPhase::Retrying { due_ms, stage: *stage };
                    row.spent += u32::from(*spent);
                    row.failed |= *spent;
                    row.carried.failure = Some(position);
                };
                self.change(&delivery, retry, actions);
            }
            Outcome::AwaitingCorrection { .. } => self.waiting(position, &delivery, actions),
            Outcome::Withheld => {
                let withhold = |row: &mut DeliveryRow| row.phase = DeliveryPhase::Withheld { commit: position };
                self.change(&delivery, withhold, actions);
            }
        }
    }

    /// The delivery awaits a correction; one may have come before.
    fn waiting(&mut self, position: Position, delivery: &DeliveryId, actions: &mut Vec<Action>) {
        let wait = |row: &mut DeliveryRow| {
            row.phase = DeliveryPhase::AwaitingCorrection;
            (row.failed, row.carried.failure) = (true, Some(position));
        };
        let row = self.change(delivery, wait, actions);
        let offered = row.and_then(|row| row.offered).filter(|_| !self.recovering);
        if let (Some(with), Some(handler)) = (offered, self.handlers.get_mut(&delivery.handler)) {
            handler.correct(delivery.position, Some(with), actions);
        }
    }

    /// The correction was used; a newer one that came meanwhile is tried.
    fn correction_refused(&mut self, refused: &CorrectionRefused, actions: &mut Vec<Action>) {
        let CorrectionRefused { delivery, correction, .. } = refused;
        if let Some(handler) = self.handlers.get_mut(&delivery.handler) {
            handler.decided(delivery.position);
        }
        let row = self.change(delivery, |row| row.pass_correction(Some(*correction)), actions);
        let newer = row.filter(DeliveryRow::is_correctable).and_then(|row| row.offered).filter(|_| !self.recovering);
        if let (Some(with), Some(handler)) = (newer, self.handlers.get_mut(&delivery.handler)) {
            handler.correct(delivery.position, Some(with), actions);
        }
    }

    fn decided(&mut self, position: Position, decided: &DeliveryDecided, actions: &mut Vec<Action>) {
        let DeliveryDecided { delivery, key, command, carried, .. } = decided;
        if let Some(handler) = self.handlers.get_mut(&delivery.handler) {
            handler.decided(delivery.position);
        }
        let again = |row: &mut DeliveryRow| {
            row.reset();
            if let DeliveryCommand::Correct(correction) = command {
                row.carried.correction = Some(position);
                row.hooked |= correction.event.is_none() && decided.actor == super::attempts::HOOK;
                row.pass_correction(correction.event);
            }
        };
        match command {
            DeliveryCommand::Skip
            | DeliveryCommand::Resolve
            | DeliveryCommand::Discard
            | DeliveryCommand::DeadLetter => self.close_delivery(delivery, actions),
            DeliveryCommand::Retry | DeliveryCommand::Correct(_)
                if self.is_open(delivery) || self.is_unknown(delivery) =>
            {
                self.change(delivery, again, actions);
            }
            DeliveryCommand::Retry | DeliveryCommand::Correct(_) => {
                let Some(handler) = self.handlers.get_mut(&delivery.handler) else { return };
                let reopen = |row: &mut DeliveryRow| {
                    row.carried = carried.clone();
                    again(row);
                };
                let opened = handler.reopen(delivery.position, self.keys.hash(key), reopen);
                if opened.row.spilled {
                    handler.lanes.spilled.want_rest_of(opened.row.lane);
                }
                keep_opened(&delivery.handler, opened, false, actions);
            }
        }
    }

    pub(super) fn deployed(&mut self, position: Position, deployed: &Deployed, actions: &mut Vec<Action>) {
        // The manifest was checked before the record was written; one that a later release refuses leaves the handler
        // unchanged.
        let Ok(manifest) = Manifest::from_record(&deployed.manifest) else { return };
        self.timers.deployed(deployed, &manifest);
        self.keep_hosts_of(&deployed.handler, &manifest.capabilities);
        match deployed.finishing.is_empty() {
            true => self.finishing.remove(&deployed.handler),
            false => self.finishing.insert(deployed.handler.clone()),
        };
        if let Some(handler) = self.handlers.get_mut(&deployed.handler) {
            let scope = (&self.limits, !self.recovering);
            for (discarded, row) in handler.redeploy(position, deployed.clone(), manifest, scope) {
                actions.push(Action::Keep { delivery: handler.id(discarded), row: Some(row), is_new: false });
            }
            return;
        }
        let from = match manifest.start {
            Start::Now => Scanned { position: position.before(), events: self.events },
            Start::Beginning => Scanned::default(),
        };
        let handler = Handler::new(position, deployed.clone(), manifest, from, &self.limits);
        self.handlers.insert(deployed.handler.clone(), handler);
    }

    /// Nothing of it is left: a later deployment of its name is a new handler.
    fn removed(&mut self, name: &HandlerName) {
        self.handlers.remove(name);
        self.finishing.remove(name);
        self.hosts.retain(|called, _| called.handler.as_ref() != Some(name));
    }

    fn set_mode(&mut self, name: &HandlerName, mode: Mode) {
        if let Some(handler) = self.handlers.get_mut(name) {
            handler.mode = mode;
            handler.since_deployed = crate::handler::SinceDeployed::default();
        }
    }

    /// Whether the delivery lies beyond its handler's scanned position.
    fn is_unknown(&self, delivery: &DeliveryId) -> bool {
        self.handlers.get(&delivery.handler).is_some_and(|handler| delivery.position > handler.scanned())
    }

    fn change(
        &mut self,
        delivery: &DeliveryId,
        change: impl FnOnce(&mut DeliveryRow),
        actions: &mut Vec<Action>,
    ) -> Option<DeliveryRow> {
        let row = self.handlers.get_mut(&delivery.handler)?.change(delivery.position, change)?;
        actions.push(Action::Keep { delivery: delivery.clone(), row: Some(row.clone()), is_new: false });
        Some(row)
    }

    fn close_delivery(&mut self, delivery: &DeliveryId, actions: &mut Vec<Action>) {
        let Some(handler) = self.handlers.get_mut(&delivery.handler) else { return };
        if let Some(row) = handler.close(delivery.position) {
            actions.push(Action::Keep { delivery: delivery.clone(), row: None, is_new: false });
            keep_next(&delivery.handler, handler.lanes.pass(&row), actions);
        }
    }
}

/// `live`: the log is not being replayed; in a replay, the records that follow are in the log already.
fn take_found(handler: &mut Handler, found: Found, live: bool, actions: &mut Vec<Action>) {
    for opened in found.opened {
        keep_opened(&handler.deployed.handler, opened, true, actions);
    }
    for moved in found.moved {
        keep_moved(handler, moved, actions);
    }
    for (position, row) in found.offered {
        actions.push(Action::Keep { delivery: handler.id(position), row: Some(row), is_new: false });
    }
    keep_next(&handler.deployed.handler, found.next, actions);
    for (position, correction) in found.corrected.into_iter().filter(|_| live) {
        handler.correct(position, Some(correction), actions);
    }
}

fn keep_moved(handler: &Handler, moved: MovedLane, actions: &mut Vec<Action>) {
    let MovedLane { lane, version, rows, has_more } = moved;
    for (position, row) in rows {
        actions.push(Action::Keep { delivery: handler.id(position), row: Some(row), is_new: false });
    }
    if has_more {
        let handler = handler.deployed.handler.clone();
        actions.push(Action::MoveSpilled { handler, lane, version });
    }
}

fn keep_opened(name: &HandlerName, opened: Opened, is_new: bool, actions: &mut Vec<Action>) {
    let delivery = DeliveryId { handler: name.clone(), position: opened.position };
    actions.push(match opened.row.spilled {
        true => Action::Spill { delivery, row: opened.row, on: true },
        false => Action::Keep { delivery, row: Some(opened.row), is_new },
    });
}
