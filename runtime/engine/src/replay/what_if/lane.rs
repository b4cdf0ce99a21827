//! What differs for one handler and key between the log and the fork. Pure: effects in, differences out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;
use weirgate_types::{Effects, Event, Position, RUNTIME_TYPES, StateWrite, StatusWrite, TimerSetting, TimerWrite};

use super::{
    emissions::{Emission, Emissions, Pairs, pair},
    held::Measured,
};

/// A handler's state, timers and effects for one key, as far as the fork differs from the log. It holds no difference that has
/// vanished since, so a lane without differences is equal to a new one.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Values that differ: those of the fork, `None` where it has none.
    state: Measured<Option<Vec<u8>>>,
    /// Timers that differ, likewise.
    timers: Measured<Option<TimerSetting>>,
    /// Those of them that are set in the log.
    set_in_log: BTreeSet<String>,
    /// Timers that are set on both sides, in the log by a replay that was undone: that they fire there is nothing that the fork does.
    set_by_undone: Measured<TimerSetting>,
    status: Measured<StatusSides>,
    /// Statuses that say the same on both sides, and were not set by the same record: another key that sets the same part may come between.
    moved: Measured<StatusSides>,
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
    /// The handler's part of the status before that.
    stood: Stood,
}

/// A handler's part of a status, as it stood before both sides differed.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Stood {
    /// `None`: it had none, or no side is as before.
    pub status: Option<StatusWrite>,
    /// Whether it was not another key that had written it: that may not do so in the fork.
    pub is_own: bool,
    /// The record that wrote it.
    pub at: Position,
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
    /// Whether nothing is known of it.
    #[must_use]
    pub fn is_same(&self) -> bool {
        *self == Self::default()
    }

    /// Whether both sides have come to something else.
    #[must_use]
    pub fn differs(&self) -> bool {
        let Self { state, timers, set_in_log: _, set_by_undone: _, status, moved: _, emissions } = self;
        !(state.is_empty() && timers.is_empty() && status.is_empty() && *emissions == Emissions::default())
    }

    /// Whether state, timers and statuses are the same on both sides, and emitted events are not.
    #[must_use]
    pub fn differs_in_emissions_alone(&self) -> bool {
        let Self { state, timers, set_in_log: _, set_by_undone: _, status, moved: _, emissions } = self;
        state.is_empty() && timers.is_empty() && status.is_empty() && !emissions.is_empty()
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Self { state, timers, set_in_log: _, set_by_undone, status, moved, emissions } = self;
        // What is set in the log is named by the timers that differ.
        let timers = timers.bytes().saturating_mul(2).saturating_add(set_by_undone.bytes());
        let parts = [state.bytes(), timers, status.bytes(), moved.bytes(), emissions.bytes()];
        parts.into_iter().fold(0, usize::saturating_add)
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

    /// The same for a delivery that reads them.
    #[must_use]
    pub fn shared_state(&self) -> Arc<BTreeMap<String, Option<Vec<u8>>>> {
        self.state.shared()
    }

    #[must_use]
    pub fn timers(&self) -> &BTreeMap<String, Option<TimerSetting>> {
        &self.timers
    }

    /// Whether a timer that differs is set in the log.
    #[must_use]
    pub fn is_set_in_log(&self, timer: &str) -> bool {
        self.set_in_log.contains(timer)
    }

    #[must_use]
    pub fn status(&self) -> &BTreeMap<String, StatusSides> {
        &self.status
    }

    /// Statuses that say the same on both sides, and were not set by the same record.
    #[must_use]
    pub fn moved(&self) -> &BTreeMap<String, StatusSides> {
        &self.moved
    }

    /// The status that is named as its key counts as the key's own, and so does what a repair of it has written: another key that comes between
    /// the records that set such a one is not looked for.
    pub fn forget_moved(&mut self, key: &str, repaired: &[StatusWrite]) {
        for subject in repaired.iter().map(|write| write.subject.as_str()).chain([key]) {
            self.moved.remove(subject);
        }
    }

    /// What differs of a subject's status is not a difference of this key.
    pub fn forget_status(&mut self, subject: &str) {
        self.status.remove(subject);
    }

    #[must_use]
    pub fn emissions(&self) -> &Emissions {
        &self.emissions
    }

    /// Takes a delivery. `value`, `timer` and `part` say what the log holds just before it: of a subject's status, the handler's part.
    /// Returns which of the emitted events correspond.
    ///
    /// # Errors
    /// Those of `value`, `timer` and `part`.
    pub fn fold<E>(
        &mut self,
        both: Both<'_>,
        value: impl Fn(&str) -> Result<Option<Vec<u8>>, E>,
        timer: impl Fn(&str) -> Result<Option<TimerSetting>, E>,
        part: impl Fn(&str) -> Result<Stood, E>,
    ) -> Result<Pairs, E> {
        let Both { recorded, fork, .. } = both;
        let (stands, now) = (recorded.state.iter().map(value_of), fork.state.iter().map(value_of));
        overlay(&mut self.state, stands, now, value)?;
        let (stands, now) = (recorded.timers.iter().map(setting_of), fork.timers.iter().map(setting_of));
        overlay(&mut self.timers, stands, now, &timer)?;
        for write in recorded.timers.iter().chain(&fork.timers) {
            self.set_by_undone.remove(&write.name);
        }
        self.fold_set_in_log(both, timer)?;
        self.fold_status(both, part)?;
        let [recorded, now] = [recorded, fork].map(emitted);
        let pairs = pair(&recorded, &now);
        self.emissions.fold(both, &recorded, &now, &pairs);
        Ok(pairs)
    }

    fn fold_set_in_log<E>(
        &mut self,
        Both { recorded, fork, .. }: Both<'_>,
        timer: impl Fn(&str) -> Result<Option<TimerSetting>, E>,
    ) -> Result<(), E> {
        for (name, set) in recorded.timers.iter().map(setting_of) {
            if set.is_some() && self.timers.contains_key(name) {
                self.set_in_log.insert(name.to_owned());
            } else {
                self.set_in_log.remove(name);
            }
        }
        for (name, _) in fork.timers.iter().map(setting_of) {
            let is_written = recorded.timers.iter().any(|write| write.name == name);
            if !self.timers.contains_key(name) {
                self.set_in_log.remove(name);
            } else if !is_written && !self.set_in_log.contains(name) && timer(name)?.is_some() {
                self.set_in_log.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// A repair removed the handler's part of these subjects' status; `part` says what it was just before.
    ///
    /// # Errors
    /// Those of `part`.
    pub fn unset<E>(
        &mut self,
        subjects: &[String],
        at: Position,
        part: impl Fn(&str) -> Result<Stood, E>,
    ) -> Result<(), E> {
        for subject in subjects {
            let mut sides = match self.take_status(subject) {
                Some(sides) => sides,
                None => StatusSides::since(at, part(subject)?),
            };
            (sides.recorded, sides.recorded_at) = (Side::Unset, at);
            self.keep_status(subject, sides);
        }
        Ok(())
    }

    /// A repair has handed an event of the log over to the handler.
    pub fn compensated(&mut self, emission: Emission) {
        self.emissions.compensated(emission);
    }

    /// The same by a repair that is in the fork, too.
    pub fn compensated_in_both(&mut self, emission: &Emission) {
        self.emissions.compensated_in_both(emission);
    }

    /// The repair that has handed it over is taken back.
    pub fn no_longer_compensated(&mut self, emission: Emission) {
        self.emissions.recorded(emission);
    }

    /// The withheld events of a delivery have positions now, from the first on.
    pub fn released(&mut self, delivery: Position, events: &[Event], first: Position) {
        self.emissions.released(delivery, events, first);
    }

    /// A replay that was undone has set timers in the log.
    pub fn undone(&mut self, timers: &[TimerWrite]) {
        for write in timers.iter().filter(|write| !self.timers.contains_key(&write.name)) {
            if let Some(setting) = &write.set {
                self.set_by_undone.insert(write.name.clone(), setting.clone());
            }
        }
    }

    /// A timer fired in the log. Returns whether it fires in the fork too.
    pub fn fires(&mut self, timer: &str) -> bool {
        self.set_in_log.remove(timer);
        if let Some(setting) = self.set_by_undone.remove(timer) {
            self.timers.insert(timer.to_owned(), Some(setting));
            return false;
        }
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

    fn fold_status<E>(
        &mut self,
        Both { at, recorded, fork, .. }: Both<'_>,
        part: impl Fn(&str) -> Result<Stood, E>,
    ) -> Result<(), E> {
        if self.status.is_empty() && self.moved.is_empty() && recorded.status == fork.status {
            return Ok(());
        }
        let [recorded, fork] = [recorded, fork].map(by_subject);
        let subjects: BTreeSet<&str> = recorded.keys().chain(fork.keys()).copied().collect();
        for subject in subjects {
            let (written, now) = (recorded.get(subject), fork.get(subject));
            let sides = self.take_status(subject);
            if says(written.copied(), now.copied()) {
                continue;
            }
            let mut sides = match sides {
                Some(sides) => sides,
                None if written.is_some() && now.is_some() => StatusSides::since(at, Stood::default()),
                None => StatusSides::since(at, part(subject)?),
            };
            if let Some(write) = written {
                (sides.recorded, sides.recorded_at) = (Side::Written((*write).clone()), at);
            }
            if let Some(write) = now {
                (sides.fork, sides.fork_at) = (Side::Written((*write).clone()), at);
            }
            self.keep_status(subject, sides);
        }
        Ok(())
    }

    fn take_status(&mut self, subject: &str) -> Option<StatusSides> {
        self.status.remove(subject).or_else(|| self.moved.remove(subject))
    }

    fn keep_status(&mut self, subject: &str, sides: StatusSides) {
        if !sides.is_same() {
            self.status.insert(subject.to_owned(), sides);
        } else if sides.is_moved() {
            self.moved.insert(subject.to_owned(), sides);
        }
    }
}

impl StatusSides {
    fn since(at: Position, stood: Stood) -> Self {
        Self { since: at, stood, ..Self::default() }
    }

    /// What stood before they differed, if the key itself wrote it in the record with which they began to, or behind it: an earlier delivery of
    /// the same record did.
    #[must_use]
    pub fn stood_since(&self) -> Option<(Position, &StatusWrite)> {
        let Stood { status, is_own, at } = &self.stood;
        status.as_ref().filter(|_| *is_own && *at >= self.since).map(|status| (*at, status))
    }

    /// The handler's part as the log has it, by what this key wrote; `None`: it has none.
    #[must_use]
    pub fn is(&self) -> Option<&StatusWrite> {
        self.part(&self.recorded)
    }

    /// The handler's part in the fork.
    #[must_use]
    pub fn would_be(&self) -> Option<&StatusWrite> {
        self.part(&self.fork)
    }

    fn part<'a>(&'a self, side: &'a Side) -> Option<&'a StatusWrite> {
        match side {
            Side::Written(write) => Some(write),
            Side::AsBefore => self.stood.status.as_ref(),
            Side::Unset => None,
        }
    }

    /// Whether the same was set by another record than in the log.
    fn is_moved(&self) -> bool {
        let at = |side: &Side, at| if matches!(side, Side::AsBefore) { self.stood.at } else { at };
        self.is().is_some() && at(&self.recorded, self.recorded_at) != at(&self.fork, self.fork_at)
    }

    fn is_same(&self) -> bool {
        let is_known = |side| self.stood.is_own || !matches!(side, &Side::AsBefore);
        self.recorded == self.fork
            || says(self.is(), self.would_be()) && is_known(&self.recorded) && is_known(&self.fork)
    }
}

/// Whether both say the same, or nothing.
pub fn says(one: Option<&StatusWrite>, other: Option<&StatusWrite>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.says(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// The emitted events of a delivery, also where they wait for others; without the runtime's own notices.
pub fn emitted(effects: &Effects) -> Vec<&Event> {
    let own = |event: &&Event| !event.r#type.starts_with(RUNTIME_TYPES);
    effects.withheld.iter().chain(effects.emitted.iter().filter(own)).collect()
}

fn value_of(write: &StateWrite) -> (&str, Option<&Vec<u8>>) {
    (&write.name, write.value.as_ref())
}

fn setting_of(write: &TimerWrite) -> (&str, Option<&TimerSetting>) {
    (&write.name, write.set.as_ref())
}

fn by_subject(effects: &Effects) -> BTreeMap<&str, &StatusWrite> {
    effects.status.iter().map(|write| (write.subject.as_str(), write)).collect()
}

/// Takes the writes of both sides into the names that differ. Copies a value only where it differs.
fn overlay<'a, V: Clone + PartialEq + Serialize + 'a, E>(
    differs: &mut Measured<Option<V>>,
    recorded: impl Iterator<Item = (&'a str, Option<&'a V>)>,
    fork: impl Iterator<Item = (&'a str, Option<&'a V>)>,
    before: impl Fn(&str) -> Result<Option<V>, E>,
) -> Result<(), E> {
    let (recorded, fork): (BTreeMap<_, _>, BTreeMap<_, _>) = (recorded.collect(), fork.collect());
    let names: BTreeSet<&str> = recorded.keys().chain(fork.keys()).copied().collect();
    for name in names {
        let differing = differs.remove(name);
        let (written, now) = (recorded.get(name), fork.get(name));
        if written.is_some() && written == now {
            continue;
        }
        let now = match (now, differing) {
            (Some(now), _) => now.cloned(),
            (None, Some(differing)) => differing,
            (None, None) => before(name)?,
        };
        let is_same = match written {
            Some(written) => now.as_ref() == *written,
            None => now == before(name)?,
        };
        if !is_same {
            differs.insert(name.to_owned(), now);
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
        lane.fold(
            both,
            |name| Ok::<_, ()>(stands.get(name).cloned()),
            |_| Ok(None),
            |subject| {
                let status = (subject != "o").then(|| status(subject, "a").status.swap_remove(0));
                Ok(Stood { status, is_own: subject != "other", at: Position::ZERO })
            },
        )
        .expect("no error");
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
    fn a_key_takes_what_it_holds_and_not_what_it_held() {
        let mut lane = Lane::default();
        let mut after = |recorded: &str, now: &str| {
            let both =
                [recorded, now].map(|one| Effects { status: status("o", one).status, ..state(&[("a", Some(one))]) });
            fold(&mut lane, &both[0], &both[1], &[]);
            lane.bytes()
        };
        let first = after("1", "2");
        assert!(first > size_of::<StatusSides>(), "{first}");
        for _ in 0..1_000 {
            assert_eq!(after("3", "4"), first, "as long, so as large");
        }
        assert!(after("3", &"4".repeat(1_000)) > first + 1_000);
        assert_eq!(after("5", "5"), 0, "nothing differs");
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
    fn a_status_that_one_side_writes_as_it_was_before_does_not_differ() {
        let write = |state: &str| status("known", state);
        let mut lane = Lane::default();
        fold(&mut lane, &write("a"), &Effects::default(), &[]);
        fold(&mut lane, &Effects::default(), &write("a"), &[]);
        assert!(lane.is_same(), "{lane:?}");
        fold(&mut lane, &write("b"), &Effects::default(), &[]);
        assert_eq!(lane.status.get("known").and_then(StatusSides::would_be), write("a").status.first());
        fold(&mut lane, &write("a"), &Effects::default(), &[]);
        assert!(!lane.differs() && lane.moved.contains_key("known"), "{lane:?}");
        let unset = |lane: &mut Lane, status: Option<StatusWrite>| {
            let stood = Stood { status, is_own: true, at: Position::ZERO };
            lane.unset(&["known".to_owned()], Position(2), |_| Ok::<_, ()>(stood.clone())).expect("no error");
            lane.is_same()
        };
        assert!(!unset(&mut lane, write("a").status.pop()));
        assert!(unset(&mut Lane::default(), None), "there was none");
        fold(&mut lane, &status("other", "a"), &Effects::default(), &[]);
        assert!(!lane.is_same(), "the other key may not write it in the fork");
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
        assert!(!lane.is_set_in_log("t"), "it has fired there");
        fold(&mut lane, &timer(Some(5)), &Effects::default(), &[]);
        assert!(lane.is_set_in_log("t"));
        fold(&mut lane, &Effects::default(), &timer(Some(7)), &[]);
        assert!(lane.is_set_in_log("t"), "a delivery that sets none there changes nothing");
        fold(&mut lane, &timer(None), &timer(None), &[]);
        assert!(lane.is_same());
        // The fork has set it, and a repair does, that is taken back when it has fired.
        fold(&mut lane, &Effects::default(), &timer(Some(5)), &[]);
        fold(&mut lane, &timer(Some(5)), &Effects::default(), &[]);
        assert!(lane.is_same(), "set on both sides");
        lane.undone(&timer(Some(5)).timers);
        assert!(!lane.fires("t") && lane.timers().get("t").is_some_and(Option::is_some), "the fork's is still to fire");
    }
}
