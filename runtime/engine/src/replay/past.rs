//! The state of handlers as it was: each value with the record that wrote it, for as long as a running attempt may have read
//! an older one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use weirgate_host::StateError;
use weirgate_log::LogReader;
use weirgate_types::{HandlerName, Position, Record};

use super::recorded_state::StateAt;
use crate::StorageError;

/// Maximum size of a value that is kept in memory, in bytes; larger ones are read from the log.
const INLINE_BYTES_MAX: usize = 128;

#[derive(Debug, Clone)]
enum Written {
    Removed,
    Inline(Arc<[u8]>),
    /// The write of this index in the record.
    InLog(usize),
}

#[derive(Debug, Clone)]
struct Version {
    record: Position,
    written: Written,
}

/// The versions of each name of a handler and key, oldest first.
type Names = BTreeMap<String, VecDeque<Version>>;

/// The state of all handlers and keys.
#[derive(Debug, Clone, Default)]
pub struct Past(Arc<Mutex<BTreeMap<(HandlerName, String), Names>>>);

impl Past {
    /// Takes a record's writes. No attempt that began before `oldest` will read.
    pub fn write(&self, position: Position, record: &Record, oldest: Position) {
        let mut before = 0;
        for written in record.effects().filter(|written| !written.effects.state.is_empty()) {
            self.write_each(position, written, before, oldest);
            before += written.effects.state.len();
        }
    }

    /// `before`: number of writes in the record before these.
    fn write_each(&self, position: Position, effects: weirgate_types::Written<'_>, before: usize, oldest: Position) {
        let of = (effects.handler.clone(), effects.key.to_owned());
        let mut states = self.states();
        let names = states.entry(of.clone()).or_default();
        for (index, write) in effects.effects.state.iter().enumerate() {
            let written = match &write.value {
                None => Written::Removed,
                Some(value) if value.len() <= INLINE_BYTES_MAX => Written::Inline(value.as_slice().into()),
                Some(_) => Written::InLog(before + index),
            };
            let versions = names.entry(write.name.clone()).or_default();
            versions.push_back(Version { record: position, written });
            while versions.get(1).is_some_and(|second| second.record <= oldest) {
                versions.pop_front();
            }
            let is_gone = |version: &Version| matches!(version.written, Written::Removed) && version.record <= oldest;
            if versions.len() == 1 && versions.front().is_some_and(is_gone) {
                names.remove(&write.name);
            }
        }
        if names.is_empty() {
            states.remove(&of);
        }
    }

    /// A handler was removed, with its state.
    pub fn remove(&self, handler: &HandlerName) {
        self.states().retain(|(name, _), _| name != handler);
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<(HandlerName, String), Names>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a handler and key among it.
pub struct KeyInPast {
    past: Past,
    log: LogReader,
    of: (HandlerName, String),
}

impl KeyInPast {
    pub fn new(past: Past, log: LogReader, of: (HandlerName, String)) -> Self {
        Self { past, log, of }
    }

    fn read(&self, name: &str, version: &Version) -> Result<Option<Vec<u8>>, StateError> {
        let index = match &version.written {
            Written::Removed => return Ok(None),
            Written::Inline(value) => return Ok(Some(value.to_vec())),
            Written::InLog(index) => *index,
        };
        let record = self.log.read(version.record).map_err(StateError::new)?.map(|(_, record)| record);
        let writes = record.iter().flat_map(Record::effects).flat_map(|written| &written.effects.state);
        let write = { writes }.nth(index).filter(|write| write.name == name);
        let missing = || StateError::new(StorageError::Missing { what: "state value", position: version.record });
        write.and_then(|write| write.value.clone()).ok_or_else(missing).map(Some)
    }
}

impl StateAt for KeyInPast {
    fn value(&self, name: &str, as_of: Position) -> Result<Option<Vec<u8>>, StateError> {
        let version = {
            let states = self.past.states();
            states.get(&self.of).and_then(|names| names.get(name)).and_then(|versions| seen(versions, as_of)).cloned()
        };
        version.map_or(Ok(None), |version| self.read(name, &version))
    }

    fn names(&self, prefix: &str, limit: usize, as_of: Position) -> Result<Vec<String>, StateError> {
        let states = self.past.states();
        let names = states.get(&self.of).into_iter().flat_map(|names| names.range(prefix.to_owned()..));
        let names = names.take_while(|(name, _)| name.starts_with(prefix));
        let exists =
            |versions| seen(versions, as_of).is_some_and(|version| !matches!(version.written, Written::Removed));
        Ok(names.filter(|(_, versions)| exists(versions)).map(|(name, _)| name.clone()).take(limit).collect())
    }

    fn values(&self, as_of: Position) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        let names: Vec<(String, Version)> = {
            let states = self.past.states();
            let names = states.get(&self.of).into_iter().flatten();
            names.filter_map(|(name, versions)| Some((name.clone(), seen(versions, as_of)?.clone()))).collect()
        };
        let values = names.into_iter().map(|(name, version)| {
            let value = self.read(&name, &version)?;
            Ok(value.map(|value| (name, value)))
        });
        values.filter_map(Result::transpose).collect()
    }
}

/// The newest version up to `as_of`.
fn seen(versions: &VecDeque<Version>, as_of: Position) -> Option<&Version> {
    versions.iter().rev().find(|version| version.record <= as_of)
}
