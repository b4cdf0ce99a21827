//! The records of the log: facts, in the past tense. Everything else is a view of them.

use serde::{Deserialize, Serialize};

use crate::{
    ApplyBegun, BreakerChanged, Commit, DeliveryDecided, DeliveryId, Digest, Effects, Event, HandlerName, ModeChanged,
    Position, Removed, Repaired, RepairsRefused, ReplayAnswered, ReplayApproved, ReplayEnded, ReplayRequested,
    StepRequest, StepResult, TimerId, UndoRequested,
};

/// The number of [`Record::Accepted`] among the variants, in their encoding.
const ACCEPTED: u32 = 0;

/// A fact. It takes [`Record::width`] positions. The variants' order is part of the format: add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A producer's event was accepted.
    Accepted {
        event: Event,
        /// The addressed handler, regardless of subscriptions; `None`: every handler that subscribes.
        to: Option<HandlerName>,
        at_ms: u64,
    },
    /// An attempt is about to begin. Durable before the call, so that a component that kills the process counts.
    Attempted {
        delivery: DeliveryId,
        attempt: u32,
        /// The deployment in force: a `Deployed`.
        version: Position,
        /// What the attempts of one call share: the event of the first.
        call: Position,
        at_ms: u64,
        /// How far the wall clock was behind the record's time: timers that the attempt starts count from the wall clock.
        wall_behind_ms: u64,
    },
    /// An attempt ended.
    Committed(Commit),
    /// A batch of attempts of one call ended, atomically. A very large one is split into several records.
    Batched(Vec<Commit>),
    /// From here on this version of the handler is in force.
    Deployed(Deployed),
    ModeChanged(ModeChanged),
    /// A decision about a delivery.
    DeliveryDecided(DeliveryDecided),
    BreakerChanged(BreakerChanged),
    /// An outbound call of an attempt ended. If its answer is final, later attempts at the delivery get the same answer.
    Stepped(Stepped),
    /// A timer fired: its event is for its handler only.
    Fired {
        timer: TimerId,
        due_ms: u64,
        /// When it fires next, if it belongs to a schedule.
        next_ms: Option<u64>,
        event: Event,
        at_ms: u64,
    },
    /// Earlier deliveries of the key are closed, so this one's emissions are released.
    Released {
        delivery: DeliveryId,
        key: String,
        emitted: Vec<Event>,
        /// See [`Commit::depth`].
        depth: u32,
        at_ms: u64,
    },
    /// Producers are asked to slow down, or no longer.
    Paced {
        slow: bool,
        reason: String,
        at_ms: u64,
        notice: Event,
    },
    /// The wait for missing events of the key's sequence is over; it continues without them.
    GapPassed(GapPassed),
    /// A correction event could not be applied to the delivery that awaits correction; it continues to wait.
    CorrectionRefused(CorrectionRefused),
    /// Replaces records that were damaged on disk and given up by an operator.
    Lost(Lost),
    /// The wall clock was set: from here on record time maps to elapsed time as given.
    TimeAnchored(Anchor),
    /// From here on attempts run under this version of the runtime.
    RuntimeChanged(RuntimeChanged),
    /// The handler is gone, with its state, timers and schedules.
    Removed(Removed),
    ReplayRequested(ReplayRequested),
    ReplayApproved(ReplayApproved),
    /// A key's state, statuses and timers were corrected by a replay.
    Repaired(Box<Repaired>),
    ReplayAnswered(ReplayAnswered),
    ReplayEnded(ReplayEnded),
    ApplyBegun(ApplyBegun),
    UndoRequested(UndoRequested),
    RepairsRefused(RepairsRefused),
}

/// Effects of a handler for a key, as a record holds them.
#[derive(Debug, Clone, Copy)]
pub struct Written<'a> {
    pub handler: &'a HandlerName,
    pub key: &'a str,
    pub effects: &'a Effects,
    /// The version that wrote them; a repair is of none.
    pub version: Option<Position>,
}

