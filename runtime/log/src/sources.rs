//! The segments of a log that may be damaged, each with its proper header: as found, with one byte corrected, or derived
//! from the headers of the other segments. Changes nothing.

use weirgate_types::Position;

use crate::{
    Corruption, LogError, Salt, Storage,
    format::{HeaderFault, SEGMENT_HEADER_BYTES, SegmentHeader, segment_name},
    recovery::segments,
};

/// A segment's file, and its header as found or as derived.
pub struct Source {
    pub name: String,
    pub header: SegmentHeader,
    /// The damage of the header.
    pub fault: Option<&'static str>,
}

/// All segments with their proper headers. Files of another log are excluded.
pub fn sources(storage: &dyn Storage) -> Result<(Vec<Source>, Option<String>), LogError> {
    let mut found = Vec::new();
    for first in segments(storage)? {
        let name = segment_name(first);
        let bytes = read(storage, &name, SEGMENT_HEADER_BYTES as u64)?;
        let header = match SegmentHeader::decode(&bytes) {
            Ok(header) if header.first == first => Some(header),
            Ok(_) | Err(HeaderFault::Damaged) => None,
            Err(HeaderFault::Version(version)) => return Err(LogError::Version { file: name, version }),
        };
        found.push((name, first, header, bytes));
    }
    // A header that was being written, with nothing behind it.
    let mut unborn = None;
    if let Some((name, _, None, _)) = found.last() {
        let bytes = read_whole(storage, name)?;
        if bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default().iter().all(|byte| *byte == 0) {
            unborn = found.pop().map(|(name, ..)| name);
        }
    }
    Ok((mend_headers(found)?, unborn))
}

/// All bytes of a segment.
pub fn read_whole(storage: &dyn Storage, name: &str) -> Result<Vec<u8>, LogError> {
    read(storage, name, u64::MAX)
}

fn read(storage: &dyn Storage, name: &str, bytes_max: u64) -> Result<Vec<u8>, LogError> {
    let file = storage.open(name).map_err(LogError::io("opening", name))?;
    let size = file.size().map_err(LogError::io("measuring", name))?;
    let mut bytes = vec![0; usize::try_from(size.min(bytes_max)).unwrap_or(usize::MAX)];
    file.read_at(&mut bytes, 0).map_err(LogError::io("reading", name))?;
    Ok(bytes)
}

type Found = (String, Position, Option<SegmentHeader>, Vec<u8>);

/// Derives the header of each segment whose header is damaged.
fn mend_headers(found: Vec<Found>) -> Result<Vec<Source>, LogError> {
    let mended: Vec<_> = found
        .into_iter()
        .map(|(name, first, header, bytes)| {
            let mended = header.or_else(|| mend(&bytes, first));
            (name, first, header, mended)
        })
        .collect();
    let headers: Vec<_> = mended.iter().filter_map(|(_, _, _, mended)| *mended).collect();
    // If there are several logs, the one with the most segments.
    let votes = |salt: Salt| headers.iter().filter(|header| header.identity.salt == salt).count();
    let most = headers.iter().rev().max_by_key(|header| votes(header.identity.salt));
    let Some(salt) = most.map(|header| header.identity.salt) else {
        let Some((name, first, ..)) = mended.into_iter().next() else { return Ok(Vec::new()) };
        let what = "no segment's header can be read, so nothing behind it can be checked";
        return Err(Corruption { file: name, offset: 0, position: first, what }.into());
    };
    let is_ours = |header: &SegmentHeader| header.identity.salt == salt;
    let Some(mut identity) = headers.iter().find(|header| is_ours(header)).map(|header| header.identity) else {
        return Ok(Vec::new());
    };
    let mut sources = Vec::new();
    for (name, first, header, mended) in mended {
        // If the header cannot be recovered, the epoch is that of the previous segment.
        identity = mended.filter(is_ours).map_or(identity, |header| header.identity);
        let fault = match header {
            Some(header) if is_ours(&header) => None,
            Some(_) => Some("the segment is of another log"),
            None => Some("the segment's header is damaged"),
        };
        sources.push(Source { name, header: SegmentHeader { identity, first }, fault });
    }
    Ok(sources)
}

/// The header with one byte corrected, if that makes it sound.
fn mend(bytes: &[u8], first: Position) -> Option<SegmentHeader> {
    let header = bytes.get(..SEGMENT_HEADER_BYTES)?;
    for at in 0..SEGMENT_HEADER_BYTES {
        for byte in 0..=u8::MAX {
            let mut tried = header.to_vec();
            *tried.get_mut(at)? = byte;
            if let Ok(found) = SegmentHeader::decode(&tried)
                && found.first == first
            {
                return Some(found);
            }
        }
    }
    None
}
