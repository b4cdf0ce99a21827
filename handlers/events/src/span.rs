//! Time spans are whole seconds; this is their format for people.

const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];

/// `600` as `10 min`: in the largest unit that gives a whole number.
#[must_use]
pub fn span(seconds: u64) -> String {
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    unit.map_or_else(|| format!("{seconds} s"), |(length, unit)| format!("{} {unit}", seconds / length))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_span_is_a_whole_number_of_something() {
        let spans = [0, 59, 60, 90, 600, 3_600, 86_400].map(super::span);
        assert_eq!(spans, ["0 s", "59 s", "1 min", "90 s", "10 min", "1 h", "1 d"]);
    }
}
