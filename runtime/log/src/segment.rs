//! The in-memory state of a segment: its name, its durable end, and a sparse index from positions to offsets.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use weirgate_types::Position;

use crate::{
    batch::{Batch, INDEX_BYTES},
    format::{SEGMENT_HEADER_BYTES, segment_name},
};

/// Where a record's frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub position: Position,
    pub offset: u64,
    /// Where its batch ends.
    pub batch_end: u64,
}

/// A segment that gets no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    pub first: Position,
    pub last: Position,
    /// Where its last batch ends, in bytes.
    pub end: u64,
}

#[derive(Debug)]
pub struct Segment {
    pub first: Position,
    pub name: String,
    index: RwLock<Index>,
    /// Whether there is a seal of it.
    sealed: AtomicBool,
}

/// The range of a segment that holds a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: Mark,
    pub end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Sorted by position, and so by offset.
    marks: Vec<Mark>,
    /// Where the last batch begins.
    last_batch: u64,
    /// Where the durable part ends.
    end: u64,
}

impl Segment {
    pub fn new(first: Position, index: Index) -> Self {
        Self { first, name: segment_name(first), index: RwLock::new(index), sealed: AtomicBool::new(false) }
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub fn set_sealed(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::Release);
    }

    pub fn copy_of_index(&self) -> Index {
        self.index.read().clone()
    }

    pub fn end(&self) -> u64 {
        self.index.read().end
    }

    /// Where to look for `position`; `None` while the segment is empty.
    pub fn span(&self, position: Position) -> Option<Span> {
        self.index.read().span(position)
    }

    /// The batch is durable at `offset`.
    pub fn index(&self, batch: &Batch, offset: u64) {
        let batch_end = offset + batch.len() as u64;
        let mut index = self.index.write();
        for &(position, start) in batch.starts() {
            index.note(Mark { position, offset: offset + start as u64, batch_end });
        }
        (index.last_batch, index.end) = (offset, batch_end);
    }
}

impl Default for Index {
    fn default() -> Self {
        let end = SEGMENT_HEADER_BYTES as u64;
        Self { marks: Vec::new(), last_batch: end, end }
    }
}

impl Index {
    /// An index with these entries; `None` if no segment has such entries.
    pub fn of(marks: Vec<Mark>, last_batch: u64, end: u64) -> Option<Self> {
        let begins = SEGMENT_HEADER_BYTES as u64;
        let rises = marks.is_sorted_by(|one, next| one.position < next.position && one.offset < next.offset);
        let inside = |mark: &Mark| begins < mark.offset && mark.offset < mark.batch_end && mark.batch_end <= end;
        let is_sound = !marks.is_empty() && rises && marks.iter().all(inside) && (begins..end).contains(&last_batch);
        is_sound.then_some(Self { marks, last_batch, end })
    }

    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    pub fn last_batch(&self) -> u64 {
        self.last_batch
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds the mark if the last one is far enough before it.
    pub fn note(&mut self, mark: Mark) {
        if self.marks.last().is_none_or(|last| mark.offset - last.offset >= INDEX_BYTES as u64) {
            self.marks.push(mark);
        }
    }

    /// The durable part ends here, with a batch that begins at `last_batch`; later index entries are dropped.
    pub fn end_at(&mut self, last_batch: u64, end: u64) {
        self.marks.truncate(self.marks.partition_point(|mark| mark.offset < end));
        (self.last_batch, self.end) = (last_batch, end);
    }

    fn span(&self, position: Position) -> Option<Span> {
        let after = self.marks.partition_point(|mark| mark.position <= position);
        let start = *self.marks.get(after.checked_sub(1)?)?;
        Some(Span { start, end: self.marks.get(after).map_or(self.end, |next| next.offset) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(position: u64, offset: u64) -> Mark {
        Mark { position: Position(position), offset, batch_end: offset + 10 }
    }

    #[test]
    fn the_index_is_sparse_and_finds_the_span() {
        let step = INDEX_BYTES as u64;
        let mut index = Index::default();
        for (position, offset) in [(1, 96), (2, 200), (10, 96 + step), (11, 97 + step), (30, 96 + 3 * step)] {
            index.note(mark(position, offset));
        }
        index.end_at(96, 100 + 4 * step);
        for (position, start, end) in [(1, 96, 96 + step), (9, 96, 96 + step), (10, 96 + step, 96 + 3 * step)] {
            let span = index.span(Position(position)).expect("a span");
            assert_eq!((span.start.offset, span.end), (start, end), "{position}");
        }
        assert_eq!(index.span(Position(31)).expect("a span").end, 100 + 4 * step);
        assert_eq!(index.span(Position(0)), None);
        index.end_at(96, 96 + step);
        assert_eq!(index.span(Position(30)).expect("a span").start, mark(1, 96));
    }
}
