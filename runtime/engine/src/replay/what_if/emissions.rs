//! Emitted events of the log and of the fork, matched by content: order and identity do not count. Pure.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use weirgate_types::{
    Digest, Event, Position,
    json::{DEPTH_MAX, canonical},
};

use super::{held::held_bytes, lane::Both};

/// What events of equal content take beside themselves: twice their place in the map, and the places of a queue.
const SURPLUS_BYTES: usize = 2 * size_of::<(Digest, Surplus)>() + 4 * size_of::<Box<Emission>>();

/// Events that only one side emitted.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Emissions {
    surplus: BTreeMap<Digest, Surplus>,
    #[serde(skip)]
    bytes: usize,
}

/// Events of equal content that one side emitted more often: one of the lists is empty.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Surplus {
    // Boxed: a queue has places for four with its first one.
    recorded: VecDeque<Box<Emission>>,
    fork: VecDeque<Box<Emission>>,
}

/// An emitted event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Emission {
    /// The delivery that emitted it.
    pub delivery: Position,
    /// Its index among the events that the delivery emitted.
    pub index: usize,
    /// Its position in the log; that of the delivery's commit for an event of the fork, or one that is still withheld.
    pub at: Position,
    /// Its causation depth.
    pub depth: u32,
    pub event: Event,
}

/// The events that only one side emitted. One in place of which the other side emitted another one of its type and key has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    pub added: Vec<&'a Emission>,
    pub removed: Vec<&'a Emission>,
    /// As recorded, and in the fork.
    pub changed: Vec<(&'a Emission, &'a Emission)>,
}

/// How the events that a delivery emitted on both sides correspond, by their indices.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// Recorded and emitted in the fork with the same content.
    pub same: Vec<(usize, usize)>,
    /// Of the same type and key, with other content.
    pub changed: Vec<(usize, usize)>,
    /// Recorded only.
    pub removed: Vec<usize>,
    /// In the fork only.
    pub added: Vec<usize>,
}

/// The delivery that would have emitted an event that a replay appended.
fn appended_for(event: &Event) -> Option<Position> {
    Some(Position(event.extensions.get("replayof")?.as_str().parse().ok()?))
}

/// What receivers of an event act on: without identity, time and what the runtime adds.
fn parts(event: &Event) -> [Option<&[u8]>; 6] {
    [
        Some(event.r#type.as_bytes()),
        event.subject.as_deref().map(str::as_bytes),
        Some(event.key().as_bytes()),
        event.data_content_type.as_deref().map(str::as_bytes),
        event.data_schema.as_deref().map(str::as_bytes),
        Some(&event.data),
    ]
}

/// A digest of what receivers of an event act on. JSON that says the same has the same.
#[must_use]
pub fn content(event: &Event) -> Digest {
    #[cfg(test)]
    tests::HASHED.set(tests::HASHED.get() + 1);
    let mut hash = Sha256::new();
    let text = str::from_utf8(&event.data).ok().filter(|_| event.is_json());
    let canonical = text.and_then(|text| canonical(text, DEPTH_MAX).ok());
    let [head @ .., data] = parts(event);
    let data = canonical.as_deref().map(str::as_bytes).or(data);
    for part in head.into_iter().chain([data]) {
        let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX - 1));
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    Digest(hash.finalize().into())
}

