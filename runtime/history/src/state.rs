//! The state of handlers as it was at a position.

use std::collections::{BTreeMap, HashMap};

use weirgate_types::{HandlerName, Position, Record, StateWrite, Written};

use crate::{HistoryError, Look, row::Row};

/// A [`StateAsOf`] that holds more than this many bytes of values begins anew.
const HELD_BYTES_MAX: usize = 64 << 20;

/// The state of one handler and key: values by name.
pub type KeyState = BTreeMap<String, Vec<u8>>;

impl Look {
    /// The state of a handler and key after the record at a position. Its cost follows from the number of its values, and of its
    /// writes since the snapshot before.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn state_at(&self, handler: &HandlerName, key: &str, position: Position) -> Result<KeyState, HistoryError> {
        let mut state = KeyState::new();
        let removed = self.removed_before(handler, position.next())?;
        for row in self.writes_until(handler, key, position)?.into_iter().filter(|row| row.position > removed) {
            if let Some(StateWrite { name, value: Some(value) }) = self.written(handler, key, &row)? {
                state.insert(name, value);
            }
        }
        Ok(state)
    }

    /// A value of a handler's state for a key before a position.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn value_before(
        &self,
        handler: &HandlerName,
        key: &str,
        name: &str,
        position: Position,
    ) -> Result<Option<Vec<u8>>, HistoryError> {
        let removed = self.removed_before(handler, position)?;
        let is_there = |row: &Row| !row.removed && row.position > removed;
        let Some(row) = self.write_before(handler, key, name, position)?.filter(is_there) else {
            return Ok(None);
        };
        let write = self.written(handler, key, &row)?.filter(|write| write.name == name);
        Ok(write.and_then(|write| write.value))
    }

    /// What a row says was written, if the record says so too.
    fn written(&self, handler: &HandlerName, key: &str, row: &Row) -> Result<Option<StateWrite>, HistoryError> {
        let Some((_, record)) = self.log().read(row.position)? else { return Ok(None) };
        let writes =
            record.effects().flat_map(|written| written.effects.state.iter().map(move |write| (written, write)));
        let found = { writes }.nth(usize::try_from(row.index).unwrap_or(usize::MAX));
        let of_lane = |written: &Written<'_>| written.handler == handler && written.key == key;
        Ok(found.filter(|(written, _)| of_lane(written)).map(|(_, write)| write.clone()))
    }
}

/// The state of all handlers and keys as of a position, for walking through the log from there. It holds what it was asked for:
/// so its cost follows from what the walk touches, not from the size of all state.
pub struct StateAsOf {
    look: Look,
    through: Position,
    held: HashMap<(HandlerName, String), KeyState>,
    held_bytes: usize,
}

impl StateAsOf {
    /// The state after the record at `through`.
    #[must_use]
    pub fn new(look: Look, through: Position) -> Self {
        Self { look, through, held: HashMap::new(), held_bytes: 0 }
    }

    /// The last position whose record it includes.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }

    /// The state of a handler and key.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn of(&mut self, handler: &HandlerName, key: &str) -> Result<&KeyState, HistoryError> {
        let lane = (handler.clone(), key.to_owned());
        if !self.held.contains_key(&lane) {
            if self.held_bytes > HELD_BYTES_MAX {
                (self.held, self.held_bytes) = (HashMap::new(), 0);
            }
            let state = self.look.state_at(handler, key, self.through)?;
            self.held_bytes += state.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
            self.held.insert(lane.clone(), state);
        }
        Ok(self.held.entry(lane).or_default())
    }

    /// Includes the next record.
    pub fn apply(&mut self, position: Position, record: &Record) {
        if let Record::Removed(removed) = record {
            self.held.retain(|(handler, _), _| *handler != removed.handler);
        }
        for Written { handler, key, effects, .. } in record.effects() {
            let lane = (handler.clone(), key.to_owned());
            let Some(state) = self.held.get_mut(&lane) else { continue };
            for write in &effects.state {
                self.held_bytes += write.value.as_ref().map_or(0, Vec::len);
                match &write.value {
                    Some(value) => drop(state.insert(write.name.clone(), value.clone())),
                    None => drop(state.remove(&write.name)),
                }
            }
        }
        self.through = position;
    }
}
