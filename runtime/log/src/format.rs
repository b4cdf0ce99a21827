//! The bytes of a segment: its header, the header of a batch, the frame around a record. This code implements
//! `docs/formats/log.md`. Knows no files.

use crc32c::{crc32c, crc32c_append};
use weirgate_types::Position;

use crate::{Epoch, Identity, Salt};

pub const SEGMENT_HEADER_BYTES: usize = 64;
pub const BATCH_HEADER_BYTES: usize = 32;
pub const FRAME_HEADER_BYTES: usize = 12;

const MAGIC: [u8; 8] = *b"WEIRSEG\0";
pub const VERSION: u32 = 5;
const SUFFIX: &str = ".seg";
const NAME_DIGITS: usize = 20;

/// The name of the segment that begins at `first`.
pub fn segment_name(first: Position) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The position in a segment's name; `None` for files that are not segments.
pub fn segment_position(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all_digits).map(Position)
}

/// Reads fields from the front of a byte slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub identity: Identity,
    pub first: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFault {
    /// Not a segment header, or not a whole one.
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.identity.epoch.0);
        bytes.extend_from_slice(&self.identity.salt.0);
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let checksum = crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        Self::fields(bytes).ok_or(HeaderFault::Damaged)?
    }

    fn fields(bytes: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let mut fields = Fields(bytes.get(..SEGMENT_HEADER_BYTES)?);
        let magic: [u8; 8] = fields.take()?;
        let version = fields.u32()?;
        fields.u32()?;
        let identity = Identity { epoch: Epoch(fields.take()?), salt: Salt(fields.take()?) };
        let first = Position(fields.u64()?);
        fields.u32()?;
        let sound = fields.u32()? == crc32c(bytes.get(..SEGMENT_HEADER_BYTES - 4)?) && magic == MAGIC;
        match (sound, version) {
            (false, _) => None,
            (true, VERSION) => Some(Ok(Self { identity, first })),
            (true, other) => Some(Err(HeaderFault::Version(other))),
        }
    }
}

/// A batch's header: one write, which is durable as a whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub first: Position,
    /// Of the frames that follow.
    pub bytes: u32,
    pub records: u32,
    /// Number of positions that the records take.
    pub positions: u32,
}

/// The frame of a record, without the record's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Of the record's encoding.
    pub bytes: u32,
    pub width: u32,
    pub checksum: u32,
}

impl FrameHeader {
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self { bytes: fields.u32()?, width: fields.u32()?, checksum: fields.u32()? })
    }

    pub fn encode(&self) -> [u8; FRAME_HEADER_BYTES] {
        let mut out = [0; FRAME_HEADER_BYTES];
        for (to, from) in out.chunks_exact_mut(4).zip([self.bytes, self.width, self.checksum]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        out
    }
}

/// Values derived from a log's salt: the mark of its batches, and the start of its checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    mark: [u8; 8],
    seed: u32,
}

impl Checks {
    pub fn of(salt: Salt) -> Self {
        let mut mark = [0; 8];
        mark.iter_mut().zip(salt.0).for_each(|(to, from)| *to = from);
        Self { mark, seed: crc32c(&salt.0) }
    }

    pub fn mark(&self) -> &[u8; 8] {
        &self.mark
    }

    /// The checksum of a record. It includes the position, so that no record can be mistaken for another.
    pub fn record(&self, position: Position, width: u32, record: &[u8]) -> u32 {
        let mut checksum = crc32c_append(self.seed, &position.0.to_le_bytes());
        checksum = crc32c_append(checksum, &width.to_le_bytes());
        crc32c_append(checksum, record)
    }

    /// The checksum of other bytes of the log.
    pub fn bytes(&self, bytes: &[u8]) -> u32 {
        crc32c_append(self.seed, bytes)
    }

    pub fn encode_batch(&self, header: &BatchHeader) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES);
        bytes.extend_from_slice(&self.mark);
        bytes.extend_from_slice(&header.first.0.to_le_bytes());
        bytes.extend_from_slice(&header.bytes.to_le_bytes());
        bytes.extend_from_slice(&header.records.to_le_bytes());
        bytes.extend_from_slice(&header.positions.to_le_bytes());
        let checksum = crc32c_append(self.seed, &bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if there is a sound one.
    pub fn decode_batch(&self, bytes: &[u8]) -> Option<BatchHeader> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let mut fields = Fields(bytes);
        let mark: [u8; 8] = fields.take()?;
        let header = BatchHeader {
            first: Position(fields.u64()?),
            bytes: fields.u32()?,
            records: fields.u32()?,
            positions: fields.u32()?,
        };
        let sound = fields.u32()? == crc32c_append(self.seed, bytes.get(..BATCH_HEADER_BYTES - 4)?);
        (sound && mark == self.mark).then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { epoch: Epoch([1; 16]), salt: Salt([2; 16]) };

    #[test]
    fn names_are_read_as_written() {
        assert_eq!(segment_name(Position(42)), "00000000000000000042.seg");
        assert_eq!(segment_position("00000000000000000042.seg"), Some(Position(42)));
        for other in
            ["lock", "42.seg", "+0000000000000000042.seg", "99999999999999999999.seg", "0000000000000000004x.seg"]
        {
            assert_eq!(segment_position(other), None, "{other}");
        }
    }

    #[test]
    fn a_segment_header_is_whole_or_refused() {
        let header = SegmentHeader { identity: IDENTITY, first: Position(7) };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..SEGMENT_HEADER_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), Err(HeaderFault::Damaged), "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&bytes[..63]), Err(HeaderFault::Damaged));
    }

    #[test]
    fn a_later_format_version_is_reported() {
        let mut bytes = SegmentHeader { identity: IDENTITY, first: Position(7) }.encode();
        bytes[8] = 1 + u8::try_from(VERSION).expect("a small number");
        let checksum = crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Version(VERSION + 1)));
    }

    #[test]
    fn a_batch_header_is_known_only_to_its_log() {
        let header = BatchHeader { first: Position(9), bytes: 100, records: 3, positions: 4 };
        let bytes = Checks::of(IDENTITY.salt).encode_batch(&header);
        assert_eq!(Checks::of(IDENTITY.salt).decode_batch(&bytes), Some(header));
        assert_eq!(Checks::of(Salt([3; 16])).decode_batch(&bytes), None);
        for bit in 0..BATCH_HEADER_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Checks::of(IDENTITY.salt).decode_batch(&flipped), None, "bit {bit}");
        }
    }
}
