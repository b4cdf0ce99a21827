//! What recovery of the machine needs besides the log: one row per handler, one row per open delivery. A view: it can be
//! lost, and is rebuilt by replaying the log from its beginning.

use serde::{Deserialize, Serialize};
use weirgate_types::{Carried, KeyHash, Mode, Position};

use crate::breaker::OpenPeriod;

/// Its size has a fixed bound: manifests stay in the log, and collections have rows of their own.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerRow {
    /// Positions of the deployments that are still needed: those whose subscriptions are in force for events that are not
    /// scanned yet, and last the present one.
    ///
    /// Stored in separate rows, because there may be many.
    #[serde(skip)]
    pub deployments: Vec<Position>,
    pub mode: Mode,
    /// The last deployment that turned resequencing on or off.
    pub era: Position,
    /// All events up to here are closed, do not match, or have a [`DeliveryRow`].
    pub scanned: Position,
    /// What it had scanned at least before a start; may be ahead of that.
    pub reached: Position,
    /// Number of events up to there. Stored with the log's, or with the scanned position of a handler that lags.
    #[serde(skip)]
    pub seen: u64,
    /// Whether a deployment has changed the order of deliveries.
    pub reordered: bool,
    /// The breaker's open time, if it is open.
    pub breaker: Option<OpenPeriod>,
    /// Corrections that came for spilled lanes and have not met their delivery yet: lane, key, correction. Stored in
    /// separate rows, see [`crate::OfferChange`].
    #[serde(skip)]
    pub offers: Vec<(KeyHash, KeyHash, Position)>,
}

/// A correction for a key came for a spilled lane, or (`None`) those that wait for it there were removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferChange {
    pub lane: KeyHash,
    pub key: KeyHash,
    pub correction: Option<Position>,
}

/// An open delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct DeliveryRow {
    /// The event's key.
    pub key: KeyHash,
    /// Its lane.
    pub lane: KeyHash,
    /// Whether it is unordered within its lane, except for its emissions.
    pub parallel: bool,
    /// Number of attempts begun.
    pub attempt: u32,
    /// The deployment under which the newest attempt began.
    pub version: Position,
    /// The position as of which its version is chosen: see `handler::versions`.
    pub as_of: Position,
    /// How many of them count against the retry stages.
    pub spent: u32,
    /// Whether any attempt failed.
    pub failed: bool,
    /// Whether the handler's hook has corrected it; the hook may do so once.
    pub hooked: bool,
    /// Whether it never shares a call: its event is `weirgate.key.repaired`, which calls another export.
    pub alone: bool,
    pub phase: DeliveryPhase,
    pub carried: Carried,
    /// The newest correction that came for its key and that it has not run with.
    pub offered: Option<Position>,
    /// The newest correction event that it has run with.
    pub corrected: Option<Position>,
    /// Whether it is spilled: on disk only.
    pub spilled: bool,
    /// Whether it was spilled as the first of its lane: only then is the lane reloaded when it is due.
    pub leads: bool,
    /// Its event's number in the sequence of its key, if its handler resequences.
    pub sequence: Option<Sequence>,
    /// The last deployment that turned resequencing on or off before this delivery was opened: deliveries opened under the
    /// other rule come before it.
    pub era: Position,
}

/// An event's position in the sequence of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// `None` if the event carries no number: it waits for no other.
    pub number: Option<u64>,
    /// Until when it waits for earlier numbers, in elapsed time.
    pub due_ms: u64,
}

/// The order of a lane. In a resequenced lane, a delivery that has begun comes first until it is closed. Then come
/// deliveries from before resequencing was turned on or off; then those without a number, then the others by number. In
/// other lanes the order is by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Whether it comes behind deliveries that have begun.
    pub is_behind: bool,
    /// See [`DeliveryRow::era`].
    pub era: Position,
    pub number: Option<u64>,
    pub position: Position,
}

/// The phase of an open delivery, regardless of the others in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryPhase {
    Ready,
    Running,
    Retrying {
        /// In elapsed time.
        due_ms: u64,
        stage: u8,
    },
    /// Waits for a correction.
    AwaitingCorrection,
    /// A dead letter whose key waits for an operator's command.
    Held,
    /// Completed, except for its emissions, which the record at `commit` holds.
    Withheld {
        commit: Position,
    },
    /// Ready, but earlier numbers are missing. A phase on disk only, to index the row by its due time; in memory it is the
    /// same as ready.
    OutOfOrder {
        due_ms: u64,
    },
}

impl DeliveryPhase {
    /// When it is due, and what it waits for, if it waits for a time.
    #[must_use]
    pub fn due(self) -> Option<(u64, Wait)> {
        match self {
            Self::Retrying { due_ms, stage } => Some((due_ms, Wait::Retry { stage })),
            Self::OutOfOrder { due_ms } => Some((due_ms, Wait::Gap)),
            _ => None,
        }
    }
}