/// An outbound call of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stepped {
    pub delivery: DeliveryId,
    pub attempt: u32,
    pub step: String,
    pub request: StepRequest,
    pub result: StepResult,
    /// Number of requests sent: one, and one for each redirect that was followed.
    pub requests: u32,
    /// The delivery's previous final answer: they are a linked list, the newest first.
    pub previous: Option<Position>,
    pub at_ms: u64,
}

/// A start with another version of the runtime than the one before: the same attempt may have another result under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeChanged {
    pub runtime: RuntimeVersion,
    pub at_ms: u64,
}

/// What executes handlers.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeVersion {
    /// Weirgate's version.
    pub weirgate: String,
    /// The version and settings of the WebAssembly engine.
    pub wasm_engine: String,
}

/// The positions of damaged records. They are never used for other records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Number of positions, this record's own included; at least 1.
    pub positions: u32,
    /// When the log was repaired.
    pub at_ms: u64,
}

/// A correction that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionRefused {
    pub delivery: DeliveryId,
    pub key: String,
    /// The correction event.
    pub correction: Position,
    pub reason: String,
    pub at_ms: u64,
    /// `weirgate.delivery.correction-refused`; absent for deliveries of the runtime's own events.
    pub notice: Option<Event>,
}

/// A moment by record time and by elapsed time, which maps all later moments until the next anchor. Delays use elapsed time,
/// so setting the wall clock does not change them. Without an anchor both times are the same.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    pub at_ms: u64,
    pub elapsed_ms: u64,
}

impl Anchor {
    /// The elapsed time of a record at `at_ms`.
    #[must_use]
    pub fn elapsed_ms_at(self, at_ms: u64) -> u64 {
        self.elapsed_ms.saturating_add(at_ms.saturating_sub(self.at_ms))
    }
}

/// The numbers missing before a delivery of a handler that resequences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapPassed {
    /// The delivery that waited.
    pub delivery: DeliveryId,
    pub key: String,
    /// The expected number.
    pub expected: u64,
    /// The delivery's number. It is next now.
    pub found: u64,
    pub at_ms: u64,
    /// `weirgate.sequence.gap`.
    pub notice: Event,
}

/// A handler's version: a module and the manifest it runs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    pub handler: HandlerName,
    pub digest: Digest,
    /// The manifest as JSON, so that it can gain settings without a change of this format.
    pub manifest: String,
    /// Who deployed it, and why.
    pub actor: String,
    pub reason: String,
    /// A rollback: the earlier `Deployed` whose module and manifest these are.
    pub copied_from: Option<Position>,
    /// The earlier versions that finish what their keys have under way, in order of position. What is under way with any other
    /// version moves to this one.
    pub finishing: Vec<Position>,
    pub at_ms: u64,
    /// The wall clock: schedules count from here.
    pub wall_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record cannot be decoded: {0}")]
