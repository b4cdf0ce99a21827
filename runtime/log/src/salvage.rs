//! What can be kept of a damaged part of a segment: sound batches as a whole, and of a damaged batch each record whose own
//! checksum is right. The other positions are lost. Works on bytes; knows no files.

use weirgate_types::{Position, Record};

use crate::format::{BATCH_HEADER_BYTES, Checks, FRAME_HEADER_BYTES, FrameHeader};

/// A part of a repaired segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Sound batches, as in the file.
    Sound {
        from: usize,
        to: usize,
    },
    /// A sound record, without its frame, that gets its own batch.
    Kept {
        first: Position,
        from: usize,
        to: usize,
        width: u32,
    },
    Lost {
        first: Position,
        last: Position,
    },
}

/// Positions that are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostRange {
    pub first: Position,
    pub last: Position,
    /// The probable kind of record.
    pub kind: Option<&'static str>,
}

/// A sound batch.
pub struct SoundBatch {
    pub end: usize,
    /// The position that follows it.
    pub next: Position,
    pub records: u32,
    /// Each record with its position and the range of its bytes.
    pub frames: Vec<(Position, usize, usize)>,
}

/// A sound record.
struct Frame {
    from: usize,
    to: usize,
    width: u32,
    next: Position,
}

/// What can be kept of a range of bytes.
pub struct Salvaged {
    pub parts: Vec<Part>,
    pub kept: Vec<(Position, &'static str)>,
    pub lost: Vec<LostRange>,
    /// The position that follows all of it.
    pub next: Position,
}

/// The batch that begins at `at` with `position`, if it is sound as a whole.
pub fn sound_batch(checks: &Checks, bytes: &[u8], at: usize, position: Position) -> Option<SoundBatch> {
    let header = checks.decode_batch(bytes.get(at..)?).filter(|header| header.first == position)?;
    let start = at + BATCH_HEADER_BYTES;
    let end = start.checked_add(usize::try_from(header.bytes).ok()?).filter(|end| *end <= bytes.len())?;
    let (mut at, mut next, mut frames) = (start, position, Vec::new());
    while at < end {
        let frame = sound_frame(checks, bytes.get(..end)?, at, next)?;
        frames.push((next, frame.from, frame.to));
        (at, next) = (frame.to, frame.next);
    }
    let records = u32::try_from(frames.len()).ok()?;
    let is_whole = records == header.records && next.0 - position.0 == u64::from(header.positions);
    is_whole.then_some(SoundBatch { end, next, records, frames })
}

fn sound_frame(checks: &Checks, bytes: &[u8], at: usize, position: Position) -> Option<Frame> {
    let (frame, from, to, next) = frame(bytes, at, position)?;
    let sound = frame.checksum == checks.record(position, frame.width, bytes.get(from..to)?);
    sound.then_some(Frame { from, to, width: frame.width, next })
}

/// The frame at `at`, sound or not: the range of its record, and the position that follows.
fn frame(bytes: &[u8], at: usize, position: Position) -> Option<(FrameHeader, usize, usize, Position)> {
    let frame = FrameHeader::decode(bytes.get(at..)?).filter(|frame| frame.width > 0)?;
    let from = at + FRAME_HEADER_BYTES;
    let to = from.checked_add(usize::try_from(frame.bytes).ok()?).filter(|to| *to <= bytes.len())?;
    let next = Position(position.0.checked_add(u64::from(frame.width))?);
    Some((frame, from, to, next))
}

/// Which positions, from a given one on, a range of damaged bytes should hold.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    /// Those before this one: a sound part follows, so all of them were durable.
    Until(Position),
    /// At the log's end: batches that begin at this position or before were durable. A later one may have been torn.
    Durable(Position),
}

/// Keeps the sound parts of `region`, which is at byte `base` of its segment and should hold the positions from `first` on.
pub fn salvage(checks: Checks, region: &[u8], base: usize, (first, extent): (Position, Extent)) -> Salvaged {
    let (until, durable) = match extent {
        Extent::Until(until) => (until, until.before()),
        Extent::Durable(durable) => (Position(u64::MAX), durable),
    };
    let mut work = Salvage { checks, region, base, until, at: 0, found: empty(first) };
    while work.at < region.len() && work.found.next <= durable && work.batch() {}
    if let Extent::Until(until) = extent {
        work.lose(until, None);
    }
    work.found
}

fn empty(next: Position) -> Salvaged {
    Salvaged { parts: Vec::new(), kept: Vec::new(), lost: Vec::new(), next }
}

struct Salvage<'a> {
    checks: Checks,
    region: &'a [u8],
    base: usize,
    until: Position,
    at: usize,
    found: Salvaged,
}

impl Salvage<'_> {
    /// Keeps the sound records of the batch at `at`, whose header may be damaged. Returns whether another batch may follow.
    fn batch(&mut self) -> bool {
        let header = self.region.get(self.at..).and_then(|bytes| self.checks.decode_batch(bytes));
        let header = header.filter(|header| header.first == self.found.next);
        let start = self.at + BATCH_HEADER_BYTES;
        let end = header.and_then(|header| start.checked_add(usize::try_from(header.bytes).ok()?));
        let last = header.map(|header| header.first.plus(u64::from(header.positions)));
        self.at = start;
        self.records(end.unwrap_or(self.region.len()).min(self.region.len()));
        match (last, end) {
            (Some(last), Some(end)) => {
                self.lose(last.min(self.until), None);
                self.at = end;
                true
            }
            _ => false,
        }
    }

    /// Keeps the sound records up to `end`. A damaged record is passed by its length and width, if the next one is sound.
    fn records(&mut self, end: usize) {
        let Some(bytes) = self.region.get(..end) else { return };
        while self.at < end && self.found.next < self.until {
            if let Some(frame) = sound_frame(&self.checks, bytes, self.at, self.found.next) {
                self.keep(&frame);
                continue;
            }
            let Some((_, from, to, next)) = frame(bytes, self.at, self.found.next) else { return };
            let leads_on = to == end || sound_frame(&self.checks, bytes, to, next).is_some();
            if !leads_on || next > self.until {
                return;
            }
            let kind = bytes.get(from..to).and_then(|bytes| Record::decode(bytes).ok()).map(|record| record.kind());
            self.lose(next, kind);
            self.at = to;
        }
    }

    fn keep(&mut self, frame: &Frame) {
        let kind = self.region.get(frame.from..frame.to).and_then(|bytes| Record::decode(bytes).ok());
        self.found.kept.push((self.found.next, kind.map_or("unknown", |record| record.kind())));
        let (from, to) = (self.base + frame.from, self.base + frame.to);
        self.found.parts.push(Part::Kept { first: self.found.next, from, to, width: frame.width });
        (self.found.next, self.at) = (frame.next, frame.to);
    }

    /// The positions before `until` are lost.
    fn lose(&mut self, until: Position, kind: Option<&'static str>) {
        if until <= self.found.next {
            return;
        }
        let (first, last) = (self.found.next, until.before());
        self.found.parts.push(Part::Lost { first, last });
        self.found.lost.push(LostRange { first, last, kind });
        self.found.next = until;
    }
}
