//! Reads records in order, continuing from one segment to the next.

use std::sync::Arc;

use weirgate_types::{Position, Record};

use crate::{
    Corruption, LogError,
    catalog::Catalog,
    format::segment_name,
    reader::{decode, missing, walker},
    segment::Segment,
    walk::{Step, Walker},
};

const CHUNK_BYTES: usize = 1024 * 1024;

/// An iterator over records; see [`crate::LogReader::scan`].
pub struct Scan {
    catalog: Arc<Catalog>,
    /// The next position to return.
    next: Position,
    /// The last position to return.
    until: Position,
    current: Option<(Arc<Segment>, Walker)>,
}

impl Scan {
    pub(crate) fn new(catalog: Arc<Catalog>, from: Position) -> Self {
        let until = catalog.head();
        Self { catalog, next: from.max(Position(1)), until, current: None }
    }

    fn advance(&mut self) -> Result<(Position, Record), LogError> {
        loop {
            let (segment, walker) = match &mut self.current {
                Some(current) => current,
                none => none.insert(open(&self.catalog, self.next)?),
            };
            match walker.step(self.next).map_err(|fault| fault.into_error(&segment.name))? {
                Step::Batch(_) | Step::Passed => {}
                Step::Record { mark, bytes } => {
                    let found = decode(segment, mark.offset, mark.position, bytes)?;
                    self.next = walker.position();
                    return Ok(found);
                }
                Step::End => {
                    // The next record is in the next segment; otherwise this would loop forever.
                    let after = self.catalog.segment_after(segment.first);
                    if after.is_none_or(|after| after.first != self.next) {
                        return Err(missing(segment, self.next));
                    }
                    self.current = None;
                }
            }
        }
    }
}

fn open(catalog: &Catalog, position: Position) -> Result<(Arc<Segment>, Walker), LogError> {
    let segment = catalog.segment_of(position).ok_or_else(|| Corruption {
        file: segment_name(position),
        offset: 0,
        position,
        what: "there is no segment for the position",
    })?;
    let walker = walker(catalog, &segment, position, Some(CHUNK_BYTES))?;
    Ok((segment, walker))
}

impl Iterator for Scan {
    type Item = Result<(Position, Record), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next > self.until {
            return None;
        }
        let result = self.advance();
        if result.is_err() {
            self.until = Position::ZERO;
        }
        Some(result)
    }
}
