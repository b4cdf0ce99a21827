//! Amounts of money are whole cents of EUR; this is their format for people.

/// `1910` as `19.10 EUR`.
#[must_use]
pub fn euros(cents: u64) -> String {
    format!("{}.{:02} EUR", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cents_have_two_digits() {
        assert_eq!([5, 1910, 100].map(super::euros), ["0.05 EUR", "19.10 EUR", "1.00 EUR"]);
    }
}
