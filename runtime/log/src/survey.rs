//! A survey of a whole log that may be damaged anywhere: which parts are sound, which are not, and which positions are
//! affected. Changes nothing. Has one segment at a time in memory; it is for a log that no server has open.
//!
//! Positions are dense and every batch has its position, so the number of damaged or missing positions between two sound
//! batches is known. Within a damaged batch each record has its own checksum, and sound records are kept.

use weirgate_types::{Position, Record};

use crate::{
    Corruption, Epochs, Known, LogError, Salt, Storage,
    format::{BATCH_HEADER_BYTES, Checks, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    note::Note,
    salvage::{Extent, LostRange, Part, Salvaged, salvage, sound_batch},
    sources::{Source, read_whole, sources},
};

/// Finding: a record of a later release.
const UNDECODABLE: &str = "a record that this program cannot decode, though its checksum is right; it is left as it is";

/// A part of the log that differs from what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub file: String,
    /// The affected bytes; empty if a segment is missing.
    pub from: u64,
    pub to: u64,
    pub what: &'static str,
    /// The sound records in it, by position, with their kinds.
    pub kept: Vec<(Position, &'static str)>,
    /// The lost positions, each range with the kind of record if that can be guessed.
    pub lost: Vec<LostRange>,
}

impl Finding {
    /// The file holds nothing of the positions `first` to `last`.
    fn missing(file: String, at: u64, what: &'static str, (first, last): (Position, Position)) -> Self {
        Self { file, from: at, to: at, what, kept: Vec::new(), lost: vec![LostRange { first, last, kind: None }] }
    }

    /// Whether the log cannot be used as it is; otherwise a newer release may read it.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        self.what != UNDECODABLE
    }
}

/// The result of a survey.
pub struct Survey {
    pub(crate) salt: Salt,
    pub epochs: Epochs,
    pub(crate) pieces: Vec<Pieces>,
    /// The position that follows the last one.
    pub next: Position,
    pub records: u64,
    pub findings: Vec<Finding>,
    /// A segment that was being created.
    pub(crate) unborn: Option<String>,
    /// Bytes behind the last sound batch without evidence that they were durable: a batch that was being written.
    pub torn: Option<Finding>,
}

/// A repaired segment.
pub(crate) struct Pieces {
    pub header: SegmentHeader,
    /// The file's size; 0 if there is no file.
    pub size: u64,
    pub parts: Vec<Part>,
    /// Whether the file differs from the repaired segment.
    pub damaged: bool,
}

/// A segment's file during the survey.
#[derive(Clone, Copy)]
struct File<'a> {
    name: &'a str,
    bytes: &'a [u8],
}

impl Survey {
    /// Surveys the log in `storage`; `None` if there is none. `views` is the views' applied position.
    ///
    /// # Errors
    /// [`LogError::Version`], [`LogError::Io`]; [`LogError::Corrupt`] if no segment's header can be read, or two segments
    /// hold the same positions: neither can be repaired.
    pub fn of(storage: &dyn Storage, views: Option<Known>) -> Result<Option<Self>, LogError> {
        let (sources, unborn) = sources(storage)?;
        let Some(first) = sources.first() else { return Ok(None) };
        let (salt, epochs) = (first.header.identity.salt, Epochs::new(first.header.identity.epoch));
        let (pieces, findings) = (Vec::new(), Vec::new());
        let mut survey = Self { salt, epochs, pieces, next: Position(1), records: 0, findings, unborn, torn: None };
        let firsts: Vec<Position> = sources.iter().map(|source| source.header.first).collect();
        let noted = storage.noted().map_err(LogError::io("reading", "the note of the durable head"))?;
        let noted = Note::decode(&noted).map(|Note { log, epoch, head }| Known { log, epoch, position: head });
        let known: Vec<_> =
            [noted, views].into_iter().flatten().filter(|known| known.log == survey.epochs.first()).collect();
        let epoch = sources.last().map_or(survey.epochs.first(), |source| source.header.identity.epoch);
        let durable = known.iter().filter(|known| known.epoch == epoch).map(|known| known.position).max();
        let durable = durable.unwrap_or(Position::ZERO);
        for (index, source) in sources.into_iter().enumerate() {
            let until = firsts.get(index + 1).copied();
            let bytes = read_whole(storage, &source.name)?;
            survey.take(&source, &bytes, (until, durable))?;
        }
        survey.lose_up_to(durable);
        survey.lose_epochs(&known);
        Ok(Some(survey))
    }

