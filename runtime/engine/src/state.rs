//! Committed state as a call sees it: the rows of one handler and key.

use weirgate_host::{ReadState, StateError};
use weirgate_log::LogReader;
use weirgate_types::{HandlerName, Position, Record};
use weirgate_views::Views;

use crate::{
    StorageError,
    keys::{self, Stored},
};

/// Reads the state of one handler and key. A call owns its reader; views and log are handles.
pub struct KeyState {
    views: Views,
    log: LogReader,
    /// The key prefix of all its rows.
    prefix: Vec<u8>,
}

impl KeyState {
    pub fn new(views: Views, log: LogReader, handler: &HandlerName, key: &str) -> Self {
        Self { views, log, prefix: keys::states(handler, key) }
    }
}

impl ReadState for KeyState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let row = [self.prefix.as_slice(), name.as_bytes()].concat();
        let Some(bytes) = self.views.get(&row).map_err(StateError::new)? else { return Ok(None) };
        match Stored::decode(&bytes) {
            Some(Stored::Inline(value)) => Ok(Some(value.to_vec())),
            Some(Stored::InLog { position, index }) => {
                let record = self.log.read(position).map_err(StateError::new)?;
                written(record.as_ref().map(|(_, record)| record), position, index).map(Some)
            }
            None => Err(StateError::new(StorageError::row("a state value"))),
        }
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        let wanted = [self.prefix.as_slice(), prefix.as_bytes()].concat();
        let keys = self.views.scan_keys(&wanted, None, limit).map_err(StateError::new)?;
        let names = keys.iter().filter_map(|key| String::from_utf8(key.get(self.prefix.len()..)?.to_vec()).ok());
        Ok(names.collect())
    }
}

fn written(record: Option<&Record>, position: Position, index: u32) -> Result<Vec<u8>, StateError> {
    let commits = record.into_iter().flat_map(Record::commits);
    let write = commits.flat_map(|commit| &commit.effects.state).nth(usize::try_from(index).unwrap_or(usize::MAX));
    let value = write.and_then(|write| write.value.clone());
    value.ok_or_else(|| StateError::new(StorageError::Missing { what: "state value", position }))
}
