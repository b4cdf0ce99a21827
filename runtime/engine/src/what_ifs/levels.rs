//! In which order receivers are folded again: one that has events of another is folded after it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use weirgate_types::HandlerName;

/// The handlers that each handler's events reach, on whatever way.
#[derive(Debug)]
pub struct Reach(BTreeMap<HandlerName, BTreeSet<HandlerName>>);

impl Reach {
    /// From the handlers that take events of each one.
    pub fn new(feeds: &BTreeMap<HandlerName, BTreeSet<HandlerName>>) -> Self {
        let of = |handler: &HandlerName| {
            let (mut reached, mut waiting) = (BTreeSet::new(), vec![handler]);
            while let Some(next) = waiting.pop() {
                waiting.extend(feeds.get(next).into_iter().flatten().filter(|fed| reached.insert((*fed).clone())));
            }
            reached
        };
        Self(feeds.keys().map(|handler| (handler.clone(), of(handler))).collect())
    }

    pub fn reaches(&self, handler: &HandlerName, other: &HandlerName) -> bool {
        self.0.get(handler).is_some_and(|reached| reached.contains(other))
    }

    /// The handlers that are wanted and those that reach one of them, in levels: a handler comes behind all that reach it, but for those that
    /// it reaches itself.
    pub fn levels(&self, wanted: &BTreeSet<HandlerName>) -> Vec<BTreeSet<HandlerName>> {
        let is_before = |handler: &&HandlerName| wanted.iter().any(|wanted| self.reaches(handler, wanted));
        let mut left: BTreeSet<HandlerName> = self.0.keys().filter(is_before).chain(wanted).cloned().collect();
        let mut levels = Vec::new();
        while !left.is_empty() {
            let waits = |handler: &HandlerName| {
                left.iter().any(|other| self.reaches(other, handler) && !self.reaches(handler, other))
            };
            let level: BTreeSet<HandlerName> = left.iter().filter(|handler| !waits(handler)).cloned().collect();
            left.retain(|handler| !level.contains(handler));
            levels.push(level);
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<HandlerName> {
        text.split_whitespace().map(|name| name.parse().expect("a name")).collect()
    }

    #[test]
    fn a_receiver_comes_behind_those_whose_events_reach_it() {
        for (feeds, wanted, levels) in [
            ("", "a b", &["a b"][..]),
            ("b>a", "a b", &["b", "a"]),
            ("c>b b>a", "a c", &["c", "b", "a"]),
            ("c>b b>a", "b", &["c", "b"]),
            ("d>c d>b c>a b>a", "a d", &["d", "b c", "a"]),
            ("a>b b>a c>a", "a b", &["c", "a b"]),
            ("a>a", "a", &["a"]),
            ("a>b c>d", "b", &["a", "b"]),
        ] {
            let mut fed = BTreeMap::<HandlerName, BTreeSet<HandlerName>>::new();
            for (from, to) in feeds.split_whitespace().map(|edge| edge.split_once('>').expect("an edge")) {
                fed.entry(from.parse().expect("a name")).or_default().insert(to.parse().expect("a name"));
            }
            let found = Reach::new(&fed).levels(&names(wanted));
            assert_eq!(found, levels.iter().map(|level| names(level)).collect::<Vec<_>>(), "{feeds}: {wanted}");
        }
    }
}
