//! What the machine asks for.

use weirgate_types::{Carried, DeliveryId, HandlerName, KeyHash, Outcome, Position, Record};

use crate::DeliveryRow;

/// Something to be done, in the order in which it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stage this record, and tell the machine so by [`crate::Input::Staged`] before anything else.
    Stage(Record),
    /// Stage a commit of these outcomes, as one record; the shell adds keys, effects, log lines and notices.
    Commit { handler: HandlerName, outcomes: Vec<AttemptOutcome>, is_batch: bool },
    /// Stage that the delivery runs again with corrected data: with that of the event at `with`, or where that is absent
    /// with what the handler's hook answered to the attempt that was just committed.
    Correct { delivery: DeliveryId, with: Option<Position> },
    /// Stage that the delivery's emissions leave; the record at `commit` holds them.
    Release { delivery: DeliveryId, commit: Position },
    /// Stage that missing events of a sequence are not waited for any longer; the shell adds key and notice.
    PassGap(Gap),
    /// Stage that a handler's mode or a breaker changed; the shell adds the notice.
    ChangeState(StateChange),
    /// Call the handler, once all that has been staged so far is durable. Those with one `call` go in one.
    Deliver { delivery: DeliveryId, attempt: u32, at_ms: u64, carried: Carried, call: Position },
    /// Read on for a handler that has fallen behind: events after `after` and up to `until`, or as far as suits, answered by
    /// [`crate::Input::Scanned`].
    Scan { handler: HandlerName, after: Position, until: Position },
    /// Fetch these spilled lanes, with the numbers that are next in them, and with `due_ms` those that are due by then, as many as suits, stage by stage;
    /// answered by [`crate::Input::Reloaded`].
    Reload { handler: HandlerName, lanes: Vec<KeyHash>, due_ms: Option<u64> },
    /// Stage that timers went off: those due by `now_ms`, as many as suits; answered by [`crate::Input::TimersRead`].
    FireTimers { now_ms: u64 },
    /// Keep this row of the view of open deliveries; `None` removes it.
    Keep { delivery: DeliveryId, row: Option<DeliveryRow>, is_new: bool },
    /// Keep which number is next in a lane.
    KeepNext { handler: HandlerName, lane: KeyHash, next: Next },
    /// Spill a row or take it back: on disk it is found by its lane, and by its time where it has one and leads its lane.
    Spill { delivery: DeliveryId, row: DeliveryRow, on: bool },
}

/// Events that are missing before a delivery: those from `expected` to right before `found`, which is its own number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub delivery: DeliveryId,
    pub expected: u64,
    pub found: u64,
}

/// The number that is next in a lane is at least `at_least`: where a larger one is kept, that stays. Where none is kept, it is
/// `first` so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    pub at_least: u64,
    pub first: u64,
}

impl Next {
    /// What is to be kept, where that is not kept already.
    #[must_use]
    pub fn over(self, kept: Option<u64>) -> Option<u64> {
        (self.at_least > kept.unwrap_or(self.first)).then_some(self.at_least)
    }
}

/// The outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOutcome {
    pub position: Position,
    pub attempt: u32,
    pub outcome: Outcome,
    /// Whether it completes what had failed before.
    pub recovered: bool,
}

/// A change of state that the machine itself decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    Breaker {
        breaker: weirgate_types::BreakerId,
        /// For how long; `None`: it is closed.
        open_ms: Option<u64>,
        actor: String,
        reason: String,
    },
    /// The handler pauses: too many of its deliveries became dead letters.
    Stop { handler: HandlerName, reason: String },
}
