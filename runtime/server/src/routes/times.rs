//! Times in answers: each is there twice, in Unix milliseconds (`…_ms`) and as in RFC 3339.

use chrono::{DateTime, SecondsFormat};

/// A time in RFC 3339 format, to the millisecond, in UTC. Times that it cannot express are the last one that it can.
pub fn rfc3339(at_ms: u64) -> String {
    const LAST_MS: i64 = 253_402_300_799_999;
    let at_ms = i64::try_from(at_ms).unwrap_or(LAST_MS).min(LAST_MS);
    DateTime::from_timestamp_millis(at_ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_zone() {
        for (at_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_790_000_000_123, "2026-09-21T14:13:20.123Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(at_ms), text);
        }
    }
}
