//! What was written and is not in the store yet: the newest value of each key, in two generations. One takes writes while
//! the other is being flushed; both are read before the store is.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound::Unbounded,
    sync::Arc,
};

use weirgate_types::Position;

use crate::{
    about::Origin,
    change::Change,
    store::{Batch, Range},
    table::{PAGE_BYTES_MAX, Tables},
};

/// Approximate overhead of a change, in bytes.
const CHANGE_OVERHEAD_BYTES: usize = 100;
/// What it costs more where a packed page is written for it, which may hold other changes too.
const PAGE_SHARE_BYTES: usize = PAGE_BYTES_MAX / 2;

/// A value, or `None` for a removed key.
pub type Value = Option<Vec<u8>>;

/// Changed keys, sorted; `None` for removed ones.
pub type Changes<'a> = Box<dyn Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + 'a>;

pub struct Memtable {
    tables: Tables,
    open: Generation,
    flushing: Option<Arc<Generation>>,
}

#[derive(Debug)]
pub struct Generation {
    pub number: u64,
    /// The applied position of the generation.
    pub base: Position,
    pub applied: Position,
    /// The applied position may advance without changes.
    is_written: bool,
    bytes: usize,
    /// Sorted, because scans merge them with sled's rows.
    changes: BTreeMap<Vec<u8>, Pending>,
}

#[derive(Debug)]
struct Pending {
    value: Value,
    /// No older generation has the key, so nothing has to be removed.
    is_new: bool,
}

impl Memtable {
    pub fn new(tables: Tables, applied: Position) -> Self {
        Self { tables, open: Generation::new(1, applied), flushing: None }
    }

    /// The applied position of the changes.
    pub fn applied(&self) -> Position {
        self.open.applied
    }

    /// The number of the newest generation with changes.
    pub fn written(&self) -> u64 {
        self.open.number - u64::from(!self.open.is_written)
    }

    /// Approximate bytes in the open generation.
    pub fn open_bytes(&self) -> usize {
        self.open.bytes
    }

    pub fn write(&mut self, changes: Vec<Change>, applied: Position) {
        for change in changes {
            self.open.write(change, &self.tables);
        }
        self.open.applied = applied;
        self.open.is_written = true;
    }

    /// The key's newest value in memory; the outer `None` if memory has none.
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        let flushing = || self.flushing.as_ref().and_then(|generation| generation.get(key));
        self.open.get(key).or_else(flushing)
    }

    /// Returns the generation to flush: one whose flush had begun, otherwise the open one, which is replaced by a new one.
    /// `None` if there were no changes since the last one.
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

    /// The generation that was being flushed is in the store.
    pub fn end_flush(&mut self) {
        self.flushing = None;
    }

    /// The changes of a range, sorted: those that are open, and those that are being flushed.
    pub fn range<'a>(&'a self, range: Range<'a>) -> [Changes<'a>; 2] {
        let flushing = self.flushing.iter().flat_map(move |generation| generation.range(range));
        [Box::new(self.open.range(range)), Box::new(flushing)]
    }
}

impl Generation {
    fn new(number: u64, applied: Position) -> Self {
        Self { number, base: applied, applied, is_written: false, bytes: 0, changes: BTreeMap::new() }
    }

    /// Each changed key with its newest value.
    pub fn batch(&self, origin: Origin) -> Batch<'_> {
        let changes = self.changes.iter().map(|(key, pending)| (key.as_slice(), pending.value.as_deref()));
        Batch { origin, base: self.base, applied: self.applied, changes: changes.collect() }
    }

    fn write(&mut self, change: Change, tables: &Tables) {
        let Change { key, value, is_new } = change;
        match self.changes.entry(key) {
            Entry::Occupied(mut known) => {
                self.bytes -= known.get().cost(tables, known.key());
                if value.is_none() && known.get().is_new {
                    known.remove();
                    return;
                }
                known.get_mut().value = value;
                self.bytes += known.get().cost(tables, known.key());
            }
            Entry::Vacant(place) => {
                if value.is_some() || !is_new {
                    let pending = Pending { value, is_new };
                    self.bytes += pending.cost(tables, place.key());
                    place.insert(pending);
                }
            }
        }
    }

    fn get(&self, key: &[u8]) -> Option<Value> {
        self.changes.get(key).map(|pending| pending.value.clone())
    }

    fn range<'a>(&'a self, range: Range<'a>) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + 'a {
        let changes = self.changes.range::<[u8], _>((range.start(), Unbounded));
        let matching = changes.take_while(move |(key, _)| key.starts_with(range.prefix));
        matching.map(move |(key, pending)| (key.clone(), pending.value.as_deref().map(|value| range.value(value))))
    }
}

impl Pending {
    fn cost(&self, tables: &Tables, key: &[u8]) -> usize {
        cost(tables, key, self.value.as_ref().map_or(0, Vec::len))
    }
}

fn cost(tables: &Tables, key: &[u8], value_bytes: usize) -> usize {
    let page_bytes = if tables.is_packed(key) { PAGE_SHARE_BYTES } else { 0 };
    CHANGE_OVERHEAD_BYTES + key.len() + value_bytes + page_bytes
}

#[cfg(test)]
mod tests {
    use weirgate_types::Epoch;

    use super::*;
    use crate::table::Table;

    const ORIGIN: Origin = Origin { log: Epoch([3; 16]), epoch: Epoch([3; 16]) };
    const TABLES: Tables = Tables::new(&[Table { name: b'a', packed: false }, Table { name: b'p', packed: true }]);

    #[test]
    fn a_new_key_removed_before_the_flush_leaves_no_change() {
        let mut memtable = Memtable::new(TABLES, Position::ZERO);
        memtable.write(
            vec![Change::insert_new("a", "1"), Change::put("b", "1"), Change::remove("a"), Change::remove("b")],
            Position(1),
        );
        assert_eq!(memtable.get(b"a"), None);
        assert_eq!(memtable.get(b"b"), Some(None));
        let flushed = memtable.begin_flush().expect("a generation");
        assert_eq!(flushed.batch(ORIGIN).changes, [(b"b".as_slice(), None)]);
    }

    #[test]
    fn a_key_removed_while_it_is_flushed_stays_removed() {
        let mut memtable = Memtable::new(TABLES, Position::ZERO);
        memtable.write(vec![Change::insert_new("a", "1")], Position(1));
        let first = memtable.begin_flush().expect("a generation");
        memtable.write(vec![Change::remove("a")], Position(2));
        assert_eq!(memtable.get(b"a"), Some(None));
        assert!(memtable.begin_flush().is_some_and(|again| Arc::ptr_eq(&again, &first)), "it is not done yet");
        memtable.end_flush();
        let second = memtable.begin_flush().expect("a generation");
        assert_eq!((first.applied, second.applied), (Position(1), Position(2)));
        assert_eq!(second.batch(ORIGIN).changes, [(b"a".as_slice(), None)]);
    }

    #[test]
    fn counted_bytes_are_released() {
        let mut memtable = Memtable::new(TABLES, Position::ZERO);
        for round in 0..10 {
            memtable.write(vec![Change::insert_new("a", "x".repeat(round))], Position(1));
        }
        assert_eq!(memtable.open_bytes(), cost(&TABLES, b"a", 9));
        memtable.write(vec![Change::remove("a")], Position(1));
        assert_eq!(memtable.open_bytes(), 0);
    }

    #[test]
    fn a_change_of_a_packed_table_counts_a_share_of_its_page() {
        assert_eq!(cost(&TABLES, b"p1", 9), cost(&TABLES, b"a1", 9) + PAGE_SHARE_BYTES);
    }
}
