//! What stands now, in the views and the log.

use std::sync::Arc;

use weirgate_types::{HandlerName, Position, Record, StatusWrite};

use crate::{
    StorageError,
    handle::Shared,
    replay::{ReplayError, Sources, Stands},
    statuses::{Statuses, WriteRef},
};

/// See the module documentation.
pub struct Now<'a> {
    statuses: &'a Statuses,
    sources: &'a Sources,
    handler: &'a HandlerName,
}

impl<'a> Now<'a> {
    pub fn new(shared: &'a Arc<Shared>, sources: &'a Sources, handler: &'a HandlerName) -> Self {
        Self { statuses: &shared.statuses, sources, handler }
    }
}

impl Stands for Now<'_> {
    type Error = ReplayError;

    fn status_written_at(&self, subject: &str) -> Result<Option<Position>, ReplayError> {
        let part = self.statuses.part(subject, self.handler)?;
        Ok(part.and_then(|(_, written)| written).map(|WriteRef(position, _)| position))
    }

    fn status_before(&self, key: &str, subject: &str, before: Position) -> Result<Option<StatusWrite>, ReplayError> {
        let mut before = before;
        while let Some(at) = self.sources.look.of_lane_before(self.handler, key, before)? {
            let Some((first, record)) = self.sources.look.log().read(at).map_err(StorageError::from)? else { break };
            if matches!(&record, Record::Repaired(repaired) if repaired.unset.iter().any(|unset| unset == subject)) {
                return Ok(None);
            }
            let of_lane = record.effects().filter(|written| written.handler == self.handler && written.key == key);
            let found =
                of_lane.flat_map(|written| &written.effects.status).filter(|write| write.subject == subject).last();
            if let Some(write) = found {
                return Ok(Some(write.clone()));
            }
            before = first;
        }
        Ok(None)
    }
}
