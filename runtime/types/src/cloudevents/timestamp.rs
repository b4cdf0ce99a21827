//! RFC 3339's date and time, by its grammar (5.6) and its restrictions (5.7).

/// Whether the text is one: `2018-04-05T17:31:00.5+01:00`; `T` and `Z` may be in lower case.
#[must_use]
pub fn is_rfc3339(text: &str) -> bool {
    parse(text.as_bytes()).is_some()
}

fn parse(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(11)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't'] = date else { return None };
    let (year, month, day) = (number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?);
    let (time, rest) = rest.split_at_checked(8)?;
    let &[h1, h2, b':', i1, i2, b':', s1, s2] = time else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[i1, i2])?, number(&[s1, s2])?);
    let offset_minutes = offset(fraction(rest)?)?;
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let is_leap = second == 60;
    (!is_leap || may_leap(year, month, day, hour * 60 + minute - offset_minutes)).then_some(())
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i32::from(digit - b'0')))
}

/// What follows the fraction of a second, if there is one.
fn fraction(text: &[u8]) -> Option<&[u8]> {
    let Some(digits) = text.strip_prefix(b".") else { return Some(text) };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    if end == 0 { None } else { digits.get(end..) }
}

/// The offset from UTC, in minutes.
fn offset(text: &[u8]) -> Option<i32> {
    let &[sign, h1, h2, b':', m1, m2] = text else { return matches!(text, [b'Z' | b'z']).then_some(0) };
    let (hours, minutes) = (number(&[h1, h2])?, number(&[m1, m2])?);
    let offset = hours * 60 + minutes;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

fn days_of(year: i32, month: i32) -> i32 {
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A leap second is inserted at the end of a month, at midnight in UTC. `minutes` is the time of the day in UTC; with an
/// offset it may be on the day before or after.
fn may_leap(year: i32, month: i32, day: i32, minutes: i32) -> bool {
    const DAY: i32 = 24 * 60;
    match minutes {
        _ if minutes == DAY - 1 => day == days_of(year, month),
        // The day before ends.
        -1 => day == 1,
        // The day after ends.
        _ if minutes == 2 * DAY - 1 => day + 1 == days_of(year, month),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_and_the_calendar_hold() {
        for good in [
            "2018-04-05T17:31:00Z",
            "2018-04-05t17:31:00z",
            "2018-04-05T17:31:00.000000000Z",
            "2018-04-05T18:31:00+01:00",
            "2018-04-05T16:31:00.123456789012-23:59",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.9Z",
            "2024-02-29T00:00:00-00:00",
            "2000-02-29T00:00:00Z",
            "1990-12-31T23:59:60Z",
            "1990-12-31T15:59:60-08:00",
            "2016-12-31T23:59:60.5Z",
            "2017-01-01T00:59:60+01:00",
            "2015-06-30T23:59:60Z",
        ] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "lunchtime",
            "yesterday",
            "2018-04-05",
            "2018-04-05T18:31Z",
            "2018-04-05T18:31:00",
            "2018-04-05T18:31:00X",
            "2018-04-05T18:31:00+25:00",
            "2018-04-05T18:31:00+24:00",
            "2018-04-05T18:31:00+00:60",
            "2018-04-05T18:31:00+xx:00",
            "2018-04-05T18:31:00+05",
            "2018-04-05T18:31:00+0500",
            "2018-04-05 18:31:00Z",
            "2018-04-05T18:31:00.Z",
            "2018-04-05T18:31:00,5Z",
            "2018-13-05T18:31:00Z",
            "2018-00-05T18:31:00Z",
            "2018-04-31T18:31:00Z",
            "2018-04-00T18:31:00Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2018-04-05T24:00:00Z",
            "2018-04-05T18:60:00Z",
            "2018-04-05T18:31:61Z",
            "2018-04-05T18:31:60Z",
            "2016-12-30T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
            "18-04-05T18:31:00Z",
            "12018-04-05T18:31:00Z",
            "-018-04-05T18:31:00Z",
            "2018-04-05T18:31:00Z ",
            " 2018-04-05T18:31:00Z",
            "2018-4-5T18:31:00Z",
            "2018-04-05T18:31:00\u{2212}01:00",
            "2018-W14-4T18:31:00Z",
            "20180405T183100Z",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }
}
