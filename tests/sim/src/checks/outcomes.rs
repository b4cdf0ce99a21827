//! How an attempt may end, and its effects.

use weirgate_types::{Commit, DeliveryId, Event, FailureClass, FailureKind, Outcome, Position, TimerId, Written};

use super::{Checked, Checks, Life, Rule, Violation, Watched, check, index_of};
use crate::{Order, kinds::DELAYS_MS_MAX};

impl Checks {
    pub(super) fn committed(&mut self, position: Position, commit: &Commit) -> Checked {
        let delivery = commit.delivery();
        let item = self.known(Rule::OnceOnly, &delivery)?.clone();
        let is_its = item.life == Life::Running && item.attempt == commit.attempt;
        check(Rule::OnceOnly, is_its, || format!("attempt {} of {delivery} ends; {item:?}", commit.attempt))?;
        check(Rule::Versions, item.version == commit.version, || {
            format!("{delivery} began under {} and is committed by {}", item.version, commit.version)
        })?;
        let life = match &commit.outcome {
            Outcome::Completed => Life::Done,
            Outcome::Withheld => Life::Withheld,
            Outcome::AwaitingCorrection { previous, failure } => {
                self.fails(&delivery, position, *previous)?;
                let may = failure.class == FailureClass::Correctable;
                check(Rule::AwaitingCorrection, may, || format!("{delivery} waits after {failure:?}"))?;
                Life::AwaitingCorrection
            }
            Outcome::Retry { delay_ms, stage, spent, previous, failure, .. } => {
                self.fails(&delivery, position, *previous)?;
                self.check_retry(&delivery, (*spent, *stage, *delay_ms), failure.kind)?;
                self.waits(&delivery, *delay_ms);
                Life::Retrying { due_ms: self.elapsed_ms(commit.at_ms).saturating_add(*delay_ms) }
            }
            Outcome::DeadLettered { held, carried, failure, .. } => {
                self.fails(&delivery, position, carried.failure)?;
                self.check_dead(&delivery, *held, failure.class)?;
                if *held { Life::Held } else { Life::Dead }
            }
        };
        if matches!(life, Life::Done | Life::Withheld) {
            self.check_done(&delivery, life)?;
            self.check_emitted(&commit.effects.emitted)?;
            self.check_emitted(&commit.effects.withheld)?;
        }
        self.write_timers(commit.written());
        let not_reached = matches!(&commit.outcome, Outcome::Retry { spent: false, .. });
        let watched = self.watched(&commit.handler);
        watched.settle(commit.event, life);
        if let Some(item) = watched.items.get_mut(&commit.event) {
            item.tried = true;
            item.spent += u32::from(matches!(life, Life::Retrying { .. }) && !not_reached);
        }
        Ok(())
    }

    /// An attempt failed, or an operator gave the delivery up: it names the previous failure.
    pub(super) fn fails(&mut self, delivery: &DeliveryId, at: Position, previous: Option<Position>) -> Checked {
        let Some(item) = self.watched(&delivery.handler).items.get_mut(&delivery.position) else { return Ok(()) };
        let before = item.failure.replace(at);
        let names = || format!("the failure of {delivery} before {at} is {before:?}, and it names {previous:?}");
        check(Rule::Attempts, previous == before, names)
    }

    fn waits(&mut self, delivery: &DeliveryId, wait_ms: u64) {
        let until_ms = self.monotonic_ms.saturating_add(wait_ms);
        if let Some(item) = self.watched(&delivery.handler).items.get_mut(&delivery.position) {
            (item.wait_ms, item.wait_until_ms) = (wait_ms, until_ms);
        }
    }

    pub(super) fn write_timers(&mut self, Written { handler, key, effects, version }: Written<'_>) {
        for write in &effects.timers {
            let timer = TimerId { handler: handler.clone(), key: key.to_owned(), name: write.name.clone() };
            match &write.set {
                Some(set) => {
                    self.timer_versions.set(timer.clone(), version.unwrap_or(self.head));
                    self.timers.insert(timer, set.due_ms);
                }
                None => {
                    self.timer_versions.ended(&timer, self.head);
                    self.timers.remove(&timer);
                }
            }
        }
    }

