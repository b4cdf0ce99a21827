//! Holds: for a moment no attempt of a key begins, so that what is computed from its state is still right when it is written.
//! They are in memory only: after a crash no key is on hold.

use weirgate_types::{HandlerName, KeyHash};

use super::Machine;
use crate::{Action, Now};

/// How long a key is on hold at most, in elapsed time: deliveries of the key wait no longer.
pub const HOLD_MS_MAX: u64 = 1_000;
/// Maximum number of keys on hold.
const HOLDS_MAX: usize = 64;

/// Names a hold: chosen by the engine, never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u64);

#[derive(Debug)]
pub struct Hold {
    handler: HandlerName,
    key: KeyHash,
    until_ms: u64,
    /// Whether no attempt of the key is running any more.
    is_quiet: bool,
}

impl Machine {
    /// Whether a key can be put on hold: one that is on hold, or whose hash is that of another one, has to wait.
    #[must_use]
    pub fn may_hold(&self, name: &HandlerName, key: KeyHash) -> bool {
        let is_free = self.handlers.get(name).is_some_and(|handler| !handler.lanes.is_on_hold(key));
        is_free && self.holds.len() < HOLDS_MAX
    }

    /// Whether a hold of this key is in force, and no attempt of it is running.
    #[must_use]
    pub fn is_quiet(&self, id: HoldId, name: &HandlerName, key: KeyHash, now: impl Into<Now>) -> bool {
        let hold = self.holds.get(&id).filter(|hold| hold.is_quiet && hold.until_ms > now.into().elapsed_ms);
        hold.is_some_and(|hold| hold.handler == *name && hold.key == key)
    }

    pub(super) fn begin_hold(&mut self, id: HoldId, name: &HandlerName, key: KeyHash, now: Now) {
        let Some(handler) = self.handlers.get_mut(name) else { return };
        handler.lanes.hold_key(key);
        let until_ms = now.elapsed_ms.saturating_add(HOLD_MS_MAX);
        self.holds.insert(id, Hold { handler: name.clone(), key, until_ms, is_quiet: false });
    }

    pub(super) fn end_hold(&mut self, id: HoldId) {
        let Some(hold) = self.holds.remove(&id) else { return };
        if let Some(handler) = self.handlers.get_mut(&hold.handler) {
            handler.lanes.end_hold(hold.key);
        }
    }

    /// Ends the holds whose time is over or whose handler is gone, and reports those whose last attempt has ended.
    pub(super) fn look_at_holds(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut over = Vec::new();
        for (id, hold) in &mut self.holds {
            let lanes = self.handlers.get(&hold.handler).map(|handler| &handler.lanes);
            match lanes.filter(|lanes| hold.until_ms > now.elapsed_ms && lanes.is_on_hold(hold.key)) {
                None => over.push(*id),
                Some(lanes) if !hold.is_quiet && !lanes.runs_key(hold.key) => {
                    hold.is_quiet = true;
                    actions.push(Action::ReportQuiet { hold: *id });
                }
                Some(_) => {}
            }
        }
        for id in over {
            self.end_hold(id);
            actions.push(Action::ReportHoldOver { hold: id });
        }
    }

    /// When the next hold is over, in elapsed time.
    pub(super) fn next_hold_over_ms(&self) -> Option<u64> {
        self.holds.values().map(|hold| hold.until_ms).min()
    }
}
