//! A Bloom filter in pages: it tells with one page that a table has no rows of a group. The groups are keyed hashes, so their bits
//! need no other hash.

use super::page::PAYLOAD_BYTES;

const BITS: u64 = PAYLOAD_BYTES as u64 * 8;
/// Number of groups for each page: about one group in 150 that a table lacks is looked for in vain.
const PAGE_GROUPS: u64 = 3_000;
/// Number of bits for each group.
const PROBES: u64 = 6;

/// Number of pages for a number of groups.
pub fn pages(groups: u64) -> u64 {
    groups.div_ceil(PAGE_GROUPS)
}

/// Which of `pages` pages tells of a group.
pub fn page_of(group: u64, pages: u64) -> u64 {
    u64::try_from((u128::from(group) * u128::from(pages)) >> 64).unwrap_or(0)
}

/// Notes a group on its page.
pub fn note(page: &mut [u8], group: u64) {
    for (byte, bit) in bits(group) {
        if let Some(byte) = page.get_mut(byte) {
            *byte |= bit;
        }
    }
}

/// Whether the group may have been noted on its page.
pub fn may_hold(page: &[u8], group: u64) -> bool {
    bits(group).all(|(byte, bit)| page.get(byte).is_none_or(|byte| byte & bit != 0))
}

fn bits(group: u64) -> impl Iterator<Item = (usize, u8)> {
    let mixed = group.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (first, step) = (mixed >> 32, (mixed & 0xffff_ffff) | 1);
    (0..PROBES).map(move |probe| {
        let bit = (first + probe * step) % BITS;
        (usize::try_from(bit / 8).unwrap_or(0), 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use weirgate_types::KeyHasher;

    use super::*;

    #[test]
    fn what_was_noted_is_found_and_little_else() {
        let hash = |number: u64| KeyHasher::new([3; 16]).hash(&number.to_string()).0;
        let groups = 20_000;
        let count = pages(groups);
        let mut all = vec![vec![0; PAYLOAD_BYTES]; usize::try_from(count).expect("few")];
        let page = |group| usize::try_from(page_of(group, count)).expect("few");
        for group in (0..groups).map(hash) {
            note(&mut all[page(group)], group);
        }
        assert!((0..groups).map(hash).all(|group| may_hold(&all[page(group)], group)));
        let vain = (groups..5 * groups).map(hash).filter(|group| may_hold(&all[page(*group)], *group)).count();
        assert!(vain < 80_000 / 100, "{vain} of 80000");
        assert_eq!((pages(0), page_of(u64::MAX, 1), page_of(u64::MAX, 7), page_of(0, 7)), (0, 0, 6, 0));
    }
}
