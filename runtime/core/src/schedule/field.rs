//! One field of a schedule: `*`, a number, a range, a list of these; a step after `*` or a range; names of months and
//! weekdays. Extensions of crontab(5) (`?`, `L`, `W`, `#`, seconds, years, `@daily`) are refused.

/// The values of a field, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    bits: u64,
    /// The field begins with `*`: it adds no restriction.
    pub(super) starred: bool,
}

/// The range of a field.
pub(super) struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Names of the values from `first` on.
    names: &'static [&'static str],
}

pub(super) const MINUTES: Field = Field { name: "minute", first: 0, last: 59, names: &[] };
pub(super) const HOURS: Field = Field { name: "hour", first: 0, last: 23, names: &[] };
pub(super) const DAYS: Field = Field { name: "day of month", first: 1, last: 31, names: &[] };
pub(super) const MONTHS: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
/// 7 is Sunday too.
pub(super) const WEEKDAYS: Field =
    Field { name: "day of week", first: 0, last: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Set {
    pub(super) fn holds(self, value: u32) -> bool {
        self.bits >> value & 1 == 1
    }

    pub(super) fn first_from(self, value: u32) -> Option<u32> {
        let later = self.bits.checked_shr(value)?;
        (later != 0).then(|| value + later.trailing_zeros())
    }
}

impl Field {
    pub(super) fn parse(&self, text: &str) -> Result<Set, String> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part)?;
        }
        if self.is_weekday() && bits >> 7 & 1 == 1 {
            bits = (bits | 1) & 0x7f;
        }
        Ok(Set { bits, starred: text.starts_with('*') })
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last - u32::from(self.is_weekday())),
            Some((first, last)) => (self.value(first)?, self.last_value(last)?),
            None if step.is_some() => {
                return Err(
                    self.wrong(part, &format!("a step has to follow * or a range, such as {range}-{}", self.last))
                );
            }
            None => (self.value(range)?, self.value(range)?),
        };
        if first > last {
            return Err(self.wrong(part, "the range ends before it begins"));
        }
        let step = step.map_or(Ok(1), |step| self.step(part, step, first, last))?;
        Ok((first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn step(&self, part: &str, step: &str, first: u32, last: u32) -> Result<usize, String> {
        match number(step) {
            Some(0) => Err(self.wrong(part, "a step is at least 1")),
            Some(step) if step <= last - first => usize::try_from(step).map_err(|error| error.to_string()),
            Some(_) => {
                Err(self.wrong(part, &format!("the step is larger than the range, so that only {first} is left")))
            }
            None => Err(self.wrong(part, "a step is a number")),
        }
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|index| u32::try_from(index).ok()).map(|index| self.first + index);
        let value = named.or_else(|| number(text)).filter(|value| (self.first..=self.last).contains(value));
        value.ok_or_else(|| {
            let or_by_name = if self.names.is_empty() { "" } else { " or their English names in three letters" };
            self.wrong(text, &format!("it takes {} to {}{or_by_name}, and *", self.first, self.last))
        })
    }

    /// The end of a range: a week may end with Sunday.
    fn last_value(&self, text: &str) -> Result<u32, String> {
        let is_sunday = self.is_weekday() && text.eq_ignore_ascii_case("sun");
        if is_sunday { Ok(self.last) } else { self.value(text) }
    }

    fn is_weekday(&self) -> bool {
        self.last == WEEKDAYS.last
    }

    fn wrong(&self, part: &str, reason: &str) -> String {
        format!("{part:?} cannot be read as {}: {reason}", self.name)
    }
}

/// One or two digits.
fn number(text: &str) -> Option<u32> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
