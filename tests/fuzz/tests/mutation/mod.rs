//! Mutations of seeds, drawn from a number: bits, bytes, numbers at their edges, words, pieces of other seeds, repetitions.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Most inputs are small; some reach this size.
const INPUT_BYTES_MAX: usize = 600 << 10;
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX - 1, u64::MAX];

pub struct Mutations<'a> {
    chance: ChaCha8Rng,
    seeds: &'a [Vec<u8>],
    words: &'a [&'a str],
}

impl<'a> Mutations<'a> {
    pub fn new(seed: u64, seeds: &'a [Vec<u8>], words: &'a [&'a str]) -> Self {
        Self { chance: ChaCha8Rng::seed_from_u64(seed), seeds, words }
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.chance.next_u64() % (n.max(1) as u64)).expect("it is below a usize")
    }

    /// The next input.
    pub fn next(&mut self) -> Vec<u8> {
        let index = self.below(self.seeds.len());
        let mut bytes = self.seeds[index].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut bytes);
        }
        bytes.truncate(INPUT_BYTES_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below(16.min(bytes.len() - at) + 1);
        match self.below(10) {
            0 | 1 => {
                let bit = self.below(8);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let random = self.chance.next_u64().to_le_bytes();
                drop(bytes.splice(at..end, random.into_iter().take(1 + at % 8)));
            }
            4 => {
                let edge = EDGES[self.below(EDGES.len())];
                match self.below(2) {
                    0 => drop(bytes.splice(at..end, edge.to_le_bytes())),
                    _ => drop(bytes.splice(at..end, edge.to_string().into_bytes())),
                }
            }
            5 | 6 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                drop(bytes.splice(at..at, word.bytes()));
            }
            7 => {
                let index = self.below(self.seeds.len());
                let other = &self.seeds[index];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&self.seeds[index][from..]);
            }
            8 => {
                let piece = bytes[at..end].to_vec();
                let doublings = if self.below(40) == 0 { 17 } else { 6 };
                let times = 1 << self.below(doublings);
                let repeated = piece.repeat(times);
                drop(bytes.splice(at..at, repeated.into_iter().take(INPUT_BYTES_MAX)));
            }
            _ => bytes.truncate(at),
        }
    }
}
