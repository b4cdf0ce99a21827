//! When producers are asked to slow down: before they would be refused, and until there is room again.

/// How full the ingest limit is, and whether the disk has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// Events on their way into the log, and their maximum number.
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub has_disk_space: bool,
}

/// Ask to slow down from this share of the maximum, in percent.
const SLOW_FROM: usize = 80;
/// Back to normal below this share, in percent; lower than the first, so that the state does not flap.
const GO_ON_BELOW: usize = 50;

/// Whether producers should slow down now, with the reason; `None` if that is the same as `is_slow`.
#[must_use]
pub fn state_change(is_slow: bool, pressure: Pressure) -> Option<(bool, &'static str)> {
    let Pressure { in_flight, in_flight_max, has_disk_space } = pressure;
    let is_above = |percent: usize| in_flight.saturating_mul(100) >= in_flight_max.saturating_mul(percent);
    match is_slow {
        false if !has_disk_space => Some((true, "the disk is nearly full")),
        false if is_above(SLOW_FROM) => Some((true, "the number of events in flight is near its limit")),
        true if has_disk_space && !is_above(GO_ON_BELOW) => Some((false, "there is room again")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowing_down_begins_at_80_percent_and_ends_below_50() {
        let at = |in_flight| Pressure { in_flight, in_flight_max: 100, has_disk_space: true };
        let mut is_slow = false;
        let mut changes = Vec::new();
        for in_flight in [0, 79, 80, 60, 50, 49, 79] {
            if let Some((slow, _)) = state_change(is_slow, at(in_flight)) {
                changes.push((in_flight, slow));
                is_slow = slow;
            }
        }
        assert_eq!(changes, [(80, true), (49, false)]);
    }

    #[test]
    fn a_full_disk_slows_down_producers_regardless_of_events_in_flight() {
        let full = Pressure { in_flight: 0, in_flight_max: 100, has_disk_space: false };
        assert!(state_change(false, full).is_some_and(|(slow, reason)| slow && reason.contains("disk")));
        assert_eq!(state_change(true, full), None);
    }
}
