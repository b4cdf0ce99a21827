//! What the differences of a what-if take in memory, counted as they come and go. Pure.

use std::{collections::BTreeMap, ops::Deref};

use serde::Serialize;

/// Number of places in a node of a [`BTreeMap`], which it has with its first entry.
const NODE_PLACES: usize = 11;

/// What an item takes, about: its contents, and twice its own place, because maps and lists have free ones.
pub fn held_bytes<T: Serialize>(item: &T) -> usize {
    let contents = postcard::experimental::serialized_size(item).unwrap_or(usize::MAX);
    contents.saturating_add(2 * size_of::<T>())
}

/// A map that knows what it takes: equal maps take the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Measured<V> {
    entries: BTreeMap<String, V>,
    #[serde(skip)]
    bytes: usize,
}

impl<V> Default for Measured<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), bytes: 0 }
    }
}

impl<V: Serialize> Measured<V> {
    /// Puts a value in the place of the one that was removed before.
    pub fn insert(&mut self, name: String, value: V) {
        self.remove(&name);
        self.bytes = self.bytes.saturating_add(entry_bytes(&name, &value));
        self.entries.insert(name, value);
    }

    pub fn remove(&mut self, name: &str) -> Option<V> {
        let (name, value) = self.entries.remove_entry(name)?;
        self.bytes = self.bytes.saturating_sub(entry_bytes(&name, &value));
        Some(value)
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
mod tests {
    use super::*;

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
