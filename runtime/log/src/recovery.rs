//! Reads the files of a stopped process and checks every byte of them, except in segments that have a seal. Refuses damaged durable
//! data; finds the batch that was being written when the process stopped, and removes it in a second step.
//!
//! A batch is written only once the previous one is durable. So damage followed by anything sound is corruption. Damage at
//! the end is a batch that was being written, unless other evidence proves that the batch was durable: `opening` decides
//! that between the two steps.

use std::{collections::BTreeSet, sync::Arc};

use weirgate_types::Position;

use crate::{
    Corruption, Epochs, LogError, Salt, Storage, StorageFile,
    format::{
        BATCH_HEADER_BYTES, Checks, HeaderFault, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name, segment_position,
    },
    seal::{self, Seal},
    segment::{Index, Mark, Segment},
    walk::{Step, Walk, WalkFault, Walker},
};

const CHUNK_BYTES: usize = 1024 * 1024;

/// An existing log.
pub struct Recovered {
    pub salt: Salt,
    pub epochs: Epochs,
    /// Sorted; never empty.
    pub segments: Vec<Arc<Segment>>,
    /// The last segment's file, its durable end and its size.
    pub file: Arc<dyn StorageFile>,
    pub end: u64,
    pub size: u64,
    /// The position of the next record.
    pub next: Position,
    /// Whether the log was closed, not killed.
    pub closed: bool,
    /// The end of the unsound bytes behind `end`, if there are any.
    pub torn: Option<u64>,
}

/// The state of the files, with nothing changed yet.
pub struct Remains {
    /// `None` if there is no log, or one whose creation was not finished when the process stopped.
    pub recovered: Option<Recovered>,
    /// The segment that was being created.
    unborn: Option<String>,
    /// Seals of no segment, or of the last one.
    stray: Vec<Position>,
}

/// Determines what is durable.
pub fn read_remains(storage: &dyn Storage) -> Result<Remains, LogError> {
    let names = names(storage)?;
    let (mut firsts, mut seals) = (positions(&names), seals(&names));
    let mut unborn = None;
    if let Some(last) = firsts.last().copied()
        && is_unborn(storage, last)?
    {
        unborn = Some(segment_name(last));
        firsts.pop();
    }
    let mut recovered: Option<Recovered> = None;
    let last = firsts.last().copied();
    for first in firsts {
        // The last segment grows.
        let sealed = seals.contains(&first) && Some(first) != last;
        if sealed {
            seals.remove(&first);
        }
        recovered = Some(add(storage, recovered, first, sealed)?);
    }
    if let Some(recovered) = &mut recovered {
        find_tail(recovered)?;
    }
    Ok(Remains { recovered, unborn, stray: seals.into_iter().collect() })
}

/// The first positions of all segments, sorted.
pub fn segments(storage: &dyn Storage) -> Result<Vec<Position>, LogError> {
    Ok(positions(&names(storage)?))
}

fn names(storage: &dyn Storage) -> Result<Vec<String>, LogError> {
    storage.list().map_err(LogError::io("listing", "the segments"))
}

fn positions(names: &[String]) -> Vec<Position> {
    let mut firsts: Vec<Position> = names.iter().filter_map(|name| segment_position(name)).collect();
    firsts.sort_unstable();
    firsts
}

/// The first positions of the segments that seals are of.
fn seals(names: &[String]) -> BTreeSet<Position> {
    names.iter().filter_map(|name| seal::seal_position(name)).collect()
}

impl Remains {
    /// Removes what was being written.
    pub fn tidy(self, storage: &dyn Storage) -> Result<Option<Recovered>, LogError> {
        if let Some(name) = self.unborn {
            storage.remove(&name).map_err(LogError::io("removing", &name))?;
            storage.sync_dir().map_err(LogError::io("syncing the folder of", &name))?;
            tracing::info!(segment = name, "removed a segment that was being created when the process stopped");
        }
        for first in self.stray {
            // It would be found to be of other bytes.
            if let Err(error) = seal::unseal(storage, first) {
                tracing::debug!(%first, %error, "a seal of no segment cannot be removed");
            }
        }
        self.recovered.map(cut_tail).transpose()
    }
}

