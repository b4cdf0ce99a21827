//! What operators, events and the runtime may decide about deliveries, handlers and breakers.

use weirgate_core::HOOK;
use weirgate_types::{BreakerChanged, BreakerId, DeliveryCommand, DeliveryDecided, DeliveryId, Position};

use super::{Checked, Checks, Life, Rule, Watched, check};
use crate::Order;

impl Checks {
    pub(super) fn decided(&mut self, at: Position, one: &DeliveryDecided) -> Checked {
        let delivery = &one.delivery;
        let life = self.known(Rule::OnceOnly, delivery)?.life;
        let may = !matches!(life, Life::Running | Life::Withheld | Life::Done);
        check(Rule::OnceOnly, may, || format!("{delivery} is decided about ({}): it is {life:?}", one.command.word()))?;
        match &one.command {
            DeliveryCommand::Retry | DeliveryCommand::Correct(_) => self.check_correction(one, life)?,
            DeliveryCommand::Skip | DeliveryCommand::Resolve | DeliveryCommand::Discard => {
                self.watched(&delivery.handler).settle(delivery.position, Life::Done);
                return Ok(());
            }
            DeliveryCommand::DeadLetter => {
                self.fails(delivery, at, one.carried.failure)?;
                self.watched(&delivery.handler).settle(delivery.position, Life::Dead);
                return Ok(());
            }
        }
        let key = self.known(Rule::OnceOnly, delivery)?.key;
        let index = super::index_of(&delivery.handler);
        let in_force = self.watched(&delivery.handler).versions.last().map_or(at, |(from, _)| *from);
        let as_of = self.as_of(index, key, in_force.max(delivery.position), None);
        let watched = self.watched(&delivery.handler);
        watched.settle(delivery.position, Life::Ready);
        if let Some(item) = watched.items.get_mut(&delivery.position) {
            (item.attempt, item.spent, item.tried) = (0, 0, true);
            if life == Life::Dead {
                (item.opened_at, item.hooked, item.corrected) = (at, false, None);
                (item.as_of, item.version) = (as_of, Position::ZERO);
            }
            if let DeliveryCommand::Correct(correction) = &one.command {
                item.hooked |= one.actor == HOOK;
                item.corrected = item.corrected.max(correction.event);
            }
        }
        Ok(())
    }

    fn check_correction(&self, one: &DeliveryDecided, life: Life) -> Checked {
        let (DeliveryCommand::Correct(correction), delivery) = (&one.command, &one.delivery) else { return Ok(()) };
        let Some(item) = self.item(delivery) else { return Ok(()) };
        if one.actor == HOOK {
            let may = life == Life::AwaitingCorrection && !item.hooked;
            return check(Rule::Corrections, may, || format!("the hook corrects {delivery}: {item:?}"));
        }
        let Some(event) = correction.event else { return Ok(()) };
        let waits = life == Life::AwaitingCorrection;
        check(Rule::Corrections, waits, || format!("{delivery} is corrected by {event} and is {life:?}"))?;
        let is_its = self.is_correction_of(delivery, event) && event > delivery.position;
        check(Rule::Corrections, is_its, || format!("{event} does not correct {delivery}"))?;
        let is_news = Some(event) > item.corrected;
        check(Rule::Corrections, is_news, || format!("{delivery} has run with {event}"))
    }

    fn is_correction_of(&self, delivery: &DeliveryId, event: Position) -> bool {
        let watched = self.handlers.get(super::index_of(&delivery.handler));
        let item = self.item(delivery);
        watched.zip(item).is_some_and(|(watched, item)| watched.corrections.contains(&(event, item.key)))
    }

    pub(super) fn breaker_changed(&mut self, changed: &BreakerChanged) {
        if let BreakerId::Handler(name) = &changed.breaker {
            let elapsed_ms = self.elapsed_ms(changed.at_ms);
            let until_ms = changed.open_ms.map(|open_ms| elapsed_ms.saturating_add(open_ms));
            self.watched(name).breaker_open_until_ms = until_ms;
        }
    }
}

impl Watched {
    /// Nothing is in flight, and the handler has scanned everything up to `scanned`: no correction may be left for a waiting
    /// delivery.
    ///
    /// # Errors
    /// One is.
    pub fn no_correction_is_lost(&self, scanned: Position) -> Checked {
        // Without order and without lanes, corrections do not find waiting deliveries.
        if self.kind.order == (Order::None { input: false }) {
            return Ok(());
        }
        for position in &self.open {
            let Some(item) = self.items.get(position).filter(|item| item.life == Life::AwaitingCorrection) else {
                continue;
            };
            let came =
                |at: Position| at <= scanned && at > *position && at > item.opened_at && Some(at) > item.corrected;
            let lost = self.corrections.iter().find(|(at, key)| *key == item.key && came(*at));
            check(Rule::Corrections, lost.is_none(), || format!("{position} waits although {lost:?} came"))?;
        }
        Ok(())
    }
}
