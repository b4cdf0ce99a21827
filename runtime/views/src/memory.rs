//! Views for simulations: in memory, without a thread. They outlive whoever opens them, as a disk does, and get what was
//! written when somebody flushes.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use parking_lot::Mutex;
use weirgate_types::{Epochs, Position};

use crate::{
    Inner, ViewEntry, ViewError, ViewOptions, Views,
    disk::{About, Disk, Found, Origin},
    flusher::Shared,
    free_space::Space,
};

/// What stands in for sled. Clones are the same rows.
#[derive(Debug, Default, Clone)]
pub struct SimRows(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    about: Option<About>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl SimRows {
    /// All rows, sorted.
    #[must_use]
    pub fn all(&self) -> Vec<ViewEntry> {
        self.range(b"", None)
    }

    /// The views are deleted.
    pub fn clear(&self) {
        *self.0.lock() = Rows::default();
    }

    pub(crate) fn found(&self) -> Found {
        self.0.lock().about.map_or(Found::Nothing, Found::Views)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().rows.get(key).cloned()
    }

    pub(crate) fn range(&self, prefix: &[u8], after: Option<&[u8]>) -> Vec<ViewEntry> {
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let guard = self.0.lock();
        let rows = guard.rows.range::<[u8], _>((start, Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        rows.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn write<'a>(&self, about: About, rows: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) {
        let mut guard = self.0.lock();
        guard.about = Some(about);
        for (key, value) in rows {
            match value {
                Some(value) => drop(guard.rows.insert(key.to_vec(), value.to_vec())),
                None => drop(guard.rows.remove(key)),
            }
        }
    }
}

impl Views {
    /// Open views whose rows are in memory. What was written and not flushed is gone when they are dropped, as if the
    /// process had been killed.
    ///
    /// # Errors
    /// The rows are of another log, or of a longer one.
    pub fn simulated(rows: SimRows, epochs: &Epochs, head: Position, options: ViewOptions) -> Result<Self, ViewError> {
        let origin = Origin::of(epochs);
        let applied = match rows.found() {
            Found::Views(about) if about.origin == origin && about.applied <= head => about.applied,
            Found::Views(about) if about.origin.log == origin.log && about.origin.epoch != origin.epoch => {
                rows.clear();
                Position::ZERO
            }
            Found::Nothing => Position::ZERO,
            other => return Err(ViewError::Failed(format!("the rows are of another log: {other:?}"))),
        };
        let space = Space::new(Box::new(|| None));
        let shared = Shared::new(Disk::Sim(rows), None, space, About { origin, applied, sum: 0 }, options);
        let (thread, place) = (Mutex::new(None), Mutex::new(None));
        Ok(Self(Arc::new(Inner { thread, shared: Arc::new(shared), place })))
    }

    /// Let the rows have what was written.
    ///
    /// # Errors
    /// As for reads.
    pub fn flush(&self) -> Result<(), ViewError> {
        self.0.shared.flush()
    }
}
