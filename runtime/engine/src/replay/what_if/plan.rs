//! The plan: what a repair appends so that a key stands as the fork has it. Pure, but for what it asks of [`Stands`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use weirgate_types::{Digest, Event, Position, StateWrite, StatusWrite, TimerSetting, TimerWrite};

use super::{
    calls::{UnansweredCall, UnmadeCall},
    emissions::{Emission, content},
    lane::{Lane, StatusSides},
    notes::{Examined, Fails},
    parts::{PartChange, Stands, owned},
};

/// Maximum size of the events and values of one record, in bytes; the rest is left to the next. To read one of its events is to read the
/// record.
pub const RECORD_BYTES_MAX: usize = 2 << 20;

/// What an event takes in a record beside itself, in bytes, at most: its identity names the replay, its delivery and, of a receiver, its
/// content; two attributes name the first two.
const APPENDED_BYTES_MAX: usize = 160;

/// What a repair of one key appends, and what it cannot change.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlan {
    pub key: String,
    pub state: Vec<StateWrite>,
    /// The version of the state that these leave; `None`: that of the version in force.
    pub state_version: Option<u32>,
    pub status: Vec<StatusWrite>,
    /// Subjects whose status loses the handler's part.
    pub unset: Vec<String>,
    pub emitted: Vec<Planned>,
    pub timers: Vec<TimerWrite>,
    /// Timers of the fork that were due in the past. They are set, and so fire at once, only where that is approved; those that are set in the
    /// log are cancelled.
    pub past_timers: Vec<(String, TimerSetting)>,
    /// Timers that are set in the log, and to something else in the fork.
    pub replaced_timers: Vec<String>,
    /// Emitted events of the log that the fork does not have: they stay.
    pub stays: Vec<Stays>,
    /// Outbound calls of the log that the fork did not make.
    pub calls: Vec<(Position, UnmadeCall)>,
    /// Subjects whose part another key owns: the last writer by position does.
    pub others: Vec<String>,
    /// Why it cannot be repaired.
    pub refused: Option<String>,
    /// The call that it lacks the answer of, with the event whose delivery makes it. An application that may make calls makes it, and goes on.
    pub needs: Option<(Position, UnansweredCall)>,
    /// A handler fails whose events it takes: what it comes to is known when that does not fail any more.
    pub is_behind: bool,
}

/// An event that is appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The delivery that emits it in the fork, and its index there.
    pub delivery: Position,
    pub index: usize,
    /// Its causation depth.
    pub depth: u32,
    pub event: Event,
}

/// An emitted event that cannot be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stays {
    pub at: Position,
    pub delivery: Position,
    pub event: Event,
}

impl KeyPlan {
    /// # Errors
    /// Those of `stands`.
    pub fn new<S: Stands>(key: &str, examined: &Examined, now_ms: u64, stands: &S) -> Result<Self, S::Error> {
        let Examined { lane, notes, .. } = examined;
        let mut plan = Self { key: key.to_owned(), ..Self::default() };
        if let Some(fails) = notes.fails() {
            let Fails { event, reason, needs, is_open, behind } = fails;
            let ends = if *is_open || behind.is_some() { "was not examined" } else { "fails" };
            plan.refused = Some(format!("the delivery of event {event} {ends}: {reason}"));
            plan.needs = needs.clone().map(|call| (*event, call));
            plan.is_behind = behind.is_some();
            return Ok(plan);
        }
        let write =
            |(name, value): (&String, &Option<Vec<u8>>)| StateWrite { name: name.clone(), value: value.clone() };
        plan.state = lane.state().iter().map(write).collect();
        plan.state_version = examined.state_version.filter(|_| !plan.state.is_empty());
        plan.take_timers(lane, now_ms);
        for (subject, sides) in lane.status() {
            plan.take_status(subject, sides, stands)?;
        }
        for (subject, sides) in lane.moved() {
            let change = owned(key, (subject, sides), stands)?.unwrap_or(PartChange::Nothing);
            plan.take_part(subject, change);
        }
        let planned = |emission: &Emission| Planned {
            delivery: emission.delivery,
            index: emission.index,
            depth: emission.depth,
            event: emission.event.clone(),
        };
        plan.emitted = lane.emissions().only_fork().into_iter().map(planned).collect();
        let stays =
            |emission: &Emission| Stays { at: emission.at, delivery: emission.delivery, event: emission.event.clone() };
        plan.stays = lane.emissions().only_recorded().into_iter().map(stays).collect();
        plan.calls.clone_from(&notes.not_made.all);
        Ok(plan)
    }

    /// Whether it may be repaired: one that lacks the answer of a call where calls are made.
    #[must_use]
    pub fn may_be_repaired(&self, makes_calls: bool) -> bool {
        self.refused.is_none() || makes_calls && self.needs.is_some()
    }

