//! The store in memory: a map. It outlives the views that are opened over it, as a disk does.

use std::{collections::BTreeMap, ops::Bound::Unbounded, sync::Arc};

use parking_lot::Mutex;

use crate::{
    about::{About, Found},
    change::ViewEntry,
    error::ViewError,
    store::{Batch, Entries, Prepared, Range, Store},
};

/// Entries in memory. Clones are the same entries.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    about: Option<About>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// All entries, sorted.
    #[must_use]
    pub fn all(&self) -> Vec<ViewEntry> {
        self.0.lock().entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The views are deleted.
    pub fn clear(&self) {
        *self.0.lock() = Held::default();
    }

    pub(crate) fn found(&self) -> Found {
        self.0.lock().about.map_or(Found::Nothing, Found::Views)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(self.0.lock().entries.get(key).cloned())
    }

    fn range<'a>(&'a self, range: Range<'a>) -> Entries<'a> {
        let held = self.0.lock();
        let entries = held.entries.range::<[u8], _>((range.start(), Unbounded));
        let matching = entries.take_while(|(key, _)| key.starts_with(range.prefix));
        let found: Vec<_> = matching.map(|(key, value)| Ok((key.clone(), range.value(value)))).collect();
        Box::new(found.into_iter())
    }

    fn prepare<'a>(&self, batch: Batch<'a>) -> Result<Prepared<'a>, ViewError> {
        Ok(Prepared::plain(batch))
    }

    fn commit(&self, prepared: &Prepared<'_>) -> Result<(), ViewError> {
        let mut held = self.0.lock();
        held.about = Some(prepared.about);
        for (key, value) in prepared.rows() {
            match value {
                Some(value) => drop(held.entries.insert(key.to_vec(), value.to_vec())),
                None => drop(held.entries.remove(key)),
            }
        }
        Ok(())
    }
}
