//! When a schedule is due: five fields as in crontab(5), in UTC.

use chrono::{DateTime, Utc};
use croner::Cron;

/// # Errors
/// What is wrong with the five fields, for whoever wrote them.
pub fn check(cron: &str) -> Result<(), String> {
    parse(cron).map(drop)
}

/// The first time after `at_ms` (Unix milliseconds); `None` where there is none, for instance on 30 February.
#[must_use]
pub fn next_after(cron: &str, at_ms: u64) -> Option<u64> {
    let at = DateTime::<Utc>::from_timestamp_millis(i64::try_from(at_ms).ok()?)?;
    let next = parse(cron).ok()?.find_next_occurrence(&at, false).ok()?;
    u64::try_from(next.timestamp_millis()).ok()
}

fn parse(cron: &str) -> Result<Cron, String> {
    cron.parse::<Cron>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    #[test]
    fn the_next_time_comes_after_the_last() {
        for (cron, at_ms, expected) in [
            ("* * * * *", 0, Some(MINUTE_MS)),
            ("* * * * *", MINUTE_MS - 1, Some(MINUTE_MS)),
            ("0 3 * * *", 0, Some(180 * MINUTE_MS)),
            ("0 3 * * *", 180 * MINUTE_MS, Some((180 + 24 * 60) * MINUTE_MS)),
            ("0 0 30 2 *", 0, None),
        ] {
            assert_eq!(next_after(cron, at_ms), expected, "{cron}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for cron in ["", "every day", "61 * * * *", "* * * *"] {
            assert!(check(cron).is_err(), "{cron:?}");
        }
        assert_eq!(check("*/5 8-18 * * 1-5"), Ok(()));
    }
}
