//! A segment file, opened as the log of a killed process: raw bytes; a valid segment with damage; and frames with right
//! checksums around invalid records. Writes checksums by `docs/formats/log.md`, with an independent implementation.

use std::sync::{Arc, OnceLock};

use crc32c::{crc32c, crc32c_append};
use weirgate_log::{Epoch, Identity, Log, LogError, LogOptions, Salt};
use weirgate_testkit::{SimStorage, records};
use weirgate_types::{Event, Position, Record};

use crate::mode;

pub const WORDS: &[&str] = &["WEIRSEG", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"];

const IDENTITY: Identity = Identity { epoch: Epoch(*b"the fuzzed epoch"), salt: Salt(*b"salt and pepper.") };
const FIRST_SEGMENT: &str = "00000000000000000001.seg";
const HEADER_BYTES: usize = 64;
/// Damage to the valid segment is described in pieces of this many bytes.
const EDIT_BYTES: usize = 8;

pub fn run(bytes: &[u8]) {
    match mode(bytes, 3) {
        Some((0, raw)) => drop(opened(raw)),
        Some((1, edits)) => damaged(edits),
        Some((_, frames)) => sealed(frames),
        None => {}
    }
}

fn options() -> LogOptions {
    LogOptions { reserve_bytes: 0, ..LogOptions::default() }
}

fn open(disk: &SimStorage) -> Result<Log, LogError> {
    Log::open(Arc::new(disk.clone()), IDENTITY, options())
}

/// Opens a log of one segment, reads it, writes to it and opens it again. Returns the records before the first unreadable
/// one; `None` if it does not open, which then has changed nothing.
fn opened(segment: &[u8]) -> Option<Vec<(Position, Record)>> {
    let disk = SimStorage::new();
    disk.overwrite(FIRST_SEGMENT, segment.to_vec());
    let mut log = match open(&disk) {
        Ok(log) => log,
        Err(error) => {
            crate::check_error(&error.to_string());
            assert!(disk.contents(FIRST_SEGMENT).is_none_or(|now| now == segment), "a refused log was changed");
            return None;
        }
    };
    let (records, is_whole) = contents(&log);
    let head = log.head();
    // Positions have a maximum; a log that has reached it accepts no more.
    if head.0 < u64::MAX / 2 {
        log.stage(&event(99)).expect("staged");
        assert_eq!(log.commit().expect("a sync"), head.next());
        drop(log);
        let again = open(&disk).expect("it opened before");
        let (now, _) = contents(&again);
        assert_eq!(again.head(), head.next());
        assert!(!is_whole || now[..now.len() - 1] == records[..], "what was there is there no more");
    }
    Some(records)
}

/// The records up to the first unreadable one, and whether that is all.
fn contents(log: &Log) -> (Vec<(Position, Record)>, bool) {
    let (mut records, mut before) = (Vec::new(), Position::ZERO);
    for read in log.reader().scan(Position::ZERO) {
        let Ok((position, record)) = read else { return (records, false) };
        assert!(position > before && position <= log.head(), "{position} after {before}");
        before = position;
        records.push((position, record));
    }
    (records, true)
}

/// A segment as the log writes it, and its records.
struct Good {
    bytes: Vec<u8>,
    records: Vec<(Position, Record)>,
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Good> = OnceLock::new();
    GOOD.get_or_init(|| {
        let disk = SimStorage::new();
        let mut log = open(&disk).expect("a new log");
        let mut records = Vec::new();
        for batch in 1..=4_u64 {
            for n in 0..batch {
                let record = event(batch * 10 + n);
                records.push((log.stage(&record).expect("staged"), record));
            }
            log.commit().expect("a sync");
        }
        drop(log);
        Good { bytes: disk.contents(FIRST_SEGMENT).expect("a segment"), records }
    })
}

fn event(n: u64) -> Record {
    let event = Event { id: format!("event-{n}"), extensions: [].into(), ..records::event(vec![7; 32]) };
    Record::Accepted { event, to: None, at_ms: n }
}

/// Damage never changes, skips or adds a record: the records read are a prefix of the log.
fn damaged(edits: &[u8]) {
    let good = good();
    let mut bytes = good.bytes.clone();
    edits.chunks_exact(EDIT_BYTES).for_each(|edit| apply(&mut bytes, edit));
    let is_as_written = bytes == good.bytes;
    let Some(records) = opened(&bytes) else {
        assert!(!is_as_written, "a good log is refused");
        return;
    };
    assert!(good.records.starts_with(&records), "the log holds records that were not written");
    assert!(!is_as_written || records.len() == good.records.len());
}

fn apply(bytes: &mut Vec<u8>, edit: &[u8]) {
    let number = |at: usize| usize::from(u16::from_le_bytes([edit[at], edit[at + 1]]));
    let length = bytes.len().max(1);
    let (at, count) = (number(2) % length, number(4) % 64);
    let end = (at + count).min(bytes.len());
    match edit[0] % 6 {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (edit[6] % 8)),
        1 => bytes.truncate(at),
        2 => bytes.iter_mut().skip(at).take(count).for_each(|byte| *byte = 0),
        3 => drop(bytes.splice(at..at, std::iter::repeat_n(edit[6], count))),
        4 => {
            let copied = bytes[at.min(end)..end].to_vec();
            bytes.extend(copied);
        }
        _ => drop(bytes.drain(at.min(end)..end)),
    }
}

/// Batches and records with right checksums and any contents.
fn sealed(frames: &[u8]) {
    let mut segment = good().bytes[..HEADER_BYTES].to_vec();
    let (mut rest, mut next) = (frames, 1_u64);
    while let Some((head, after)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_le_bytes([head[0], head[1]])).min(after.len());
        let (record, after) = after.split_at(length);
        let true_width = Record::decode(record).map_or(1, |record| record.width());
        // Occasionally a wrong width.
        let width = if head[2] < 16 { u32::from(head[3]) << (head[2] * 2) } else { u32::try_from(true_width).unwrap() };
        let frame = frame(next, width, record);
        let records = if head[2] == 16 { u32::from(head[3]) } else { 1 };
        segment.extend(batch_header(next, &frame, records, width));
        segment.extend(frame);
        next = next.wrapping_add(u64::from(width));
        rest = after;
    }
    opened(&segment);
}

fn frame(position: u64, width: u32, record: &[u8]) -> Vec<u8> {
    let mut checksum = crc32c_append(crc32c(&IDENTITY.salt.0), &position.to_le_bytes());
    checksum = crc32c_append(checksum, &width.to_le_bytes());
    checksum = crc32c_append(checksum, record);
    let fields = [u32::try_from(record.len()).unwrap(), width, checksum];
    fields.iter().flat_map(|field| field.to_le_bytes()).chain(record.iter().copied()).collect()
}

fn batch_header(first: u64, frame: &[u8], records: u32, positions: u32) -> Vec<u8> {
    let mut bytes = IDENTITY.salt.0[..8].to_vec();
    bytes.extend(first.to_le_bytes());
    for field in [u32::try_from(frame.len()).unwrap(), records, positions] {
        bytes.extend(field.to_le_bytes());
    }
    let checksum = crc32c_append(crc32c(&IDENTITY.salt.0), &bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}
