//! Reads the durable part of the log, at a position or onwards from one, while the writer continues.

use std::sync::Arc;

use weirgate_types::{Position, Record};

use crate::{
    Corruption, LogError, Scan, Sealed,
    catalog::Catalog,
    format::{Checks, SEGMENT_HEADER_BYTES, SegmentHeader},
    scan,
    segment::{Mark, Segment},
    walk::{Step, Walk, WalkFault, Walker},
};

/// How much is read at once where all of a segment is.
const VERIFY_CHUNK_BYTES: usize = 1024 * 1024;

/// The durable part of the log. Cheap to clone; any number of threads may read at once.
#[derive(Clone)]
pub struct LogReader {
    catalog: Arc<Catalog>,
}

impl LogReader {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }

    /// The last durable position; 0 while the log is empty.
    #[must_use]
    pub fn head(&self) -> Position {
        self.catalog.head()
    }

    /// The segments that get no more records, in order: all but the last one.
    #[must_use]
    pub fn sealed(&self) -> Vec<Sealed> {
        self.catalog.sealed()
    }

    /// The record that covers `position`, with its first position. `None` at 0 and beyond the durable head. Takes one read
    /// of about 32 KiB, or of the record if that is larger.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if the record differs from what was written; [`LogError::Io`].
    pub fn read(&self, position: Position) -> Result<Option<(Position, Record)>, LogError> {
        if position == Position::ZERO || position > self.head() {
            return Ok(None);
        }
        let Some(segment) = self.catalog.segment_of(position) else { return Ok(None) };
        let mut walker = self.walker(&segment, position, None)?;
        loop {
            match walker.step(position).map_err(|fault| self.catalog.fault(&segment, fault))? {
                Step::Record { mark, bytes } => return decode(&segment, mark.offset, mark.position, bytes).map(Some),
                Step::Batch(_) | Step::Passed => {}
                Step::End => return Err(missing(&self.catalog, &segment, position)),
            }
        }
    }

    /// The records from the one that covers `from` up to the present durable head, in order; from the first one if `from` is
    /// 0. Ends after an error. Records that become durable later are left to the next scan.
    #[must_use]
    pub fn scan(&self, from: Position) -> Scan {
        Scan::new(Arc::clone(&self.catalog), from)
    }

    /// Passes the records from the one that covers `from` up to `through` to `look`, encoded and in order, until it answers `false`.
    /// Cheaper than [`LogReader::scan`] where little of each record is wanted.
    ///
    /// # Errors
    /// As for [`LogReader::read`]; [`LogError::Corrupt`] too if `look` cannot decode a record, and answers `None`.
    pub fn each(
        &self,
        from: Position,
        through: Position,
        look: impl FnMut(Position, &[u8]) -> Option<bool>,
    ) -> Result<(), LogError> {
        scan::each(Arc::clone(&self.catalog), (from, through), look)
    }

    /// Reads all of a sealed segment and compares every checksum, as an opening does that has no seal of it. After each batch
    /// `goes_on` gets the number of bytes read so far, and may end it.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if the segment differs from what was written: it has lost its seal; [`LogError::Io`].
    pub fn verify(&self, sealed: &Sealed, mut goes_on: impl FnMut(u64) -> bool) -> Result<(), LogError> {
        let Some(segment) = self.catalog.segment_of(sealed.first) else { return Ok(()) };
        let file = self.catalog.file(&segment)?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        file.read_at(&mut header, 0).map_err(LogError::io("reading", &segment.name))?;
        let ours = SegmentHeader::decode(&header).is_ok_and(|header| {
            header.first == sealed.first && Checks::of(header.identity.salt) == self.catalog.checks
        });
        let position = sealed.first;
        if !ours {
            let what = "the segment's header is damaged";
            return Err(self.catalog.fault(&segment, WalkFault::Damage { offset: 0, position, what }));
        }
        let offset = SEGMENT_HEADER_BYTES as u64;
        let start = Mark { position, offset, batch_end: offset };
        let (checks, chunk_bytes) = (self.catalog.checks, VERIFY_CHUNK_BYTES);
        let mut walker = Walker::new(Walk { file, checks, start, end: sealed.end, chunk_bytes });
        loop {
            let is_end = match walker.step(Position::ZERO).map_err(|fault| self.catalog.fault(&segment, fault))? {
                Step::Record { .. } | Step::Passed => continue,
                Step::Batch(_) => false,
                Step::End => true,
            };
            if is_end && walker.position() != sealed.last.next() {
                return Err(missing(&self.catalog, &segment, walker.position()));
            }
            if is_end || !goes_on(walker.batch_start().0) {
                return Ok(());
            }
        }
    }

    fn walker(&self, segment: &Segment, position: Position, chunk: Option<usize>) -> Result<Walker, LogError> {
        walker(&self.catalog, segment, position, chunk)
    }
}

/// A walk that finds `position` in the segment, and continues to its end. Fetches `chunk` bytes at a time; the first fetch
/// is the whole span that holds the position.
pub(crate) fn walker(
    catalog: &Catalog,
    segment: &Segment,
    position: Position,
    chunk: Option<usize>,
) -> Result<Walker, LogError> {
    let span = segment.span(position).ok_or_else(|| missing(catalog, segment, position))?;
    let span_bytes = usize::try_from(span.end - span.start.offset).unwrap_or(usize::MAX);
    Ok(Walker::new(Walk {
        file: catalog.file(segment)?,
        checks: catalog.checks,
        start: span.start,
        // Not the span's end: a batch that begins in the span may end behind it.
        end: segment.end(),
        chunk_bytes: chunk.unwrap_or(span_bytes),
    }))
}

pub(crate) fn decode(
    segment: &Segment,
    offset: u64,
    position: Position,
    bytes: &[u8],
) -> Result<(Position, Record), LogError> {
    Ok((position, Record::decode(bytes).map_err(|_| undecodable(segment, offset, position))?))
}

pub(crate) fn undecodable(segment: &Segment, offset: u64, position: Position) -> Corruption {
    let what = "the record's checksum is right, but it cannot be decoded";
    Corruption { file: segment.name.clone(), offset, position, what }
}

pub(crate) fn missing(catalog: &Catalog, segment: &Segment, position: Position) -> LogError {
    catalog.unseal(segment);
    let what = "the position is not where the index says";
    Corruption { file: segment.name.clone(), offset: segment.end(), position, what }.into()
}
