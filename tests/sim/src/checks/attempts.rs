//! When an attempt may begin.

use weirgate_types::{DeliveryId, HandlerName, Mode, Position};

use super::{Checked, Checks, Item, Life, Rule, Watched, check, time::SLACK_MS};

/// Maximum number of deliveries in a call of the histories' batch handlers.
const EVENTS_MAX: usize = 3;

impl Checks {
    pub(super) fn attempted(
        &mut self,
        at: Position,
        delivery: &DeliveryId,
        (attempt, version): (u32, Position),
        at_ms: u64,
    ) -> Checked {
        let pass = self.pass;
        self.known(Rule::OnceOnly, delivery)?;
        if let Some(watched) = self.handlers.get(super::index_of(&delivery.handler)) {
            self.check_begin(watched, delivery, attempt, at_ms)?;
            self.check_lane(watched, delivery)?;
            self.check_handler(watched, delivery, at_ms)?;
        }
        let watched = self.watched(&delivery.handler);
        watched.check_version(delivery, version)?;
        watched.running += 1;
        if let Some(item) = watched.items.get_mut(&delivery.position) {
            (item.life, item.attempt, item.version) = (Life::Running, attempt, version);
            (item.begun_at, item.begun_pass) = (at, pass);
        }
        Ok(())
    }

    /// Whether the delivery itself may run.
    fn check_begin(&self, watched: &Watched, delivery: &DeliveryId, attempt: u32, at_ms: u64) -> Checked {
        let Some(item) = watched.items.get(&delivery.position) else { return Ok(()) };
        let (rule, may) = match item.life {
            Life::Ready => (Rule::Attempts, true),
            Life::Retrying { due_ms } => (Rule::Attempts, due_ms <= self.elapsed_ms(at_ms) + SLACK_MS),
            Life::Running => (Rule::Attempts, false),
            Life::AwaitingCorrection => (Rule::AwaitingCorrection, false),
            Life::Held => (Rule::Held, false),
            Life::Withheld | Life::Dead | Life::Done => (Rule::OnceOnly, false),
        };
        check(rule, may, || format!("{delivery} begins at {at_ms} and is {:?}", item.life))?;
        let next = item.attempt + 1;
        check(Rule::Attempts, attempt == next, || format!("{delivery}: attempt {attempt}, not {next}"))
    }

    /// Whether the others of its lane allow it.
    fn check_lane(&self, watched: &Watched, delivery: &DeliveryId) -> Checked {
        let Some(item) = watched.items.get(&delivery.position) else { return Ok(()) };
        if watched.kind.resequences {
            return Self::check_number(watched, delivery);
        }
        for other in watched.open.iter().filter(|other| **other != delivery.position) {
            let Some(before) = watched.items.get(other).filter(|before| watched.share_lane(before, item)) else {
                continue;
            };
            let is_same_call = watched.kind.batch
                && before.life == Life::Running
                && before.begun_pass == self.pass
                && !before.tried
                && !item.tried;
            let may = if *other < delivery.position { is_same_call } else { before.life != Life::Running };
            let rule = if before.life == Life::Held { Rule::Held } else { Rule::Order };
            check(rule, may, || format!("{delivery} begins while {other} is {:?}", before.life))?;
        }
        Ok(())
    }

    /// Whether its handler may be called.
    fn check_handler(&self, watched: &Watched, delivery: &DeliveryId, at_ms: u64) -> Checked {
        check(Rule::Modes, watched.mode != Mode::Paused, || format!("{delivery} begins while its handler is paused"))?;
        let is_new = watched.items.get(&delivery.position).is_some_and(|item| !item.tried);
        let is_late = watched.mode == Mode::Draining && is_new && delivery.position > watched.mode_at;
        check(Rule::Modes, !is_late, || format!("{delivery} was taken while its handler drains"))?;
        let Some(until_ms) = watched.breaker_open_until_ms else { return Ok(()) };
        let elapsed_ms = self.elapsed_ms(at_ms) + SLACK_MS;
        check(Rule::Breakers, elapsed_ms >= until_ms, || format!("{delivery} begins while the breaker is open"))?;
        check(Rule::Breakers, watched.running == 0, || format!("{delivery} begins beside the half-open probe"))
    }

    /// A call goes out with these deliveries.
    ///
    /// # Errors
    /// They may not share one, or the maximum number of calls is in flight.
    pub fn called(&self, handler: &HandlerName, positions: &[Position], under_way: usize) -> Checked {
        let Some(watched) = self.handlers.get(super::index_of(handler)) else { return Ok(()) };
        let most = usize::try_from(watched.concurrency).unwrap_or(usize::MAX);
        check(Rule::Batches, under_way < most, || format!("{handler} is called beside {under_way} calls"))?;
        let items = positions.iter().filter_map(|position| watched.items.get(position));
        let may = positions.len() == 1
            || watched.kind.batch && positions.len() <= EVENTS_MAX && items.into_iter().all(Item::may_share);
        check(Rule::Batches, may, || format!("{handler} gets {positions:?} in one call"))
    }

    /// Whether a call could hold more deliveries that may share one, if there were any.
    #[must_use]
    pub fn is_short(&self, handler: &HandlerName, items: &[(Position, u32)]) -> bool {
        let Some(watched) = self.handlers.get(super::index_of(handler)) else { return false };
        let may_share = |position: &Position| watched.items.get(position).is_some_and(Item::may_share);
        watched.kind.batch && items.len() < EVENTS_MAX && items.iter().all(|(position, _)| may_share(position))
    }
}

impl Item {
    fn may_share(&self) -> bool {
        !self.tried && !self.alone
    }
}
