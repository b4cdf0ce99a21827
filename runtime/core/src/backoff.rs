//! When to try again: exponential backoff with full jitter. Knows the policy and a source of numbers, nothing else.

use weirgate_types::RetryPolicy;

/// A seeded source of numbers (`SplitMix64`, <https://doi.org/10.1145/2714064.2660195>). Enough to spread retries; not
/// for secrets.
#[derive(Debug, Clone)]
pub struct Entropy(u64);

impl Entropy {
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: u64) -> u64 {
        let number = self.draw();
        most.checked_add(1).map_or(number, |n| number % n)
    }
}

/// The delay before the attempt that follows attempt number `attempt` (from 1), in milliseconds.
pub fn delay_ms(policy: &RetryPolicy, attempt: u32, entropy: &mut Entropy) -> u64 {
    entropy.up_to(ceiling_ms(policy, attempt))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds up to a day, clamped"
)]
fn ceiling_ms(policy: &RetryPolicy, attempt: u32) -> u64 {
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = policy.first_delay_ms as f64 * policy.factor.powi(exponent);
    grown.min(policy.delay_ms_max as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_grows_by_the_factor_up_to_the_cap() {
        let policy = RetryPolicy { first_delay_ms: 100, factor: 2.0, delay_ms_max: 1_000, ..RetryPolicy::default() };
        let ceilings: Vec<_> = [1, 2, 3, 4, 5, 60, u32::MAX].map(|attempt| ceiling_ms(&policy, attempt)).into();
        assert_eq!(ceilings, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn jitter_is_full() {
        let policy = RetryPolicy { first_delay_ms: 1_000, ..RetryPolicy::default() };
        let mut entropy = Entropy::seeded(1);
        let delays: Vec<_> = (0..1_000).map(|_| delay_ms(&policy, 1, &mut entropy)).collect();
        assert!(delays.iter().all(|delay| *delay <= 1_000));
        assert!(delays.iter().any(|delay| *delay < 50) && delays.iter().any(|delay| *delay > 950));
        let mean = delays.iter().sum::<u64>() / 1_000;
        assert!((450..550).contains(&mean), "{mean}");
    }
}
