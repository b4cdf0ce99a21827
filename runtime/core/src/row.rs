//! What recovery needs of the machine besides the log: one row a handler, one row an open delivery. A view: it can be
//! lost, and is rebuilt by replaying the log from its beginning.

use crate::bugs::bug;
use serde::{Deserialize, Serialize};
use weirgate_types::{Carried, KeyHash, Mode, Position};

/// Its size depends on nothing that a user decides: manifests stay in the log, and what there may be many of has rows of its own.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerRow {
    /// Where the deployments stand that still matter: those whose subscriptions are in force for events that have not been
    /// looked at, and last of all the present one.
    ///
    /// Kept in rows of their own: there may be many.
    #[serde(skip)]
    pub deployments: Vec<Position>,
    pub mode: Mode,
    /// The deployment that put events back into order, or ceased to.
    pub era: Position,
    /// All events up to here are finished, not for this handler, or have a [`DeliveryRow`].
    pub scanned: Position,
    /// Until when the breaker is open, in elapsed time, and for the how manieth time in a row.
    pub breaker: Option<(u64, u32)>,
    /// Corrections that came for spilled lanes and have not met their delivery yet: the lane, the key, the correction.
    /// Kept in rows of their own, see [`crate::OfferChange`].
    #[serde(skip)]
    pub offers: Vec<(KeyHash, KeyHash, Position)>,
}

/// A correction for a key came for a spilled lane, or (`None`) those that wait for it there are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferChange {
    pub lane: KeyHash,
    pub key: KeyHash,
    pub correction: Option<Position>,
}

/// An open delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct DeliveryRow {
    /// The event's key.
    pub key: KeyHash,
    /// The lane that it waits in.
    pub lane: KeyHash,
    /// Whether it waits for no other of its lane, nor they for it, but in what it emits.
    pub parallel: bool,
    /// Number of attempts begun.
    pub attempt: u32,
    /// The deployment that the newest of them was begun under.
    pub version: Position,
    /// How many of them count against the retry stages.
    pub spent: u32,
    /// Whether one of them failed.
    pub failed: bool,
    /// Whether the handler's own hook has corrected it; it may do so once.
    pub hooked: bool,
    pub phase: DeliveryPhase,
    pub carried: Carried,
    /// The newest correction that came for its key and that it has not run with.
    pub offered: Option<Position>,
    /// The newest correction that it has run with, of those that came as events.
    pub corrected: Option<Position>,
    /// Whether it is spilled: on disk only.
    pub spilled: bool,
    /// Whether it is there as the first of its lane: only then does the lane come back when it is due.
    pub leads: bool,
    /// Where its event says it stands among those of its key, if its handler puts them back into order.
    pub sequence: Option<Sequence>,
    /// The deployment that put events back into order, or ceased to, before this one was opened: what was opened under the other
    /// rule comes before it.
    pub era: Position,
}

/// The place of an event in the sequence of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Absent where the event carries none: it waits for no other.
    pub number: Option<u64>,
    /// Until when it waits for those before it, in elapsed time.
    pub due_ms: u64,
}

/// The order of a lane. Where events are put back into theirs, first comes what has been begun: it stays first until it has
/// ended. Then what was opened before that rule was turned on or off; then what has no number, then the others by number.
/// Elsewhere all go by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Whether it comes behind what has been begun.
    pub is_behind: bool,
    /// See [`DeliveryRow::era`].
    pub era: Position,
    pub number: Option<u64>,
    pub position: Position,
}

/// The phase of an open delivery, whatever else is in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryPhase {
    Ready,
    Running,
    Retrying {
        /// In elapsed time.
        due_ms: u64,
        stage: u8,
    },
    /// For a correction.
    AwaitingCorrection,
    /// It is a dead letter, and its key waits until somebody has decided.
    Held,
    /// It is done but for what it emits, which the record at `commit` holds.
    Withheld {
        commit: Position,
    },
    /// Ready but for its number: earlier ones are missing. So on disk only, to be found there by its time; in memory it
    /// is as good as ready.
    OutOfOrder {
        due_ms: u64,
    },
}

impl DeliveryPhase {
    /// When it is due, and with which retry stage, where it waits for a time.
    #[must_use]
    pub fn due(self) -> Option<(u64, u8)> {
        match self {
            Self::Retrying { due_ms, stage } => Some((due_ms, stage)),
            Self::OutOfOrder { due_ms } => Some((due_ms, 0)),
            _ => None,
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
            spent: 0,
            failed: false,
            hooked: false,
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

    /// Its place in its lane.
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

    /// The number that it waits with, and until when. One that somebody let run again does not wait.
    pub(crate) fn waiting_number(&self) -> Option<(u64, u64)> {
        let sequence = self.sequence.filter(|_| self.is_fresh())?;
        sequence.number.map(|number| (number, sequence.due_ms))
    }

    /// Whether a correction is news to the delivery at `position`: it came after the event, and has not been used.
    #[must_use]
    pub(crate) fn takes(&self, position: Position, correction: Position) -> bool {
        (correction > position || bug!(CorrectsLaterOnes)) && Some(correction) > self.corrected
    }

    /// Whether it waits for a correction, and one is there.
    #[must_use]
    pub(crate) fn is_correctable(&self) -> bool {
        self.phase == DeliveryPhase::AwaitingCorrection && self.offered.is_some()
    }

    /// Whether nothing was tried yet, also not before its data was corrected or it was opened again.
    #[must_use]
    pub(crate) fn is_fresh(&self) -> bool {
        !self.is_begun() && !self.failed
    }

    /// An attempt begins.
    pub(crate) fn start(&mut self, attempt: u32, version: Position) {
        (self.attempt, self.version, self.phase) = (attempt, version, DeliveryPhase::Running);
    }

    /// A correction is done with: only newer ones are still offered.
    pub(crate) fn pass_correction(&mut self, correction: Option<Position>) {
        self.corrected = self.corrected.max(correction);
        self.offered = self.offered.filter(|offered| Some(*offered) > self.corrected);
    }

    /// Begin anew, with all attempts.
    pub(crate) fn reset(&mut self) {
        let (attempt, spent) =
            (if bug!(AttemptsGoOn) { self.attempt } else { 0 }, if bug!(SpentStays) { self.spent } else { 0 });
        (self.attempt, self.spent, self.phase, self.failed) = (attempt, spent, DeliveryPhase::Ready, true);
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

    /// Whether events are put back into order was changed by the deployment at 9: nothing that came later passes what waits.
    #[test]
    fn what_was_opened_under_the_other_rule_comes_first() {
        let (seven, without) = (Some(numbered(7)), Some(Sequence { number: None, due_ms: 0 }));
        for (before, after) in [(seven, None), (None, seven), (without, None)] {
            let (before, after) = (row(1, before).rank(Position(5)), row(9, after).rank(Position(10)));
            assert!(before < after, "{before:?} {after:?}");
        }
        let three = row(1, Some(numbered(3))).rank(Position(6));
        assert!(three < row(1, seven).rank(Position(5)), "under one rule the number decides");
    }
}