pub struct RecordError(#[from] postcard::Error);

impl Record {
    /// Number of positions that the record takes: its own, and one for each event that follows from it.
    #[must_use]
    pub fn width(&self) -> u64 {
        if let Self::Lost(lost) = self {
            return u64::from(lost.positions.max(1));
        }
        1 + match self {
            Self::Batched(commits) => commits.iter().map(|commit| commit.effects.emitted.len()).sum::<usize>() as u64,
            other => other.following().len() as u64,
        }
    }

    /// The name of its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Attempted { .. } => "attempted",
            Self::Committed(_) => "committed",
            Self::Batched(_) => "batched",
            Self::Deployed(_) => "deployed",
            Self::ModeChanged(_) => "mode-changed",
            Self::DeliveryDecided(_) => "delivery-decided",
            Self::BreakerChanged(_) => "breaker-changed",
            Self::Stepped(_) => "stepped",
            Self::Fired { .. } => "fired",
            Self::Released { .. } => "released",
            Self::Paced { .. } => "paced",
            Self::GapPassed(_) => "gap-passed",
            Self::CorrectionRefused(_) => "correction-refused",
            Self::Lost(_) => "lost",
            Self::TimeAnchored(_) => "time-anchored",
            Self::RuntimeChanged(_) => "runtime-changed",
            Self::Removed(_) => "removed",
            Self::ReplayRequested(_) => "replay-requested",
            Self::ReplayApproved(_) => "replay-approved",
            Self::Repaired(_) => "repaired",
            Self::ReplayAnswered(_) => "replay-answered",
            Self::ReplayEnded(_) => "replay-ended",
            Self::ApplyBegun(_) => "apply-begun",
            Self::UndoRequested(_) => "undo-requested",
            Self::RepairsRefused(_) => "repairs-refused",
        }
    }

    /// The event at offset `offset` from the record's own position, if there is one.
    #[must_use]
    pub fn event_at(&self, offset: u64) -> Option<&Event> {
        let Some(index) = offset.checked_sub(1) else { return self.own_event() };
        let index = usize::try_from(index).ok()?;
        match self {
            Self::Batched(commits) => commits.iter().flat_map(|commit| &commit.effects.emitted).nth(index),
            other => other.following().get(index),
        }
    }

    /// The causation depth of the event at this offset: 0 for events of producers, operators, timers and schedules.
    #[must_use]
    pub fn depth_at(&self, offset: u64) -> u32 {
        let Some(index) = offset.checked_sub(1) else { return 0 };
        match self {
            Self::Released { depth, .. } => *depth,
            Self::Repaired(repaired) => repaired.depth,
            _ => self.commit_emitting(index).map_or(0, |commit| commit.depth),
        }
    }

    /// The commit that emitted the record's event of this index.
    #[must_use]
    pub fn commit_emitting(&self, mut index: u64) -> Option<&Commit> {
        self.commits().iter().find(|commit| {
            let emitted = commit.effects.emitted.len() as u64;
            let is_its = index < emitted;
            index = index.saturating_sub(emitted);
            is_its
        })
    }

    /// The events in the record with their positions, `first` being the record's own.
    pub fn events(&self, first: Position) -> impl Iterator<Item = (Position, &Event)> {
        let width = if matches!(self, Self::Lost(_)) { 0 } else { self.width() };
        (0..width).filter_map(move |offset| Some((first.plus(offset), self.event_at(offset)?)))
    }

    /// The only handler that the record's own event is for, if it names one.
    #[must_use]
    pub fn addressee(&self) -> Option<&HandlerName> {
        match self {
            Self::Accepted { to, .. } => to.as_ref(),
            Self::Fired { timer, .. } => Some(&timer.handler),
            Self::Repaired(repaired) => Some(&repaired.handler),
            _ => None,
        }
    }

    /// Its time in Unix milliseconds: never less than that of the previous record.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        match self {
            Self::Accepted { at_ms, .. }
            | Self::Attempted { at_ms, .. }
            | Self::Fired { at_ms, .. }
            | Self::Released { at_ms, .. }
            | Self::Paced { at_ms, .. } => *at_ms,
            Self::Committed(commit) => commit.at_ms,
            Self::Batched(commits) => commits.first().map_or(0, |commit| commit.at_ms),
            Self::Deployed(deployed) => deployed.at_ms,
            Self::ModeChanged(changed) => changed.at_ms,
            Self::DeliveryDecided(decided) => decided.at_ms,
            Self::BreakerChanged(changed) => changed.at_ms,
            Self::GapPassed(gap) => gap.at_ms,
            Self::CorrectionRefused(refused) => refused.at_ms,
            Self::Lost(lost) => lost.at_ms,
            Self::TimeAnchored(anchor) => anchor.at_ms,
            Self::Stepped(stepped) => stepped.at_ms,
            Self::RuntimeChanged(changed) => changed.at_ms,
            Self::Removed(removed) => removed.at_ms,
            Self::ReplayRequested(requested) => requested.at_ms,
            Self::ReplayApproved(approved) => approved.at_ms,
            Self::Repaired(repaired) => repaired.at_ms,
            Self::ReplayAnswered(answered) => answered.at_ms,
            Self::ReplayEnded(ended) => ended.at_ms,
            Self::ApplyBegun(begun) => begun.at_ms,
            Self::UndoRequested(requested) => requested.at_ms,
            Self::RepairsRefused(refused) => refused.at_ms,
        }
    }

    /// The commits in the record.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        match self {
            Self::Committed(commit) => std::slice::from_ref(commit),
            Self::Batched(commits) => commits,
            _ => &[],
        }
    }

    /// The effects in the record, of commits and of a repair, in order.
    pub fn effects(&self) -> impl Iterator<Item = Written<'_>> {
        let repaired = match self {
            Self::Repaired(repaired) => Some(repaired.written()),
            _ => None,
        };
        self.commits().iter().map(Commit::written).chain(repaired)
    }

    /// The version that a record leaves the state of a handler and key in; `None`: it writes none.
    #[must_use]
    pub fn state_version_of(&self, handler: &HandlerName, key: &str) -> Option<u32> {
        if let Self::Repaired(repaired) = self {
            let writes = repaired.handler == *handler && repaired.key == key && !repaired.effects.state.is_empty();
            return writes.then_some(repaired.state_version);
        }
        let of_lane = self.commits().iter().filter(|commit| commit.handler == *handler && commit.key == key);
        let mut writes = of_lane.filter(|commit| commit.sets_state_version());
        writes.next_back().map(|commit| commit.state_version)
    }

    /// A delivery's commit in the record.
    #[must_use]
    pub fn commit_of(&self, delivery: &DeliveryId) -> Option<&Commit> {
        let is_its = |commit: &&Commit| commit.event == delivery.position && commit.handler == delivery.handler;
        self.commits().iter().find(is_its)
    }

    fn own_event(&self) -> Option<&Event> {
        match self {
            Self::Accepted { event, .. } | Self::Fired { event, .. } => Some(event),
            Self::Repaired(repaired) => repaired.corrected.as_ref(),
            _ => None,
        }
    }

    /// The events at the positions after the record's own, except those of a batch.
    fn following(&self) -> &[Event] {
        match self {
            Self::Committed(commit) => &commit.effects.emitted,
            Self::Repaired(repaired) => &repaired.effects.emitted,
            Self::DeliveryDecided(DeliveryDecided { emitted, .. }) | Self::Released { emitted, .. } => emitted,
            Self::ModeChanged(ModeChanged { notice, .. })
            | Self::BreakerChanged(BreakerChanged { notice, .. })
            | Self::GapPassed(GapPassed { notice, .. })
            | Self::Paced { notice, .. } => std::slice::from_ref(notice),
            Self::CorrectionRefused(CorrectionRefused { notice, .. }) => notice.as_slice(),
            _ => &[],
        }
    }

    /// Appends the record's bytes ([postcard 1](https://postcard.jamesmunns.com/wire-format)) to `buffer`.
    ///
    /// # Errors
    /// None in practice: writing to memory. The error is kept so that no caller has to assume that.
    pub fn encode(&self, buffer: Vec<u8>) -> Result<Vec<u8>, RecordError> {
        Ok(postcard::to_extend(self, buffer)?)
    }

    /// Size of the record, in bytes.
    #[must_use]
    pub fn encoded_size(&self) -> usize {
        // Only a type that cannot be encoded has no size, and this one is derived.
        postcard::experimental::serialized_size(self).unwrap_or(usize::MAX)
    }

    /// The `source` and `id` of the event that an encoded record accepted; the inner `None` for other records. `None`: the bytes do not
    /// begin as a record does. Reads no further than that.
    #[must_use]
    pub fn accepted_identity(bytes: &[u8]) -> Option<Option<(&str, &str)>> {
        let (variant, rest) = postcard::take_from_bytes::<u32>(bytes).ok()?;
        if variant != ACCEPTED {
            return Some(None);
        }
        let ((id, source), _) = postcard::take_from_bytes::<(&str, &str)>(rest).ok()?;
        Some(Some((source, id)))
    }

    /// # Errors
    /// The bytes are not a record, or more bytes follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match postcard::take_from_bytes(bytes)? {
            (record, []) => Ok(record),
            _ => Err(postcard::Error::DeserializeBadEncoding.into()),
        }
    }
}
