//! The calendar: from a day's number to its date. Gregorian, in UTC, without leap seconds, like Unix time.

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const DAY_MINUTES: u64 = 24 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub year: u64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 is Sunday.
    pub weekday: u32,
}

impl Date {
    /// The date of a day, counted from 1 January 1970, a Thursday.
    pub fn of(days: u64) -> Self {
        const ERA_DAYS: u64 = 146_097;
        // Years are counted from March, so that a leap day is the last day of its year.
        let shifted = days.saturating_add(719_468);
        let (era, day_of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let small = |value: u64| u32::try_from(value).unwrap_or_default();
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: small(month),
            day: small(day_of_year - (153 * month_from_march + 2) / 5 + 1),
            weekday: small((days % 7 + 4) % 7),
        }
    }

    /// Number of days until the first of the next month.
    pub fn days_left_in_month(self) -> u64 {
        let is_leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let length = match self.month {
            2 => 28 + u32::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        u64::from(length + 1 - self.day)
    }
}
