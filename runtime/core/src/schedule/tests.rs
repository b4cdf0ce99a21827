//! Schedules as data: their due times, and what is refused.

use super::*;

const DAY_MS: u64 = DAY_MINUTES * MINUTE_MS;
/// 2026-11-28 18:00 UTC, a Saturday.
const NOW_MS: u64 = (20_785 * DAY_MINUTES + 18 * 60) * MINUTE_MS;

/// `YYYY-MM-DD HH:MM`.
fn shown(at_ms: u64) -> String {
    rfc3339(at_ms).replace('T', " ").trim_end_matches(":00Z").to_owned()
}

fn times(cron: &str) -> Vec<String> {
    next_times(cron, NOW_MS).into_iter().map(shown).collect()
}

#[test]
fn the_next_time_comes_after_the_last() {
    for (cron, at_ms, expected) in [
        ("* * * * *", 0, MINUTE_MS),
        ("* * * * *", MINUTE_MS - 1, MINUTE_MS),
        ("* * * * *", MINUTE_MS, 2 * MINUTE_MS),
        ("0 3 * * *", 0, 180 * MINUTE_MS),
        ("0 3 * * *", 180 * MINUTE_MS, (180 + 24 * 60) * MINUTE_MS),
    ] {
        assert_eq!(next_after(cron, at_ms), Some(expected), "{cron}");
    }
    assert_eq!(rfc3339(NOW_MS + 61_999), "2026-11-28T18:01:01Z");
}

