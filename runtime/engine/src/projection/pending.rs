//! View changes that are not written yet, and reads that include them.
//!
//! Decisions in the middle of a pass that depend on the views read through here: the views themselves do not include the
//! changes of this pass.

use std::collections::{BTreeMap, HashMap};

use weirgate_views::{Change, ViewEntry, Views};

use crate::StorageError;

/// The changes of a pass, in order.
#[derive(Debug, Default)]
pub struct Pending {
    changes: Vec<Change>,
    /// The newest change of each key, for the changes indexed so far: reads are rare.
    newest: HashMap<Vec<u8>, usize>,
    looked_up: usize,
}

impl Pending {
    pub fn push(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn take(&mut self) -> Vec<Change> {
        self.newest.clear();
        self.looked_up = 0;
        std::mem::take(&mut self.changes)
    }

    /// The key's value once all changes are written.
    pub fn get(&mut self, views: &Views, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        for (index, change) in self.changes.iter().enumerate().skip(self.looked_up) {
            self.newest.insert(change.key.clone(), index);
        }
        self.looked_up = self.changes.len();
        match self.newest.get(key).and_then(|index| self.changes.get(*index)) {
            Some(change) => Ok(change.value.clone()),
            None => Ok(views.get(key)?),
        }
    }

    /// The first `limit` keys with a prefix, once all changes are written.
    pub fn scan_keys(&self, views: &Views, prefix: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StorageError> {
        let newest = self.of_prefix(prefix);
        let removed = newest.values().filter(|value| value.is_none()).count();
        let written = views.scan_keys(prefix, None, limit.saturating_add(removed))?;
        let mut keys: Vec<_> = written.into_iter().filter(|key| !newest.contains_key(key.as_slice())).collect();
        keys.extend(newest.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key.to_vec()));
        keys.sort_unstable();
        keys.truncate(limit);
        Ok(keys)
    }

    /// The first `limit` entries with a prefix, once all changes are written.
    pub fn scan(&self, views: &Views, prefix: &[u8], limit: usize) -> Result<Vec<ViewEntry>, StorageError> {
        let newest = self.of_prefix(prefix);
        let removed = newest.values().filter(|value| value.is_none()).count();
        let written = views.scan(prefix, None, limit.saturating_add(removed))?;
        let mut entries: Vec<_> = written.into_iter().filter(|(key, _)| !newest.contains_key(key.as_slice())).collect();
        entries.extend(newest.into_iter().filter_map(|(key, value)| Some((key.to_vec(), value?.to_vec()))));
        entries.sort_unstable();
        entries.truncate(limit);
        Ok(entries)
    }

    fn of_prefix(&self, prefix: &[u8]) -> BTreeMap<&[u8], Option<&[u8]>> {
        let changes = self.changes.iter().filter(|change| change.key.starts_with(prefix));
        changes.map(|change| (change.key.as_slice(), change.value.as_deref())).collect()
    }
}

#[cfg(test)]
mod tests {
    use weirgate_log::{Epoch, Epochs};
    use weirgate_types::Position;
    use weirgate_views::ViewOptions;

    use super::*;
    use crate::tables::TABLES;

    fn change(key: &str, value: Option<&str>) -> Change {
        match value {
            Some(value) => Change::put(key, value),
            None => Change::remove(key),
        }
    }

    #[test]
    fn reads_include_pending_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let views = Views::open(
            &dir.path().join("views"),
            TABLES,
            (&Epochs::new(Epoch([1; 16])), Position(9)),
            ViewOptions::default(),
        );
        let views = views.expect("views");
        let written = ["a1", "a2", "a3", "b1"].map(|key| change(key, Some("written")));
        views.write(written.to_vec(), Position(1)).expect("written");
        let mut pending = Pending::default();
        for (key, value) in [("a0", Some("x")), ("a1", None), ("a2", Some("y")), ("a2", Some("z")), ("b1", None)] {
            pending.push(change(key, value));
        }
        let get = |pending: &mut Pending, key: &str| pending.get(&views, key.as_bytes()).expect("read");
        assert_eq!(get(&mut pending, "a0"), Some(b"x".to_vec()));
        assert_eq!(get(&mut pending, "a1"), None);
        assert_eq!(get(&mut pending, "a2"), Some(b"z".to_vec()));
        assert_eq!(get(&mut pending, "a3"), Some(b"written".to_vec()));
        pending.push(change("a2", None));
        assert_eq!(get(&mut pending, "a2"), None, "a change that came after a look");
        let keys = |limit| pending.scan_keys(&views, b"a", limit).expect("read");
        assert_eq!(keys(9), [b"a0", b"a3"]);
        assert_eq!(keys(1), [b"a0"]);
        let entries = pending.scan(&views, b"a", 9).expect("read");
        assert_eq!(entries, [(b"a0".to_vec(), b"x".to_vec()), (b"a3".to_vec(), b"written".to_vec())]);
        assert_eq!(pending.take().len(), 6);
        assert_eq!(pending.get(&views, b"a2").expect("read"), Some(b"written".to_vec()), "nothing is pending any more");
    }
}
