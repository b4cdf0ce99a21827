//! Resequencing in the views: the next number of each lane, and the gaps that were passed.

use serde_json::json;
use weirgate_core::Next;
use weirgate_types::{GapPassed, HandlerName, KeyHash, Position};

use super::Projection;
use crate::{StorageError, keys, notices};

impl Projection {
    pub fn keep_next(&mut self, handler: &HandlerName, lane: KeyHash, next: Next) -> Result<(), StorageError> {
        let row = keys::next_number(handler, lane);
        let kept = self.get(&row)?.and_then(|value| keys::value_number(&value));
        if let Some(next) = next.over(kept) {
            self.put(row, keys::number_value(next));
        }
        Ok(())
    }

    /// Operators see the newest gap in the handler's status.
    pub(super) fn gap_passed(&mut self, position: Position, gap: &GapPassed) {
        let GapPassed { delivery, key, expected, found, at_ms, .. } = gap;
        let text = notices::gap_text(*expected, *found);
        let data = json!({ "delivery": delivery.to_string(), "key": key, "expected": expected, "found": found });
        let subject = notices::handler_subject(&delivery.handler);
        self.announce(position, &subject, "sequence", ("gap", &text), &data, *at_ms);
    }
}
