//! Walks forwards over the batches and records of a segment, and trusts only what a checksum covers. Knows no other segment;
//! the caller decides what damage means.

use std::{io, sync::Arc};

use weirgate_types::Position;

use crate::{
    Corruption, LogError, StorageFile,
    format::{BATCH_HEADER_BYTES, BatchHeader, Checks, FRAME_HEADER_BYTES, FrameHeader},
    segment::Mark,
};

/// Where a walk begins, and its bounds.
pub struct Walk {
    pub file: Arc<dyn StorageFile>,
    pub checks: Checks,
    /// A record, or with `batch_end == offset` a batch.
    pub start: Mark,
    pub end: u64,
    /// Number of bytes per fetch.
    pub chunk_bytes: usize,
}

pub struct Walker {
    walk: Walk,
    at: u64,
    position: Position,
    batch: OpenBatch,
    /// Bytes of the file from `window_at` on.
    window: Vec<u8>,
    window_at: u64,
}

/// The batch that the walk is in, or has just left.
struct OpenBatch {
    start: u64,
    first: Position,
    end: u64,
    records: u32,
    /// Unknown if the walk began in the middle.
    header: Option<BatchHeader>,
}

pub enum Step<'a> {
    Batch(BatchHeader),
    /// A record before the requested position.
    Passed,
    Record {
        mark: Mark,
        bytes: &'a [u8],
    },
    End,
}

#[derive(Debug)]
pub enum WalkFault {
    Io(io::Error),
    Damage { offset: u64, position: Position, what: &'static str },
}

impl WalkFault {
    /// The fault as a log error, for callers that treat any damage as corruption.
    pub fn into_error(self, file: &str) -> LogError {
        match self {
            Self::Io(error) => LogError::io("reading", file)(error),
            Self::Damage { offset, position, what } => {
                Corruption { file: file.to_owned(), offset, position, what }.into()
            }
        }
    }
}

impl Walker {
    pub fn new(walk: Walk) -> Self {
        let Mark { position, offset, batch_end } = walk.start;
        let batch = OpenBatch { start: offset, first: position, end: batch_end, records: 0, header: None };
        Self { walk, at: offset, position, batch, window: Vec::new(), window_at: 0 }
    }

    /// The offset and first position of the batch that the walk is in.
    pub fn batch_start(&self) -> (u64, Position) {
        (self.batch.start, self.batch.first)
    }

    /// The position of the next record.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes one step. Records that end before `from` are skipped by their length.
    pub fn step(&mut self, from: Position) -> Result<Step<'_>, WalkFault> {
        if self.at < self.batch.end {
            return self.record(from);
        }
        self.leave_batch()?;
        if self.at == self.walk.end { Ok(Step::End) } else { self.enter_batch().map(Step::Batch) }
    }

    fn damage<T>(&self, what: &'static str) -> Result<T, WalkFault> {
        Err(WalkFault::Damage { offset: self.at, position: self.position, what })
    }

    fn leave_batch(&self) -> Result<(), WalkFault> {
        let Some(header) = self.batch.header else { return Ok(()) };
        let positions = self.position.0 - self.batch.first.0;
        if header.records == self.batch.records && u64::from(header.positions) == positions {
            Ok(())
        } else {
            self.damage("the batch does not hold as many records as its header says")
        }
    }

    fn enter_batch(&mut self) -> Result<BatchHeader, WalkFault> {
        self.batch = OpenBatch { start: self.at, first: self.position, end: self.at, records: 0, header: None };
        self.fill(BATCH_HEADER_BYTES)?;
        let Some(header) = self.walk.checks.decode_batch(self.filled(0, BATCH_HEADER_BYTES)) else {
            return self.damage("no batch begins here");
        };
        if header.first != self.position {
            return self.damage("the batch that begins here has another position");
        }
        let start = self.at + BATCH_HEADER_BYTES as u64;
        let end = start + u64::from(header.bytes);
        if end > self.walk.end {
            return self.damage("the batch is cut off");
        }
        self.at = start;
        (self.batch.end, self.batch.header) = (end, Some(header));
        Ok(header)
    }

    fn record(&mut self, from: Position) -> Result<Step<'_>, WalkFault> {
        self.fill(FRAME_HEADER_BYTES)?;
        let (frame, next, end) = self.frame()?;
        let mark = Mark { position: self.position, offset: self.at, batch_end: self.batch.end };
        if next > from {
            let count = usize::try_from(end - self.at).or_else(|_| self.damage("the record is too long"))?;
            self.fill(count)?;
            let bytes = self.filled(FRAME_HEADER_BYTES, count);
            if frame.checksum != self.walk.checks.record(self.position, frame.width, bytes) {
                return self.damage("the record does not match its checksum");
            }
        }
        let passed = next <= from;
        let skipped = usize::try_from(self.at - self.window_at).unwrap_or(usize::MAX);
        (self.at, self.position) = (end, next);
        self.batch.records += 1;
        if passed {
            return Ok(Step::Passed);
        }
        let start = skipped.saturating_add(FRAME_HEADER_BYTES);
        let length = usize::try_from(frame.bytes).unwrap_or(usize::MAX);
        let bytes = self.window.get(start..start.saturating_add(length)).unwrap_or_default();
        Ok(Step::Record { mark, bytes })
    }

    /// The frame here, the position after its record and the offset after it: all within the batch.
    fn frame(&self) -> Result<(FrameHeader, Position, u64), WalkFault> {
        let Some(frame) = FrameHeader::decode(self.filled(0, FRAME_HEADER_BYTES)) else {
            return self.damage("the record is cut off");
        };
        let end = self.at + FRAME_HEADER_BYTES as u64 + u64::from(frame.bytes);
        if end > self.batch.end || frame.width == 0 {
            return self.damage("the record's length or width is impossible");
        }
        match self.position.0.checked_add(u64::from(frame.width)) {
            Some(next) => Ok((frame, Position(next), end)),
            None => self.damage("the record's width is impossible"),
        }
    }

    /// Loads the next `count` bytes into the window.
    fn fill(&mut self, count: usize) -> Result<(), WalkFault> {
        let window_end = self.window_at + self.window.len() as u64;
        if self.at >= self.window_at && self.at + count as u64 <= window_end {
            return Ok(());
        }
        let left = usize::try_from(self.walk.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if left < count {
            return self.damage("the file ends too early");
        }
        self.window.resize(count.max(self.walk.chunk_bytes).min(left), 0);
        self.window_at = self.at;
        let read = self.walk.file.read_at(&mut self.window, self.at);
        read.map_err(|error| {
            // The window differs from the file.
            self.window.clear();
            WalkFault::Io(error)
        })
    }

    /// Bytes `start..end` from here on, of those that `fill` has loaded.
    fn filled(&self, start: usize, end: usize) -> &[u8] {
        let skipped = usize::try_from(self.at - self.window_at).unwrap_or(usize::MAX);
        self.window.get(skipped.saturating_add(start)..skipped.saturating_add(end)).unwrap_or_default()
    }
}