#[test]
fn the_next_three_times() {
    for (cron, expected) in [
        ("*/15 * * * *", ["2026-11-28 18:15", "2026-11-28 18:30", "2026-11-28 18:45"]),
        ("0 0 * * *", ["2026-11-29 00:00", "2026-11-30 00:00", "2026-12-01 00:00"]),
        ("30 8-18/5 * * 1-5", ["2026-11-30 08:30", "2026-11-30 13:30", "2026-11-30 18:30"]),
        ("0 9 * * MON-fri", ["2026-11-30 09:00", "2026-12-01 09:00", "2026-12-02 09:00"]),
        ("0 9 * * sat-sun", ["2026-11-29 09:00", "2026-12-05 09:00", "2026-12-06 09:00"]),
        ("0 9 * * 5-7", ["2026-11-29 09:00", "2026-12-04 09:00", "2026-12-05 09:00"]),
        ("0 9 * * 0", ["2026-11-29 09:00", "2026-12-06 09:00", "2026-12-13 09:00"]),
        ("0 9 * * 7", ["2026-11-29 09:00", "2026-12-06 09:00", "2026-12-13 09:00"]),
        ("0 9 * * */3", ["2026-11-29 09:00", "2026-12-02 09:00", "2026-12-05 09:00"]),
        ("5,10,50-59/9 23 31 12 *", ["2026-12-31 23:05", "2026-12-31 23:10", "2026-12-31 23:50"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("0 0 31 jan-apr *", ["2027-01-31 00:00", "2027-03-31 00:00", "2028-01-31 00:00"]),
        // Both restricted: a match of either is enough.
        ("0 0 1 * 1", ["2026-11-30 00:00", "2026-12-01 00:00", "2026-12-07 00:00"]),
        // A star adds no restriction, so both have to match.
        ("0 0 */2 * 1", ["2026-12-07 00:00", "2026-12-21 00:00", "2027-01-11 00:00"]),
        ("0 0 30 2 1", ["2027-02-01 00:00", "2027-02-08 00:00", "2027-02-15 00:00"]),
        ("00 03 01 01 *", ["2027-01-01 03:00", "2028-01-01 03:00", "2029-01-01 03:00"]),
        ("  0\t12 * *   * ", ["2026-11-29 12:00", "2026-11-30 12:00", "2026-12-01 12:00"]),
    ] {
        assert_eq!(check(cron), Ok(()), "{cron}");
        assert_eq!(times(cron), expected, "{cron}");
    }
}

#[test]
fn a_schedule_that_is_never_due_is_refused() {
    for cron in ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 30-31 feb *", "0 0 31 4 */2", "* * 31 11 *"] {
        assert!(check(cron).is_err_and(|reason| reason.contains("never due")), "{cron}");
        assert_eq!(times(cron), [""; 0], "{cron}");
    }
    // Once in 28 years or more: rare, but due.
    assert_eq!(check("0 0 29 2 *"), Ok(()));
    assert_eq!(times("0 0 29 2 */6").first().map(String::as_str), Some("2032-02-29 00:00"));
}

#[test]
fn extensions_of_crontab_5_are_refused_with_a_reason() {
    for (cron, says) in [
        ("", "0 fields"),
        ("every day", "2 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),
        ("0 0 0 1 1 * 2030", "7 fields"),
        ("*/5 * * * * * *", "7 fields"),
        ("@daily", "0 0 * * * for @daily"),
        ("@reboot", "a name for five fields"),
        ("@every 5m", "a name for five fields"),
        ("60 * * * *", "0 to 59"),
        ("61 * * * *", "0 to 59"),
        ("-1 * * * *", "cannot be read as minute"),
        ("* 24 * * *", "cannot be read as hour"),
        ("* * 0 * *", "1 to 31"),
        ("* * 32 * *", "1 to 31"),
        ("* * * 0 *", "1 to 12"),
        ("* * * 13 *", "1 to 12"),
        ("* * * * 8", "0 to 7"),
        ("*/61 * * * *", "larger than the range"),
        ("*/60 * * * *", "larger than the range"),
        ("* */24 * * *", "larger than the range"),
        ("* * * * */7", "larger than the range"),
        ("1-5/9 * * * *", "larger than the range"),
        ("*/0 * * * *", "at least 1"),
        ("*/ * * * *", "a step is a number"),
        ("*/-1 * * * *", "a step is a number"),
        ("*/5/2 * * * *", "a step is a number"),
        ("5/15 * * * *", "such as 5-59"),
        ("5-1 * * * *", "ends before it begins"),
        ("* * * dec-jan *", "ends before it begins"),
        ("* * * * fri-mon", "ends before it begins"),
        ("1,,2 * * * *", "cannot be read"),
        ("1, * * * *", "cannot be read"),
        ("1-2-3 * * * *", "cannot be read"),
        ("?  * * * *", "cannot be read"),
        ("* * L * *", "cannot be read"),
        ("* * 15W * *", "cannot be read"),
        ("* * LW * *", "cannot be read"),
        ("* * * * 5#2", "cannot be read"),
        ("* * * * 5L", "cannot be read"),
        ("* * * * monday", "cannot be read"),
        ("* * * january *", "cannot be read"),
        ("H * * * *", "cannot be read"),
        ("~ * * * *", "cannot be read"),
        ("000 * * * *", "cannot be read"),
        ("٣ * * * *", "cannot be read"),
        ("* * mon * *", "cannot be read"),
    ] {
        assert!(check(cron).is_err_and(|reason| reason.contains(says)), "{cron:?}: {:?}", check(cron));
        assert_eq!(next_after(cron, NOW_MS), None, "{cron:?}");
    }
}

/// The search stops after one cycle of the calendar, also at the maximum time.
#[test]
fn the_search_is_bounded() {
    for at_ms in [0, NOW_MS, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        assert_eq!(next_after("0 0 30 2 *", at_ms), None);
        assert!(next_after("0 0 29 2 *", at_ms).is_none_or(|due_ms| due_ms > at_ms));
        assert!(next_after("* * * * *", at_ms).is_none_or(|due_ms| due_ms > at_ms));
    }
}

/// Checked against a calendar counted day by day.
#[test]
fn dates_are_right_for_a_whole_cycle_of_the_calendar() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..CALENDAR_DAYS + 400 {
        let date = Date::of(days);
        assert_eq!((date.year, date.month, date.day), (year, month, day), "day {days}");
        assert_eq!(u64::from(date.weekday), (days + 4) % 7);
        if date.days_left_in_month() > 1 {
            day += 1;
        } else {
            let length = [
                31,
                28 + u32::from(year % 4 == 0 && year % 100 != 0 || year % 400 == 0),
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            assert_eq!(day, length[usize::try_from(month - 1).expect("a month")]);
            (year, month, day) = if month == 12 { (year + 1, 1, 1) } else { (year, month + 1, 1) };
        }
    }
    assert_eq!(Date::of(NOW_MS / DAY_MS).weekday, 6);
}
