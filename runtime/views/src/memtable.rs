//! What was written and is not in sled yet: the newest value of each key, in two generations. One takes writes while the
//! other is on its way to sled; both are read before sled is.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use weirgate_types::Position;

use crate::{Change, sled_store::pages};

/// What a change costs beside its bytes, about.
const CHANGE_OVERHEAD_BYTES: usize = 100;
/// What it costs more where sled gets a leaf for it, which others may be in.
const LEAF_SHARE_BYTES: usize = pages::BYTES_MAX / 2;

/// A value, or `None` for a key that was removed.
pub type Value = Option<Vec<u8>>;

/// Changed keys, sorted; `None` for those that were removed.
pub type Changes<'a, T> = Box<dyn Iterator<Item = (Vec<u8>, Option<T>)> + 'a>;

pub struct Memory {
    open: Generation,
    flushing: Option<Arc<Generation>>,
}

#[derive(Debug)]
pub struct Generation {
    pub number: u64,
    /// What those before it end with.
    pub base: Position,
    pub applied: Position,
    /// A position may have been written without changes.
    is_written: bool,
    bytes: usize,
    /// Sorted, because scans merge them with what sled holds.
    changes: BTreeMap<Vec<u8>, Pending>,
}

#[derive(Debug)]
struct Pending {
    value: Value,
    /// Nothing older is known to have the key, so removing it leaves nothing to say.
    is_new: bool,
}

impl Memory {
    pub fn new(applied: Position) -> Self {
        Self { open: Generation::new(1, applied), flushing: None }
    }

    /// The position up to which changes have been written.
    pub fn applied(&self) -> Position {
        self.open.applied
    }

    /// The number of the newest generation that anything was written to.
    pub fn written(&self) -> u64 {
        self.open.number - u64::from(!self.open.is_written)
    }

    /// About how many bytes wait in the generation that takes writes.
    pub fn open_bytes(&self) -> usize {
        self.open.bytes
    }

    pub fn write(&mut self, changes: Vec<Change>, applied: Position) {
        for change in changes {
            self.open.write(change);
        }
        self.open.applied = applied;
        self.open.is_written = true;
    }

    /// The key's newest value here; the outer `None` where there is nothing to say about it.
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        let flushing = || self.flushing.as_ref().and_then(|generation| generation.get(key));
        self.open.get(key).or_else(flushing)
    }

    /// Answers the generation to be flushed: one that was begun to be, or else the one that took writes, and a new one takes
    /// them from now on. None where nothing was written since the last one.
    pub fn begin_flush(&mut self) -> Option<Arc<Generation>> {
        if let Some(begun) = &self.flushing {
            return Some(Arc::clone(begun));
        }
        if !self.open.is_written {
            return None;
        }
        let next = Generation::new(self.open.number + 1, self.open.applied);
        let full = Arc::new(std::mem::replace(&mut self.open, next));
        self.flushing = Some(Arc::clone(&full));
        Some(full)
    }

    /// The generation that was being flushed is in sled.
    pub fn end_flush(&mut self) {
        self.flushing = None;
    }

    /// The changes of the keys that begin with `prefix` and come after `after`, sorted; open ones first, then those
    /// that are being flushed. Of each value what `keep` makes of it.
    pub fn range<'a, T: 'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        keep: impl Fn(&[u8]) -> T + Copy + 'a,
    ) -> [Changes<'a, T>; 2] {
        let flushing = self.flushing.iter().flat_map(move |generation| generation.range(prefix, after, keep));
        [Box::new(self.open.range(prefix, after, keep)), Box::new(flushing)]
    }
}

impl Generation {
    fn new(number: u64, applied: Position) -> Self {
        Self { number, base: applied, applied, is_written: false, bytes: 0, changes: BTreeMap::new() }
    }

    /// Each changed key with its newest value.
    pub fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, pending)| (key.as_slice(), pending.value.as_deref()))
    }

    fn write(&mut self, change: Change) {
        let value_bytes = change.value.as_ref().map_or(0, Vec::len);
        let is_new = match self.changes.remove(&change.key) {
            Some(before) => {
                self.bytes -= cost(&change.key, before.value.as_ref().map_or(0, Vec::len));
                before.is_new
            }
            None => change.is_new,
        };
        if change.value.is_none() && is_new {
            return;
        }
        self.bytes += cost(&change.key, value_bytes);
        self.changes.insert(change.key, Pending { value: change.value, is_new });
    }

    fn get(&self, key: &[u8]) -> Option<Value> {
        self.changes.get(key).map(|pending| pending.value.clone())
    }

    fn range<'a, T>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        keep: impl Fn(&[u8]) -> T + 'a,
    ) -> impl Iterator<Item = (Vec<u8>, Option<T>)> + 'a {
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        let changes = self.changes.range::<[u8], _>((start, Unbounded));
        let matching = changes.take_while(move |(key, _)| key.starts_with(prefix));
        matching.map(move |(key, pending)| (key.clone(), pending.value.as_deref().map(&keep)))
    }
}

fn cost(key: &[u8], value_bytes: usize) -> usize {
    let leaf_bytes = if pages::shares(key) { LEAF_SHARE_BYTES } else { 0 };
    CHANGE_OVERHEAD_BYTES + key.len() + value_bytes + leaf_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str, is_new: bool) -> Change {
        Change { key: key.into(), value: Some(value.into()), is_new }
    }

    fn delete(key: &str) -> Change {
        Change { key: key.into(), value: None, is_new: false }
    }

    #[test]
    fn a_new_key_that_goes_at_once_costs_nothing() {
        let mut memory = Memory::new(Position::ZERO);
        memory.write(vec![put("a", "1", true), put("b", "1", false), delete("a"), delete("b")], Position(1));
        assert_eq!(memory.get(b"a"), None);
        assert_eq!(memory.get(b"b"), Some(None));
        let flushed = memory.begin_flush().expect("a generation");
        assert_eq!(flushed.changes().collect::<Vec<_>>(), [(b"b".as_slice(), None)]);
    }

    #[test]
    fn a_key_removed_while_it_is_flushed_stays_removed() {
        let mut memory = Memory::new(Position::ZERO);
        memory.write(vec![put("a", "1", true)], Position(1));
        let first = memory.begin_flush().expect("a generation");
        memory.write(vec![delete("a")], Position(2));
        assert_eq!(memory.get(b"a"), Some(None));
        assert!(memory.begin_flush().is_some_and(|again| Arc::ptr_eq(&again, &first)), "it is not done yet");
        memory.end_flush();
        let second = memory.begin_flush().expect("a generation");
        assert_eq!((first.applied, second.applied), (Position(1), Position(2)));
        assert_eq!(second.changes().collect::<Vec<_>>(), [(b"a".as_slice(), None)]);
    }

    #[test]
    fn bytes_are_given_back() {
        let mut memory = Memory::new(Position::ZERO);
        for round in 0..10 {
            memory.write(vec![put("a", &"x".repeat(round), true)], Position(1));
        }
        assert_eq!(memory.open_bytes(), cost(b"a", 9));
        memory.write(vec![delete("a")], Position(1));
        assert_eq!(memory.open_bytes(), 0);
    }
}
