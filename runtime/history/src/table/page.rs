//! A page of 4 KiB with its checksum, which is over the file's identity and the page's number too: so a page of another file, or
//! one at another place, is not taken for this one.

use super::TableError;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4_096;
/// Checksum, number of bytes in use, and two zeros.
const HEAD_BYTES: usize = 8;
/// The most bytes that a page can hold.
pub const PAYLOAD_BYTES: usize = PAGE_BYTES - HEAD_BYTES;

/// The checksum's beginning, of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    pub fn of(identity: &[u8]) -> Self {
        Self(crc32c::crc32c(identity))
    }

    fn checksum(self, number: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &number.to_le_bytes()), bytes)
    }
}

/// The bytes of a page that holds `payload`, which is cut at [`PAYLOAD_BYTES`].
pub fn encode(seed: Seed, number: u64, payload: &[u8]) -> [u8; PAGE_BYTES] {
    let payload = payload.get(..PAYLOAD_BYTES).unwrap_or(payload);
    let used = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let mut page = [0; PAGE_BYTES];
    for (to, from) in page.iter_mut().skip(4).zip(used.to_le_bytes().iter().chain(&[0, 0]).chain(payload)) {
        *to = *from;
    }
    let checksum = seed.checksum(number, page.get(4..).unwrap_or_default());
    for (to, from) in page.iter_mut().zip(checksum.to_le_bytes()) {
        *to = from;
    }
    page
}

/// The payload of a page.
///
/// # Errors
/// [`TableError::Damaged`]: the checksum differs.
pub fn decode(seed: Seed, number: u64, page: &[u8; PAGE_BYTES]) -> Result<&[u8], TableError> {
    let damaged = TableError::Damaged("a page's checksum differs");
    let Some((checksum, rest)) = page.split_first_chunk::<4>() else { return Err(damaged) };
    if u32::from_le_bytes(*checksum) != seed.checksum(number, rest) {
        return Err(damaged);
    }
    let Some((used, rest)) = rest.split_first_chunk::<2>() else { return Err(damaged) };
    rest.get(2..2 + usize::from(u16::from_le_bytes(*used))).ok_or(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_only_sound_where_it_belongs() {
        let (seed, other) = (Seed::of(b"one"), Seed::of(b"two"));
        for payload in [vec![], vec![1; 100], vec![2; PAYLOAD_BYTES]] {
            let page = encode(seed, 7, &payload);
            assert_eq!(decode(seed, 7, &page).expect("a sound page"), payload);
            assert!(decode(seed, 8, &page).is_err() && decode(other, 7, &page).is_err());
            for at in [0, 5, 7, 8, 4_095] {
                let mut page = page;
                page[at] ^= 1;
                assert!(decode(seed, 7, &page).is_err(), "byte {at}");
            }
        }
    }
}
