//! The replays that a connection follows: when they are looked at, and what was sent of each. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;
use weirgate_engine::{PlanId, ReplayMark};

use super::close::Close;

/// Maximum number of replays that one connection may follow.
pub const REPLAYS_MAX: usize = 16;
/// The time between two looks. What changed in between is in one frame.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// See the module documentation.
#[derive(Default)]
pub struct Follows {
    followed: BTreeMap<PlanId, Followed>,
    hashes: RandomState,
    /// Those that are to be looked at.
    due: BTreeSet<PlanId>,
    looked_at: Option<Instant>,
}

/// Frames may be large, and there are many connections: none is kept.
#[derive(Default)]
struct Followed {
    /// The hash of the frame that was sent last.
    sent: Option<u64>,
    /// Of the replay, when it was read last.
    mark: Option<ReplayMark>,
}

impl Follows {
    /// Follows replays; each is looked at as soon as possible.
    pub fn add(&mut self, replays: &[String]) -> Result<(), Close> {
        for name in replays {
            let id: PlanId = name.parse().map_err(|_| Close::bad_message("`replays` names replays by their ids"))?;
            self.followed.insert(id, Followed::default());
            self.due.insert(id);
        }
        if self.followed.len() > REPLAYS_MAX { Err(Close::too_many_replays()) } else { Ok(()) }
    }

    pub fn remove(&mut self, replays: &[String]) {
        for id in replays.iter().filter_map(|name| name.parse().ok()) {
            self.forget(id);
        }
    }

    pub fn forget(&mut self, id: PlanId) {
        self.followed.remove(&id);
        self.due.remove(&id);
    }

    /// Whether there is something to look at later.
    pub fn is_waiting(&self) -> bool {
        !self.followed.is_empty() && self.due.is_empty()
    }

    pub fn next(&self, now: Instant) -> Instant {
        self.looked_at.map_or(now, |looked_at| looked_at + LOOK_EVERY)
    }

    /// The time of the next look has come.
    pub fn look(&mut self, now: Instant) {
        self.looked_at = Some(now);
        self.due = self.followed.keys().copied().collect();
    }

    /// The replay to look at now, and whether nothing was sent of it yet.
    pub fn pop(&mut self) -> Option<(PlanId, bool)> {
        let id = self.due.pop_first()?;
        let is_new = self.followed.get(&id).is_some_and(|followed| followed.sent.is_none());
        Some((id, is_new))
    }

    /// Whether a replay may have changed since it was read last: only then its frame is made.
    pub fn has_changed(&self, id: PlanId, mark: &ReplayMark) -> bool {
        self.followed.get(&id).is_some_and(|followed| followed.mark.as_ref() != Some(mark))
    }

    /// Takes what a replay's frame would be, and the mark that was taken before it was read. Returns whether it is news.
    pub fn is_news(&mut self, id: PlanId, frame: &str, mark: Option<ReplayMark>) -> bool {
        let sent = Some(self.hashes.hash_one(frame));
        let Some(followed) = self.followed.get_mut(&id) else { return false };
        followed.mark = mark;
        std::mem::replace(&mut followed.sent, sent) != sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_replay_is_news_when_it_changed() {
        let (mut follows, now) = (Follows::default(), Instant::now());
        follows.add(&names(&["42", "42-undo"])).expect("ids");
        let [replay, undo] = ["42", "42-undo"].map(|name| name.parse::<PlanId>().expect("an id"));
        assert_eq!((follows.pop(), follows.pop(), follows.pop()), (Some((replay, true)), Some((undo, true)), None));
        assert!(
            follows.is_news(replay, "a", None)
                && !follows.is_news(replay, "a", None)
                && follows.is_news(replay, "b", None)
        );
        assert!(follows.is_waiting());
        follows.look(now);
        assert_eq!((follows.next(now), follows.pop()), (now + LOOK_EVERY, Some((replay, false))));
        follows.remove(&names(&["42-undo", "x"]));
        assert_eq!(follows.pop(), None);
        assert!(!follows.is_news(undo, "a", None), "it is not followed any more");
    }

    #[test]
    fn the_number_of_followed_replays_is_limited() {
        let mut follows = Follows::default();
        let all: Vec<String> = (0..REPLAYS_MAX).map(|id| id.to_string()).collect();
        assert!(follows.add(&all).is_ok() && follows.add(&all).is_ok(), "again is allowed");
        assert_eq!(follows.add(&names(&["99"])), Err(Close::too_many_replays()));
        assert!(Follows::default().add(&names(&["order/o-1"])).is_err());
    }
}