/// Pairs events of equal content first, then those of the same type and key, in order.
#[must_use]
pub fn pair(recorded: &[&Event], fork: &[&Event]) -> Pairs {
    let mut pairs = Pairs::default();
    // Most are the same at the same place: that needs no digest.
    let is_there = |(index, event): (usize, &&Event)| fork.get(index).is_some_and(|other| parts(event) == parts(other));
    let mut is_paired: Vec<bool> = recorded.iter().enumerate().map(is_there).collect();
    pairs.same = (0..).zip(&is_paired).filter(|(_, is)| **is).map(|(index, _)| (index, index)).collect();
    let is_open = |index: &usize| is_paired.get(*index) != Some(&true);
    let open = fork.iter().enumerate().filter(|(index, _)| is_open(index));
    let mut of_content = Places::of(open.map(|(index, event)| (index, content(event))));
    let open: Vec<_> = recorded.iter().enumerate().filter(|(index, _)| is_open(index)).collect();
    is_paired.resize(fork.len(), false);
    let mut unmatched = Vec::new();
    for (index, event) in open {
        match of_content.take(&content(event)) {
            Some(other) => {
                pairs.same.push((index, other));
                is_paired.get_mut(other).into_iter().for_each(|is_paired| *is_paired = true);
            }
            None => unmatched.push((index, event)),
        }
    }
    let is_left = |index: &usize| is_paired.get(*index) == Some(&false);
    let left = fork.iter().enumerate().filter(|(index, _)| is_left(index));
    let mut of_kind = Places::of(left.map(|(index, event)| (index, kind(event))));
    for (index, event) in unmatched {
        match of_kind.take(&kind(event)) {
            Some(other) => pairs.changed.push((index, other)),
            None => pairs.removed.push(index),
        }
    }
    pairs.added = of_kind.left();
    pairs
}

