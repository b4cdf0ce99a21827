//! All random decisions of a history, drawn from its seed.

use weirgate_core::Entropy;

pub struct Chance(Entropy);

impl Chance {
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        // Consecutive seeds give unrelated numbers.
        Self(Entropy::seeded(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1)))
    }

    pub fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.draw() % n }
    }

    /// A number from `least` to `most`, both inclusive.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True with probability 1/`n`; never if `n` is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.below(n) == 0
    }

    /// An index below `length`.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }
}