/// Whether the segment was being created: its header is not sound, and nothing was written behind it, which happens only
/// after the header is durable.
fn is_unborn(storage: &dyn Storage, first: Position) -> Result<bool, LogError> {
    let name = segment_name(first);
    let file = storage.open(&name).map_err(LogError::io("opening", &name))?;
    let size = file.size().map_err(LogError::io("measuring", &name))?;
    let header = read(&*file, &name, 0, size.min(SEGMENT_HEADER_BYTES as u64))?;
    if SegmentHeader::decode(&header) != Err(HeaderFault::Damaged) {
        return Ok(false);
    }
    if content_end(&*file, &name, SEGMENT_HEADER_BYTES as u64, size)?.is_some() {
        return Err(corruption(&name, 0, first, "the segment's header is damaged").into());
    }
    Ok(true)
}

/// Recover the segment that begins at `first` as the one after `before`. One that is `sealed` is read only where its seal is not
/// sound, or not of this segment.
fn add(storage: &dyn Storage, before: Option<Recovered>, first: Position, sealed: bool) -> Result<Recovered, LogError> {
    let name = segment_name(first);
    let file = storage.open(&name).map_err(LogError::io("opening", &name))?;
    let size = file.size().map_err(LogError::io("measuring", &name))?;
    let header = read(&*file, &name, 0, size.min(SEGMENT_HEADER_BYTES as u64))?;
    let header = SegmentHeader::decode(&header).map_err(|fault| match fault {
        HeaderFault::Damaged => corruption(&name, 0, first, "the segment's header is damaged").into(),
        HeaderFault::Version(version) => LogError::Version { file: name.clone(), version },
    })?;
    check_follows(before.as_ref(), &header, &name, first)?;
    let epochs = before.as_ref().map_or_else(|| Epochs::new(header.identity.epoch), |before| before.epochs.clone());
    let segments = before.map(|before| before.segments).unwrap_or_default();
    let salt = header.identity.salt;
    let mut recovered =
        Recovered { salt, epochs, segments, file, end: 0, size, next: first, closed: false, torn: None };
    recovered.epochs.begin(first, header.identity.epoch);
    let checks = Checks::of(salt);
    if let Some(seal) = sealed.then(|| seal::load(storage, checks, first)).flatten()
        && is_of(&seal, checks, &recovered, &header)?
    {
        (recovered.end, recovered.next) = (seal.index.end(), seal.next);
        let segment = Segment::new(first, seal.index);
        segment.set_sealed(true);
        recovered.segments.push(Arc::new(segment));
        return Ok(recovered);
    }
    fill(recovered, first)
}

/// Whether the seal is of the segment that is being recovered, as it is now.
fn is_of(seal: &Seal, checks: Checks, recovered: &Recovered, header: &SegmentHeader) -> Result<bool, LogError> {
    let (name, file, size) = (segment_name(header.first), &*recovered.file, recovered.size);
    let identity = (header.identity.epoch, header.first);
    let is_of = seal.is_of(checks, identity, file, size).map_err(LogError::io("reading", &name))?;
    // Records behind the sealed ones: it has grown since.
    Ok(is_of && content_end(file, &name, seal.index.end(), size)?.is_none())
}

fn check_follows(
    before: Option<&Recovered>,
    header: &SegmentHeader,
    name: &str,
    first: Position,
) -> Result<(), LogError> {
    if header.first != first {
        return Err(corruption(name, 0, first, "the segment's header has another position than its name").into());
    }
    let Some(before) = before else {
        let begins = first == Position(1);
        let gap = || corruption(name, 0, Position(1), "the log's first segment is missing").into();
        return if begins { Ok(()) } else { Err(gap()) };
    };
    // The epoch may be a new one; the salt never changes.
    if before.salt != header.identity.salt {
        return Err(corruption(name, 0, first, "the segment is of another log").into());
    }
    // A segment is created only when everything before it is durable, so a tail cannot be torn there.
    let last = before.segments.last().map_or(name, |segment| segment.name.as_str());
    if content_end(&*before.file, last, before.end, before.size)?.is_some() {
        return Err(corruption(last, before.end, before.next, "a damaged batch, with a later segment behind it").into());
    }
    if before.next != first {
        return Err(corruption(last, before.end, before.next, "the records up to the next segment are missing").into());
    }
    Ok(())
}

