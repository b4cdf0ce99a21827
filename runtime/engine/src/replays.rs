//! Replays as the views know them: what each row holds, and which step may follow which. Pure.

use serde::{Deserialize, Serialize};
use weirgate_types::{Digest, HandlerName, KeyHash, Position, RepairRefused, ReplayEnd, ReplayRequested};

use crate::{Refusal, StorageError};

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayState {
    /// Its plan is not approved.
    Requested,
    /// Its plan, or that of its undo, is approved, and is not applied yet.
    Approved,
    /// It was asked to apply what is approved: keys are being repaired.
    Applying,
    /// The application has ended, and keys of the plan are left; nothing runs, and it may go on.
    AppliedInPart,
    Applied,
    /// The same of the undo.
    UndoneInPart,
    Undone,
    /// It was ended before all keys were repaired, or before all repairs were undone.
    Cancelled,
}

impl ReplayState {
    /// Its word, the same in every interface.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Applying => "applying",
            Self::AppliedInPart => "applied-in-part",
            Self::Applied => "applied",
            Self::UndoneInPart => "undone-in-part",
            Self::Undone => "undone",
            Self::Cancelled => "cancelled",
        }
    }

    /// What an operator can do about a replay in this state.
    #[must_use]
    pub fn next(self) -> &'static str {
        match self {
            Self::Requested => "approve its plan, or cancel it",
            Self::Approved => "apply it, or cancel it",
            Self::Applying => "wait until that has ended, or cancel it",
            Self::AppliedInPart => "approve its plan again, apply it, undo it or cancel it",
            Self::UndoneInPart => "approve its undo again, apply that or cancel it",
            Self::Applied => "what it has repaired can be undone",
            Self::Undone => "ask again what would be",
            Self::Cancelled => "ask again what would be; what it has repaired can be undone",
        }
    }
}

/// What was decided about a plan, by position.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// The newest `ReplayApproved`.
    pub approved: Option<Position>,
    /// The newest `ApplyBegun` of that approval.
    pub begun: Option<Position>,
    /// The `RepairsRefused` and the `ReplayEnded` that followed.
    pub refused: Option<Position>,
    pub ended: Option<Position>,
}

/// A replay's row. Its size is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRow {
    pub handler: HandlerName,
    pub state: ReplayState,
    /// Whether the newest approval was that of its undo.
    pub undoes: bool,
    /// Number of keys of the handler that were repaired, and of those whose repair was undone; without those of receivers.
    pub keys: u64,
    pub keys_undone: u64,
    /// Number of its `Repaired` records.
    pub records: u64,
    /// The newest `ReplayApproved`.
    pub approved: Option<Position>,
    /// The newest `ApplyBegun` of that approval, and the `RepairsRefused` and the `ReplayEnded` that followed.
    pub begun: Option<Position>,
    pub refused: Option<Position>,
    pub ended: Option<Position>,
    /// Those of the application, once an undo was approved, and how far it was then.
    pub applied: Decisions,
    pub applied_to: ReplayState,
    /// The newest repair, and the newest one that takes one back.
    pub last_repair: Option<Position>,
    pub last_undone: Option<Position>,
    /// Where the last undo of another replay of the handler ended: what that has brought back is in no plan that was computed before.
    pub undone_beside: Option<Position>,
    /// The `UndoRequested` that stands.
    pub undo_requested: Option<Position>,
    pub requested_at_ms: u64,
    pub approved_at_ms: Option<u64>,
    pub ended_at_ms: Option<u64>,
}

