//! Times as people read them: by the local clock, and how long ago.

use chrono::{DateTime, Local, TimeZone};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A time in Unix milliseconds: `14:03:07 (2m ago)`, with the date if that is another.
pub fn moment(at_ms: u64, now_ms: u64) -> String {
    in_zone(at_ms, now_ms, &Local)
}

fn in_zone<Z: TimeZone>(at_ms: u64, now_ms: u64, zone: &Z) -> String
where
    Z::Offset: std::fmt::Display,
{
    let local = |ms: u64| i64::try_from(ms).ok().and_then(|ms| zone.timestamp_millis_opt(ms).single());
    let (Some(at), Some(now)) = (local(at_ms), local(now_ms)) else { return at_ms.to_string() };
    let same_day = |at: &DateTime<Z>| at.date_naive() == now.date_naive();
    let clock = if same_day(&at) { at.format("%H:%M:%S") } else { at.format("%Y-%m-%d %H:%M:%S") };
    match at_ms.checked_sub(now_ms) {
        Some(left_ms) if left_ms >= SECOND => format!("{clock} (in {})", duration(left_ms)),
        _ => format!("{clock} ({} ago)", duration(now_ms.saturating_sub(at_ms))),
    }
}

/// A time in Unix milliseconds by the local clock, with its date.
pub fn local(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Local.timestamp_millis_opt(ms).single());
    at.map_or_else(|| at_ms.to_string(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// A length of time in its two largest units.
pub fn duration(ms: u64) -> String {
    let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
    let Some(first) = units.iter().position(|(unit, _)| ms >= *unit) else { return "0s".into() };
    let mut rest = ms;
    let mut parts = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        if rest / unit > 0 {
            parts.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[test]
    fn durations_have_two_units() {
        for (ms, shown) in [
            (0, "0s"),
            (999, "0s"),
            (1_000, "1s"),
            (61_000, "1m 1s"),
            (3_600_000, "1h"),
            (3_661_000, "1h 1m"),
            (90_061_000, "1d 1h"),
            (u64::MAX, "213503982334d 14h"),
        ] {
            assert_eq!(duration(ms), shown);
        }
    }

    #[test]
    fn times_are_local_and_relative() {
        let zone = FixedOffset::east_opt(2 * 3_600).expect("a zone");
        let now_ms = 1_790_000_000_000;
        for (at_ms, shown) in [
            (now_ms, "16:13:20 (0s ago)"),
            (now_ms - 61_000, "16:12:19 (1m 1s ago)"),
            (now_ms + 5_000, "16:13:25 (in 5s)"),
            (now_ms - DAY, "2026-09-20 16:13:20 (1d ago)"),
            (0, "1970-01-01 02:00:00 (20717d 14h ago)"),
        ] {
            assert_eq!(in_zone(at_ms, now_ms, &zone), shown);
        }
        assert_eq!(moment(u64::MAX, now_ms), u64::MAX.to_string());
    }
}
