//! Actions: what the machine asks the engine to do.

use weirgate_types::{Carried, DeliveryId, HandlerName, KeyHash, Outcome, Position, Record};

use crate::{DeliveryRow, HoldId, PerWait};

/// An action; the engine carries actions out in the order in which they were added.
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each attempt")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Stage this record, and report its position by [`crate::Input::Staged`] before any other input.
    Stage(Record),
    /// Stage a commit of these outcomes as one record; the engine adds keys, effects, log lines and notices.
    Commit { handler: HandlerName, outcomes: Vec<AttemptOutcome>, is_batch: bool },
    /// Stage a correction, so that the delivery runs again: with the data of the event at `with`, or, if that is `None`,
    /// with the data that the handler's hook returned for the attempt that was just committed.
    Correct { delivery: DeliveryId, with: Option<Position> },
    /// Stage the release of a delivery's emissions; the record at `commit` holds them.
    Release { delivery: DeliveryId, commit: Position },
    /// Stage that the wait for missing events of a sequence is over; the engine adds key and notice.
    PassGap(Gap),
    /// Stage a change of a handler's mode or of a breaker; the engine adds the notice.
    ChangeState(StateChange),
    /// Call the handler once all records staged so far are durable. Attempts with the same `call` share one call.
    Deliver {
        delivery: DeliveryId,
        attempt: u32,
        version: Position,
        at_ms: u64,
        wall_ms: u64,
        carried: Carried,
        call: Position,
    },
    /// Read on for a handler that lags: events after `after` and up to `until`, or fewer if the engine's limit is smaller.
    /// Answered by [`crate::Input::Scanned`].
    Scan { handler: HandlerName, after: Position, until: Position },
    /// Reload these spilled lanes, with their next numbers, and the lanes that are `due` by then, stage by stage, as
    /// many as the engine's limit allows. Answered by [`crate::Input::Reloaded`].
    Reload { handler: HandlerName, lanes: Vec<KeyHash>, due: PerWait<Option<u64>> },
    /// The deliveries of a lane on disk move to a version.
    MoveSpilled { handler: HandlerName, lane: KeyHash, version: Position },
    /// Stage the firing of timers that are due by `now_ms`, as many as the engine's limit allows. Answered by
    /// [`crate::Input::TimersRead`].
    FireTimers { now_ms: u64 },
    /// No attempt of a key on hold is running any more, and none begins.
    ReportQuiet { hold: HoldId },
    /// A hold has ended, because its time is over or its handler was removed.
    ReportHoldOver { hold: HoldId },
    /// Write this row to the view of open deliveries; `None` deletes it.
    Keep { delivery: DeliveryId, row: Option<DeliveryRow>, is_new: bool },
    /// Write the next number of a lane.
    KeepNext { handler: HandlerName, lane: KeyHash, next: Next },
    /// Spill a row or take it back. On disk it is indexed by its lane, and by its due time if it has one and is first in its
    /// lane.
    Spill { delivery: DeliveryId, row: DeliveryRow, on: bool },
}

/// Events that are missing before a delivery: those from `expected` up to, not including, `found`, the delivery's own
/// number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub delivery: DeliveryId,
    pub expected: u64,
    pub found: u64,
}

/// The next number of a lane is at least `at_least`: a larger stored number stays. If none is stored, the number is `first`
/// so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    pub at_least: u64,
    pub first: u64,
}

impl Next {
    /// The number to store; `None` if the stored one already covers it.
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
    /// Whether it completes a delivery that had failed before.
    pub recovered: bool,
}

/// A state change that the machine decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    Breaker {
        breaker: weirgate_types::BreakerId,
        /// How long it stays open; `None`: it closes.
        open_ms: Option<u64>,
        actor: String,
        reason: String,
    },
    /// The handler is paused because too many of its deliveries became dead letters.
    Stop { handler: HandlerName, reason: String },
}