/// Walks over all sound batches of the last segment and indexes them.
fn fill(mut recovered: Recovered, first: Position) -> Result<Recovered, LogError> {
    let name = segment_name(first);
    let offset = SEGMENT_HEADER_BYTES as u64;
    let mut walker = Walker::new(Walk {
        file: Arc::clone(&recovered.file),
        checks: Checks::of(recovered.salt),
        start: Mark { position: first, offset, batch_end: offset },
        end: recovered.size,
        chunk_bytes: CHUNK_BYTES,
    });
    let mut index = Index::default();
    // The batch that the walk is in, and the one before it.
    let (mut batch, mut before) = (offset, offset);
    let (end, next) = loop {
        match walker.step(Position::ZERO) {
            Ok(Step::Batch(header)) => {
                recovered.closed = header.records == 0;
                (before, batch) = (batch, walker.batch_start().0);
            }
            Ok(Step::Record { mark, .. }) => index.note(mark),
            Ok(Step::Passed) => {}
            Ok(Step::End) => break (recovered.size, walker.position()),
            Err(WalkFault::Damage { .. }) => break walker.batch_start(),
            Err(fault) => return Err(fault.into_error(&name)),
        }
    };
    index.end_at(if end == batch { before } else { batch }, end);
    (recovered.end, recovered.next) = (end, next);
    recovered.segments.push(Arc::new(Segment::new(first, index)));
    Ok(recovered)
}

/// Finds the bytes behind the last sound batch of the log.
fn find_tail(recovered: &mut Recovered) -> Result<(), LogError> {
    let name = recovered.segments.last().map_or_else(String::new, |segment| segment.name.clone());
    let (file, end, next) = (&*recovered.file, recovered.end, recovered.next);
    // Zeros are space that was reserved and not yet used.
    let Some(content_end) = content_end(file, &name, end, recovered.size)? else { return Ok(()) };
    let tail = read(file, &name, end, content_end)?;
    let checks = Checks::of(recovered.salt);
    if later_batch(&checks, &tail, next) {
        return Err(corruption(&name, end, next, "a damaged batch, with a sound one behind it").into());
    }
    recovered.torn = Some(content_end);
    recovered.closed = false;
    Ok(())
}

/// Cuts off the batch that was being written.
fn cut_tail(mut recovered: Recovered) -> Result<Recovered, LogError> {
    let Some(content_end) = recovered.torn.take() else { return Ok(recovered) };
    let name = recovered.segments.last().map_or_else(String::new, |segment| segment.name.clone());
    let (file, end, next) = (&*recovered.file, recovered.end, recovered.next);
    file.truncate(end).map_err(LogError::io("truncating", &name))?;
    file.sync_data().map_err(LogError::io("syncing", &name))?;
    let bytes = content_end - end;
    tracing::info!(segment = name, offset = end, position = %next, bytes, "cut off a batch that was being written when the process stopped");
    recovered.size = end;
    Ok(recovered)
}

/// Whether a batch of a position not before `next` follows behind the first byte. Older ones could be a copy of a part of
/// the log in a payload.
fn later_batch(checks: &Checks, tail: &[u8], next: Position) -> bool {
    let behind = tail.get(1..).unwrap_or_default();
    behind
        .windows(BATCH_HEADER_BYTES)
        .filter(|window| window.starts_with(checks.mark()))
        .any(|window| checks.decode_batch(window).is_some_and(|header| header.first >= next))
}

/// The end of the last non-zero byte in `from..to`; `None` if there are only zeros.
fn content_end(file: &dyn StorageFile, name: &str, from: u64, to: u64) -> Result<Option<u64>, LogError> {
    let (mut at, mut found) = (from, None);
    while at < to {
        let next = to.min(at + CHUNK_BYTES as u64);
        let chunk = read(file, name, at, next)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            found = Some(at + last as u64 + 1);
        }
        at = next;
    }
    Ok(found)
}

fn read(file: &dyn StorageFile, name: &str, from: u64, to: u64) -> Result<Vec<u8>, LogError> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
    file.read_at(&mut bytes, from).map_err(LogError::io("reading", name))?;
    Ok(bytes)
}

fn corruption(file: &str, offset: u64, position: Position, what: &'static str) -> Corruption {
    Corruption { file: file.to_owned(), offset, position, what }
}