/// What a delivery waits for until a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Retry {
        stage: u8,
    },
    /// For missing numbers. A handler that lags does not pass the gap when its time has come: the missing events may be in
    /// the log, not scanned yet.
    Gap,
}

/// One for the deliveries on disk that wait for a retry, and one for those that wait at gaps: they do not become due at the
/// same times.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PerWait<T> {
    pub retries: T,
    pub gaps: T,
}

impl<T> PerWait<T> {
    pub fn of(&mut self, wait: Wait) -> &mut T {
        match wait {
            Wait::Retry { .. } => &mut self.retries,
            Wait::Gap => &mut self.gaps,
        }
    }
}

impl DeliveryRow {
    #[must_use]
    pub fn new(key: KeyHash, lane: KeyHash) -> Self {
        Self {
            key,
            lane,
            parallel: false,
            attempt: 0,
            version: Position::ZERO,
            as_of: Position::ZERO,
            spent: 0,
            failed: false,
            hooked: false,
            alone: false,
            phase: DeliveryPhase::Ready,
            carried: Carried::default(),
            offered: None,
            corrected: None,
            spilled: false,
            leads: false,
            sequence: None,
            era: Position::ZERO,
        }
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == DeliveryPhase::Running
    }

    /// Its rank in its lane.
    #[must_use]
    pub fn rank(&self, position: Position) -> Rank {
        match self.sequence {
            None => Rank { is_behind: true, era: self.era, number: None, position },
            Some(Sequence { number, .. }) => Rank { is_behind: !self.is_begun(), era: self.era, number, position },
        }
    }

    fn is_begun(&self) -> bool {
        self.attempt > 0 || !matches!(self.phase, DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. })
    }

    /// The number that it waits with, and until when. A delivery that an operator ran again does not wait.
    pub(crate) fn waiting_number(&self) -> Option<(u64, u64)> {
        let sequence = self.sequence.filter(|_| self.is_fresh())?;
        sequence.number.map(|number| (number, sequence.due_ms))
    }

    /// Whether a correction is new to the delivery at `position`: it came after the event and has not been used.
    #[must_use]
    pub(crate) fn takes(&self, position: Position, correction: Position) -> bool {
        correction > position && Some(correction) > self.corrected
    }

    /// Whether it awaits a correction and has been offered one.
    #[must_use]
    pub(crate) fn is_correctable(&self) -> bool {
        self.phase == DeliveryPhase::AwaitingCorrection && self.offered.is_some()
    }

    /// Whether it was never tried, also not before a correction or a retry command.
    #[must_use]
    pub(crate) fn is_fresh(&self) -> bool {
        !self.is_begun() && !self.failed
    }

    /// Whether it may share a call: no attempt of it has ended, as it was not tried or its attempts were discarded. One that
    /// was tried may be the one that fails a batch.
    #[must_use]
    pub(crate) fn may_share(&self) -> bool {
        let is_ready = matches!(self.phase, DeliveryPhase::Ready | DeliveryPhase::OutOfOrder { .. });
        is_ready && !self.alone && !self.failed && self.carried.failure.is_none()
    }

    /// An attempt begins.
    pub(crate) fn start(&mut self, attempt: u32, version: Position) {
        (self.attempt, self.version, self.phase) = (attempt, version, DeliveryPhase::Running);
        // From here on the log says so: a restart chooses the same.
        self.as_of = version;
    }

    /// A correction was used or refused: only newer ones are offered.
    pub(crate) fn pass_correction(&mut self, correction: Option<Position>) {
        self.corrected = self.corrected.max(correction);
        self.offered = self.offered.filter(|offered| Some(*offered) > self.corrected);
    }

    /// Starts anew, with all attempts.
    pub(crate) fn reset(&mut self) {
        (self.attempt, self.spent) = (0, 0);
        (self.phase, self.failed) = (DeliveryPhase::Ready, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(era: u64, sequence: Option<Sequence>) -> DeliveryRow {
        DeliveryRow { era: Position(era), sequence, ..DeliveryRow::new(KeyHash(1), KeyHash(1)) }
    }

    fn numbered(number: u64) -> Sequence {
        Sequence { number: Some(number), due_ms: 0 }
    }

    /// The deployment at 9 turned resequencing on or off: no later delivery passes the waiting ones.
    #[test]
    fn deliveries_from_before_an_order_change_come_first() {
        let (seven, without) = (Some(numbered(7)), Some(Sequence { number: None, due_ms: 0 }));
        for (before, after) in [(seven, None), (None, seven), (without, None)] {
            let (before, after) = (row(1, before).rank(Position(5)), row(9, after).rank(Position(10)));
            assert!(before < after, "{before:?} {after:?}");
        }
        let three = row(1, Some(numbered(3))).rank(Position(6));
        assert!(three < row(1, seven).rank(Position(5)), "under one rule the number decides");
    }
}
