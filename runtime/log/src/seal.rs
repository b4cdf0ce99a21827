//! The seal of a segment that gets no more records: it says that all of the segment was sound, where its last batch lies, and
//! holds its index. With it an opening need not read the segment.
//!
//! A file beside the segment, never synced. A seal that is missing, damaged or of other bytes proves nothing: the segment is
//! read, and sealed again.

use std::{io, sync::Arc};

use weirgate_types::Position;

use crate::{
    Epoch, Storage, StorageFile,
    format::Checks,
    segment::{Index, Mark, Segment},
};

const MAGIC: [u8; 8] = *b"WEIRSEAL";
const SUFFIX: &str = ".seal";
pub const SEAL_HEADER_BYTES: usize = 64;
pub const ENTRY_BYTES: usize = 24;

/// The name of the seal of the segment that begins at `first`.
pub fn seal_name(first: Position) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The position in a seal's name; `None` for other files.
pub fn seal_position(name: &str) -> Option<Position> {
    let position = Position(name.strip_suffix(SUFFIX)?.parse().ok()?);
    (seal_name(position) == name).then_some(position)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// The segment's epoch.
    pub epoch: Epoch,
    pub first: Position,
    /// The position that follows its last one.
    pub next: Position,
    /// Of the bytes of its last batch.
    pub last_checksum: u32,
    pub index: Index,
}

impl Seal {
    /// The seal of a segment that is sound as a whole and followed by one that begins at `next`.
    pub fn of(
        checks: Checks,
        epoch: Epoch,
        next: Position,
        segment: &Segment,
        file: &dyn StorageFile,
    ) -> io::Result<Self> {
        let index = segment.copy_of_index();
        let last_checksum = last_checksum(checks, &index, file)?;
        Ok(Self { epoch, first: segment.first, next, last_checksum, index })
    }

    pub fn encode(&self, checks: Checks) -> Vec<u8> {
        let marks = self.index.marks();
        let mut bytes = Vec::with_capacity(SEAL_HEADER_BYTES + marks.len() * ENTRY_BYTES + 4);
        bytes.extend(MAGIC);
        bytes.extend(self.epoch.0);
        for number in [self.first.0, self.next.0, self.index.last_batch(), self.index.end()] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.last_checksum.to_le_bytes());
        bytes.extend(u32::try_from(marks.len()).unwrap_or(u32::MAX).to_le_bytes());
        for mark in marks {
            for number in [mark.position.0, mark.offset, mark.batch_end] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(checks.bytes(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the bytes are not a sound seal of this log.
    pub fn decode(checks: Checks, bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*checksum) != checks.bytes(body) {
            return None;
        }
        let (header, entries) = body.split_at_checked(SEAL_HEADER_BYTES)?;
        let rest = header.strip_prefix(&MAGIC)?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (numbers, rest) = rest.split_at_checked(32)?;
        let [first, next, last_batch, end] = numbers_of(numbers)?;
        let (last_checksum, count) = rest.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(count.try_into().ok()?);
        if entries.len() != usize::try_from(count).ok()?.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        let mark = |entry: &[u8]| {
            let [position, offset, batch_end] = numbers_of(entry)?;
            Some(Mark { position: Position(position), offset, batch_end })
        };
        let marks = entries.chunks_exact(ENTRY_BYTES).map(mark).collect::<Option<Vec<_>>>()?;
        let index = Index::of(marks, last_batch, end)?;
        let last_checksum = u32::from_le_bytes(*last_checksum);
        Some(Self { epoch: Epoch(*epoch), first: Position(first), next: Position(next), last_checksum, index })
    }

    /// Whether this is the seal of the segment in `file`: of its epoch and position, and the file ends with the same batch.
    pub fn is_of(
        &self,
        checks: Checks,
        (epoch, first): (Epoch, Position),
        file: &dyn StorageFile,
        size: u64,
    ) -> io::Result<bool> {
        let fits = self.epoch == epoch && self.first == first && self.index.end() <= size;
        Ok(fits && last_checksum(checks, &self.index, file)? == self.last_checksum)
    }
}

/// The checksum of the last batch's bytes, as they are in the file.
fn last_checksum(checks: Checks, index: &Index, file: &dyn StorageFile) -> io::Result<u32> {
    let length = index.end().saturating_sub(index.last_batch());
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_at(&mut bytes, index.last_batch())?;
    Ok(checks.bytes(&bytes))
}

fn numbers_of<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let numbers: Vec<u64> =
        bytes.chunks(8).filter_map(|number| Some(u64::from_le_bytes(number.try_into().ok()?))).collect();
    numbers.try_into().ok()
}

/// The seal beside the segment that begins at `first`, if there is a sound one. Where it cannot be read, there is none.
pub fn load(storage: &dyn Storage, checks: Checks, first: Position) -> Option<Seal> {
    let name = seal_name(first);
    let read = || {
        let file = storage.open(&name)?;
        let mut bytes = vec![0; usize::try_from(file.size()?).map_err(io::Error::other)?];
        file.read_at(&mut bytes, 0)?;
        Ok::<_, io::Error>(bytes)
    };
    match read() {
        Ok(bytes) => Seal::decode(checks, &bytes),
        Err(error) => {
            tracing::debug!(name, %error, "a seal cannot be read; its segment is");
            None
        }
    }
}

/// Seals a segment that is followed by one that begins at `next`. Without a seal nothing is lost but time at the next opening, so
/// this never fails.
pub fn seal(
    storage: &dyn Storage,
    checks: Checks,
    (epoch, next): (Epoch, Position),
    segment: &Arc<Segment>,
    file: &dyn StorageFile,
) {
    let name = seal_name(segment.first);
    let write = || {
        let bytes = Seal::of(checks, epoch, next, segment, file)?.encode(checks);
        let file = match storage.create(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                storage.remove(&name)?;
                storage.create(&name)?
            }
            created => created?,
        };
        file.write_at(&bytes, 0)
    };
    match write() {
        Ok(()) => segment.set_sealed(true),
        Err(error) => tracing::debug!(name, %error, "a segment cannot be sealed; the next opening reads it"),
    }
}

