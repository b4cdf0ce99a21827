//! Reads records in order, continuing from one segment to the next.

use std::sync::Arc;

use weirgate_types::{Position, Record};

use crate::{
    Corruption, LogError,
    catalog::Catalog,
    format::segment_name,
    reader::{decode, missing, undecodable, walker},
    segment::{Mark, Segment},
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
        self.step(|segment, mark, bytes| decode(segment, mark.offset, mark.position, bytes))
    }

    /// The next record, as `read` has it.
    fn step<T>(&mut self, read: impl FnOnce(&Segment, Mark, &[u8]) -> Result<T, LogError>) -> Result<T, LogError> {
        loop {
            let (segment, walker) = match &mut self.current {
                Some(current) => current,
                none => none.insert(open(&self.catalog, self.next)?),
            };
            match walker.step(self.next).map_err(|fault| self.catalog.fault(segment, fault))? {
                Step::Batch(_) | Step::Passed => {}
                Step::Record { mark, bytes } => {
                    let found = read(segment, mark, bytes)?;
                    self.next = walker.position();
                    return Ok(found);
                }
                Step::End => {
                    // The next record is in the next segment; otherwise this would loop forever.
                    let after = self.catalog.segment_after(segment.first);
                    if after.is_none_or(|after| after.first != self.next) {
                        return Err(missing(&self.catalog, segment, self.next));
                    }
                    self.current = None;
                }
            }
        }
    }
}

/// Passes the encoded records from the one that covers `from` up to `through` to `look`; see [`crate::LogReader::each`].
pub(crate) fn each(
    catalog: Arc<Catalog>,
    (from, through): (Position, Position),
    mut look: impl FnMut(Position, &[u8]) -> Option<bool>,
) -> Result<(), LogError> {
    let mut scan = Scan::new(catalog, from);
    let until = scan.until.min(through);
    while scan.next <= until {
        let goes_on = scan.step(|segment, mark, bytes| {
            look(mark.position, bytes).ok_or_else(|| undecodable(segment, mark.offset, mark.position).into())
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
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
