//! When producers are asked to slow down: before they are refused, and until there is room again.

/// How full what events come through is, and whether the disk has room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// Events on their way into the log, and how many there may be.
    pub in_flight: usize,
    pub in_flight_max: usize,
    pub has_disk_space: bool,
}

/// Slow down from this part of what is possible, in percent.
const SLOW_FROM: usize = 80;
/// Go on below this one: a gap, so that it does not go to and fro.
const GO_ON_BELOW: usize = 50;

/// Whether producers are to slow down now; `None` where it stays as it `is_slow`. With why.
#[must_use]
pub fn state_change(is_slow: bool, pressure: Pressure) -> Option<(bool, &'static str)> {
    let Pressure { in_flight, in_flight_max, has_disk_space } = pressure;
    let is_above = |percent: usize| in_flight.saturating_mul(100) >= in_flight_max.saturating_mul(percent);
    match is_slow {
        false if !has_disk_space => Some((true, "the disk is nearly full")),
        false if is_above(SLOW_FROM) => Some((true, "nearly as many events are under way as there may be")),
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
    fn a_full_disk_slows_down_whatever_is_under_way() {
        let full = Pressure { in_flight: 0, in_flight_max: 100, has_disk_space: false };
        assert!(state_change(false, full).is_some_and(|(slow, reason)| slow && reason.contains("disk")));
        assert_eq!(state_change(true, full), None);
    }
}
