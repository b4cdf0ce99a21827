//! Events that only the candidate takes, behind the deliveries of their key that are open in the log: a key's deliveries have an order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{Ordering, Position};

use super::added::Added;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Behind {
    /// Open deliveries of the handler, by key: the positions of their events.
    open: BTreeMap<String, BTreeSet<Position>>,
    waiting: BTreeMap<String, Vec<Added>>,
    bytes: usize,
}

/// What is ordered: a key, or all keys.
fn lane(ordering: Ordering, key: &str) -> Option<&str> {
    match ordering {
        Ordering::Key => Some(key),
        Ordering::Handler => Some(""),
        Ordering::None => None,
    }
}

impl Behind {
    /// A delivery is opened in the log.
    pub fn opened(&mut self, ordering: Ordering, key: &str, event: Position) {
        let Some(lane) = lane(ordering, key) else { return };
        if !self.open.contains_key(lane) {
            self.open.insert(lane.to_owned(), BTreeSet::new());
            self.bytes =
                self.bytes.saturating_add(lane.len()).saturating_add(2 * size_of::<(String, BTreeSet<Position>)>());
        }
        if self.open.get_mut(lane).is_some_and(|open| open.insert(event)) {
            self.bytes = self.bytes.saturating_add(2 * size_of::<Position>());
        }
    }

    /// An event that no delivery is open before, which is delivered at once. Others wait.
    pub fn add(&mut self, ordering: Ordering, added: Added) -> Option<Added> {
        let Some(lane) = lane(ordering, added.event.key()) else { return Some(added) };
        let is_first = self.open.get(lane).and_then(BTreeSet::first).is_none_or(|first| *first > added.of);
        if is_first {
            return Some(added);
        }
        self.bytes = self.bytes.saturating_add(added.bytes());
        self.waiting.entry(lane.to_owned()).or_default().push(added);
        None
    }

    /// A delivery is closed by the record `at`, and with it all before it, which it would have waited for. The events that waited for these.
    pub fn closed(&mut self, ordering: Ordering, key: &str, (event, at): (Position, Position)) -> Vec<Added> {
        let Some(lane) = lane(ordering, key) else { return Vec::new() };
        let Some(open) = self.open.get_mut(lane) else { return Vec::new() };
        let left = open.split_off(&event.next());
        self.bytes = self.bytes.saturating_sub(open.len().saturating_mul(2 * size_of::<Position>()));
        *open = left;
        let first = open.first().copied();
        if open.is_empty() {
            self.open.remove(lane);
            self.bytes =
                self.bytes.saturating_sub(lane.len()).saturating_sub(2 * size_of::<(String, BTreeSet<Position>)>());
        }
        let Some(mut waiting) = self.waiting.remove(lane) else { return Vec::new() };
        let left = waiting.split_off(waiting.partition_point(|added| first.is_none_or(|first| added.of < first)));
        if !left.is_empty() {
            self.waiting.insert(lane.to_owned(), left);
        }
        self.bytes = waiting.iter().map(Added::bytes).fold(self.bytes, usize::saturating_sub);
        waiting.into_iter().map(|added| Added { at, ..added }).collect()
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weirgate_types::Event;

    use super::*;

    fn added(of: u64, key: &str) -> Added {
        let event = Event {
            id: of.to_string(),
            source: "/orders".into(),
            r#type: "order.placed".into(),
            subject: Some(key.into()),
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: BTreeMap::new(),
            implied_key: None,
            data: Vec::new(),
        };
        Added { event, of: Position(of), at: Position(of), depth: 0, cause: None, to: None }
    }

    fn released(behind: &mut Behind, ordering: Ordering, key: &str, event: u64, at: u64) -> Vec<(u64, u64)> {
        let released = behind.closed(ordering, key, (Position(event), Position(at)));
        released.into_iter().map(|added| (added.of.0, added.at.0)).collect()
    }

    #[test]
    fn an_event_waits_for_what_is_open_before_it_and_for_nothing_else() {
        let mut behind = Behind::default();
        let key = Ordering::Key;
        for event in [3, 5] {
            behind.opened(key, "a", Position(event));
        }
        assert!(behind.add(key, added(2, "a")).is_some() && behind.add(key, added(4, "b")).is_some());
        assert!(behind.add(Ordering::None, added(4, "a")).is_some());
        assert!(behind.add(key, added(4, "a")).is_none() && behind.add(key, added(6, "a")).is_none());
        assert_eq!(released(&mut behind, key, "b", 3, 8), []);
        assert_eq!(released(&mut behind, key, "a", 3, 9), [(4, 9)]);
        assert_eq!(released(&mut behind, key, "a", 5, 10), [(6, 10)]);
        assert_eq!((behind.bytes(), released(&mut behind, key, "a", 5, 11)), (0, vec![]));
        // What a decision closed, and no commit did, is closed by the next one at the latest.
        for event in [1, 2] {
            behind.opened(Ordering::Handler, "a", Position(event));
        }
        assert!(behind.add(Ordering::Handler, added(3, "b")).is_none(), "of another key");
        assert_eq!(released(&mut behind, Ordering::Handler, "c", 2, 9), [(3, 9)]);
        assert_eq!(behind.bytes(), 0);
    }
}
