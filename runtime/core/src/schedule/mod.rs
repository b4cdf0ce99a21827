//! When a schedule is due: the five fields of crontab(5), in UTC. Owns the range of each field and the search for the next
//! time, which stops after one cycle of the calendar. Knows no clock.

mod calendar;
mod field;

use calendar::{DAY_MINUTES, Date, MINUTE_MS};
use field::{DAYS, HOURS, MINUTES, MONTHS, Set, WEEKDAYS};

/// Number of days after which the calendar repeats, weekdays included: a schedule that was not due by then never is.
const CALENDAR_DAYS: u64 = 146_097;
/// Number of due times in the answer to a deployment.
pub const NAMED_TIMES: usize = 3;

/// Five checked fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cron {
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// # Errors
/// The problem with the five fields, for their author: one cannot be parsed, or they are never due.
pub fn check(cron: &str) -> Result<(), String> {
    match parse(cron)?.next_after(0) {
        Some(_) => Ok(()),
        None => Err("none of its months has any of its days, so it is never due".to_owned()),
    }
}

/// The first time after `at_ms` (Unix milliseconds).
#[must_use]
pub fn next_after(cron: &str, at_ms: u64) -> Option<u64> {
    parse(cron).ok()?.next_after(at_ms)
}

/// The next times after `at_ms`, as many as the answer to a deployment has.
#[must_use]
pub fn next_times(cron: &str, at_ms: u64) -> Vec<u64> {
    let Ok(cron) = parse(cron) else { return Vec::new() };
    std::iter::successors(cron.next_after(at_ms), |due_ms| cron.next_after(*due_ms)).take(NAMED_TIMES).collect()
}

/// A time in RFC 3339 format, to the second.
#[must_use]
pub fn rfc3339(at_ms: u64) -> String {
    let seconds = at_ms / 1_000;
    let Date { year, month, day, .. } = Date::of(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn parse(cron: &str) -> Result<Cron, String> {
    if cron.starts_with('@') {
        return Err(format!("{cron} is a name for five fields; write the fields, for example 0 0 * * * for @daily"));
    }
    let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
    let Ok([minutes, hours, days, months, weekdays]) = <[&str; 5]>::try_from(fields.as_slice()) else {
        return Err(format!(
            "it has {} fields, not five: minute, hour, day of month, month, day of week",
            fields.len()
        ));
    };
    Ok(Cron {
        minutes: MINUTES.parse(minutes)?,
        hours: HOURS.parse(hours)?,
        days: DAYS.parse(days)?,
        months: MONTHS.parse(months)?,
        weekdays: WEEKDAYS.parse(weekdays)?,
    })
}

impl Cron {
    fn next_after(&self, at_ms: u64) -> Option<u64> {
        let next_minute = (at_ms / MINUTE_MS).checked_add(1)?;
        let (today, minute) = (next_minute / DAY_MINUTES, next_minute % DAY_MINUTES);
        if self.is_on(Date::of(today))
            && let Some(minute) = self.time_from(minute)
        {
            return (today * DAY_MINUTES + minute).checked_mul(MINUTE_MS);
        }
        let first = self.time_from(0)?;
        let mut day = today.checked_add(1)?;
        let end = day.checked_add(CALENDAR_DAYS)?;
        while day < end {
            let date = Date::of(day);
            if !self.months.holds(date.month) {
                day = day.checked_add(date.days_left_in_month())?;
            } else if self.is_on(date) {
                return day.checked_mul(DAY_MINUTES)?.checked_add(first)?.checked_mul(MINUTE_MS);
            } else {
                day += 1;
            }
        }
        None
    }

    /// As in crontab(5): if both the day of the month and the weekday are restricted, a match of either is enough.
    fn is_on(&self, date: Date) -> bool {
        let (day, weekday) = (self.days.holds(date.day), self.weekdays.holds(date.weekday));
        let either = !self.days.starred && !self.weekdays.starred;
        self.months.holds(date.month) && if either { day || weekday } else { day && weekday }
    }

    /// The first minute of a day, from `minute` on.
    fn time_from(&self, minute: u64) -> Option<u64> {
        let hour = u32::try_from(minute / 60).ok()?;
        if self.hours.holds(hour)
            && let Some(minute) = self.minutes.first_from(u32::try_from(minute % 60).ok()?)
        {
            return Some(u64::from(hour * 60 + minute));
        }
        let (hour, minute) = (self.hours.first_from(hour + 1)?, self.minutes.first_from(0)?);
        Some(u64::from(hour * 60 + minute))
    }
}

#[cfg(test)]
mod tests;
