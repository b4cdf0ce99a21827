//! What earlier deliveries of the same recorded call wrote: their commits are in one record, so the state before that does not hold it. Pure.

use std::{collections::BTreeMap, sync::Arc};

use weirgate_types::{Commit, DeliveryId, TimerSetting};

use super::run::LaneId;

type State = BTreeMap<String, Vec<u8>>;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Earlier {
    writes: BTreeMap<LaneId, Writes>,
    /// The delivery of the call that comes next.
    next: Option<DeliveryId>,
}

/// The last write of each value and timer.
#[derive(Debug, Default)]
struct Writes {
    state: BTreeMap<String, Option<Vec<u8>>>,
    timers: BTreeMap<String, Option<TimerSetting>>,
    state_version: Option<u32>,
}

impl Earlier {
    /// Takes what the log holds of a delivery.
    pub fn take(&mut self, lane: &LaneId, commit: &Commit) {
        let recorded = &commit.effects;
        if recorded.state.is_empty() && recorded.timers.is_empty() && !commit.sets_state_version() {
            return;
        }
        let writes = self.writes.entry(lane.clone()).or_default();
        writes.state.extend(recorded.state.iter().map(|write| (write.name.clone(), write.value.clone())));
        writes.timers.extend(recorded.timers.iter().map(|write| (write.name.clone(), write.set.clone())));
        if commit.sets_state_version() {
            writes.state_version = Some(commit.state_version);
        }
    }

    /// A delivery of the call comes next.
    pub fn before(&mut self, next: DeliveryId) {
        self.next = Some(next);
    }

    /// The delivery of the call before which the fork is, between two parts of it; `None`: all of the record was taken.
    pub fn next(&self) -> Option<&DeliveryId> {
        self.next.as_ref()
    }

    /// The version of a key's state, if a delivery has set it.
    pub fn state_version(&self, lane: &LaneId) -> Option<u32> {
        self.writes.get(lane)?.state_version
    }

    /// The value that was written last; `before` that, if none was.
    ///
    /// # Errors
    /// That of `before`.
    pub fn value<E>(
        &self,
        lane: &LaneId,
        name: &str,
        before: impl FnOnce() -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let written = self.writes.get(lane).and_then(|writes| writes.state.get(name));
        written.map_or_else(before, |value| Ok(value.clone()))
    }

    /// The same for a timer.
    ///
    /// # Errors
    /// That of `before`.
    pub fn timer<E>(
        &self,
        lane: &LaneId,
        name: &str,
        before: impl FnOnce() -> Result<Option<TimerSetting>, E>,
    ) -> Result<Option<TimerSetting>, E> {
        let written = self.writes.get(lane).and_then(|writes| writes.timers.get(name));
        written.map_or_else(before, |set| Ok(set.clone()))
    }

    /// Whether a value of the key was written.
    pub fn has_state(&self, lane: &LaneId) -> bool {
        self.writes.get(lane).is_some_and(|writes| !writes.state.is_empty())
    }

    /// A key's state after all that, of that before the record.
    pub fn on(&self, lane: &LaneId, before: Arc<State>) -> Arc<State> {
        let Some(Writes { state, .. }) = self.writes.get(lane) else { return before };
        let mut after = (*before).clone();
        for (name, value) in state {
            match value {
                Some(value) => drop(after.insert(name.clone(), value.clone())),
                None => drop(after.remove(name)),
            }
        }
        Arc::new(after)
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::{Digest, Effects, Outcome, Position, StateWrite, TimerWrite};

    use super::*;

    fn commit(effects: Effects) -> Commit {
        Commit {
            handler: "h".parse().expect("a name"),
            event: Position(1),
            key: "k".into(),
            attempt: 1,
            version: Position(1),
            digest: Digest([0; 32]),
            at_ms: 0,
            outcome: Outcome::Completed,
            depth: 1,
            effects,
            log: Vec::new(),
            state_version: 3,
            migrated_from: None,
            cpu_us: 0,
            reproducible: true,
            reads: Vec::new(),
        }
    }

    #[test]
    fn the_last_write_of_the_same_key_counts() {
        let lane = |key: &str| ("h".parse().expect("a name"), key.to_owned());
        let write =
            |name: &str, value: Option<u8>| StateWrite { name: name.into(), value: value.map(|byte| vec![byte]) };
        let of = |state: Vec<StateWrite>| {
            let timers = vec![TimerWrite { name: "t".into(), set: None }];
            commit(Effects { state, timers, ..Effects::default() })
        };
        let mut earlier = Earlier::default();
        let before = Arc::new(State::from([("a".to_owned(), vec![1]), ("b".to_owned(), vec![1])]));
        assert!(Arc::ptr_eq(&earlier.on(&lane("k"), Arc::clone(&before)), &before), "without a copy");
        earlier.take(&lane("k"), &of(vec![write("a", Some(2)), write("b", None), write("c", Some(2))]));
        earlier.take(&lane("k"), &of(vec![write("a", Some(3))]));
        earlier.take(&lane("l"), &of(vec![write("a", Some(9))]));
        let after = State::from([("a".to_owned(), vec![3]), ("c".to_owned(), vec![2])]);
        assert_eq!(*earlier.on(&lane("k"), before), after);
        let value = |name: &str| earlier.value(&lane("k"), name, || Ok::<_, ()>(Some(vec![1])));
        assert_eq!([value("a"), value("b"), value("z")], [Ok(Some(vec![3])), Ok(None), Ok(Some(vec![1]))]);
        let timer = |name: &str| earlier.timer(&lane("k"), name, || Err(()));
        assert_eq!((timer("t"), timer("u")), (Ok(None), Err(())));
        assert_eq!((earlier.state_version(&lane("k")), earlier.state_version(&lane("m"))), (Some(3), None));
    }
}
