//! How the shell carries out each of the machine's actions.

use weirgate_core::{Action, Gap, Input, StateChange, Verdict};
use weirgate_types::{BreakerChanged, DeliveryId, Event, GapPassed, Mode, ModeChanged, Position, Record};

use super::{After, Call, Shell, Stop};
use crate::clients;

impl Shell {
    pub(super) fn perform(&mut self) -> Result<(), Stop> {
        while let Some(action) = self.queue.pop_front() {
            match action {
                Action::Stage(record) => drop(self.record(record)?),
                Action::Commit { handler, outcomes, is_batch } => self.commit(&handler, outcomes, is_batch)?,
                Action::Correct { delivery, with } => self.correct(delivery, with)?,
                Action::Release { delivery, commit } => self.release(delivery, commit)?,
                Action::PassGap(gap) => self.pass_gap(gap)?,
                Action::ChangeState(change) => self.change_state(change)?,
                Action::Deliver { delivery, attempt, call, .. } => self.deliver(delivery, attempt, call),
                Action::Scan { handler, after, until } => self.scan(&handler, after, until),
                Action::Reload { handler, lanes, due_ms } => self.reload(&handler, lanes, due_ms),
                Action::FireTimers { now_ms } => self.fire_timers(now_ms)?,
                Action::KeepNext { handler, lane, next } => self.views.keep_next(handler, lane, next),
                Action::Keep { delivery, row, .. } => self.views.keep(delivery, row),
                Action::Spill { delivery, row, .. } => self.views.keep(delivery, Some(row)),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, delivery: DeliveryId, attempt: u32, first: Position) {
        let DeliveryId { handler, position } = delivery;
        let begun = self.after.iter_mut().rev().find_map(|after| match after {
            After::Call(call) if call.handler == handler && call.first == first => Some(call),
            _ => None,
        });
        match begun {
            Some(call) => call.items.push((position, attempt)),
            None => {
                let items = vec![(position, attempt)];
                self.after.push(After::Call(Call { handler, first, items, hangs_until: 0 }));
            }
        }
    }

    fn pass_gap(&mut self, gap: Gap) -> Result<(), Stop> {
        let (key, notice) = (self.event_at(gap.delivery.position).key().to_owned(), self.notice());
        let (Gap { delivery, expected, found }, at_ms) = (gap, self.now_ms);
        self.record(Record::GapPassed(GapPassed { delivery, key, expected, found, at_ms, notice })).map(drop)
    }

    fn change_state(&mut self, change: StateChange) -> Result<(), Stop> {
        let (at_ms, notice) = (self.now_ms, self.notice());
        match change {
            StateChange::Breaker { breaker, open_ms, actor, reason } => {
                let open_until_ms = open_ms.map(|open_ms| self.clock.wall_ms + open_ms);
                let changed = BreakerChanged { breaker, open_ms, open_until_ms, actor, reason, at_ms, notice };
                self.record(Record::BreakerChanged(changed))?;
            }
            StateChange::Stop { handler, reason } => {
                let (mode, actor) = (Mode::Paused, "weirgate".to_owned());
                if self.machine.may_change_mode(&handler, mode) == Verdict::Granted {
                    self.record(Record::ModeChanged(ModeChanged { handler, mode, actor, reason, at_ms, notice }))?;
                }
            }
        }
        Ok(())
    }

    /// The runtime's own events.
    pub fn notice(&self) -> Event {
        clients::event(&format!("notice-{}", self.head()), "weirgate", "weirgate.notice")
    }

    /// Time passes.
    pub fn tick(&mut self) -> Result<(), Stop> {
        self.feed(Input::Tick)
    }
}
