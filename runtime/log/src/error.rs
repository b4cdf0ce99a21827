//! The log's errors, grouped by what the caller does about them.

use std::{io, path::PathBuf};

use rustix::io::Errno;
use weirgate_types::{Position, RecordError};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    // Wait, then try again: nothing is lost, the log continues.
    /// No disk space, or no file descriptor. Nothing of the pending batch is on disk. It is kept: call `sync` again, or
    /// `discard`.
    #[error("nothing was written, and the pending batch waits{}", Code(.0))]
    Full(#[source] io::Error),
    /// The record was not accepted.
    #[error("{bytes} bytes are pending; the maximum of a batch is {max}: sync first")]
    BatchFull { bytes: usize, max: usize },

    // This record can never be stored.
    #[error("the record takes {bytes} bytes; at most {max} are allowed")]
    RecordTooLarge { bytes: usize, max: usize },

    // Stop, and tell the operator.
    #[error("{} is in use by another process", .dir.display())]
    Locked { dir: PathBuf },
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    #[error("{file} has format version {version}; this program supports version {known}", known = crate::format::VERSION)]
    Version { file: String, version: u32 },
    /// Nothing was changed.
    #[error(transparent)]
    Lost(#[from] Loss),
    /// From the writer: the batch being written may or may not be on disk, and the log accepts no more.
    #[error("{doing} {file} failed{}", Code(.source))]
    Io { doing: &'static str, file: String, source: io::Error },
    /// An earlier write failed. Reopening the log shows what is durable.
    #[error("the log was stopped by an earlier failure")]
    Poisoned,

    // A bug.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Acknowledged records that are missing from the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("acknowledged records are missing from the log: {}: {witness}{}", Range(*.from, *.to), Damaged(.damage.as_ref()))]
pub struct Loss {
    /// The first position that is missing.
    pub from: Position,
    /// The last one that is known to have been durable.
    pub to: Position,
    pub witness: Witness,
    /// Bytes behind the log's last sound batch, if any: they may be the rest of those records.
    pub damage: Option<Corruption>,
}

/// The evidence of records that the log does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Witness {
    /// The file `head` beside the segments.
    #[error("the note of the durable head says that position {head} was durable, and the log ends at {end}")]
    Note { head: Position, end: Position },
    #[error("the views have applied position {applied}, and the log ends at {end}")]
    Views { applied: Position, end: Position },
    /// The views or the note belong to an epoch that no segment of the log has.
    #[error("position {head} was durable in epoch {epoch}, and the log has no segment of that epoch")]
    Epoch { head: Position, epoch: crate::Epoch },
    /// There are views or a note, but no log.
    #[error("position {head} was durable, and there is no log")]
    NoLog { head: Position },
}

/// Positions as text.
struct Range(Position, Position);

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(from, to) if from == to => write!(f, "position {from}"),
            Self(from, to) => write!(f, "positions {from} to {to}"),
        }
    }
}

struct Damaged<'a>(Option<&'a Corruption>);

impl std::fmt::Display for Damaged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(damage) = self.0 else { return Ok(()) };
        write!(f, "; {} has damaged bytes from byte {} on", damage.file, damage.offset)
    }
}

/// Durable data that differs from what was written. Nothing was changed, nothing skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log is damaged: {file}, byte {offset}, position {position}: {what}")]
pub struct Corruption {
    pub file: String,
    /// Where in the file the damaged part begins, in bytes.
    pub offset: u64,
    /// The first position that cannot be read.
    pub position: Position,
    pub what: &'static str,
}

impl LogError {
    pub(crate) fn io<'a>(doing: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { doing, file: file.to_owned(), source }
    }
}

/// The operating system's error number, if there is one: an error's text contains it, and its source describes it.
struct Code<'a>(&'a io::Error);

impl std::fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.raw_os_error().map_or(Ok(()), |code| write!(f, " (os error {code})"))
    }
}

/// Whether the error says that a resource has temporarily run out: disk space, a quota, or file descriptors.
pub(crate) fn is_full(error: &io::Error) -> bool {
    weirgate_types::is_out_of_space(error) || is_out_of_descriptors(error)
}

/// Whether the process (`EMFILE`) or the machine (`ENFILE`) has no file descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(Errno::MFILE.raw_os_error()) || errno == Some(Errno::NFILE.raw_os_error())
}