    /// The last position.
    #[must_use]
    pub fn head(&self) -> Position {
        self.next.before()
    }

    #[must_use]
    pub fn segments(&self) -> usize {
        self.pieces.len()
    }

    fn take(&mut self, source: &Source, bytes: &[u8], known: (Option<Position>, Position)) -> Result<(), LogError> {
        let Source { name, header, fault } = source;
        if header.first < self.next {
            let what = "the segment begins with positions that the one before it has";
            return Err(Corruption { file: name.clone(), offset: 0, position: header.first, what }.into());
        }
        if header.first > self.next {
            self.fill_gap(header);
        }
        self.epochs.begin(header.first, header.identity.epoch);
        let (header, size) = (*header, bytes.len() as u64);
        let mut pieces = Pieces { header, size, parts: Vec::new(), damaged: fault.is_some() };
        if let Some(what) = *fault {
            let (to, kept, lost) = (SEGMENT_HEADER_BYTES as u64, Vec::new(), Vec::new());
            self.findings.push(Finding { file: name.clone(), from: 0, to, what, kept, lost });
        }
        self.walk(File { name, bytes }, &mut pieces, known);
        self.pieces.push(pieces);
        Ok(())
    }

    /// Records before `header`'s are missing: their positions are covered at the end of the previous segment, or in a new
    /// first one.
    fn fill_gap(&mut self, header: &SegmentHeader) {
        let (first, last) = (self.next, header.first.before());
        if self.pieces.is_empty() {
            let header = SegmentHeader { first, ..*header };
            self.pieces.push(Pieces { header, size: 0, parts: Vec::new(), damaged: true });
        }
        if let Some(pieces) = self.pieces.last_mut() {
            let file = segment_name(pieces.header.first);
            let at = pieces.size;
            pieces.parts.push(Part::Lost { first, last });
            pieces.damaged = true;
            let what = "the records up to the next segment are missing";
            self.findings.push(Finding::missing(file, at, what, (first, last)));
        }
        self.next = header.first;
    }

