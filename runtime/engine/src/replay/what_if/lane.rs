//! What differs for one handler and key between the log and the fork. Pure: effects in, differences out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use weirgate_types::{Effects, Event, Position, RUNTIME_TYPES, StateWrite, StatusWrite, TimerSetting, TimerWrite};

use super::emissions::{Emission, Emissions, Pairs, pair};

/// A handler's state, timers and effects for one key, as far as the fork differs from the log. It holds no difference that has
/// vanished since, so a lane without differences is equal to a new one.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Values that differ: those of the fork, `None` where it has none.
    state: BTreeMap<String, Option<Vec<u8>>>,
    /// Timers that differ, likewise.
    timers: BTreeMap<String, Option<TimerSetting>>,
    status: BTreeMap<String, StatusSides>,
    emissions: Emissions,
}

/// The last status of a subject on both sides.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct StatusSides {
    pub recorded: Side,
    pub fork: Side,
    /// The records that wrote them; in the fork, where those would have been. Before the first, both were the same.
    pub recorded_at: Position,
    pub fork_at: Position,
    /// The record with which they began to differ.
    pub since: Position,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub enum Side {
    /// As it was before they differed.
    #[default]
    AsBefore,
    Written(StatusWrite),
    /// A repair removed it.
    Unset,
}

/// A delivery on both sides.
#[derive(Debug, Clone, Copy)]
pub struct Both<'a> {
    /// The delivered event.
    pub event: Position,
    /// The record that committed it; in the fork, where a delivery that is not in the log would have been.
    pub at: Position,
    /// Causation depth of what it emits.
    pub depth: u32,
    pub recorded: &'a Effects,
    /// The first of the recorded emitted events.
    pub first_emitted: Position,
    pub fork: &'a Effects,
}

impl Lane {
    #[must_use]
    pub fn is_same(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the next delivery would see another state or other timers than in the log.
    #[must_use]
    pub fn reads_otherwise(&self) -> bool {
        !self.state.is_empty()
    }

    /// The values that differ, which a delivery of the fork reads in place of the recorded ones.
    #[must_use]
    pub fn state(&self) -> &BTreeMap<String, Option<Vec<u8>>> {
        &self.state
    }

    #[must_use]
    pub fn timers(&self) -> &BTreeMap<String, Option<TimerSetting>> {
        &self.timers
    }

    #[must_use]
    pub fn status(&self) -> &BTreeMap<String, StatusSides> {
        &self.status
    }

    #[must_use]
    pub fn emissions(&self) -> &Emissions {
        &self.emissions
    }

    /// Takes a delivery. `value` and `timer` say what the log holds just before it. Returns which of the emitted events
    /// correspond.
    ///
    /// # Errors
    /// Those of `value` and `timer`.
    pub fn fold<E>(
        &mut self,
        both: Both<'_>,
        value: impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
        timer: impl Fn(&str) -> Result<Option<TimerSetting>, E>,
    ) -> Result<Pairs, E> {
        let Both { recorded, fork, .. } = both;
        let of = |write: &StateWrite| (write.name.clone(), write.value.clone());
        overlay(&mut self.state, recorded.state.iter().map(of), fork.state.iter().map(of), value)?;
        let of = |write: &TimerWrite| (write.name.clone(), write.set.clone());
        overlay(&mut self.timers, recorded.timers.iter().map(of), fork.timers.iter().map(of), timer)?;
        self.fold_status(both);
        let [recorded, now] = [recorded, fork].map(emitted);
        let pairs = pair(&recorded, &now);
        self.emissions.fold(both, &recorded, &now, &pairs);
        Ok(pairs)
    }

    /// A repair removed the handler's part of these subjects' status.
    pub fn unset(&mut self, subjects: &[String], at: Position) {
        for subject in subjects {
            let sides = self.status.entry(subject.clone()).or_insert_with(|| StatusSides::since(at));
            (sides.recorded, sides.recorded_at) = (Side::Unset, at);
            if sides.is_same() {
                self.status.remove(subject);
            }
        }
    }

    /// A repair has handed an event of the log over to the handler.
    pub fn compensated(&mut self, emission: Emission) {
        self.emissions.compensated(emission);
    }

    /// A timer fired in the log. Returns whether it fires in the fork too.
    pub fn fires(&mut self, timer: &str) -> bool {
        match self.timers.get(timer) {
            None => true,
            // The fork had none; now there is none on either side.
            Some(None) => {
                self.timers.remove(timer);
                false
            }
            // It is set to another time there.
            Some(Some(_)) => false,
        }
    }

    fn fold_status(&mut self, Both { at, recorded, fork, .. }: Both<'_>) {
        let of = |effects: &Effects| -> BTreeMap<String, StatusWrite> {
            effects.status.iter().map(|write| (write.subject.clone(), write.clone())).collect()
        };
        let [mut recorded, mut fork] = [recorded, fork].map(of);
        let subjects: BTreeSet<String> = recorded.keys().chain(fork.keys()).cloned().collect();
        for subject in subjects {
            let sides = self.status.entry(subject.clone()).or_insert_with(|| StatusSides::since(at));
            if let Some(write) = recorded.remove(&subject) {
                (sides.recorded, sides.recorded_at) = (Side::Written(write), at);
            }
            if let Some(write) = fork.remove(&subject) {
                (sides.fork, sides.fork_at) = (Side::Written(write), at);
            }
            if sides.is_same() {
                self.status.remove(&subject);
            }
        }
    }
}

impl StatusSides {
    fn since(at: Position) -> Self {
        Self { since: at, ..Self::default() }
    }

