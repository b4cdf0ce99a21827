//! Whether an event is a duplicate. The publishing task queries the view, because that may wait for the disk; the writer
//! adds the events that it has accepted since. So the writer queries the view only for events that were on their way for
//! very long.

use std::collections::HashMap;

use weirgate_types::{Event, Position};
use weirgate_views::Views;

use crate::{StorageError, keys};

/// Minimum number of newest identities remembered; the maximum is twice as many plus those of one pass.
const NEWEST: usize = 16_384;

/// How long the identity of an accepted event is remembered: up to a number of later positions in the log, or up to an age.
/// A later copy is a new event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityWindow {
    pub positions: u64,
    pub age_ms: u64,
}

impl Default for IdentityWindow {
    fn default() -> Self {
        Self { positions: 100_000_000, age_ms: 30 * 86_400_000 }
    }
}

impl IdentityWindow {
    /// Whether an event of this position is remembered while the log ends at `head`, regardless of its age.
    #[must_use]
    pub fn holds(&self, position: Position, head: Position) -> bool {
        head.0.saturating_sub(position.0) < self.positions
    }

    /// Whether an event accepted at this time is remembered.
    #[must_use]
    pub fn holds_age(&self, at_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(at_ms) < self.age_ms
    }
}

/// An event being published, and whether the view knows it.
#[derive(Debug)]
pub struct Identified {
    pub event: Event,
    /// Its row in the view.
    pub identity: Vec<u8>,
    first: Option<Position>,
    /// The view had applied everything up to here when it was queried.
    as_of: Position,
}

impl Identified {
    pub fn look_up(event: Event, views: &Views) -> Result<Self, StorageError> {
        let identity = keys::identity(&event.source, &event.id);
        // Read first: the view may advance during the query, but never goes back.
        let as_of = views.applied();
        Ok(Self { first: first_position(views, &identity)?, event, identity, as_of })
    }
}

/// The newest identities.
pub struct Identities {
    newer: HashMap<Vec<u8>, Position>,
    older: HashMap<Vec<u8>, Position>,
    /// Events accepted after the first position are in `newer` or `older`; after the second, in `newer`.
    since: Position,
    newer_since: Position,
}

impl Identities {
    /// `head`: events up to there are in the view.
    pub fn new(head: Position) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), since: head, newer_since: head }
    }

    pub fn accepted(&mut self, identity: Vec<u8>, position: Position) {
        self.newer.insert(identity, position);
    }

    /// The view has applied everything accepted up to `head`.
    pub fn written(&mut self, head: Position) {
        if self.newer.len() >= NEWEST {
            self.older = std::mem::take(&mut self.newer);
            self.since = self.newer_since;
            self.newer_since = head;
        }
    }

    /// The position of the newest event of an identity, if it is among the newest.
    pub fn newest(&self, identity: &[u8]) -> Option<Position> {
        self.newer.get(identity).or_else(|| self.older.get(identity)).copied()
    }

    /// The position of an event of this identity, if one was accepted before.
    pub fn first_position(&self, one: &Identified, views: &Views) -> Result<Option<Position>, StorageError> {
        match self.newest(&one.identity).or(one.first) {
            None if one.as_of < self.since => first_position(views, &one.identity),
            known => Ok(known),
        }
    }
}

/// The position of the event of an identity that the view knows.
pub fn first_position(views: &Views, identity: &[u8]) -> Result<Option<Position>, StorageError> {
    Ok(views.get(identity)?.and_then(|value| keys::value_position(&value)))
}

#[cfg(test)]
mod tests {
    use weirgate_log::{Epoch, Epochs};
    use weirgate_views::{Change, ViewOptions};

    use super::*;
    use crate::tables::TABLES;

    fn event(n: usize) -> Event {
        Event {
            id: n.to_string(),
            source: "/tests".into(),
            r#type: "a".into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: std::collections::BTreeMap::new(),
            implied_key: None,
            data: Vec::new(),
        }
    }

    fn views() -> (tempfile::TempDir, Views) {
        let dir = tempfile::tempdir().expect("a directory");
        let head = Position(1 << 40);
        let views = Views::open(
            &dir.path().join("views"),
            TABLES,
            (&Epochs::new(Epoch([1; 16])), head),
            ViewOptions::default(),
        );
        (dir, views.expect("views"))
    }

    #[test]
    fn a_window_ends_by_count_and_by_age() {
        let window = IdentityWindow { positions: 10, age_ms: 1_000 };
        assert!(window.holds(Position(1), Position(10)) && !window.holds(Position(1), Position(11)));
        assert!(window.holds_age(5_000, 5_999) && !window.holds_age(5_000, 6_000));
        assert!(window.holds_age(5_000, 4_000), "a clock that was set back ends no window");
    }

    #[test]
    fn events_accepted_after_the_look_up_are_duplicates() {
        let (_dir, views) = views();
        let mut identities = Identities::new(Position::ZERO);
        let [one, again, other] = [1, 1, 2].map(|n| Identified::look_up(event(n), &views).expect("looked up"));
        assert_eq!(identities.first_position(&one, &views).expect("no error"), None);
        identities.accepted(one.identity, Position(7));
        assert_eq!(identities.first_position(&again, &views).expect("no error"), Some(Position(7)));
        assert_eq!(identities.first_position(&other, &views).expect("no error"), None);
    }

    #[test]
    fn all_events_of_a_large_pass_are_remembered() {
        let (_dir, views) = views();
        let mut identities = Identities::new(Position::ZERO);
        let [one, again] = [1, 1].map(|n| Identified::look_up(event(n), &views).expect("looked up"));
        identities.accepted(one.identity, Position(1));
        for n in 2..3 * NEWEST {
            identities.accepted(keys::identity("/tests", &n.to_string()), Position(n as u64));
        }
        assert_eq!(identities.first_position(&again, &views).expect("no error"), Some(Position(1)));
    }

    #[test]
    fn an_outdated_look_up_is_repeated() {
        let (_dir, views) = views();
        let mut identities = Identities::new(Position::ZERO);
        let [one, again, new] = [1, 1, 0].map(|n| Identified::look_up(event(n), &views).expect("looked up"));
        let change = Change::insert_new(one.identity.clone(), keys::position_value(Position(1)));
        identities.accepted(one.identity, Position(1));
        views.write(vec![change], Position(9)).expect("written");
        for n in 2..2 * NEWEST + 2 {
            identities.accepted(keys::identity("/tests", &n.to_string()), Position(n as u64));
            identities.written(Position(n as u64));
            assert!(identities.newer.len() + identities.older.len() <= 2 * NEWEST);
        }
        assert_eq!(identities.first_position(&again, &views).expect("no error"), Some(Position(1)));
        assert_eq!(identities.first_position(&new, &views).expect("no error"), None);
    }
}
