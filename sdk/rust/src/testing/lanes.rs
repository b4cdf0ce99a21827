//! The order of the runtime in a test: an open delivery of a key blocks the key's later events, so a handler that fails until
//! such an event arrives waits for itself.

use std::collections::BTreeMap;

use super::{Delivery, Run, run::End};
use crate::Failure;

/// The delivery that a test makes, as far as it decides about the order.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub key: String,
    r#type: String,
    id: String,
    data: Vec<u8>,
    is_timer: bool,
}

impl Tried {
    pub fn of(delivery: &Delivery) -> Self {
        let event = &delivery.event;
        Self {
            key: delivery.effective_key(),
            r#type: event.r#type.clone(),
            id: event.id.clone(),
            data: event.data.clone(),
            is_timer: delivery.is_timer,
        }
    }
}

/// The open deliveries, one per key at most.
#[derive(Debug, Default, Clone)]
pub(super) struct Lanes {
    open: BTreeMap<String, Open>,
    /// Whether deliveries of a key do not wait for each other.
    pub are_off: bool,
}

#[derive(Debug, Clone)]
struct Open {
    delivery: Tried,
    reason: String,
    /// It is delivered again with other data.
    is_correctable: bool,
}

impl Open {
    /// Whether this is the open delivery again.
    fn is(&self, next: &Tried) -> bool {
        let Tried { r#type, id, data, .. } = &self.delivery;
        *r#type == next.r#type && *id == next.id && (self.is_correctable || *data == next.data)
    }
}

impl Lanes {
    /// # Panics
    /// The runtime would not deliver it now.
    #[track_caller]
    pub fn check(&self, next: &Tried) {
        let Some(open) = self.open.get(&next.key).filter(|open| !self.are_off && !open.is(next)) else { return };
        let (key, r#type, reason) = (&next.key, &open.delivery.r#type, &open.reason);
        let waits = if next.is_timer { "the timer's event" } else { "this event" };
        panic!(
            "{type} of {key} is open, since it failed: {reason}. Its key's later events wait behind it, so Weirgate does not \
             deliver {next} before it is closed. If the handler fails in order to wait for {waits}, it waits for itself: \
             complete the delivery instead, and keep in the state what has to be done later. To go on in a test, deliver the \
             same event again (a retry), or call `world.dead_letter({key:?})`; for a handler with `ordering = \"none\"`, use \
             `World::new().unordered()`.",
            next = next.r#type,
        );
    }

    /// A call for the delivery has ended.
    pub fn ended(&mut self, delivery: Tried, run: &Run) {
        let (reason, is_correctable) = match run.end() {
            End::Blocked => return,
            End::Completed | End::Failed(Failure::Permanent { .. }) => {
                self.close(&delivery.key);
                return;
            }
            End::Failed(failure) => (failure.to_string(), matches!(failure, Failure::Correctable { .. })),
            End::Ended(reason) => (reason.clone(), false),
        };
        self.open.insert(delivery.key.clone(), Open { delivery, reason, is_correctable });
    }

    /// Whether a delivery of the key was open; its next one may follow.
    pub fn close(&mut self, key: &str) -> bool {
        self.open.remove(key).is_some()
    }
}
