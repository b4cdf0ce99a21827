//! When to try again: stages of exponential backoff with jitter. Knows only the stages and a source of random numbers.

use weirgate_types::{Jitter, RetryStage};

/// A seeded source of random numbers (`SplitMix64`, <https://doi.org/10.1145/2714064.2660195>). Good enough to spread
/// retries; not for secrets.
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

    /// A number from 0 to `most`, both inclusive.
    pub fn up_to(&mut self, most: u64) -> u64 {
        let number = self.draw();
        most.checked_add(1).map_or(number, |n| number % n)
    }
}

/// The stage, and the delay in milliseconds, of the attempt that follows `spent` failed ones; `None` when the stages are
/// used up.
pub fn next_retry(stages: &[RetryStage], spent: u32, entropy: &mut Entropy) -> Option<(u8, u64)> {
    let mut retry = spent;
    for (index, stage) in stages.iter().enumerate() {
        if retry <= stage.attempts {
            let delay_ms = jittered(stage, ceiling_ms(stage, retry), entropy);
            return Some((u8::try_from(index).unwrap_or(u8::MAX), delay_ms));
        }
        retry -= stage.attempts;
    }
    None
}

fn jittered(stage: &RetryStage, ceiling_ms: u64, entropy: &mut Entropy) -> u64 {
    match stage.jitter {
        Jitter::Full => entropy.up_to(ceiling_ms),
        Jitter::Equal => ceiling_ms / 2 + entropy.up_to(ceiling_ms - ceiling_ms / 2),
        Jitter::None => ceiling_ms,
    }
}

/// The upper bound of the delay before a stage's `retry`-th attempt, counted from 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds up to a day, clamped"
)]
fn ceiling_ms(stage: &RetryStage, retry: u32) -> u64 {
    let exponent = i32::try_from(retry.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = stage.first_delay_ms as f64 * stage.factor.powi(exponent);
    grown.min(stage.delay_ms_max as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: RetryStage =
        RetryStage { attempts: 7, first_delay_ms: 100, factor: 2.0, delay_ms_max: 1_000, jitter: Jitter::None };

    #[test]
    fn the_delay_grows_by_the_factor_up_to_the_cap() {
        let delays = [1, 2, 3, 4, 5, 60, u32::MAX].map(|retry| ceiling_ms(&STAGE, retry));
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn one_stage_follows_the_other() {
        let stages = [
            RetryStage { attempts: 2, ..STAGE },
            RetryStage { attempts: 1, first_delay_ms: 5_000, delay_ms_max: 9_000, ..STAGE },
        ];
        let mut entropy = Entropy::seeded(1);
        let retries: Vec<_> = (1..=4).map(|spent| next_retry(&stages, spent, &mut entropy)).collect();
        assert_eq!(retries, [Some((0, 100)), Some((0, 200)), Some((1, 5_000)), None]);
        assert_eq!(next_retry(&[], 1, &mut entropy), None);
    }

    #[test]
    fn full_jitter_is_full_and_equal_jitter_half() {
        let mut entropy = Entropy::seeded(1);
        for (jitter, least, mean) in [(Jitter::Full, 0, 500), (Jitter::Equal, 500, 750), (Jitter::None, 1_000, 1_000)] {
            let stage = RetryStage { first_delay_ms: 1_000, jitter, ..STAGE };
            let delays: Vec<_> =
                (0..1_000).filter_map(|_| next_retry(&[stage], 1, &mut entropy)).map(|(_, delay)| delay).collect();
            assert!(delays.iter().all(|delay| (least..=1_000).contains(delay)));
            let found = delays.iter().sum::<u64>() / 1_000;
            assert!(found.abs_diff(mean) < 50, "{jitter:?}: {found}");
        }
    }
}
