//! A sum over rows, which verifies that views are whole: each row adds its own number, so the sum is updated with each
//! change without reading other rows, and any missing, old or left-over row changes it.

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A row's contribution to the sum.
pub fn of_row(key: &[u8], value: &[u8]) -> u64 {
    let mixed = mix(mix(FACTOR ^ key.len() as u64, key) ^ (value.len() as u64).rotate_left(32), value);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn mix(start: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let words = words.iter().chain(std::iter::once(&last)).map(|word| u64::from_le_bytes(*word));
    words.fold(start, |mixed, word| {
        let mixed = (mixed ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 32)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_that_differ_add_different_numbers() {
        let mut sums = BTreeSet::new();
        let value = [7; 40];
        for length in 0..40 {
            for split in 0..=length {
                assert!(sums.insert(of_row(&value[..split], &value[split..length])), "{split} of {length}");
            }
        }
        for bit in 0..value.len() * 8 {
            let mut flipped = value;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(sums.insert(of_row(b"key", &flipped)), "bit {bit}");
        }
    }
}
