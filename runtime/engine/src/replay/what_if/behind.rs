//! Events that only the fork delivers, behind the deliveries of their key that are open in the log: a key's deliveries have an order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::{HandlerName, Ordering, Position};

use super::{added::Added, run::LaneId};

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Behind {
    /// Open deliveries by what is ordered: the positions of their events.
    open: BTreeMap<LaneId, BTreeSet<Position>>,
    waiting: BTreeMap<LaneId, Vec<Added>>,
    bytes: usize,
}

/// What is ordered at a handler: a key, or all keys.
fn lane(handler: &HandlerName, ordering: Ordering, key: &str) -> Option<LaneId> {
    match ordering {
        Ordering::Key => Some((handler.clone(), key.to_owned())),
        Ordering::Handler => Some((handler.clone(), String::new())),
        Ordering::None => None,
    }
}

/// What an entry of a lane takes beside its items, in bytes, about.
fn entry_bytes(lane: &LaneId) -> usize {
    lane.1.len().saturating_add(2 * size_of::<(LaneId, BTreeSet<Position>)>())
}

impl Behind {
    /// A delivery is opened in the log.
    pub fn opened(&mut self, handler: &HandlerName, ordering: Ordering, (key, event): (&str, Position)) {
        let Some(lane) = lane(handler, ordering, key) else { return };
        if !self.open.contains_key(&lane) {
            self.bytes = self.bytes.saturating_add(entry_bytes(&lane));
        }
        if self.open.entry(lane).or_default().insert(event) {
            self.bytes = self.bytes.saturating_add(2 * size_of::<Position>());
        }
    }

    /// An event that no delivery is open before, which is delivered at once. Others wait.
    pub fn add(&mut self, handler: &HandlerName, ordering: Ordering, added: Added) -> Option<Added> {
        let Some(lane) = lane(handler, ordering, added.event.key()) else { return Some(added) };
        let is_first = self.open.get(&lane).and_then(BTreeSet::first).is_none_or(|first| *first > added.behind);
        if is_first {
            return Some(added);
        }
        self.bytes = self.bytes.saturating_add(added.bytes());
        self.waiting.entry(lane).or_default().push(added);
        None
    }

    /// A delivery is closed by the record `at`, and with it all before it that are not said to stay open: it would have waited for them. The events
    /// that waited for these.
    pub fn closed(
        &mut self,
        handler: &HandlerName,
        ordering: Ordering,
        (key, event, at): (&str, Position, Position),
        stays_open: impl Fn(Position) -> bool,
    ) -> Vec<Added> {
        // Called for each commit; what waits, waits for something open.
        if self.open.is_empty() {
            return Vec::new();
        }
        let Some(lane) = lane(handler, ordering, key) else { return Vec::new() };
        let Some(open) = self.open.get_mut(&lane) else { return Vec::new() };
        let left = open.split_off(&event.next());
        let before = open.len();
        open.retain(|position| stays_open(*position));
        let closed = before.saturating_sub(open.len());
        self.bytes = self.bytes.saturating_sub(closed.saturating_mul(2 * size_of::<Position>()));
        open.extend(left);
        let first = open.first().copied();
        if open.is_empty() {
            self.open.remove(&lane);
            self.bytes = self.bytes.saturating_sub(entry_bytes(&lane));
        }
        self.release(lane, at, |added| first.is_none_or(|first| added.behind < first))
    }

    /// A delivery stays open, and one after it is handled: the events that come between them, but for those of keys that wait for an open one.
    pub fn passed(
        &mut self,
        handler: &HandlerName,
        ordering: Ordering,
        (key, event, at): (&str, Position, Position),
        keys_open: &BTreeSet<&str>,
    ) -> Vec<Added> {
        let Some(lane) = lane(handler, ordering, key) else { return Vec::new() };
        let next = self.open.get(&lane).and_then(|open| open.range(event.next()..).next().copied());
        let is_between = |added: &Added| next.is_none_or(|next| added.behind < next);
        let released = self.release(lane, at, |added| is_between(added) && !keys_open.contains(added.event.key()));
        // What is open before them is no hindrance any more.
        released.into_iter().map(|added| Added { behind: Position::ZERO, ..added }).collect()
    }