/// Removes a seal: what it says is no longer known to be so.
pub fn unseal(storage: &dyn Storage, first: Position) -> io::Result<()> {
    match storage.remove(&seal_name(first)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Salt;

    fn a_seal() -> Seal {
        let mark = |position: u64, offset| Mark { position: Position(position), offset, batch_end: offset + 50 };
        let index = Index::of(vec![mark(7, 96), mark(9, 40_000)], 40_000, 41_000).expect("an index");
        Seal { epoch: Epoch([3; 16]), first: Position(7), next: Position(12), last_checksum: 99, index }
    }

    #[test]
    fn names_are_read_as_written() {
        assert_eq!(seal_position(&seal_name(Position(42))), Some(Position(42)));
        for other in ["42.seal", "00000000000000000042.seg", "+0000000000000000042.seal", ".seal"] {
            assert_eq!(seal_position(other), None, "{other}");
        }
    }

    #[test]
    fn a_seal_is_read_as_written_or_not_at_all() {
        let (seal, checks) = (a_seal(), Checks::of(Salt([2; 16])));
        let bytes = seal.encode(checks);
        assert_eq!(Seal::decode(checks, &bytes), Some(seal));
        assert_eq!(Seal::decode(Checks::of(Salt([4; 16])), &bytes), None, "of another log");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Seal::decode(checks, &flipped), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(Seal::decode(checks, &bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn an_index_that_cannot_be_is_none() {
        let mark = |position: u64, offset| Mark { position: Position(position), offset, batch_end: offset + 50 };
        for (marks, last_batch, end) in [
            (vec![], 64, 100),
            (vec![mark(1, 96), mark(1, 200)], 64, 300),
            (vec![mark(1, 96), mark(2, 96)], 64, 300),
            (vec![mark(1, 10)], 64, 300),
            (vec![mark(1, 290)], 64, 300),
            (vec![mark(1, 96)], 10, 300),
            (vec![mark(1, 96)], 301, 300),
        ] {
            assert_eq!(Index::of(marks.clone(), last_batch, end), None, "{marks:?}");
        }
    }
}