    /// What it takes in memory, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let content = postcard::experimental::serialized_size(self).unwrap_or(usize::MAX);
        u64::try_from(content.saturating_add(size_of::<Self>())).unwrap_or(u64::MAX)
    }

    /// Whether nothing is appended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { state, status, unset, emitted, timers, .. } = self;
        state.is_empty() && status.is_empty() && unset.is_empty() && emitted.is_empty() && timers.is_empty()
    }

    /// Whether there is nothing to do, and nothing to decide. A part that another key owns is neither.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self { past_timers, refused, .. } = self;
        self.is_empty() && !self.leaves() && past_timers.is_empty() && refused.is_none()
    }

    /// Whether something stays that cannot be undone by appending.
    #[must_use]
    pub fn leaves(&self) -> bool {
        !self.stays.is_empty() || !self.calls.is_empty()
    }

    /// Sets the timers that were due in the past, too: they fire at once.
    #[must_use]
    pub fn firing_past(mut self) -> Self {
        let past = std::mem::take(&mut self.past_timers);
        self.timers.retain(|timer| past.iter().all(|(name, _)| *name != timer.name));
        self.timers.extend(past.into_iter().map(|(name, setting)| TimerWrite { name, set: Some(setting) }));
        self
    }

    /// As much as fits into a record, at least one item; what comes first in a record of effects comes first. Returns whether that is all.
    pub fn cut(&mut self) -> bool {
        let mut room = Room { bytes: RECORD_BYTES_MAX, is_used: false };
        let is_all = [
            room.take(&mut self.state, encoded_size),
            room.take(&mut self.status, encoded_size),
            room.take(&mut self.unset, encoded_size),
            room.take(&mut self.timers, encoded_size),
            room.take(&mut self.emitted, |planned| planned.event.encoded_size().saturating_add(APPENDED_BYTES_MAX)),
        ];
        is_all.into_iter().all(|is_all| is_all)
    }

    /// Identifies what it does. Equal plans have equal digests whenever they are made.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let emitted = self.emitted.iter().map(|one| (one.delivery, one.index, content(&one.event)));
        let stays = self.stays.iter().map(|one| (one.at, content(&one.event)));
        let calls = self.calls.iter().map(|(by, call)| (*by, &call.step, call.request.digest));
        let Self { key, state, state_version, status, unset, timers, past_timers, refused, needs, .. } = self;
        let parts = (
            (key, state, state_version, status, unset, timers, past_timers, refused, needs),
            emitted.collect::<Vec<_>>(),
            stays.collect::<Vec<_>>(),
            calls.collect::<Vec<_>>(),
        );
        // Writing to memory does not fail, and all of these can be encoded.
        Digest(Sha256::digest(postcard::to_allocvec(&parts).unwrap_or_default()).into())
    }

    fn take_timers(&mut self, lane: &Lane, now_ms: u64) {
        for (name, set) in lane.timers() {
            let is_replaced = lane.is_set_in_log(name) && set.is_some();
            if is_replaced {
                self.replaced_timers.push(name.clone());
            }
            match set {
                Some(setting) if setting.due_ms <= now_ms => {
                    self.past_timers.push((name.clone(), setting.clone()));
                    self.timers.extend(is_replaced.then(|| TimerWrite { name: name.clone(), set: None }));
                }
                set => self.timers.push(TimerWrite { name: name.clone(), set: set.clone() }),
            }
        }
    }

    fn take_status<S: Stands>(&mut self, subject: &str, sides: &StatusSides, stands: &S) -> Result<(), S::Error> {
        match owned(&self.key, (subject, sides), stands)? {
            None => self.others.push(subject.to_owned()),
            Some(change) => self.take_part(subject, change),
        }
        Ok(())
    }

    fn take_part(&mut self, subject: &str, change: PartChange) {
        match change {
            PartChange::Nothing => {}
            PartChange::Set(write) => self.status.push(write),
            PartChange::Unset => self.unset.push(subject.to_owned()),
        }
    }
}

/// What is left of a record.
struct Room {
    bytes: usize,
    is_used: bool,
}

impl Room {
    /// Takes items as long as they fit, and leaves out the others, and all that are asked for after them. Returns whether all fit.
    fn take<T>(&mut self, items: &mut Vec<T>, size: impl Fn(&T) -> usize) -> bool {
        let mut fits = 0;
        for bytes in items.iter().map(size) {
            if bytes > self.bytes && self.is_used {
                self.bytes = 0;
                break;
            }
            (self.bytes, self.is_used) = (self.bytes.saturating_sub(bytes), true);
            fits += 1;
        }
        let is_all = fits == items.len();
        items.truncate(fits);
        is_all
    }
}

fn encoded_size(item: &impl Serialize) -> usize {
    postcard::experimental::serialized_size(item).unwrap_or(usize::MAX)
}