    /// Goes through the batches of a segment. `known`: the first position of the next segment, and the last durable one.
    fn walk(&mut self, file: File<'_>, pieces: &mut Pieces, (until, durable): (Option<Position>, Position)) {
        let (checks, bytes) = (Checks::of(self.salt), file.bytes);
        let mut at = SEGMENT_HEADER_BYTES.min(bytes.len());
        loop {
            let start = at;
            while let Some(batch) = sound_batch(&checks, bytes, at, self.next) {
                self.records += u64::from(batch.records);
                self.undecodable(file, &batch.frames);
                (at, self.next) = (batch.end, batch.next);
            }
            if at > start {
                pieces.parts.push(Part::Sound { from: start, to: at });
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(content) = rest.iter().rposition(|byte| *byte != 0).map(|last| at + last + 1) else { return };
            match next_batch(&checks, bytes, at, self.next, until) {
                Some((found, position)) => {
                    at = self.damaged(file, pieces, (at, found), Extent::Until(position));
                }
                None => {
                    let rest = bytes.get(at..content).unwrap_or_default();
                    let durable = durable.max(durable_before(&checks, rest, self.next));
                    self.end(file, pieces, (at, content), (until, durable));
                    return;
                }
            }
        }
    }

    /// Nothing sound follows the damaged bytes of this segment.
    fn end(
        &mut self,
        file: File<'_>,
        pieces: &mut Pieces,
        (from, to): (usize, usize),
        (until, durable): (Option<Position>, Position),
    ) {
        let extent = match until {
            Some(until) => Extent::Until(until),
            None if durable >= self.next => Extent::Durable(durable),
            None => {
                let what = "a batch that was being written; nothing proves that it was ever durable";
                let (file, from, to) = (file.name.to_owned(), from as u64, to as u64);
                self.torn = Some(Finding { file, from, to, what, kept: Vec::new(), lost: Vec::new() });
                return;
            }
        };
        self.damaged(file, pieces, (from, to), extent);
    }

    /// Keeps the sound parts of `from..to`. Returns where they end.
    fn damaged(&mut self, file: File<'_>, pieces: &mut Pieces, (from, to): (usize, usize), extent: Extent) -> usize {
        let region = file.bytes.get(from..to).unwrap_or_default();
        let Salvaged { parts, kept, lost, next } = salvage(Checks::of(self.salt), region, from, (self.next, extent));
        self.records += kept.len() as u64;
        let is_batch = !matches!(extent, Extent::Until(until) if until == self.next);
        let what = if is_batch { "a damaged batch" } else { "bytes that are no batch" };
        let (file, from, end) = (file.name.to_owned(), from as u64, to as u64);
        self.findings.push(Finding { file, from, to: end, what, kept, lost });
        pieces.parts.extend(parts);
        pieces.damaged = true;
        self.next = next;
        to
    }

    /// Records whose checksums are right, but whose kind this release does not know.
    fn undecodable(&mut self, file: File<'_>, frames: &[(Position, usize, usize)]) {
        for (position, from, to) in frames {
            if Record::decode(file.bytes.get(*from..*to).unwrap_or_default()).is_err() {
                let what = UNDECODABLE;
                let (file, from, to) = (file.name.to_owned(), *from as u64, *to as u64);
                let lost = Vec::new();
                self.findings.push(Finding { file, from, to, what, kept: vec![(*position, "unknown")], lost });
            }
        }
    }

    /// Records with outside evidence that they were durable, and of which nothing is left.
    fn lose_up_to(&mut self, durable: Position) {
        if durable < self.next {
            return;
        }
        let (first, last) = (self.next, durable);
        if let Some(pieces) = self.pieces.last_mut() {
            pieces.parts.push(Part::Lost { first, last });
            pieces.damaged = true;
            let (file, at) = (segment_name(pieces.header.first), pieces.size);
            let what = "the last records are missing";
            self.findings.push(Finding::missing(file, at, what, (first, last)));
        }
        self.next = durable.next();
    }

    /// Epochs without a segment in the log: their records are missing, and their number is unknown.
    fn lose_epochs(&mut self, known: &[Known]) {
        let Some(ahead) = known.iter().find(|known| !self.epochs.hold(known.epoch)) else { return };
        let file = self.pieces.last().map_or_else(String::new, |pieces| segment_name(pieces.header.first));
        let at = self.pieces.last().map_or(0, |pieces| pieces.size);
        let what = "all segments of a later epoch are missing";
        self.findings.push(Finding::missing(file, at, what, (ahead.position.min(self.next), ahead.position)));
    }
}

/// The next sound batch behind `at`, of a position that is not before `position` and within this segment.
fn next_batch(
    checks: &Checks,
    bytes: &[u8],
    at: usize,
    position: Position,
    until: Option<Position>,
) -> Option<(usize, Position)> {
    let behind = bytes.get(at + 1..)?;
    let marked = behind.windows(BATCH_HEADER_BYTES).enumerate().filter(|(_, window)| window.starts_with(checks.mark()));
    marked.map(|(offset, window)| (at + 1 + offset, window)).find_map(|(at, window)| {
        let header = checks.decode_batch(window).filter(|header| header.first >= position)?;
        let batch = sound_batch(checks, bytes, at, header.first)?;
        until.is_none_or(|until| batch.next <= until).then_some((at, header.first))
    })
}

/// A later batch, even a torn one, proves that everything before it was durable.
fn durable_before(checks: &Checks, rest: &[u8], next: Position) -> Position {
    let marked = rest.windows(BATCH_HEADER_BYTES).skip(1).filter(|window| window.starts_with(checks.mark()));
    let later = marked.filter_map(|window| checks.decode_batch(window)).filter(|header| header.first >= next);
    later.map(|header| header.first.before()).max().unwrap_or(Position::ZERO)
}