/// What an event is likely to have in common with one that takes its place.
fn kind(event: &Event) -> (&str, &str) {
    (&event.r#type, event.key())
}

/// The places of items in a list, by what they have in common; those of equal ones in order.
struct Places<K>(BTreeMap<K, VecDeque<usize>>);

impl<K: Ord> Places<K> {
    fn of(items: impl Iterator<Item = (usize, K)>) -> Self {
        let mut places = BTreeMap::<K, VecDeque<usize>>::new();
        items.for_each(|(index, key)| places.entry(key).or_default().push_back(index));
        Self(places)
    }

    /// The first place that is left.
    fn take(&mut self, key: &K) -> Option<usize> {
        self.0.get_mut(key)?.pop_front()
    }

    /// The places that are left, in order.
    fn left(self) -> Vec<usize> {
        let mut left: Vec<usize> = self.0.into_values().flatten().collect();
        left.sort_unstable();
        left
    }
}

impl Emissions {
    /// Takes what a delivery emitted on both sides. What one side emits cancels out what the other emitted with equal content at any
    /// delivery of the key.
    pub fn fold(&mut self, both: Both<'_>, recorded: &[&Event], fork: &[&Event], pairs: &Pairs) {
        let mut without: Vec<usize> = pairs.changed.iter().map(|(recorded, _)| *recorded).collect();
        without.extend(&pairs.removed);
        without.sort_unstable();
        for index in without {
            // Withheld events come first, and have no position yet.
            let after_first = index.checked_sub(both.recorded.withheld.len());
            let place = |offset: usize| both.first_emitted.plus(u64::try_from(offset).unwrap_or(u64::MAX));
            let at = after_first.map_or(both.at, place);
            if let Some(event) = recorded.get(index) {
                let delivery = appended_for(event).unwrap_or(both.event);
                let (depth, event) = (both.depth, (*event).clone());
                self.recorded(Emission { delivery, index, at, depth, event });
            }
        }
        let mut with: Vec<usize> = pairs.changed.iter().map(|(_, fork)| *fork).collect();
        with.extend(&pairs.added);
        with.sort_unstable();
        for index in with {
            if let Some(event) = fork.get(index) {
                let (delivery, at, depth, event) = (both.event, both.at, both.depth, (*event).clone());
                self.fork(Emission { delivery, index, at, depth, event });
            }
        }
    }

    /// An event that the log holds, and the fork may not.
    pub fn recorded(&mut self, emission: Emission) {
        self.take(emission, |surplus| (&mut surplus.fork, &mut surplus.recorded));
    }

    /// An event that the fork emitted.
    fn fork(&mut self, emission: Emission) {
        self.take(emission, |surplus| (&mut surplus.recorded, &mut surplus.fork));
    }

    fn take(
        &mut self,
        emission: Emission,
        sides: impl Fn(&mut Surplus) -> (&mut VecDeque<Box<Emission>>, &mut VecDeque<Box<Emission>>),
    ) {
        let digest = content(&emission.event);
        let surplus = self.surplus.entry(digest).or_default();
        let (other, own) = sides(surplus);
        match other.pop_front() {
            Some(cancelled) => self.bytes = self.bytes.saturating_sub(held_bytes(&*cancelled)),
            None => {
                self.bytes = self.bytes.saturating_add(held_bytes(&emission));
                own.push_back(Box::new(emission));
            }
        }
        if other.is_empty() && own.is_empty() {
            self.surplus.remove(&digest);
        }
    }

    /// The withheld events of a delivery have positions now, from the first on.
    pub fn released(&mut self, delivery: Position, events: &[Event], first: Position) {
        for (index, event) in events.iter().enumerate() {
            let Some(surplus) = self.surplus.get_mut(&content(event)) else { continue };
            let is_it = |one: &&mut Box<Emission>| one.delivery == delivery && one.index == index;
            let Some(emission) = surplus.recorded.iter_mut().find(is_it) else { continue };
            self.bytes = self.bytes.saturating_sub(held_bytes(&**emission));
            emission.at = first.plus(u64::try_from(index).unwrap_or(u64::MAX));
            self.bytes = self.bytes.saturating_add(held_bytes(&**emission));
        }
    }

    /// A repair has handed an event of the log over to its handler, which has compensated it: it stands no longer. Where the fork has it too, it
    /// is missing now.
    pub fn compensated(&mut self, emission: Emission) {
        if !self.compensated_in_both(&emission) {
            self.fork(emission);
        }
    }

    /// The same by a repair that is in the fork, too: what both have is compensated in both. Returns whether the log alone had it; others of its
    /// content may stand.
    pub fn compensated_in_both(&mut self, emission: &Emission) -> bool {
        let digest = content(&emission.event);
        let Some(surplus) = self.surplus.get_mut(&digest) else { return false };
        let index = surplus.recorded.iter().position(|one| one.at == emission.at);
        let Some(compensated) = index.and_then(|index| surplus.recorded.remove(index)) else { return false };
        self.bytes = self.bytes.saturating_sub(held_bytes(&*compensated));
        if surplus.recorded.is_empty() && surplus.fork.is_empty() {
            self.surplus.remove(&digest);
        }
        true
    }

    /// Events that the log holds and the fork does not, in order.
    #[must_use]
    pub fn only_recorded(&self) -> Vec<&Emission> {
        in_order(self.surplus.values().flat_map(|surplus| &surplus.recorded))
    }

    /// Events that the fork emitted and the log does not hold, in order.
    #[must_use]
    pub fn only_fork(&self) -> Vec<&Emission> {
        in_order(self.surplus.values().flat_map(|surplus| &surplus.fork))
    }

    /// All of them, paired: of each content, one side alone has events.
    #[must_use]
    pub fn changes(&self) -> Changes<'_> {
        let (recorded, fork) = (self.only_recorded(), self.only_fork());
        let mut of_kind = Places::of(fork.iter().map(|one| kind(&one.event)).enumerate());
        let mut changes = Changes::default();
        for one in recorded {
            match of_kind.take(&kind(&one.event)).and_then(|index| fork.get(index)) {
                Some(other) => changes.changed.push((one, other)),
                None => changes.removed.push(one),
            }
        }
        changes.added = of_kind.left().into_iter().filter_map(|index| fork.get(index).copied()).collect();
        changes
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.surplus.is_empty()
    }

    /// What they take in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let places = self.surplus.len().saturating_mul(SURPLUS_BYTES);
        self.bytes.saturating_add(places)
    }
}

