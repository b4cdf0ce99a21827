//! Deliveries that may be waiting for themselves: a handler that fails until an event of the same key arrives never sees it,
//! since that event waits behind the failed delivery. Only the handler's author can tell, so this is a suspicion, shown to
//! people; nothing is decided by it.

use crate::DeliveryState;

/// From this many failed attempts on a delivery is suspected: by then the quick retries of the default policy are over.
const FAILED_MIN: u32 = 4;
/// From this many on the server's log says so, at each doubling.
const WARNED_MIN: u32 = 8;

/// Why a delivery that blocks others may wait for one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// It keeps failing, and only a later event may end that.
    Retries,
    /// It awaits a correction, and a later event may be meant as one.
    Correction,
}

impl Suspicion {
    /// Of a delivery in this state, after `spent` attempts that count, with `behind` deliveries behind it.
    #[must_use]
    pub fn of(state: DeliveryState, spent: u32, behind: usize) -> Option<Self> {
        let failed = match state {
            _ if behind == 0 => return None,
            DeliveryState::AwaitingCorrection => return Some(Self::Correction),
            DeliveryState::Ready | DeliveryState::Retrying { .. } => spent,
            // The running attempt has not failed.
            DeliveryState::Running => spent.saturating_sub(1),
            DeliveryState::Blocked(_)
            | DeliveryState::Held
            | DeliveryState::Withheld
            | DeliveryState::OutOfOrder { .. } => return None,
        };
        (failed >= FAILED_MIN).then_some(Self::Retries)
    }

    /// Whether the server's log gets a line when an attempt fails that is the `failed`-th.
    #[must_use]
    pub fn is_worth_a_line(failed: u32, behind: usize) -> bool {
        behind > 0 && failed >= WARNED_MIN && failed.is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use weirgate_types::Position;

    use super::*;

    #[test]
    fn only_a_delivery_that_blocks_others_and_keeps_failing_is_suspected() {
        use DeliveryState as State;
        let retrying = State::Retrying { due_ms: 7 };
        for (state, spent, behind, suspicion) in [
            (retrying, 4, 1, Some(Suspicion::Retries)),
            (retrying, u32::MAX, usize::MAX, Some(Suspicion::Retries)),
            (retrying, 4, 0, None),
            (retrying, 3, 1, None),
            (State::Ready, 4, 1, Some(Suspicion::Retries)),
            (State::Ready, 0, 9, None),
            (State::Running, 5, 1, Some(Suspicion::Retries)),
            (State::Running, 4, 1, None),
            (State::Running, 0, 1, None),
            (State::AwaitingCorrection, 1, 1, Some(Suspicion::Correction)),
            (State::AwaitingCorrection, 9, 0, None),
            (State::Held, 9, 1, None),
            (State::Withheld, 9, 1, None),
            (State::Blocked(Position(1)), 9, 1, None),
            (State::OutOfOrder { due_ms: 7 }, 9, 1, None),
        ] {
            assert_eq!(Suspicion::of(state, spent, behind), suspicion, "{state:?}, {spent}, {behind}");
        }
    }

    #[test]
    fn lines_become_rarer() {
        let lines: Vec<_> = (0..100).filter(|failed| Suspicion::is_worth_a_line(*failed, 1)).collect();
        assert_eq!(lines, [8, 16, 32, 64]);
        assert!(!Suspicion::is_worth_a_line(8, 0));
    }
}
