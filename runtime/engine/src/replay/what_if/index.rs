//! Where to look for what differs of a subject, or of a key. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_types::HandlerName;

use super::{notes::Examined, run::LaneId};

/// See the module documentation.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Index {
    handlers: BTreeSet<HandlerName>,
    /// The handlers and keys whose status of a subject differs, or differed on the way; in order.
    subjects: BTreeMap<String, Vec<Arc<LaneId>>>,
    bytes: usize,
}

impl Index {
    /// The lanes come in order.
    pub fn of<'a>(lanes: impl Iterator<Item = (&'a LaneId, &'a Examined)>) -> Self {
        let mut index = Self::default();
        for (lane, examined) in lanes {
            if !index.handlers.contains(&lane.0) {
                index.handlers.insert(lane.0.clone());
            }
            let subjects = examined.subjects();
            if subjects.is_empty() {
                continue;
            }
            let shared = Arc::new(lane.clone());
            index.bytes += lane.1.len() + 2 * size_of::<LaneId>();
            for subject in subjects {
                match index.subjects.get_mut(subject) {
                    Some(lanes) => lanes.push(Arc::clone(&shared)),
                    None => {
                        index.bytes += subject.len() + 2 * size_of::<(String, Vec<Arc<LaneId>>)>();
                        index.subjects.insert(subject.to_owned(), vec![Arc::clone(&shared)]);
                    }
                }
                index.bytes += 2 * size_of::<Arc<LaneId>>();
            }
        }
        index
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The handlers that have keys that differ.
    pub fn handlers(&self) -> impl Iterator<Item = &HandlerName> {
        self.handlers.iter()
    }

    /// The handlers and keys behind one whose status of a subject differs, or differed on the way.
    pub fn of_subject(&self, subject: &str, after: Option<&LaneId>) -> impl Iterator<Item = &LaneId> {
        let lanes = self.subjects.get(subject).map(Vec::as_slice).unwrap_or_default();
        let start = lanes.partition_point(|lane| after.is_some_and(|after| **lane <= *after));
        lanes.get(start..).unwrap_or_default().iter().map(|lane| &**lane)
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::{Effects, Position, StatusWrite};

    use super::*;

    fn setting(subjects: impl Iterator<Item = String>) -> Effects {
        let status = |subject| StatusWrite { subject, state: "a".into(), text: String::new(), data: None };
        Effects { status: subjects.map(status).collect(), ..Effects::default() }
    }

    #[test]
    fn all_keys_on_whose_way_a_subject_differed_are_found() {
        let lane = |name: &str, key: &str| (name.parse::<HandlerName>().expect("a name"), key.to_owned());
        let (mut long, mut short) = (Examined::default(), Examined::default());
        // More than are listed with their statuses.
        long.notes.statuses(Position(1), &setting((0..500).map(|n| format!("o/{n}"))), &Effects::default());
        short.notes.statuses(Position(1), &Effects::default(), &setting(std::iter::once("o/400".to_owned())));
        let lanes = [(lane("a", "1"), &long), (lane("b", "1"), &short), (lane("b", "2"), &long)];
        let index = Index::of(lanes.iter().map(|(lane, examined)| (lane, *examined)));
        let found =
            |subject: &str, after: Option<&LaneId>| index.of_subject(subject, after).cloned().collect::<Vec<_>>();
        assert_eq!(found("o/499", None), [lane("a", "1"), lane("b", "2")]);
        assert_eq!(found("o/400", None).len(), 3);
        assert_eq!(found("o/400", Some(&lane("a", "1"))), [lane("b", "1"), lane("b", "2")]);
        assert_eq!(found("o/400", Some(&lane("b", "2"))), []);
        assert_eq!(found("o/500", None), []);
        assert_eq!(index.handlers().map(ToString::to_string).collect::<String>(), "ab");
        assert!(index.bytes() > 1_000 * size_of::<Arc<LaneId>>(), "{}", index.bytes());
    }
}