/// Identifies the plan of all keys.
#[must_use]
pub fn digest(plans: &BTreeMap<String, KeyPlan>) -> Digest {
    let mut hash = Sha256::new();
    for plan in plans.values() {
        hash.update(plan.digest().0);
    }
    Digest(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use weirgate_types::Effects;

    use super::{
        super::lane::{Both, Stood},
        *,
    };

    const MANY: usize = 100_000;

    /// The log has a timer pending that the fork has set to another time: whatever becomes of that, the log's does not fire.
    #[test]
    fn a_timer_of_the_log_does_not_fire_where_the_forks_is_past() {
        let timer = |due_ms: Option<u64>| {
            let set = |due_ms| TimerSetting { due_ms, r#type: "t".into(), data_content_type: None, data: Vec::new() };
            TimerWrite { name: "t".into(), set: due_ms.map(set) }
        };
        let [recorded, fork] =
            [9_000, 300].map(|due_ms| Effects { timers: vec![timer(Some(due_ms))], ..Effects::default() });
        let (recorded, fork, first_emitted) = (&recorded, &fork, Position(3));
        let mut lane = Lane::default();
        let both = Both { event: Position(1), at: Position(2), depth: 1, recorded, first_emitted, fork };
        let nothing = |_: &str| Ok::<_, Infallible>(None);
        let Ok(_) = lane.fold(both, nothing, |_| Ok(None), |_| Ok(Stood::default()));
        let at = |now_ms| {
            let mut plan = KeyPlan::default();
            plan.take_timers(&lane, now_ms);
            plan
        };
        let (pending, past) = (at(299), at(300));
        assert_eq!((&pending.timers, &pending.past_timers), (&vec![timer(Some(300))], &Vec::new()));
        assert_eq!((&past.timers, past.past_timers.len()), (&vec![timer(None)], 1));
        assert_eq!(past.firing_past().timers, [timer(Some(300))]);
    }

    /// A key with more values, statuses, timers and events than a record may hold.
    fn large() -> KeyPlan {
        let all = || (0..MANY).map(|n| format!("item/{n}/{}", "x".repeat(100)));
        let event = |id: String| Event {
            id,
            source: "/handlers/payment".into(),
            r#type: "payment.charged".into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: BTreeMap::new(),
            implied_key: None,
            data: Vec::new(),
        };
        let status = |subject| StatusWrite { subject, state: "s".into(), text: String::new(), data: None };
        KeyPlan {
            key: "k".into(),
            state: all().map(|name| StateWrite { name, value: Some(vec![7; 50]) }).collect(),
            status: all().map(status).collect(),
            unset: all().collect(),
            timers: all().map(|name| TimerWrite { name, set: None }).collect(),
            emitted: all().map(|id| Planned { delivery: Position(1), index: 0, depth: 1, event: event(id) }).collect(),
            ..KeyPlan::default()
        }
    }

    #[test]
    fn a_repair_of_many_small_events_fits_into_its_records() {
        let mut plan = large();
        for planned in &mut plan.emitted {
            planned.event.id = "1/1".into();
        }
        let mut plan = KeyPlan { emitted: plan.emitted, ..KeyPlan::default() };
        assert!(!plan.cut(), "as they are appended, they are larger");
        let (last, content) = (u64::MAX.to_string(), "0".repeat(16));
        let appended = plan.emitted.into_iter().map(|Planned { mut event, .. }| {
            event.id = format!("{last}/{last}/{last}/{content}");
            event.extensions = ["replayid", "replayof"].map(|name| (name.to_owned(), last.clone().into())).into();
            event
        });
        let effects = Effects { emitted: appended.collect(), ..Effects::default() };
        assert!(encoded_size(&effects) < RECORD_BYTES_MAX, "{}", encoded_size(&effects));
    }

    #[test]
    fn a_large_repair_is_split_into_records_of_a_bounded_size() {
        let whole = large();
        let (mut left, mut parts) = (whole.clone(), 0);
        loop {
            let mut part = left.clone();
            let is_all = part.cut();
            let emitted = part.emitted.iter().map(|planned| planned.event.clone()).collect();
            let KeyPlan { state, status, unset, timers, .. } = part.clone();
            let effects = Effects { state, status, emitted, timers, withheld: Vec::new() };
            let bytes = encoded_size(&(effects, unset));
            assert!(bytes < RECORD_BYTES_MAX + 100, "{bytes} bytes in part {parts}");
            parts += 1;
            assert_eq!(is_all, part == left);
            if is_all {
                break;
            }
            assert!(!part.is_empty(), "each part gets on");
            left.state.drain(..part.state.len());
            left.status.drain(..part.status.len());
            left.unset.drain(..part.unset.len());
            left.timers.drain(..part.timers.len());
            left.emitted.drain(..part.emitted.len());
        }
        assert!(parts > 5, "{parts}");
        let mut one = KeyPlan { state: vec![StateWrite { name: "n".into(), value: Some(vec![0; 9 << 20]) }], ..whole };
        assert!(!one.cut() && one.state.len() == 1 && one.status.is_empty() && one.emitted.is_empty());
    }
}
