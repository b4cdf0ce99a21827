//! Reads and decodes records on a thread of its own, ahead of the recovery that executes them.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use weirgate_log::{LogError, LogReader, Scan};
use weirgate_types::{Position, Record};

/// A log that is shorter than this is read by the thread that executes it.
const POSITIONS_MIN: u64 = 50_000;
/// Maximum number of records that are passed on at once.
const RECORDS_MAX: usize = 256;
/// Or records of this many bytes, and one more.
const BYTES_MAX: usize = 1 << 20;
/// Maximum number of these parts that wait to be executed, and to be freed.
const PARTS_MAX: usize = 4;

type Part = Vec<(Position, Record)>;
/// `None` at the end.
type Read = Result<Option<Part>, LogError>;

/// The records from a position up to the log's head as it was at the beginning, in order.
pub enum ReadAhead {
    /// By a thread.
    Ahead { parts: Receiver<Read>, done: Sender<Part> },
    /// By the caller, one record at a time.
    Here(Scan),
}

impl ReadAhead {
    pub fn begin(log: &LogReader, from: Position) -> Self {
        if log.head().0.saturating_sub(from.0) < POSITIONS_MIN {
            return Self::Here(log.scan(from));
        }
        let ((sender, parts), (done, again)) = (bounded(PARTS_MAX), bounded(PARTS_MAX));
        let of_thread = log.clone();
        let reads = move || read(&of_thread, from, &sender, &again);
        match thread::Builder::new().name("read-ahead".into()).spawn(reads) {
            Ok(_) => Self::Ahead { parts, done },
            Err(error) => {
                tracing::debug!(%error, "the log is read without a thread of its own");
                Self::Here(log.scan(from))
            }
        }
    }

    /// The next records; `None` at the end. Not to be called after that, or after an error.
    pub fn next_part(&mut self) -> Read {
        match self {
            // Without word of the log's end, nothing is taken for it.
            Self::Ahead { parts, .. } => parts.recv().unwrap_or_else(|ended| {
                let (file, source) = ("the log".to_owned(), std::io::Error::other(ended));
                Err(LogError::Io { doing: "reading ahead", file, source })
            }),
            Self::Here(scan) => Ok(scan.next().transpose()?.map(|read| vec![read])),
        }
    }

    /// Gives records back, which are freed by the thread that has made them.
    pub fn done(&self, part: Part) {
        if let Self::Ahead { done, .. } = self {
            // If it has ended, or is behind, they are freed here.
            drop(done.try_send(part));
        }
    }
}

/// Ends early when the receiver is gone.
fn read(log: &LogReader, from: Position, parts: &Sender<Read>, again: &Receiver<Part>) {
    let empty = || {
        let mut part = again.try_recv().unwrap_or_else(|_| Vec::with_capacity(RECORDS_MAX));
        part.clear();
        part
    };
    let (mut part, mut bytes) = (empty(), 0);
    let read = log.each(from, log.head(), |position, encoded| {
        part.push((position, Record::decode(encoded).ok()?));
        bytes += encoded.len();
        if part.len() < RECORDS_MAX && bytes < BYTES_MAX {
            return Some(true);
        }
        bytes = 0;
        Some(parts.send(Ok(Some(std::mem::replace(&mut part, empty())))).is_ok())
    });
    // If the receiver is gone, nothing is missing.
    drop(parts.send(Ok(Some(part))));
    drop(parts.send(read.map(|()| None)));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weirgate_log::{Epoch, Identity, Log, LogOptions, Salt, Storage};
    use weirgate_testkit::SimStorage;
    use weirgate_types::Lost;

    use super::*;

    fn log(disk: &SimStorage, records: u64) -> Log {
        let identity = Identity { epoch: Epoch([1; 16]), salt: Salt([2; 16]) };
        let mut log = Log::open(Arc::new(disk.clone()), identity, LogOptions::default()).expect("a log");
        for at_ms in 1..=records {
            log.stage(&Record::Lost(Lost { positions: 3, at_ms })).expect("staged");
        }
        log.commit().expect("a sync");
        log
    }

    /// All records, and the error at their end.
    fn all(mut ahead: ReadAhead) -> (Part, Option<LogError>) {
        let mut all = Vec::new();
        loop {
            match ahead.next_part() {
                Ok(Some(part)) => {
                    all.extend(part.iter().cloned());
                    ahead.done(part);
                }
                Ok(None) => return (all, None),
                Err(error) => return (all, Some(error)),
            }
        }
    }

    #[test]
    fn it_reads_what_a_scan_reads() {
        let log = log(&SimStorage::new(), POSITIONS_MIN / 3 + 1_000);
        let reader = log.reader();
        for from in [1, 5, 1_000, POSITIONS_MIN] {
            let from = Position(from);
            let (read, error) = all(ReadAhead::begin(&reader, from));
            let scanned: Vec<_> = reader.scan(from).map(|read| read.expect("a record")).collect();
            assert!(read == scanned && error.is_none(), "from {from}: {error:?}");
        }
        let mut ahead = ReadAhead::begin(&reader, Position(1));
        assert!(ahead.next_part().is_ok_and(|part| part.is_some()), "and is not read to its end");
    }

    #[test]
    fn damage_is_reported_behind_the_records_before_it() {
        let disk = SimStorage::new();
        let log = log(&disk, POSITIONS_MIN / 3 + 1_000);
        let name = Storage::list(&disk)
            .expect("names")
            .into_iter()
            .find(|name| name.strip_suffix(".seg").is_some())
            .expect("a segment");
        let mut bytes = disk.contents(&name).expect("a segment");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        disk.overwrite(&name, bytes);
        let (read, error) = all(ReadAhead::begin(&log.reader(), Position(1)));
        let scanned: Vec<_> = log.reader().scan(Position(1)).map_while(Result::ok).collect();
        assert!(read == scanned && read.len() > 1_000);
        assert!(matches!(error, Some(LogError::Corrupt(_))), "{error:?}");
    }
}