impl ReplayRow {
    pub(crate) fn requested(requested: &ReplayRequested) -> Self {
        Self {
            handler: requested.handler.clone(),
            state: ReplayState::Requested,
            undoes: false,
            keys: 0,
            keys_undone: 0,
            records: 0,
            approved: None,
            begun: None,
            refused: None,
            ended: None,
            applied: Decisions::default(),
            applied_to: ReplayState::Requested,
            last_repair: None,
            last_undone: None,
            undone_beside: None,
            undo_requested: None,
            requested_at_ms: requested.at_ms,
            approved_at_ms: None,
            ended_at_ms: None,
        }
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, StorageError> {
        postcard::from_bytes(value).map_err(StorageError::undecodable("a replay"))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StorageError> {
        postcard::to_stdvec(self).map_err(StorageError::encode("a replay"))
    }

    /// Whether a plan of it is approved, and not over.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self.state, ReplayState::Approved | ReplayState::Applying)
    }

    /// Whether keys of an approved plan are left, and nothing runs.
    #[must_use]
    pub fn is_in_part(&self) -> bool {
        matches!(self.state, ReplayState::AppliedInPart | ReplayState::UndoneInPart)
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == ReplayState::Requested || self.is_under_way() || self.is_in_part()
    }

    /// Whether there is something to undo, be it of receivers alone.
    #[must_use]
    pub fn has_repaired(&self) -> bool {
        self.last_repair.is_some()
    }

    /// An undo is asked for once, and again when other repairs stand than at the time.
    #[must_use]
    pub fn may_request_undo(&self) -> bool {
        let is_being_undone = self.undoes && self.is_under_way();
        let is_of_all = self.undo_requested.is_some() && self.undo_through() == self.undo_requested;
        self.has_repaired() && self.state != ReplayState::Undone && !is_being_undone && !is_of_all
    }

    /// Up to where its undo is computed: from when it was asked for, and with what was repaired or taken back since.
    #[must_use]
    pub fn undo_through(&self) -> Option<Position> {
        self.undo_requested.max(self.last_repair).max(self.last_undone).max(self.undone_beside)
    }

    /// A plan may be approved again, since keys change meanwhile. What is written can be undone, once that was asked for.
    #[must_use]
    pub fn may_be_approved(&self, undoes: bool) -> bool {
        use ReplayState::{Applied, AppliedInPart, Cancelled};
        let may_be_undone = matches!(self.state, Applied | AppliedInPart | Cancelled);
        match undoes {
            false => self.is_open() && !self.undoes,
            true => self.undo_requested.is_some() && (may_be_undone || self.is_open() && self.undoes),
        }
    }

    /// It may begin again, for instance because keys were refused.
    #[must_use]
    pub fn may_begin(&self, is_undo: bool) -> bool {
        (self.is_under_way() || self.is_in_part()) && self.undoes == is_undo
    }

    /// No key is repaired before it is durable who asked for that.
    #[must_use]
    pub fn may_repair(&self, is_undo: bool) -> bool {
        self.state == ReplayState::Applying && self.undoes == is_undo
    }

    #[must_use]
    pub fn may_end(&self, end: ReplayEnd) -> bool {
        match end {
            ReplayEnd::Applied => self.may_repair(false),
            ReplayEnd::Undone => self.may_repair(true),
            ReplayEnd::Cancelled => self.is_open(),
            ReplayEnd::InPart => self.state == ReplayState::Applying,
            ReplayEnd::UndoCancelled => self.undo_requested.is_some() && !self.undoes,
        }
    }

    /// Whether its undo was computed before its newest repair, or before another undo has brought some of its repairs back: it would leave
    /// them in place.
    #[must_use]
    pub fn is_undo_outdated(&self, through: Position) -> bool {
        self.last_repair.is_some_and(|last| last > through) || self.is_undone_beside_since(through)
    }

    /// Whether an undo of another replay of the handler has ended after a position.
    #[must_use]
    pub fn is_undone_beside_since(&self, through: Position) -> bool {
        self.undone_beside.is_some_and(|ended| ended > through)
    }

    /// The newest decisions about the application, or about the undo.
    #[must_use]
    pub fn decisions(&self, of_undo: bool) -> Decisions {
        match (of_undo, self.undoes) {
            (false, true) => self.applied,
            (true, false) => Decisions::default(),
            _ => {
                let Self { approved, begun, refused, ended, .. } = *self;
                Decisions { approved, begun, refused, ended }
            }
        }
    }

    /// How far the application is, or was when its undo was approved; of what is undone, how far that is.
    #[must_use]
    pub fn state_of_application(&self) -> ReplayState {
        match (self.undoes, self.state) {
            (false, state) | (true, state @ (ReplayState::Undone | ReplayState::UndoneInPart)) => state,
            (true, _) => self.applied_to,
        }
    }

    pub(crate) fn approved(&mut self, position: Position, undoes: bool, at_ms: u64) {
        if undoes && !self.undoes {
            (self.applied, self.applied_to) = (self.decisions(false), self.state);
        }
        (self.state, self.undoes) = (ReplayState::Approved, undoes);
        (self.approved, self.begun, self.refused, self.ended) = (Some(position), None, None, None);
        (self.approved_at_ms, self.ended_at_ms) = (Some(at_ms), None);
    }

    pub(crate) fn ended(&mut self, end: ReplayEnd, (position, at_ms): (Position, u64)) {
        if matches!(end, ReplayEnd::Cancelled | ReplayEnd::UndoCancelled) {
            self.undo_requested = None;
        }
        self.state = match end {
            ReplayEnd::UndoCancelled => return,
            ReplayEnd::Applied => ReplayState::Applied,
            ReplayEnd::Undone => ReplayState::Undone,
            ReplayEnd::Cancelled => ReplayState::Cancelled,
            ReplayEnd::InPart if self.undoes => ReplayState::UndoneInPart,
            ReplayEnd::InPart => ReplayState::AppliedInPart,
        };
        self.ended = Some(position);
        self.ended_at_ms = (!self.is_in_part()).then_some(at_ms);
    }
}

/// A replay, as operators see it.
#[derive(Debug, Clone)]
pub struct ReplayItem {
    /// The position of its `ReplayRequested`, which names it.
    pub replay: Position,
    pub row: ReplayRow,
    pub requested: ReplayRequested,
    /// Whether its handler was removed since; a later handler of that name is another one.
    pub is_handler_removed: bool,
}

/// Names a repair of a replay: repairs are listed in this order, which keeps those of a key together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepairId {
    pub is_undo: bool,
    pub key: KeyHash,
    pub handler: HandlerName,
    /// The position of the `Repaired`.
    pub position: Position,
}

