//! The pending batch: records encoded and framed in memory, ready for one write.

use weirgate_types::{Position, Record};

use crate::{
    LogError,
    format::{BATCH_HEADER_BYTES, BatchHeader, Checks, FRAME_HEADER_BYTES, FrameHeader},
};

/// Minimum number of bytes that an index entry covers; the maximum is twice as many plus one record, which is what one read
/// fetches. An entry takes 24 bytes, so the index of 100 GiB takes 75 MiB.
pub const INDEX_BYTES: usize = 32 * 1024;

/// Larger buffers are freed after the batch, in bytes.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

pub struct Batch {
    checks: Checks,
    first: Position,
    next: Position,
    records: u32,
    /// Room for the batch header, then frames.
    bytes: Vec<u8>,
    /// Where some of the frames begin in `bytes`: the first, then at least one per [`INDEX_BYTES`].
    starts: Vec<(Position, usize)>,
    scratch: Vec<u8>,
}

impl Batch {
    /// An empty batch whose first record will have the position `first`.
    pub fn new(checks: Checks, first: Position) -> Self {
        let bytes = vec![0; BATCH_HEADER_BYTES];
        Self { checks, first, next: first, records: 0, bytes, starts: Vec::new(), scratch: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub fn first(&self) -> Position {
        self.first
    }

    /// The position of the next record.
    pub fn next(&self) -> Position {
        self.next
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn starts(&self) -> &[(Position, usize)] {
        &self.starts
    }

    /// Adds a record, if the batch then has at most `bytes_max` bytes. After an error the batch is unchanged.
    pub fn push(&mut self, record: &Record, bytes_max: usize) -> Result<Position, LogError> {
        self.scratch.clear();
        self.scratch = record.encode(std::mem::take(&mut self.scratch))?;
        let framed = FRAME_HEADER_BYTES + self.scratch.len();
        let (too_large, full) = (
            LogError::RecordTooLarge { bytes: self.scratch.len(), max: bytes_max },
            LogError::BatchFull { bytes: self.bytes.len(), max: bytes_max },
        );
        if BATCH_HEADER_BYTES + framed > bytes_max {
            return Err(too_large);
        }
        if self.bytes.len() + framed > bytes_max {
            return Err(full);
        }
        let bytes = u32::try_from(self.scratch.len()).map_err(|_| too_large)?;
        let width = u32::try_from(record.width()).map_err(|_| full)?;
        let checksum = self.checks.record(self.next, width, &self.scratch);
        self.append(&FrameHeader { bytes, width, checksum });
        Ok(self.next_of(width))
    }

    /// Adds an encoded record.
    pub fn push_encoded(&mut self, record: &[u8], width: u32) {
        self.scratch.clear();
        self.scratch.extend_from_slice(record);
        let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let checksum = self.checks.record(self.next, width, record);
        self.append(&FrameHeader { bytes, width, checksum });
        self.next_of(width);
    }

    fn append(&mut self, frame: &FrameHeader) {
        let start = self.bytes.len();
        if self.starts.last().is_none_or(|(_, last)| start - last >= INDEX_BYTES) {
            self.starts.push((self.next, start));
        }
        self.bytes.extend_from_slice(&frame.encode());
        self.bytes.extend_from_slice(&self.scratch);
    }

    fn next_of(&mut self, width: u32) -> Position {
        let position = self.next;
        self.next = position.plus(u64::from(width));
        self.records += 1;
        position
    }

    /// The batch as written to disk, with its header.
    pub fn finish(&mut self) -> &[u8] {
        // The sizes fit: `push` keeps the batch below a limit that `LogOptions` keeps below 1 GiB, and each record
        // takes more bytes than positions.
        let header = BatchHeader {
            first: self.first,
            bytes: u32::try_from(self.bytes.len() - BATCH_HEADER_BYTES).unwrap_or(u32::MAX),
            records: self.records,
            positions: u32::try_from(self.next.0 - self.first.0).unwrap_or(u32::MAX),
        };
        let header = self.checks.encode_batch(&header);
        if let Some(place) = self.bytes.get_mut(..BATCH_HEADER_BYTES) {
            place.copy_from_slice(&header);
        }
        &self.bytes
    }

    /// Begins the batch that follows this one.
    pub fn advance(&mut self) {
        self.clear(self.next);
    }

    /// Drops the records; their positions are used again.
    pub fn discard(&mut self) {
        self.clear(self.first);
    }

    fn clear(&mut self, first: Position) {
        (self.first, self.next, self.records) = (first, first, 0);
        self.starts.clear();
        self.bytes.truncate(BATCH_HEADER_BYTES);
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.scratch.clear();
        self.scratch.shrink_to(KEPT_BYTES_MAX);
    }
}
