//! The machine as operators see it.

use std::sync::Arc;

use weirgate_types::{DeliveryId, Deployed, KeyHash, Manifest, Mode, Position};

use crate::{DeliveryPhase, DeliveryRow, Now, handler::Version};

/// Whether an operator's command can be carried out; checked before its record is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    /// Already in the requested state; nothing to do.
    AlreadySo,
    UnknownHandler,
}

/// The name of a state, the same in every interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateName {
    Ready,
    Running,
    Retrying,
    Blocked,
    AwaitingCorrection,
    Held,
    OutOfOrder,
}

impl StateName {
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Running,
        Self::Retrying,
        Self::Blocked,
        Self::AwaitingCorrection,
        Self::Held,
        Self::OutOfOrder,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::AwaitingCorrection => "awaiting-correction",
            Self::Held => "held",
            Self::OutOfOrder => "out-of-order",
        }
    }

    /// `None` if no state has this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The state of an open delivery, as shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeliveryState {
    /// First of its key, waiting for a free slot.
    Ready,
    Running,
    Retrying {
        due_ms: u64,
    },
    /// An earlier delivery of its key, the one at this position, is open.
    Blocked(Position),
    /// Waits for a correction.
    AwaitingCorrection,
    /// A dead letter that its key waits for.
    Held,
    /// Completed, but its emissions wait for earlier deliveries.
    Withheld,
    /// First of its key, but earlier numbers of its sequence are missing; it waits for them until then.
    OutOfOrder {
        due_ms: u64,
    },
}

impl DeliveryState {
    /// Its name; withheld deliveries are named blocked.
    #[must_use]
    pub fn name(self) -> StateName {
        match self {
            Self::Ready => StateName::Ready,
            Self::Running => StateName::Running,
            Self::Retrying { .. } => StateName::Retrying,
            Self::Blocked(_) | Self::Withheld => StateName::Blocked,
            Self::AwaitingCorrection => StateName::AwaitingCorrection,
            Self::Held => StateName::Held,
            Self::OutOfOrder { .. } => StateName::OutOfOrder,
        }
    }

    /// The same, with times by the wall clock, for people.
    #[must_use]
    pub fn by_wall(self, now: Now) -> Self {
        match self {
            Self::Retrying { due_ms } => Self::Retrying { due_ms: now.wall_at(due_ms) },
            Self::OutOfOrder { due_ms } => Self::OutOfOrder { due_ms: now.wall_at(due_ms) },
            other => other,
        }
    }

    /// The phase of the first delivery of a lane.
    #[must_use]
    pub fn of(row: &DeliveryRow) -> Self {
        match row.phase {
            DeliveryPhase::Ready => Self::Ready,
            DeliveryPhase::Running => Self::Running,
            DeliveryPhase::Retrying { due_ms, .. } => Self::Retrying { due_ms },
            DeliveryPhase::AwaitingCorrection => Self::AwaitingCorrection,
            DeliveryPhase::Held => Self::Held,
            DeliveryPhase::Withheld { .. } => Self::Withheld,
            DeliveryPhase::OutOfOrder { due_ms } => Self::OutOfOrder { due_ms },
        }
    }

    /// The same for a lane whose next number is `next`.
    #[must_use]
    pub fn in_sequence(row: &DeliveryRow, next: u64) -> Self {
        match row.waiting_number() {
            Some((number, due_ms)) if number > next => Self::OutOfOrder { due_ms },
            _ => Self::of(row),
        }
    }
}

/// An open delivery, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryView {
    pub delivery: DeliveryId,
    pub key: KeyHash,
    /// Number of attempts begun.
    pub attempt: u32,
    pub state: DeliveryState,
}

/// A handler, as operators see it.
#[derive(Debug, Clone)]
pub struct HandlerView<'a> {
    pub deployed: &'a Deployed,
    /// The position of that record.
    pub version: Position,
    pub manifest: &'a Arc<Manifest>,
    /// Earlier versions that finish what was under way.
    pub finishing: &'a [Version],
    pub mode: Mode,
    pub ready: bool,
    /// Counts what is in memory: an earlier delivery may be on disk.
    pub checkpoint: Position,
    pub scanned: Position,
    /// Number of events that it has not looked at yet.
    pub lag: u64,
    pub open: usize,
    /// How many of those are spilled.
    pub spilled: usize,
    pub running: usize,
    /// Calls in flight, those of discarded attempts included.
    pub calls: usize,
    /// Number of deliveries in memory that wait for a time, and that wait for an operator or a correction.
    pub retrying: usize,
    pub resting: usize,
    /// When its breaker's open time ends, in elapsed time.
    pub breaker_open_until_ms: Option<u64>,
    /// Whether deliveries of a key may overlap: without order, and after a change of the order, which leaves some that were
    /// opened under the other.
    pub overlaps: bool,
    /// Number of distinct subscriptions in force for events that are not scanned yet.
    pub subscriptions_pending: usize,
}
