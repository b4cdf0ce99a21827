//! The values that the state writes of commits and repairs replace: those of this page are remembered, the first of each comes from the history.

use std::collections::HashMap;

use weirgate_history::{HistoryError, Look};
use weirgate_types::{HandlerName, Position, Record, Written};

/// The most bytes of values that are remembered.
const BYTES_MAX: usize = 8 << 20;

#[derive(Default)]
pub struct Values {
    newest: HashMap<(HandlerName, String), Option<Vec<u8>>>,
    bytes: usize,
}

impl Values {
    /// For each state write of a record, the value before it, if it is of this key.
    pub fn before(
        &mut self,
        look: &Look,
        key: &str,
        position: Position,
        record: &Record,
    ) -> Result<Vec<Option<Vec<u8>>>, HistoryError> {
        let mut all = Vec::new();
        for Written { handler, key: of, effects, .. } in record.effects() {
            for write in &effects.state {
                if of != key {
                    all.push(None);
                    continue;
                }
                let place = (handler.clone(), write.name.clone());
                let known = self.newest.remove(&place);
                let before = match known {
                    Some(value) => value,
                    None => look.value_before(handler, key, &write.name, position)?,
                };
                self.bytes += write.value.as_ref().map_or(0, Vec::len);
                if self.bytes > BYTES_MAX {
                    (self.newest, self.bytes) = (HashMap::new(), 0);
                }
                self.newest.insert(place, write.value.clone());
                all.push(before);
            }
        }
        Ok(all)
    }
}
