//! Events that only the fork has, for handlers that are deployed later and begin with the first event of the log. Pure.

use weirgate_types::HandlerName;

use super::added::{Added, WAITING_MAX};
use crate::replay::ReplayError;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct ForLater {
    /// `None`: no such handler is deployed later.
    kept: Option<Vec<Added>>,
    bytes: usize,
}

impl ForLater {
    pub fn new(is_wanted: bool) -> Self {
        Self { kept: is_wanted.then(Vec::new), bytes: 0 }
    }

    /// Whether such a handler is deployed later.
    pub fn is_wanted(&self) -> bool {
        self.kept.is_some()
    }

    /// # Errors
    /// There are too many.
    pub fn keep(&mut self, added: &Added) -> Result<(), ReplayError> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        if kept.len() >= WAITING_MAX {
            return Err(ReplayError::Bound("events of the fork for handlers that are deployed later"));
        }
        self.bytes = self.bytes.saturating_add(added.bytes());
        kept.push(added.clone());
        Ok(())
    }

    /// All of them, for a handler that is deployed.
    pub fn of(&self, handler: &HandlerName) -> impl Iterator<Item = Added> + use<> {
        let to = Some(handler.clone());
        self.kept.clone().unwrap_or_default().into_iter().map(move |added| Added { to: to.clone(), ..added })
    }

    /// What they take in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
