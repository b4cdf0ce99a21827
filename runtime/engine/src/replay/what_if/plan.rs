//! The plan: what a repair appends so that a key stands as the fork has it. Pure, but for what it asks of [`Stands`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use weirgate_types::{Digest, Event, Position, StateWrite, StatusWrite, TimerSetting, TimerWrite};

use super::{
    calls::{AnsweredCall, UnansweredCall},
    emissions::{Emission, content},
    lane::{Side, StatusSides},
    notes::{Examined, Fails},
};

/// Maximum size of the events and values of one record, in bytes; the rest is left to the next.
pub const RECORD_BYTES_MAX: usize = 8 << 20;

/// What a repair of one key appends, and what it cannot change.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlan {
    pub key: String,
    pub state: Vec<StateWrite>,
    pub status: Vec<StatusWrite>,
    /// Subjects whose status loses the handler's part.
    pub unset: Vec<String>,
    pub emitted: Vec<Planned>,
    pub timers: Vec<TimerWrite>,
    /// Timers of the fork that were due in the past. They are set, and so fire at once, only where that is approved.
    pub past_timers: Vec<(String, TimerSetting)>,
    /// Emitted events of the log that the fork does not have: they stay.
    pub stays: Vec<Stays>,
    /// Outbound calls of the log that the fork did not make.
    pub calls: Vec<(Position, AnsweredCall)>,
    /// Subjects whose status another key has set since.
    pub others: Vec<String>,
    /// Why it cannot be repaired.
    pub refused: Option<String>,
    /// The call that it lacks the answer of, with the event whose delivery makes it. An application that may make calls makes it, and goes on.
    pub needs: Option<(Position, UnansweredCall)>,
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

/// What stands now.
pub trait Stands {
    type Error;

    /// The record that last wrote the handler's part of a subject's status; `None` if there is none.
    ///
    /// # Errors
    /// The views cannot be read.
    fn status_written_at(&self, subject: &str) -> Result<Option<Position>, Self::Error>;

    /// The status that the handler had set for a subject, handling this key, before a record.
    ///
    /// # Errors
    /// The log cannot be read.
    fn status_before(&self, key: &str, subject: &str, before: Position) -> Result<Option<StatusWrite>, Self::Error>;
}

impl KeyPlan {
    /// # Errors
    /// Those of `stands`.
    pub fn new<S: Stands>(key: &str, examined: &Examined, now_ms: u64, stands: &S) -> Result<Self, S::Error> {
        let Examined { lane, notes, .. } = examined;
        let mut plan = Self { key: key.to_owned(), ..Self::default() };
        if let Some(fails) = &notes.fails {
            let Fails { event, reason, needs, is_open } = fails;
            let ends = if *is_open { "was not examined" } else { "fails" };
            plan.refused = Some(format!("the delivery of event {event} {ends}: {reason}"));
            plan.needs = needs.clone().map(|call| (*event, call));
            return Ok(plan);
        }
        let write =
            |(name, value): (&String, &Option<Vec<u8>>)| StateWrite { name: name.clone(), value: value.clone() };
        plan.state = lane.state().iter().map(write).collect();
        plan.take_timers(lane.timers(), now_ms);
        for (subject, sides) in lane.status() {
            plan.take_status(subject, sides, stands)?;
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
        plan.calls.clone_from(&notes.not_made.first);
        Ok(plan)
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

    /// Whether there is nothing to do, and nothing to say.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let Self { past_timers, others, refused, .. } = self;
        self.is_empty() && !self.leaves() && past_timers.is_empty() && others.is_empty() && refused.is_none()
    }

    /// Whether something stays that cannot be undone by appending.
    #[must_use]
    pub fn leaves(&self) -> bool {
        !self.stays.is_empty() || !self.calls.is_empty()
    }

    /// Sets the timers that were due in the past, too: they fire at once.
    #[must_use]
    pub fn firing_past(mut self) -> Self {
        let set = |(name, setting)| TimerWrite { name, set: Some(setting) };
        self.timers.extend(std::mem::take(&mut self.past_timers).into_iter().map(set));
        self
    }

    /// As much as fits into a record, at least one event. Returns whether that is all.
    pub fn cut(&mut self) -> bool {
        let size = |value: usize| value;
        let state: usize =
            self.state.iter().map(|write| write.name.len() + write.value.as_ref().map_or(0, Vec::len)).sum();
        let status: usize =
            self.status.iter().map(|write| write.text.len() + write.data.as_ref().map_or(0, String::len)).sum();
        let mut bytes = size(state.saturating_add(status));
        let mut fits = 0;
        for planned in &self.emitted {
            bytes = bytes.saturating_add(planned.event.encoded_size());
            if bytes > RECORD_BYTES_MAX && fits > 0 {
                break;
            }
            fits += 1;
        }
        let is_all = fits == self.emitted.len();
        self.emitted.truncate(fits);
        is_all
    }

    /// Identifies what it does. Equal plans have equal digests whenever they are made.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let emitted = self.emitted.iter().map(|one| (one.delivery, one.index, content(&one.event)));
        let stays = self.stays.iter().map(|one| (one.at, content(&one.event)));
        let calls = self.calls.iter().map(|(by, call)| (*by, &call.step, call.request.digest));
        let Self { key, state, status, unset, timers, past_timers, refused, needs, .. } = self;
        let parts = (
            (key, state, status, unset, timers, past_timers, refused, needs),
            emitted.collect::<Vec<_>>(),
            stays.collect::<Vec<_>>(),
            calls.collect::<Vec<_>>(),
        );
        // Writing to memory does not fail, and all of these can be encoded.
        Digest(Sha256::digest(postcard::to_allocvec(&parts).unwrap_or_default()).into())
    }

    fn take_timers(&mut self, timers: &BTreeMap<String, Option<TimerSetting>>, now_ms: u64) {
        for (name, set) in timers {
            match set {
                Some(setting) if setting.due_ms <= now_ms => self.past_timers.push((name.clone(), setting.clone())),
                set => self.timers.push(TimerWrite { name: name.clone(), set: set.clone() }),
            }
        }
    }

    /// The last writer by position owns a part: where that is another key, its status stays.
    fn take_status<S: Stands>(&mut self, subject: &str, sides: &StatusSides, stands: &S) -> Result<(), S::Error> {
        let written = stands.status_written_at(subject)?.unwrap_or_default();
        let own = sides.recorded_at.max(sides.fork_at);
        if written > own && written > sides.recorded_at {
            self.others.push(subject.to_owned());
            return Ok(());
        }
        let fork = match &sides.fork {
            Side::Written(write) => Some(write.clone()),
            Side::Unset => None,
            Side::AsBefore => stands.status_before(&self.key, subject, sides.since)?,
        };
        match fork {
            Some(write) => self.status.push(write),
            None if written > Position::ZERO => self.unset.push(subject.to_owned()),
            None => {}
        }
        Ok(())
    }
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
