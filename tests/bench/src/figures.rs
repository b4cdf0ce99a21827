//! Arithmetic on measurements: percentiles, rates, medians. Knows no load and no process.

use std::time::Duration;

/// The smallest duration that is at least as long as `share` (0 to 1) of the `sorted` ones; zero if there are none.
#[must_use]
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length that is far below 2^52"
    )]
    let rank = (float(sorted.len()) * share).ceil().max(1.0) as usize;
    sorted.get(rank.min(sorted.len()).saturating_sub(1)).copied().unwrap_or_default()
}

/// Rounded to a hundredth.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3)
}

/// Microseconds of `total` per item of `count`; zero if there are none.
#[must_use]
pub fn us_each(total: Duration, count: usize) -> f64 {
    if count == 0 { 0.0 } else { rounded(total.as_secs_f64() * 1e6 / float(count)) }
}

#[must_use]
pub fn mib(kib: u64) -> f64 {
    rounded(usize::try_from(kib).map_or(f64::NAN, float) / 1024.0)
}

#[must_use]
pub fn rate_per_s(count: usize, took: Duration) -> f64 {
    if took.is_zero() { 0.0 } else { rounded(float(count) / took.as_secs_f64()) }
}

#[must_use]
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The median; the lower of the two middle values for an even number. Not a number if there are none.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[must_use]
pub fn float(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of events and bytes are far below 2^52")]
    {
        count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let sorted: Vec<_> = (1..=1_000).map(Duration::from_millis).collect();
        let ms = |share| percentile(&sorted, share).as_millis();
        assert_eq!((ms(0.5), ms(0.99), ms(0.999), ms(1.0), ms(0.0)), (500, 990, 999, 1_000, 1));
        assert_eq!(percentile(&[], 0.99), Duration::ZERO);
        assert_eq!(percentile(&[Duration::from_secs(3)], 0.5), Duration::from_secs(3));
    }

    #[test]
    fn rates_and_medians() {
        assert!((rate_per_s(500, Duration::from_millis(250)) - 2_000.0).abs() < 1e-9);
        assert!((us_each(Duration::from_secs(1), 8_000) - 125.0).abs() < 1e-9);
        assert!((median([9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!(median([]).is_nan());
    }
}