    fn check_retry(
        &self,
        delivery: &DeliveryId,
        (spent, stage, wait_ms): (bool, u8, u64),
        kind: FailureKind,
    ) -> Checked {
        let is_free = matches!(kind, FailureKind::NotReached | FailureKind::CircuitOpen);
        check(Rule::Attempts, spent != is_free, || format!("{delivery}: {kind:?} counts as {spent}"))?;
        let Some(watched) = self.handlers.get(index_of(&delivery.handler)).filter(|_| spent) else { return Ok(()) };
        let Some(item) = watched.items.get(&delivery.position) else { return Ok(()) };
        let wanted = watched.kind.stage_after(item.spent + 1);
        check(Rule::Stages, wanted == Some(stage), || format!("{delivery} is at stage {stage}, not {wanted:?}"))?;
        let wait_ms_max = DELAYS_MS_MAX.get(usize::from(stage)).copied().unwrap_or(0);
        check(Rule::Stages, wait_ms <= wait_ms_max, || format!("{delivery} waits for {wait_ms} ms"))
    }

    fn check_dead(&self, delivery: &DeliveryId, held: bool, class: FailureClass) -> Checked {
        let Some(watched) = self.handlers.get(index_of(&delivery.handler)) else { return Ok(()) };
        let Some(item) = watched.items.get(&delivery.position) else { return Ok(()) };
        let holds = watched.kind.holds;
        check(Rule::Held, held == holds, || format!("{delivery} is held: {held}, and should be: {holds}"))?;
        let may = match class {
            FailureClass::Permanent => true,
            FailureClass::Correctable => false,
            FailureClass::Transient => watched.kind.stage_after(item.spent + 1).is_none(),
        };
        check(Rule::Stages, may, || format!("{delivery} dies after {} attempts: {class:?}", item.spent + 1))
    }

    fn check_done(&self, delivery: &DeliveryId, life: Life) -> Checked {
        let Some(watched) = self.handlers.get(index_of(&delivery.handler)) else { return Ok(()) };
        if let Some(before) = overtaken(watched, delivery.position) {
            check(Rule::Order, false, || format!("{delivery} is done before {before}"))?;
        }
        let is_behind = emits_behind(watched, delivery.position);
        let may = watched.kind.order != (Order::None { input: true }) || (life == Life::Withheld) == is_behind;
        check(Rule::EmitOrder, may, || format!("{delivery} is {life:?}, and behind others: {is_behind}"))
    }

    /// Earlier deliveries are closed: this one's emissions are released.
    pub(super) fn released(&mut self, delivery: &DeliveryId, emitted: &[Event]) -> Checked {
        let life = self.known(Rule::OnceOnly, delivery)?.life;
        check(Rule::OnceOnly, life == Life::Withheld, || format!("{delivery} is released and is {life:?}"))?;
        let is_behind = self
            .handlers
            .get(index_of(&delivery.handler))
            .is_some_and(|watched| emits_behind(watched, delivery.position));
        check(Rule::EmitOrder, !is_behind, || format!("{delivery} is released before its time"))?;
        for event in emitted {
            let is_known = self.emitted.contains(&event.id);
            check(Rule::OnceOnly, is_known, || format!("{} was never withheld", event.id))?;
        }
        self.watched(&delivery.handler).settle(delivery.position, Life::Done);
        Ok(())
    }

    pub(super) fn check_emitted(&mut self, events: &[Event]) -> Checked {
        for event in events.iter().filter(|event| event.r#type.starts_with("out.")) {
            let is_new = self.emitted.insert(event.id.clone());
            check(Rule::OnceOnly, is_new, || format!("{} is emitted again", event.id))?;
        }
        Ok(())
    }

    /// A timer fired.
    pub(super) fn fired(&mut self, timer: &TimerId, due_ms: u64, at_ms: u64) -> Checked {
        let known = self.timers.remove(timer);
        self.timer_versions.ended(timer, self.head);
        if known != Some(due_ms) {
            let what = format!("{timer:?} was to go off at {known:?}, not {due_ms}");
            return Err(Violation { rule: Rule::Timers, what });
        }
        let wall_ms = self.wall_ms;
        check(Rule::Timers, wall_ms >= due_ms, || format!("{timer:?} is early: {wall_ms}, recorded {at_ms}"))
    }
}

/// An open delivery of its lane that it should have waited for: it was open when the attempt began.
fn overtaken(watched: &Watched, position: Position) -> Option<Position> {
    // In resequenced lanes, an earlier event need not come first.
    let item = watched.items.get(&position).filter(|_| !watched.kind.resequences)?;
    let before = watched.open.range(..position).copied();
    before.into_iter().find(|before| {
        let before = watched.items.get(before);
        before.is_some_and(|before| watched.share_lane(before, item) && before.opened_at < item.begun_at)
    })
}

/// Whether an earlier delivery of its key is open.
fn emits_behind(watched: &Watched, position: Position) -> bool {
    let Some(item) = watched.items.get(&position) else { return false };
    let mut before = watched.open.range(..position);
    before.any(|before| watched.items.get(before).is_some_and(|before| before.key == item.key))
}
