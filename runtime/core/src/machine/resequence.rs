//! Resequencing: gaps whose wait has ended, and next numbers.

use weirgate_types::{GapPassed, HandlerName, KeyHash};

use super::Machine;
use crate::{Action, Next, Now};

impl Machine {
    pub(super) fn pass_gaps(&mut self, now: Now, actions: &mut Vec<Action>) {
        let head = self.head;
        for handler in self.handlers.values_mut() {
            while let Some(gap) = handler.next_gap(now.elapsed_ms, head) {
                actions.push(Action::PassGap(gap));
            }
        }
    }

    /// The record names the key because the delivery may not have been scanned yet while the log is replayed.
    pub(super) fn gap_passed(&mut self, gap: &GapPassed, actions: &mut Vec<Action>) {
        let lane = self.keys.hash(&gap.key);
        let Some(handler) = self.handlers.get_mut(&gap.delivery.handler) else { return };
        let next = handler.lanes.gap_passed(gap.delivery.position, lane, gap.found);
        keep_next(&gap.delivery.handler, next, actions);
    }
}

pub(super) fn keep_next(
    handler: &HandlerName,
    next: impl IntoIterator<Item = (KeyHash, Next)>,
    actions: &mut Vec<Action>,
) {
    let keep = |(lane, next)| Action::KeepNext { handler: handler.clone(), lane, next };
    actions.extend(next.into_iter().map(keep));
}
