//! Amounts of money are whole cents of EUR; this is their format for people, the same as the shop's pages have.

use std::fmt::Write as _;

/// `191000` as `€1,910.00`.
#[must_use]
pub fn euros(cents: u64) -> String {
    let digits = (cents / 100).to_string();
    let mut text = String::from("€");
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && digits.len().abs_diff(n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    // Writing to a `String` cannot fail.
    let _ = write!(text, ".{:02}", cents % 100);
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn amounts_are_written_as_in_the_readme() {
        let readme = include_str!("../../README.md");
        for cents in [0, 5, 100, 1910, 99_999, 100_000, 123_456_789, 9_007_199_254_740_991] {
            let row = format!("| {cents} | {} |", super::euros(cents));
            assert!(readme.contains(&row), "handlers/README.md lacks {row}");
        }
        assert_eq!([99_999, 100_000].map(super::euros), ["€999.99", "€1,000.00"]);
    }
}
