//! Spilling and reloading: deliveries that wait long are on disk only, and are reloaded when due, when first of their lane,
//! or when a command names them.

use weirgate_types::{HandlerName, Position};

use super::Machine;
use crate::{Action, DeliveryPhase, DeliveryRow, NextDue, Now, PerWait, ReloadedLane, handler::Handler};

/// Maximum number of lanes in one reload.
const RELOAD_LANES_MAX: usize = 64;
/// While at least this many deliveries are runnable, due ones stay on disk.
pub(super) const RUNNABLE_MAX: usize = 1_024;

impl Machine {
    /// All written rows are readable now: reload needed lanes, then spill the excess.
    pub(super) fn spill_and_reload(&mut self, now: Now, actions: &mut Vec<Action>) {
        let (now_ms, head) = (now.elapsed_ms, self.head);
        for (name, handler) in &mut self.handlers {
            let lanes = &mut handler.lanes;
            lanes.spilled.settled();
            lanes.forget_idle();
            let wanted = lanes.spilled.take_wanted(RELOAD_LANES_MAX);
            let due = if self.recovering { PerWait::default() } else { due(handler, now_ms, head) };
            if due != PerWait::default() || !wanted.is_empty() {
                actions.push(Action::Reload { handler: name.clone(), lanes: wanted, due });
            }
            for (position, row) in handler.lanes.spill_excess(self.limits.waiting_max) {
                actions.push(Action::Spill { delivery: handler.id(position), row, on: true });
            }
        }
    }

    pub(super) fn reloaded(
        &mut self,
        name: &HandlerName,
        lanes: &[ReloadedLane],
        due: PerWait<Option<NextDue>>,
        actions: &mut Vec<Action>,
    ) {
        let Some(handler) = self.handlers.get_mut(name) else { return };
        handler.lanes.spilled.set_next_due_ms(due);
        for reloaded in lanes {
            handler.lanes.learn_next(reloaded.lane, reloaded.next);
            let through = reloaded.rows.last().map(|(position, row)| row.rank(*position));
            // Rows spilled since then are not readable yet and may come before those that were found.
            let mut rows = match (reloaded.more, through) {
                (true, None) => Vec::new(),
                (more, through) => handler.lanes.spilled.take_late(reloaded.lane, through.filter(|_| more)),
            };
            rows.extend(reloaded.rows.iter().cloned());
            for (position, row) in rows {
                take_back(handler, position, row, self.recovering, actions);
            }
            if !reloaded.more {
                handler.lanes.spilled.emptied(reloaded.lane);
            }
        }
    }

    /// Whether the row of a delivery may be on disk and has to be reloaded before a record about it is applied.
    #[must_use]
    pub fn may_be_spilled(&self, name: &HandlerName, position: Position) -> bool {
        self.handlers.get(name).is_some_and(|handler| handler.may_be_spilled(position))
    }
}

/// The times up to which lanes on disk are to be reloaded, where some are due. A gap that may not be passed yet stays there: in
/// memory it would only wait, and be spilled again.
fn due(handler: &Handler, now_ms: u64, head: Position) -> PerWait<Option<u64>> {
    if handler.lanes.active() >= RUNNABLE_MAX {
        return PerWait::default();
    }
    let next = handler.lanes.spilled.next_due_ms();
    let by = |next: Option<u64>, until_ms: u64| next.filter(|due_ms| *due_ms <= until_ms).map(|_| until_ms);
    let gaps = handler.gaps_until_ms(now_ms, head).and_then(|until_ms| by(next.gaps, until_ms));
    PerWait { retries: by(next.retries, now_ms), gaps }
}

/// A delivery is reloaded. A correction that came for it meanwhile is used if the delivery awaits one.
fn take_back(handler: &mut Handler, position: Position, row: DeliveryRow, recovering: bool, actions: &mut Vec<Action>) {
    if handler.lanes.get(position).is_some() {
        return;
    }
    handler.lanes.spilled.took();
    let offer = handler.lanes.spilled.offer_for(position, &row);
    let row = DeliveryRow { spilled: false, leads: false, offered: offer.or(row.offered), ..row };
    handler.lanes.insert_in_memory(position, row.clone());
    let is_waiting = row.phase == DeliveryPhase::AwaitingCorrection;
    actions.push(Action::Spill { delivery: handler.id(position), row, on: false });
    if offer.is_some() && is_waiting && !recovering {
        handler.correct(position, offer, actions);
    }
}
