//! The state of a handler and key as an attempt read it, from a walk through the log or out of the history.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use weirgate_history::Look;
use weirgate_host::{ReadState, StateError};
use weirgate_types::{HandlerName, Position, StateReads};

use super::memory::StateView;

/// The state of one handler and key at any position.
pub trait StateAt: Send {
    /// A value after the record at a position.
    ///
    /// # Errors
    /// It cannot be read.
    fn value(&self, name: &str, as_of: Position) -> Result<Option<Vec<u8>>, StateError>;

    /// The first `limit` names that begin with `prefix`, sorted.
    ///
    /// # Errors
    /// They cannot be read.
    fn names(&self, prefix: &str, limit: usize, as_of: Position) -> Result<Vec<String>, StateError>;

    /// All names and values.
    ///
    /// # Errors
    /// They cannot be read.
    fn values(&self, as_of: Position) -> Result<Vec<(String, Vec<u8>)>, StateError>;
}

/// See the module documentation.
pub struct RecordedState {
    state: Box<dyn StateAt>,
    /// The attempt began there.
    begun: Position,
    /// What its reads saw, where that does not follow from its beginning.
    reads: Mutex<VecDeque<StateReads>>,
}

impl RecordedState {
    pub fn new(state: impl StateAt + 'static, begun: Position, reads: &[StateReads]) -> Self {
        let reads = Mutex::new(reads.iter().copied().collect());
        Self { state: Box::new(state), begun, reads }
    }

    /// All values that the attempt could have read.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn views(&self) -> Result<Vec<StateView>, StateError> {
        let reads: Vec<StateReads> =
            self.reads.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let last = StateReads { count: 0, as_of: self.begun };
        let views = reads.into_iter().chain([last]).map(|StateReads { count, as_of }| {
            let values = self.state.values(as_of)?;
            Ok(StateView { count, values })
        });
        views.collect()
    }

    /// Up to which position the next read sees commits.
    fn next_read(&self) -> Position {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = reads.front_mut() else { return self.begun };
        let as_of = next.as_of;
        next.count = next.count.saturating_sub(1);
        if next.count == 0 {
            reads.pop_front();
        }
        as_of
    }
}

impl ReadState for RecordedState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.state.value(name, self.next_read())
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        self.state.names(prefix, limit, self.next_read())
    }
}

/// The state of a handler and key in the history.
pub struct KeyInHistory {
    look: Arc<Look>,
    of: (HandlerName, String),
}

impl KeyInHistory {
    pub fn new(look: Arc<Look>, of: (HandlerName, String)) -> Self {
        Self { look, of }
    }
}

impl StateAt for KeyInHistory {
    fn value(&self, name: &str, as_of: Position) -> Result<Option<Vec<u8>>, StateError> {
        self.look.value_before(&self.of.0, &self.of.1, name, as_of.next()).map_err(StateError::new)
    }

    fn names(&self, prefix: &str, limit: usize, as_of: Position) -> Result<Vec<String>, StateError> {
        let names = self.look.state_at(&self.of.0, &self.of.1, as_of).map_err(StateError::new)?.into_keys();
        Ok(names.filter(|name| name.starts_with(prefix)).take(limit).collect())
    }

    fn values(&self, as_of: Position) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        Ok(self.look.state_at(&self.of.0, &self.of.1, as_of).map_err(StateError::new)?.into_iter().collect())
    }
}