    fn release(&mut self, lane: LaneId, at: Position, is_released: impl Fn(&Added) -> bool) -> Vec<Added> {
        let Some(waiting) = self.waiting.remove(&lane) else { return Vec::new() };
        let (released, left): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_released);
        if !left.is_empty() {
            self.waiting.insert(lane, left);
        }
        self.bytes = released.iter().map(Added::bytes).fold(self.bytes, usize::saturating_sub);
        released.into_iter().map(|added| Added { at, ..added }).collect()
    }

    /// Whether events wait for a delivery, and for none after it.
    pub fn is_awaited(&self, handler: &HandlerName, ordering: Ordering, (key, event): (&str, Position)) -> bool {
        // Asked of each commit of a batch.
        if self.waiting.is_empty() {
            return false;
        }
        let Some(lane) = lane(handler, ordering, key) else { return false };
        let (open, waiting) = (self.open.get(&lane), self.waiting.get(&lane));
        let next = open.and_then(|open| open.range(event.next()..).next());
        let first = waiting.and_then(|waiting| waiting.first());
        first.is_some_and(|first| next.is_none_or(|next| first.behind < *next))
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weirgate_types::Event;

    use super::*;

    fn handler(name: &str) -> HandlerName {
        name.parse().expect("a name")
    }

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
        let (of, depth, cause, is_unknown, to) = (Position(of), 0, None, false, None);
        Added { event, of, at: of, behind: of.before(), depth, cause, is_unknown, to }
    }

    fn released(behind: &mut Behind, ordering: Ordering, key: &str, event: u64, at: u64) -> Vec<(u64, u64)> {
        let released = behind.closed(&handler("h"), ordering, (key, Position(event), Position(at)), |_| false);
        released.into_iter().map(|added| (added.of.0, added.at.0)).collect()
    }

    #[test]
    fn an_event_waits_for_what_is_open_before_it_and_for_nothing_else() {
        let (mut behind, h) = (Behind::default(), handler("h"));
        let key = Ordering::Key;
        for event in [3, 5] {
            behind.opened(&h, key, ("a", Position(event)));
        }
        assert!(behind.add(&h, key, added(2, "a")).is_some() && behind.add(&h, key, added(4, "b")).is_some());
        assert!(behind.add(&h, Ordering::None, added(4, "a")).is_some());
        assert!(behind.add(&handler("g"), key, added(4, "a")).is_some(), "of another handler");
        assert!(behind.add(&h, key, added(4, "a")).is_none() && behind.add(&h, key, added(6, "a")).is_none());
        let is_awaited =
            |behind: &Behind, key: &str, event| behind.is_awaited(&h, Ordering::Key, (key, Position(event)));
        assert!(is_awaited(&behind, "a", 3) && is_awaited(&behind, "a", 5), "one waits for each");
        assert!(!is_awaited(&behind, "b", 3) && !is_awaited(&behind, "a", 2), "nothing is open up to there");
        assert_eq!(released(&mut behind, key, "b", 3, 8), []);
        assert_eq!(released(&mut behind, key, "a", 3, 9), [(4, 9)]);
        assert_eq!(released(&mut behind, key, "a", 5, 10), [(6, 10)]);
        assert_eq!((behind.bytes(), released(&mut behind, key, "a", 5, 11)), (0, vec![]));
        // What a decision closed, and no commit did, is closed by the next one at the latest.
        for event in [1, 2] {
            behind.opened(&h, Ordering::Handler, ("a", Position(event)));
        }
        assert!(behind.add(&h, Ordering::Handler, added(3, "b")).is_none(), "of another key");
        assert_eq!(released(&mut behind, Ordering::Handler, "c", 2, 9), [(3, 9)]);
        assert_eq!(behind.bytes(), 0);
    }
}
