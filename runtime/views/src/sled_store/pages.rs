//! Packed pages: many entries in one of sled's rows. sled keeps some 300 bytes in memory for every ten rows that it has, whatever
//! they hold; so entries of which there may be millions share one.
//!
//! A page is found under the lowest key that belongs to it; what belongs to it ends where the next one begins. Which tables are
//! packed is not known here.

use std::collections::BTreeMap;

use crate::{change::ViewEntry, error::ViewError, table::PAGE_BYTES_MAX};

/// The lengths before an entry: of the prefix shared with the previous key, of the rest of the key, of the value.
const HEADER_BYTES: usize = 6;

/// What a page holds.
pub type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bytes that should be a page and are none.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPage;

impl From<NoPage> for ViewError {
    fn from(NoPage: NoPage) -> Self {
        Self::Failed("a page cannot be read".into())
    }
}

/// What sled gets in place of the page under `key`, now that it holds `entries`: one page or several, or none. A reader between
/// two of them misses nothing: what moves is in its new place before it leaves the old one.
pub fn rows(key: Vec<u8>, entries: &Entries) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let Some(first) = entries.keys().next() else { return vec![(key, None)] };
    let mut before = first.as_slice();
    let sized = entries.iter().map(|(key, value)| {
        let bytes = HEADER_BYTES + key.len() - shared(before, key) + value.len();
        before = key;
        (key, value, bytes)
    });
    let sized: Vec<_> = sized.collect();
    let all = sized.iter().map(|(_, _, bytes)| bytes).sum::<usize>();
    // Of equal size, so that each has room for later entries.
    let bytes_each = all.div_ceil(all.div_ceil(PAGE_BYTES_MAX).max(1));
    let mut pages = vec![(key, Vec::new())];
    let mut bytes = 0;
    for (key, value, more) in sized {
        if bytes > 0 && bytes + more > bytes_each {
            pages.push((key.clone(), Vec::new()));
            bytes = 0;
        }
        bytes += more;
        if let Some((_, entries)) = pages.last_mut() {
            entries.push((key, value));
        }
    }
    pages.into_iter().rev().map(|(key, entries)| (key, Some(encode(&entries)))).collect()
}

fn encode(entries: &[(&Vec<u8>, &Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::with_capacity(PAGE_BYTES_MAX), [].as_slice());
    for (key, value) in entries {
        let (_, rest) = key.split_at(shared(before, key));
        for length in [key.len() - rest.len(), rest.len(), value.len()] {
            // Keys and values have far lower limits.
            bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        }
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
        before = key;
    }
    bytes
}

/// Length of the common prefix of two keys.
fn shared(before: &[u8], key: &[u8]) -> usize {
    before.iter().zip(key).take_while(|(a, b)| a == b).count()
}

/// What is in a page, sorted by key.
pub fn decode(page: &[u8]) -> Result<Vec<ViewEntry>, NoPage> {
    let (mut entries, mut reader) = (Vec::new(), Reader { rest: page, key: Vec::new() });
    while !reader.rest.is_empty() {
        let value = reader.next().ok_or(NoPage)?;
        entries.push((reader.key.clone(), value.to_vec()));
    }
    Ok(entries)
}

/// The value that a page has for a key.
pub fn find<'a>(page: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>, NoPage> {
    let mut reader = Reader { rest: page, key: Vec::new() };
    while !reader.rest.is_empty() {
        let value = reader.next().ok_or(NoPage)?;
        if reader.key == key {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Goes through a page.
struct Reader<'a> {
    rest: &'a [u8],
    /// The key of the entry that was read last.
    key: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// The next entry's value.
    fn next(&mut self) -> Option<&'a [u8]> {
        let (shared, after) = length(self.rest)?;
        let (rest, after) = length(after)?;
        let (value, after) = length(after)?;
        let (rest, after) = after.split_at_checked(rest)?;
        let (value, after) = after.split_at_checked(value)?;
        if shared > self.key.len() {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(rest);
        self.rest = after;
        Some(value)
    }
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, after) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_le_bytes(*length).into(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(numbers: impl Iterator<Item = u32>) -> Entries {
        numbers.map(|n| (format!("K/a/{n:05}").into_bytes(), vec![7; n as usize % 50])).collect()
    }

    #[test]
    fn what_is_put_in_pages_is_in_them() {
        for count in [1, 10, 1_000] {
            let all = entries(0..count);
            let rows = rows(b"K".to_vec(), &all);
            let mut found = Entries::new();
            for (key, value) in rows.iter().rev() {
                let held = decode(value.as_ref().expect("a page")).expect("entries");
                assert!(held.iter().all(|(held, _)| held >= key && !found.contains_key(held)), "{key:?}");
                found.extend(held);
            }
            assert_eq!(found, all);
            for (key, value) in &all {
                let (_, page) = rows.iter().find(|(first, _)| first <= key).expect("its page");
                assert_eq!(find(page.as_ref().expect("a page"), key), Ok(Some(value.as_slice())));
            }
            assert_eq!(find(rows[0].1.as_ref().expect("a page"), b"K/z"), Ok(None));
            assert_eq!(rows.last().expect("a page").0, b"K", "the first one keeps its key");
            assert!(
                rows.iter().all(|(_, value)| value.as_ref().is_some_and(|value| value.len() < PAGE_BYTES_MAX + 100))
            );
        }
    }

    #[test]
    fn a_page_without_entries_goes() {
        assert_eq!(rows(b"K1".to_vec(), &Entries::new()), [(b"K1".to_vec(), None)]);
    }

    #[test]
    fn a_large_row_has_a_page_of_its_own() {
        let mut all = entries(0..5);
        all.insert(b"K/a/00002b".to_vec(), vec![1; 4096]);
        let rows = rows(b"K".to_vec(), &all);
        let counts = rows.iter().map(|(_, value)| decode(value.as_ref().expect("a page")).expect("entries").len());
        assert!(counts.sum::<usize>() == 6 && rows.len() > 1, "{rows:?}");
    }

    #[test]
    fn what_is_no_page_is_not_read_as_one() {
        let (_, whole) = rows(b"K".to_vec(), &entries(3..6)).remove(0);
        let whole = whole.expect("a page");
        let sound = (0..whole.len()).filter(|cut| decode(&whole[..*cut]).is_ok()).count();
        assert_eq!(sound, 3, "only where an entry ends");
        assert_eq!(decode(&[9, 0, 1, 0, 0, 0, 1]), Err(NoPage), "it shares more than there is");
    }
}
