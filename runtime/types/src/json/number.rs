//! The order of JSON numbers, by their texts: of any length and any exponent, without rounding.

use std::cmp::Ordering;

/// The order of two JSON numbers. Exact, unless both exponents have more than 36 digits.
#[must_use]
pub fn compare_numbers(one: &str, other: &str) -> Ordering {
    let [one, other] = [one, other].map(Decimal::of);
    match (one.is_negative, other.is_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => one.compare_size(&other),
        (true, true) => other.compare_size(&one),
    }
}

/// `0.d1d2d3... * 10^exponent`; zero has no digits.
struct Decimal<'a> {
    is_negative: bool,
    exponent: i128,
    /// Those before and behind the point, without zeros at the beginning of both together.
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a str) -> Self {
        let (sign, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (digits, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.trim_start_matches('0');
        let significant = if whole.is_empty() { fraction.trim_start_matches('0') } else { fraction };
        let zeros = i128::try_from(fraction.len() - significant.len()).unwrap_or(i128::MAX);
        let before = i128::try_from(whole.len()).unwrap_or(i128::MAX);
        let exponent = exponent_of(exponent).saturating_add(before).saturating_sub(zeros);
        let is_zero = whole.is_empty() && significant.is_empty();
        Self { is_negative: sign && !is_zero, exponent, whole, fraction: significant }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    fn is_zero(&self) -> bool {
        self.digits().next().is_none()
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.compare_digits(other)),
        }
    }

    /// Zeros at the end change nothing.
    fn compare_digits(&self, other: &Self) -> Ordering {
        let (mut one, mut two) = (self.digits(), other.digits());
        loop {
            match (one.next(), two.next()) {
                (None, None) => return Ordering::Equal,
                (one, two) => match one.unwrap_or(b'0').cmp(&two.unwrap_or(b'0')) {
                    Ordering::Equal => {}
                    order => return order,
                },
            }
        }
    }
}

/// One that is too large for the type is the largest.
fn exponent_of(text: &str) -> i128 {
    let limit = if text.starts_with('-') { i128::MIN } else { i128::MAX };
    text.parse().unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_without_rounding() {
        let ascending = [
            "-1e99999999999999999999999999999999999999999999",
            "-1E400",
            "-9007199254740993",
            "-9007199254740992.5",
            "-9007199254740992",
            "-1",
            "-0.1",
            "-1e-400",
            "0",
            "1e-99999999999999999999999999999999999999999999",
            "1e-400",
            "0.1",
            "0.10000000000000000000000000001",
            "9",
            "10",
            "10.01",
            "9007199254740992",
            "9007199254740993",
            "12345678901234567890123",
            "12345678901234567890124",
            "1e400",
            "1.0000000000000000000000000001e400",
            "1e99999999999999999999999999999999999999999999",
        ];
        for (index, one) in ascending.iter().enumerate() {
            for (at, other) in ascending.iter().enumerate() {
                assert_eq!(compare_numbers(one, other), index.cmp(&at), "{one} and {other}");
            }
        }
    }

    #[test]
    fn the_same_number_is_written_in_many_ways() {
        for same in [["100", "1e2", "1.00E+2", "0.1e3", "1000e-1"], ["0", "-0", "0.0", "0e9", "-0.00E-7"]] {
            for (one, other) in same.iter().flat_map(|one| same.iter().map(move |other| (one, other))) {
                assert_eq!(compare_numbers(one, other), Ordering::Equal, "{one} and {other}");
            }
        }
    }
}