/// A step of a replay that is recorded for its own sake. Repairs are written through [`crate::KeyHold`].
#[derive(Debug, Clone)]
pub enum ReplayStep {
    Request {
        handler: HandlerName,
        /// What is asked, as JSON.
        request: String,
    },
    Approve {
        replay: Position,
        plan: Digest,
        through: Position,
        /// As JSON.
        choices: String,
        undoes: bool,
        /// The version in force that is the candidate; an undo has none.
        version: Option<Position>,
    },
    /// What the replay has repaired is to be taken back.
    RequestUndo {
        replay: Position,
    },
    /// What was approved is applied from here on.
    Begin {
        replay: Position,
        /// The `ReplayApproved`: it has to be the newest one.
        approved: Position,
        undoes: bool,
    },
    /// An outbound call was answered that no record had an answer for.
    Answer {
        replay: Position,
        delivery: weirgate_types::DeliveryId,
        step: String,
        request: weirgate_types::StepRequest,
        answer: weirgate_types::StepAnswer,
    },
    /// What an application has not repaired, before its end.
    Refused {
        replay: Position,
        first: Vec<RepairRefused>,
        count: u64,
    },
    End {
        replay: Position,
        end: ReplayEnd,
    },
}

/// Maximum size of what a replay is asked for, and of the choices of an approval, in bytes.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Whether a text of a replay may be recorded.
pub(crate) fn check_text(what: &'static str, text: &str) -> Result<(), Refusal> {
    match text.len() > TEXT_BYTES_MAX {
        true => Err(Refusal::ReplayText { what, bytes_max: TEXT_BYTES_MAX }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: ReplayState, undoes: bool, keys: u64) -> ReplayRow {
        let requested = ReplayRequested {
            handler: "invoice".parse().expect("a name"),
            request: String::new(),
            actor: String::new(),
            reason: String::new(),
            at_ms: 7,
        };
        let [last_repair, undo_requested] = [5, 6].map(|position| (keys > 0).then_some(Position(position)));
        ReplayRow { state, undoes, keys, last_repair, undo_requested, ..ReplayRow::requested(&requested) }
    }

    /// Each state, with the steps that may follow it: approval, approval of the undo, beginning, repair, the same of the undo, the ends.
    #[test]
    fn only_the_right_steps_follow() {
        use ReplayState::{Applied, AppliedInPart, Applying, Approved, Cancelled, Requested, Undone, UndoneInPart};
        for (row, may) in [
            (row(Requested, false, 0), "a......c."),
            (row(Approved, false, 0), "a.b....c."),
            (row(Applying, false, 3), "a.br..Acp"),
            (row(AppliedInPart, false, 0), "a.b....c."),
            (row(AppliedInPart, false, 3), "aub....c."),
            (row(Applied, false, 3), ".u......."),
            (row(Applied, false, 0), "........."),
            (row(Cancelled, false, 0), "........."),
            (row(Cancelled, false, 1), ".u......."),
            (row(Approved, true, 3), ".u..B..c."),
            (row(Applying, true, 3), ".u..BRUcp"),
            (row(UndoneInPart, true, 3), ".u..B..c."),
            (row(Cancelled, true, 3), ".u......."),
            (row(Undone, true, 3), "........."),
        ] {
            let end = |end| row.may_end(end);
            let found = [
                (row.may_be_approved(false), 'a'),
                (row.may_be_approved(true), 'u'),
                (row.may_begin(false), 'b'),
                (row.may_repair(false), 'r'),
                (row.may_begin(true), 'B'),
                (row.may_repair(true), 'R'),
                (end(ReplayEnd::Applied) || end(ReplayEnd::Undone), if row.undoes { 'U' } else { 'A' }),
                (end(ReplayEnd::Cancelled), 'c'),
                (end(ReplayEnd::InPart), 'p'),
            ];
            let found: String = found.map(|(is, letter)| if is { letter } else { '.' }).into_iter().collect();
            assert_eq!(found, may, "{row:?}");
        }
    }

    #[test]
    fn how_far_the_application_is_stays_known_while_its_undo_is_not_done() {
        use ReplayState::{Applied, AppliedInPart, Cancelled, Undone};
        for before in [Applied, AppliedInPart, Cancelled] {
            let mut row = row(before, false, 3);
            row.approved(Position(8), true, 8);
            assert_eq!((row.state, row.state_of_application()), (ReplayState::Approved, before));
            row.ended(ReplayEnd::Cancelled, (Position(9), 9));
            assert_eq!((row.state, row.state_of_application()), (Cancelled, before));
            row.approved(Position(10), true, 10);
            row.ended(ReplayEnd::Undone, (Position(11), 11));
            assert_eq!(row.state_of_application(), Undone);
        }
    }

    #[test]
    fn an_undo_is_asked_for_once_and_again_when_there_are_other_repairs() {
        use ReplayState::{Applied, AppliedInPart, Applying, Cancelled, Undone, UndoneInPart};
        let asked = |state, undoes, asked: Option<u64>, (repair, undone): (u64, u64)| {
            let [last_repair, last_undone] = [repair, undone].map(|at| Some(Position(at)).filter(|at| at.0 > 0));
            ReplayRow { undo_requested: asked.map(Position), last_repair, last_undone, ..row(state, undoes, 3) }
        };
        let beside = |row, ended| ReplayRow { undone_beside: Some(Position(ended)), ..row };
        for (row, may, through) in [
            (asked(Applied, false, None, (5, 0)), true, 5),
            (asked(Applied, false, Some(6), (5, 0)), false, 6),
            (asked(AppliedInPart, false, Some(6), (7, 0)), true, 7),
            (asked(Cancelled, false, None, (5, 0)), true, 5),
            (asked(Applying, true, Some(6), (5, 9)), false, 9),
            (asked(UndoneInPart, true, Some(6), (5, 9)), true, 9),
            (asked(UndoneInPart, true, Some(10), (5, 9)), false, 10),
            (asked(Undone, true, Some(6), (5, 9)), false, 9),
            (beside(asked(Applied, false, Some(6), (5, 0)), 7), true, 7),
            (beside(asked(Applied, false, Some(8), (5, 0)), 7), false, 8),
            (beside(asked(UndoneInPart, true, Some(6), (5, 9)), 10), true, 10),
        ] {
            assert_eq!((row.may_request_undo(), row.undo_through()), (may, Some(Position(through))), "{row:?}");
        }
        assert!(!row(Applied, false, 0).may_request_undo(), "there is nothing to undo");
        let outdated =
            [4, 5, 7, 8].map(|through| beside(row(Applied, false, 3), 7).is_undo_outdated(Position(through)));
        assert_eq!(outdated, [true, true, false, false]);
        let mut withdrawn = row(Applied, false, 3);
        assert!(withdrawn.may_end(ReplayEnd::UndoCancelled) && withdrawn.may_be_approved(true));
        withdrawn.ended(ReplayEnd::UndoCancelled, (Position(9), 9));
        assert_eq!((withdrawn.state, withdrawn.ended), (Applied, None), "the replay stays as it is");
        assert!(!withdrawn.may_be_approved(true) && withdrawn.may_request_undo());
    }

    #[test]
    fn an_end_in_part_is_none_for_good() {
        for (undoes, word) in [(false, "applied-in-part"), (true, "undone-in-part")] {
            let mut row = row(ReplayState::Applying, undoes, 3);
            row.ended(ReplayEnd::InPart, (Position(8), 9));
            assert_eq!((row.state.word(), row.ended_at_ms, row.is_under_way()), (word, None, false));
        }
    }

    #[test]
    fn a_rows_size_is_bounded() {
        let handler = "h".repeat(64).parse().expect("a name");
        let [keys, keys_undone, records, requested_at_ms] = [u64::MAX; 4];
        let [approved, begun, refused, ended] = [Some(Position(u64::MAX)); 4];
        let [last_repair, last_undone, undone_beside, undo_requested] = [Some(Position(u64::MAX)); 4];
        let [approved_at_ms, ended_at_ms] = [Some(u64::MAX); 2];
        let state = ReplayState::Cancelled;
        let row = ReplayRow {
            handler,
            state,
            undoes: true,
            keys,
            keys_undone,
            records,
            approved,
            begun,
            refused,
            ended,
            applied: Decisions { approved, begun, refused, ended },
            applied_to: state,
            last_repair,
            last_undone,
            undone_beside,
            undo_requested,
            requested_at_ms,
            approved_at_ms,
            ended_at_ms,
        };
        let encoded = row.encode().expect("encoded");
        assert!(encoded.len() < 300 && ReplayRow::decode(&encoded).expect("decoded") == row);
    }
}