    fn is_same(&self) -> bool {
        self.recorded == self.fork
    }
}

/// The emitted events of a delivery, also where they wait for others; without the runtime's own notices.
pub fn emitted(effects: &Effects) -> Vec<&Event> {
    let own = |event: &&Event| !event.r#type.starts_with(RUNTIME_TYPES);
    effects.withheld.iter().chain(effects.emitted.iter().filter(own)).collect()
}

/// Takes the writes of both sides into the names that differ.
fn overlay<V: PartialEq, E>(
    differs: &mut BTreeMap<String, Option<V>>,
    recorded: impl Iterator<Item = (String, Option<V>)>,
    fork: impl Iterator<Item = (String, Option<V>)>,
    before: impl Fn(&str) -> Result<Option<V>, E>,
) -> Result<(), E> {
    let (mut recorded, mut fork): (BTreeMap<_, _>, BTreeMap<_, _>) = (recorded.collect(), fork.collect());
    let names: BTreeSet<String> = recorded.keys().chain(fork.keys()).cloned().collect();
    for name in names {
        let now = match (fork.remove(&name), differs.remove(&name)) {
            (Some(written), _) => written,
            (None, Some(differing)) => differing,
            (None, None) => before(&name)?,
        };
        let stands = match recorded.remove(&name) {
            Some(written) => written,
            None => before(&name)?,
        };
        if now != stands {
            differs.insert(name, now);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(writes: &[(&str, Option<&str>)]) -> Effects {
        let write = |(name, value): &(&str, Option<&str>)| StateWrite {
            name: (*name).to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        Effects { state: writes.iter().map(write).collect(), ..Effects::default() }
    }

    fn status(subject: &str, state: &str) -> Effects {
        let write = StatusWrite { subject: subject.into(), state: state.into(), text: String::new(), data: None };
        Effects { status: vec![write], ..Effects::default() }
    }

    fn fold(lane: &mut Lane, recorded: &Effects, fork: &Effects, stands: &[(&str, &str)]) {
        let (event, at, first_emitted) = (Position(1), Position(2), Position(3));
        let both = Both { event, at, depth: 1, recorded, first_emitted, fork };
        let stands: BTreeMap<_, _> = stands.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect();
        lane.fold(both, |name| Ok::<_, ()>(stands.get(name).cloned()), |_| Ok(None)).expect("no error");
    }

    #[test]
    fn a_difference_of_a_value_ends_when_both_sides_agree_again() {
        let mut lane = Lane::default();
        fold(&mut lane, &state(&[("a", Some("1"))]), &state(&[("a", Some("2"))]), &[]);
        assert_eq!(lane.state.get("a"), Some(&Some(b"2".to_vec())));
        assert!(lane.reads_otherwise());
        fold(&mut lane, &state(&[]), &state(&[("b", None)]), &[("a", "1")]);
        assert_eq!(lane.state.len(), 1, "nothing was removed that was there: {lane:?}");
        fold(&mut lane, &state(&[("a", Some("2"))]), &state(&[]), &[("a", "1")]);
        assert!(lane.is_same(), "{lane:?}");
    }

    #[test]
    fn a_value_that_only_one_side_writes_is_compared_with_what_stood() {
        let mut lane = Lane::default();
        fold(&mut lane, &state(&[("a", Some("1"))]), &state(&[]), &[("a", "1")]);
        assert!(lane.is_same(), "it was written as it was");
        fold(&mut lane, &state(&[("a", Some("2"))]), &state(&[]), &[("a", "1")]);
        assert_eq!(lane.state.get("a"), Some(&Some(b"1".to_vec())), "the fork keeps the old one");
        fold(&mut lane, &state(&[("a", None)]), &state(&[]), &[("a", "2")]);
        assert_eq!(lane.state.get("a"), Some(&Some(b"1".to_vec())));
        fold(&mut lane, &state(&[]), &state(&[("a", None)]), &[]);
        assert!(lane.is_same());
    }

    #[test]
    fn the_last_status_of_both_sides_is_kept_while_they_differ() {
        let mut lane = Lane::default();
        fold(&mut lane, &status("o", "a"), &status("o", "a"), &[]);
        assert!(lane.is_same());
        fold(&mut lane, &status("o", "b"), &Effects::default(), &[]);
        let sides = lane.status.get("o").expect("it differs").clone();
        assert!(matches!((&sides.recorded, &sides.fork), (Side::Written(_), Side::AsBefore)));
        fold(&mut lane, &status("o", "c"), &status("o", "c"), &[]);
        assert!(lane.is_same(), "{lane:?}");
    }

    #[test]
    fn a_timer_fires_in_the_fork_only_if_it_is_set_there() {
        let timer = |due_ms: Option<u64>| Effects {
            timers: vec![TimerWrite {
                name: "t".into(),
                set: due_ms.map(|due_ms| TimerSetting {
                    due_ms,
                    r#type: "x".into(),
                    data_content_type: None,
                    data: Vec::new(),
                }),
            }],
            ..Effects::default()
        };
        let mut lane = Lane::default();
        fold(&mut lane, &timer(Some(5)), &timer(Some(5)), &[]);
        assert!(lane.fires("t"));
        fold(&mut lane, &timer(Some(5)), &Effects::default(), &[]);
        assert!(!lane.fires("t"));
        assert!(lane.is_same(), "it is set on neither side now");
        fold(&mut lane, &timer(Some(5)), &timer(Some(9)), &[]);
        assert!(!lane.fires("t"));
        assert!(!lane.is_same(), "the fork's is still to come");
    }
}