fn in_order<'a>(emissions: impl Iterator<Item = &'a Box<Emission>>) -> Vec<&'a Emission> {
    let mut emissions: Vec<_> = emissions.map(|emission| &**emission).collect();
    emissions.sort_by_key(|emission| (emission.delivery, emission.index));
    emissions
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use weirgate_types::Effects;

    use super::*;

    fn event(r#type: &str, key: &str, data: &str) -> Event {
        Event {
            id: "1/1".into(),
            source: "/handlers/a".into(),
            r#type: r#type.into(),
            subject: Some(key.into()),
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: std::collections::BTreeMap::new(),
            implied_key: None,
            data: data.into(),
        }
    }

    fn fold(emissions: &mut Emissions, delivery: u64, recorded: &[Event], fork: &[Event]) -> Pairs {
        let [recorded, fork] = [recorded, fork].map(|events| events.iter().collect::<Vec<_>>());
        let pairs = pair(&recorded, &fork);
        let none = Effects::default();
        let at = Position(delivery + 1);
        let (event, first_emitted) = (Position(delivery), at.next());
        let both = Both { event, at, depth: 1, recorded: &none, first_emitted, fork: &none };
        emissions.fold(both, &recorded, &fork, &pairs);
        pairs
    }

    #[test]
    fn identity_and_time_are_not_content() {
        let one = event("a", "k", "1");
        let other = Event { id: "9/1".into(), time: Some("2026-01-01T00:00:00Z".into()), ..one.clone() };
        assert_eq!(content(&one), content(&other));
        for changed in [event("b", "k", "1"), event("a", "l", "1"), event("a", "k", "2")] {
            assert_ne!(content(&one), content(&changed));
        }
        let moved = Event { subject: None, data_content_type: Some("k".into()), ..one.clone() };
        assert_ne!(content(&one), content(&moved), "each part is counted by its length");
    }

    #[test]
    fn json_that_says_the_same_is_the_same_content() {
        let said = event("a", "k", r#"{"p":1,"q":["é",{"x":2}]}"#);
        let again = event("a", "k", "{ \"q\" : [\"\\u00e9\", {\"x\":2}], \"p\":1 }");
        assert_eq!(content(&said), content(&again));
        let pairs = pair(&[&said, &said], &[&event("a", "k", "7"), &again]);
        assert_eq!((pairs.same, pairs.changed), (vec![(0, 1)], vec![(1, 0)]));
        for other in ["{\"p\":1.0,\"q\":[\"é\",{\"x\":2}]}", "{\"p\":1,\"q\":[{\"x\":2},\"é\"]}", "{\"p\":1}", "{"] {
            assert_ne!(content(&said), content(&event("a", "k", other)), "{other}");
        }
        let text = |data: &str| Event { data_content_type: Some("text/plain".into()), ..event("a", "k", data) };
        assert_ne!(content(&text("[1, 2]")), content(&text("[1,2]")), "what is no JSON is compared as it is");
    }

    thread_local! {
        /// Number of contents that were hashed.
        pub static HASHED: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn the_content_of_each_event_is_hashed_once_to_pair_them() {
        let events = |from: usize| (from..from + 64).map(|n| event("a", "k", &n.to_string())).collect::<Vec<_>>();
        let [recorded, fork] = [events(0), events(32)];
        let before = HASHED.get();
        let pairs = pair(&recorded.iter().collect::<Vec<_>>(), &fork.iter().collect::<Vec<_>>());
        assert_eq!(HASHED.get() - before, 128);
        assert_eq!([pairs.same.len(), pairs.changed.len(), pairs.removed.len(), pairs.added.len()], [32, 32, 0, 0]);
        assert!(pairs.same.iter().all(|(old, new)| *old == new + 32), "{pairs:?}");
        let in_order = pairs.changed.iter().zip(0..).all(|((old, new), n)| (*old, *new) == (n, n + 32));
        assert!(in_order, "{pairs:?}");
    }

    #[test]
    fn the_changes_of_a_key_are_paired_by_type_and_key() {
        let mut emissions = Emissions::default();
        let many = |r#type: &str, data: usize| {
            (0..20_000).map(|n| event(r#type, "k", &format!("{n}/{data}"))).collect::<Vec<_>>()
        };
        let (gone, new) = (event("gone", "k", "1"), event("a", "l", "1"));
        for (delivery, (old, now)) in many("a", 1).chunks(10).zip(many("a", 2).chunks(10)).enumerate() {
            fold(&mut emissions, delivery as u64 * 10, old, now);
        }
        fold(&mut emissions, 900_000, std::slice::from_ref(&gone), std::slice::from_ref(&new));
        let before = HASHED.get();
        let Changes { added, removed, changed } = emissions.changes();
        assert_eq!(HASHED.get(), before, "no content is equal");
        assert_eq!((added.len(), removed.len(), changed.len()), (1, 1, 20_000));
        assert!(added[0].event == new && removed[0].event == gone);
        for (n, (old, now)) in changed.iter().enumerate() {
            assert_eq!(
                [&old.event.data, &now.event.data].map(|data| String::from_utf8_lossy(data).into_owned()),
                [format!("{n}/1"), format!("{n}/2")]
            );
        }
    }

    #[test]
    fn events_are_paired_by_content_then_by_type_and_key() {
        let [a1, a2, b] = [event("a", "k", "1"), event("a", "k", "2"), event("b", "k", "1")];
        let a3 = event("a", "k", "3");
        let pairs = pair(&[&a1, &a2, &b], &[&a3, &a1]);
        assert_eq!(pairs, Pairs { same: vec![(0, 1)], changed: vec![(1, 0)], removed: vec![2], added: vec![] });
        let pairs = pair(&[&a1], &[&a1, &a1]);
        assert_eq!((pairs.same, pairs.added), (vec![(0, 0)], vec![1]), "the second one is new");
    }

    #[test]
    fn withheld_events_are_where_they_were_released() {
        let [early, late, own] = ["1", "2", "3"].map(|data| event("a", "k", data));
        let (none, mut emissions) = (Effects::default(), Emissions::default());
        let recorded = Effects { withheld: vec![early, late], emitted: vec![own], ..Effects::default() };
        let events: Vec<&Event> = recorded.withheld.iter().chain(&recorded.emitted).collect();
        let (at, first_emitted) = (Position(7), Position(8));
        let both = Both { event: Position(5), at, depth: 1, recorded: &recorded, first_emitted, fork: &none };
        emissions.fold(both, &events, &[], &pair(&events, &[]));
        let places = |emissions: &Emissions| emissions.only_recorded().iter().map(|one| one.at.0).collect::<Vec<_>>();
        assert_eq!(places(&emissions), [7, 7, 8], "nothing is known of where the first two will be");
        let bytes = emissions.bytes();
        emissions.released(Position(4), &recorded.withheld, Position(100));
        assert_eq!(places(&emissions), [7, 7, 8], "they are another delivery's");
        emissions.released(Position(5), &recorded.withheld, Position(1 << 40));
        assert_eq!(places(&emissions), [1 << 40, (1 << 40) + 1, 8]);
        assert!(emissions.bytes() > bytes, "they are counted as they are");
    }

    #[test]
    fn what_the_other_side_emits_at_another_delivery_cancels_out() {
        let (a, b) = (event("a", "k", "1"), event("b", "k", "1"));
        let mut emissions = Emissions::default();
        let pairs = fold(&mut emissions, 1, std::slice::from_ref(&a), std::slice::from_ref(&b));
        assert_eq!((pairs.removed, pairs.added), (vec![0], vec![0]));
        assert_eq!(emissions.only_recorded().len(), 1);
        assert_eq!(emissions.only_recorded()[0].at, Position(3));
        assert_eq!(emissions.only_fork()[0].delivery, Position(1));
        fold(&mut emissions, 10, &[b], &[a]);
        assert!(emissions.is_empty(), "{emissions:?}");
    }

    #[test]
    fn equal_events_are_counted() {
        let a = event("a", "k", "1");
        let mut emissions = Emissions::default();
        fold(&mut emissions, 1, &[a.clone(), a.clone(), a.clone()], std::slice::from_ref(&a));
        assert_eq!(emissions.only_recorded().len(), 2);
        fold(&mut emissions, 5, &[], &[a.clone(), a.clone(), a.clone()]);
        assert_eq!((emissions.only_recorded().len(), emissions.only_fork().len()), (0, 1));
    }

    #[test]
    fn the_event_that_was_handed_over_is_the_one_that_stands_no_longer() {
        let [first, second] = [1, 11].map(|delivery| Emission {
            delivery: Position(delivery),
            index: 0,
            at: Position(delivery + 2),
            depth: 1,
            event: event("a", "k", "{}"),
        });
        let mut emissions = Emissions::default();
        for one in [&first, &second] {
            emissions.recorded(one.clone());
        }
        emissions.compensated(Emission { index: 13, ..second });
        assert_eq!(emissions.only_recorded(), [&first]);
        emissions.compensated(Emission { index: 3, ..first });
        assert!(emissions.is_empty() && emissions.bytes() == 0);
    }
}
