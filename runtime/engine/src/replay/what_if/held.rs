//! What the differences of a what-if take in memory, counted as they come and go. Pure.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use serde::Serialize;

/// Number of places in a node of a [`BTreeMap`], which it has with its first entry.
const NODE_PLACES: usize = 11;

/// What an item takes, about: its contents, and twice its own place, because maps and lists have free ones.
pub fn held_bytes<T: Serialize>(item: &T) -> usize {
    let contents = postcard::experimental::serialized_size(item).unwrap_or(usize::MAX);
    contents.saturating_add(2 * size_of::<T>())
}

/// A map that knows what it takes: equal maps take the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured<V> {
    /// Shared with the delivery that reads it, and changed in place when that has ended.
    entries: Arc<BTreeMap<String, V>>,
    bytes: usize,
}

impl<V> Default for Measured<V> {
    fn default() -> Self {
        Self { entries: Arc::default(), bytes: 0 }
    }
}

impl<V: Serialize> Serialize for Measured<V> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (*self.entries).serialize(serializer)
    }
}

impl<V> Measured<V> {
    /// As it is now, without a copy.
    #[must_use]
    pub fn shared(&self) -> Arc<BTreeMap<String, V>> {
        Arc::clone(&self.entries)
    }
}

impl<V: Clone + Serialize> Measured<V> {
    /// Puts a value in the place of the one that was removed before.
    pub fn insert(&mut self, name: String, value: V) {
        self.remove(&name);
        self.bytes = self.bytes.saturating_add(entry_bytes(&name, &value));
        self.entries_mut().insert(name, value);
    }

    pub fn remove(&mut self, name: &str) -> Option<V> {
        if !self.entries.contains_key(name) {
            return None;
        }
        let (name, value) = self.entries_mut().remove_entry(name)?;
        self.bytes = self.bytes.saturating_sub(entry_bytes(&name, &value));
        Some(value)
    }

    fn entries_mut(&mut self) -> &mut BTreeMap<String, V> {
        #[cfg(test)]
        if Arc::strong_count(&self.entries) > 1 {
            tests::COPIED.set(tests::COPIED.get() + self.entries.len());
        }
        Arc::make_mut(&mut self.entries)
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        let node = if self.entries.is_empty() { 0 } else { NODE_PLACES * size_of::<(String, V)>() };
        self.bytes.saturating_add(node)
    }
}

impl<V> Deref for Measured<V> {
    type Target = BTreeMap<String, V>;

    fn deref(&self) -> &BTreeMap<String, V> {
        &self.entries
    }
}

fn entry_bytes<V: Serialize>(name: &String, value: &V) -> usize {
    held_bytes(name).saturating_add(held_bytes(value))
}

#[cfg(test)]
pub mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Number of entries that were copied to change a map that is shared.
        pub static COPIED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn a_map_that_is_read_stays_as_it_was() {
        let mut map = Measured::default();
        map.insert("a".into(), Some(vec![1]));
        let (read, before) = (map.shared(), COPIED.get());
        map.insert("b".into(), None);
        assert_eq!((read.len(), map.len(), COPIED.get() - before), (1, 2, 1));
        drop(read);
        map.remove("a");
        assert_eq!((map.len(), COPIED.get() - before), (1, 1), "it is not shared any more");
    }

    #[test]
    fn a_map_counts_what_is_in_it_and_nothing_else() {
        let mut map = Measured::<Option<Vec<u8>>>::default();
        for (n, size) in [(1, 100), (2, 200), (1, 1_000), (1, 10)] {
            map.insert(format!("n{n}"), Some(vec![0; size]));
        }
        let mut other = Measured::default();
        other.insert("n2".into(), Some(vec![0; 200]));
        other.insert("n1".into(), Some(vec![0; 10]));
        assert_eq!(map, other, "what was replaced does not count");
        assert!((210..3_000).contains(&map.bytes()), "{}", map.bytes());
        assert_eq!(map.remove("n3"), None);
        assert!(map.remove("n1").is_some() && map.remove("n2").is_some());
        assert_eq!((map.bytes(), map), (0, Measured::default()));
    }
}
