//! Randomness from a seed, so that a failed run can be repeated.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The seed in `WEIRGATE_CRASH_SEED`, else a random one; printed, so that a failure shows it.
    pub fn announced(test: &str) -> (Self, u64) {
        let given = std::env::var("WEIRGATE_CRASH_SEED")
            .ok()
            .map(|seed| seed.parse().expect("WEIRGATE_CRASH_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(test));
        eprintln!("{test}: WEIRGATE_CRASH_SEED={seed}");
        (Self::seeded(seed), seed)
    }

    /// `least` to `most`, both inclusive.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.next_u64() % (most - least + 1)
    }

    /// An index into a collection of that length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.between(0, length as u64 - 1)).expect("an index")
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.between(1, n) == 1
    }

    pub fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.between(least * 1_000, most * 1_000))
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
