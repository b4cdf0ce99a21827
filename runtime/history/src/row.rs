//! A row of a table: what it is about, by hashes, and a position in the log. Its encoding leaves out what the row before it says.

use weirgate_types::Position;

/// The most bytes of an encoded row.
pub const ROW_BYTES_MAX: usize = 1 + 8 + 8 + 10 + 5;

const SAME_GROUP: u8 = 1;
const SAME_PART: u8 = 2;
const HAS_PART: u8 = 4;
const HAS_INDEX: u8 = 8;
const REMOVED: u8 = 16;
const KNOWN: u8 = 31;

/// Sorted by group, part and position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The hash of a term (`terms.rs`).
    pub group: u64,
    /// For a write of a state value, the hash of its name; 0 in all other rows.
    pub part: u64,
    pub position: Position,
    /// For a write, its index among the state writes of its record.
    pub index: u32,
    /// The write removes the value.
    pub removed: bool,
}

impl Row {
    /// A record or an event at `position` belongs to the term.
    pub fn posting(group: u64, position: Position) -> Self {
        Self { group, part: 0, position, index: 0, removed: false }
    }

    pub fn is_write(&self) -> bool {
        self.part != 0
    }

    /// Appends its bytes; `before` is the row before it on its page.
    pub fn encode(&self, before: Option<&Self>, bytes: &mut Vec<u8>) -> Result<(), postcard::Error> {
        let is_same_group = before.is_some_and(|before| before.group == self.group);
        let base = before.filter(|before| is_same_group && before.part == self.part);
        let flags = [
            (is_same_group, SAME_GROUP),
            (base.is_some(), SAME_PART),
            (self.part != 0, HAS_PART),
            (self.index != 0, HAS_INDEX),
            (self.removed, REMOVED),
        ];
        bytes.push(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        if !is_same_group {
            bytes.extend_from_slice(&self.group.to_le_bytes());
        }
        if base.is_none() && self.part != 0 {
            bytes.extend_from_slice(&self.part.to_le_bytes());
        }
        let position = self.position.0.wrapping_sub(base.map_or(0, |base| base.position.0));
        *bytes = postcard::to_extend(&position, std::mem::take(bytes))?;
        if self.index != 0 {
            *bytes = postcard::to_extend(&self.index, std::mem::take(bytes))?;
        }
        Ok(())
    }

    /// The row at the beginning of `bytes`, and the bytes behind it; `None`: there is no sound row.
    pub fn decode<'a>(before: Option<&Self>, bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&flags, mut rest) = bytes.split_first()?;
        let has = |flag: u8| flags & flag != 0;
        if flags & !KNOWN != 0 || has(SAME_PART) && !has(SAME_GROUP) {
            return None;
        }
        let group = if has(SAME_GROUP) { before?.group } else { fixed(&mut rest)? };
        let (part, base) = match (has(SAME_PART), has(HAS_PART)) {
            (true, _) => (before?.part, before?.position.0),
            (false, true) => (fixed(&mut rest)?, 0),
            (false, false) => (0, 0),
        };
        let (position, rest) = postcard::take_from_bytes::<u64>(rest).ok()?;
        let (index, rest) = if has(HAS_INDEX) { postcard::take_from_bytes::<u32>(rest).ok()? } else { (0, rest) };
        let position = Position(base.checked_add(position)?);
        Some((Self { group, part, position, index, removed: has(REMOVED) }, rest))
    }
}

fn fixed(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk::<8>()?;
    *rest = behind;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_back_behind_any_other() {
        let row =
            |group, part, position, index, removed| Row { group, part, position: Position(position), index, removed };
        let rows = [
            row(0, 0, 1, 0, false),
            row(0, 0, 300, 0, false),
            row(0, 7, 2, u32::MAX, true),
            row(0, 7, u64::MAX, 1, false),
            row(u64::MAX, 0, u64::MAX, 0, false),
            row(u64::MAX, u64::MAX, u64::MAX, u32::MAX, true),
        ];
        for before in [None].into_iter().chain(rows.iter().map(Some)) {
            // Rows are sorted, so only a larger one follows.
            for row in rows.iter().filter(|row| before.is_none_or(|before| before < *row)) {
                let mut bytes = Vec::new();
                row.encode(before, &mut bytes).expect("encoded");
                assert!(bytes.len() <= ROW_BYTES_MAX);
                bytes.push(99);
                assert_eq!(Row::decode(before, &bytes), Some((*row, &[99][..])), "{row:?} behind {before:?}");
                for end in 0..bytes.len() - 1 {
                    assert_eq!(Row::decode(before, &bytes[..end]), None, "{row:?} cut at {end}");
                }
            }
        }
        assert_eq!(Row::decode(None, &[SAME_GROUP, 1]), None, "nothing is before it");
        assert_eq!(Row::decode(Some(&rows[0]), &[SAME_PART, 1]), None);
        assert_eq!(Row::decode(None, &[32]), None, "an unknown flag");
    }
}
