//! Replays as the views know them: what each row holds, and which step may follow which. Pure.

use serde::{Deserialize, Serialize};
use weirgate_types::{Digest, HandlerName, KeyHash, Position, Repaired, ReplayEnd, ReplayRequested};

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
    Applied,
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
            Self::Applied => "applied",
            Self::Undone => "undone",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A replay's row. Its size is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRow {
    pub handler: HandlerName,
    pub state: ReplayState,
    /// Whether the newest approval was that of its undo.
    pub undoes: bool,
    /// Number of keys that were repaired, and of those whose repair was undone.
    pub keys: u64,
    pub keys_undone: u64,
    /// Number of its `Repaired` records.
    pub records: u64,
    /// The newest `ReplayApproved`.
    pub approved: Option<Position>,
    /// The newest `ApplyBegun` of that approval.
    pub begun: Option<Position>,
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

    /// A plan may be approved again, since keys change meanwhile. What is written can be undone.
    #[must_use]
    pub fn may_be_approved(&self, undoes: bool) -> bool {
        let is_open = self.state == ReplayState::Requested || self.is_under_way();
        let is_over = matches!(self.state, ReplayState::Applied | ReplayState::Cancelled);
        match undoes {
            false => is_open && !self.undoes,
            true => self.keys > 0 && (is_over || self.is_under_way() && self.undoes),
        }
    }

    /// It may begin again, for instance because keys were refused.
    #[must_use]
    pub fn may_begin(&self, is_undo: bool) -> bool {
        self.is_under_way() && self.undoes == is_undo
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
            ReplayEnd::Cancelled => self.state == ReplayState::Requested || self.is_under_way(),
        }
    }

    pub(crate) fn ended(&mut self, end: ReplayEnd, at_ms: u64) {
        self.ended_at_ms = Some(at_ms);
        self.state = match end {
            ReplayEnd::Applied => ReplayState::Applied,
            ReplayEnd::Undone => ReplayState::Undone,
            ReplayEnd::Cancelled => ReplayState::Cancelled,
        };
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepairId {
    pub is_undo: bool,
    pub key: KeyHash,
    /// The position of the `Repaired`.
    pub position: Position,
}

/// Some repairs of a replay.
#[derive(Debug, Clone)]
pub struct RepairPage {
    pub repairs: Vec<(RepairId, Repaired)>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<RepairId>,
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
        ReplayRow { state, undoes, keys, ..ReplayRow::requested(&requested) }
    }

    /// Each state, with the steps that may follow it: approval, approval of the undo, beginning, repair, the same of the undo, the ends.
    #[test]
    fn only_the_right_steps_follow() {
        use ReplayState::{Applied, Applying, Approved, Cancelled, Requested, Undone};
        for (row, may) in [
            (row(Requested, false, 0), "a......c"),
            (row(Approved, false, 0), "a.b....c"),
            (row(Applying, false, 3), "a.br..Ac"),
            (row(Applied, false, 3), ".u......"),
            (row(Applied, false, 0), "........"),
            (row(Cancelled, false, 0), "........"),
            (row(Cancelled, false, 1), ".u......"),
            (row(Approved, true, 3), ".u..B..c"),
            (row(Applying, true, 3), ".u..BRUc"),
            (row(Cancelled, true, 3), ".u......"),
            (row(Undone, true, 3), "........"),
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
            ];
            let found: String = found.map(|(is, letter)| if is { letter } else { '.' }).into_iter().collect();
            assert_eq!(found, may, "{row:?}");
        }
    }

    #[test]
    fn a_rows_size_is_bounded() {
        let handler = "h".repeat(64).parse().expect("a name");
        let [keys, keys_undone, records, requested_at_ms] = [u64::MAX; 4];
        let [approved, begun] = [Some(Position(u64::MAX)); 2];
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
            requested_at_ms,
            approved_at_ms,
            ended_at_ms,
        };
        let encoded = row.encode().expect("encoded");
        assert!(encoded.len() < 200 && ReplayRow::decode(&encoded).expect("decoded") == row);
    }
}
