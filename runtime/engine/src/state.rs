//! Committed state as a call sees it: the rows of one handler and key.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weirgate_host::{ReadState, StateError};
use weirgate_log::LogReader;
use weirgate_types::{FIRST_STATE_VERSION, HandlerName, Position, Record, StateReads};
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
    reads: Option<ReadLog>,
}

/// What the reads of an attempt saw, in order. Shared by the call, which reads, and the worker.
#[derive(Debug, Clone, Default)]
pub struct ReadLog(Arc<Mutex<Vec<StateReads>>>);

impl ReadLog {
    /// A read that saw all commits up to `as_of`.
    fn add(&self, as_of: Position) {
        let mut reads = self.reads();
        match reads.last_mut().filter(|last| last.as_of == as_of) {
            Some(last) => last.count = last.count.saturating_add(1),
            None => reads.push(StateReads { count: 1, as_of }),
        }
    }

    pub fn take(&self) -> Vec<StateReads> {
        std::mem::take(&mut self.reads())
    }

    fn reads(&self) -> MutexGuard<'_, Vec<StateReads>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The version of a key's state, if there is state and it has not the version `wanted`.
///
/// # Errors
/// The views cannot be read.
pub fn earlier_version(
    views: &Views,
    handler: &HandlerName,
    key: &str,
    wanted: u32,
) -> Result<Option<u32>, StorageError> {
    if wanted <= FIRST_STATE_VERSION {
        return Ok(None);
    }
    let version = views.get(&keys::state_version(handler, key))?;
    let version = keys::value_state_version(version.as_deref());
    let version = version.ok_or_else(|| StorageError::row("the version of a state"))?;
    let is_earlier = version != wanted && !views.scan_keys_as_of(&keys::states(handler, key), 1)?.1.is_empty();
    Ok(is_earlier.then_some(version))
}

impl KeyState {
    pub fn new(views: Views, log: LogReader, handler: &HandlerName, key: &str) -> Self {
        Self { views, log, prefix: keys::states(handler, key), reads: None }
    }

    pub fn logging_to(self, reads: Option<ReadLog>) -> Self {
        Self { reads, ..self }
    }
}

impl ReadState for KeyState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let row = [self.prefix.as_slice(), name.as_bytes()].concat();
        let value = match &self.reads {
            None => self.views.get(&row).map_err(StateError::new)?,
            Some(reads) => {
                let (as_of, value) = self.views.get_as_of(&row).map_err(StateError::new)?;
                reads.add(as_of);
                value
            }
        };
        let Some(bytes) = value else { return Ok(None) };
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
        let (as_of, keys) = self.views.scan_keys_as_of(&wanted, limit).map_err(StateError::new)?;
        self.reads.iter().for_each(|reads| reads.add(as_of));
        let names = keys.iter().filter_map(|key| String::from_utf8(key.get(self.prefix.len()..)?.to_vec()).ok());
        Ok(names.collect())
    }
}

fn written(record: Option<&Record>, position: Position, index: u32) -> Result<Vec<u8>, StateError> {
    let effects = record.into_iter().flat_map(Record::effects);
    let write = effects.flat_map(|written| &written.effects.state).nth(usize::try_from(index).unwrap_or(usize::MAX));
    let value = write.and_then(|write| write.value.clone());
    value.ok_or_else(|| StateError::new(StorageError::Missing { what: "state value", position }))
}
