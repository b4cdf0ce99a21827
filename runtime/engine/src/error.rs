//! Why the engine does not start, and why it refuses a command.

use weirgate_host::{HostError, ModuleError};
use weirgate_log::{LogError, ViewError};
use weirgate_types::{BreakerId, DeliveryId, HandlerName, ManifestError, RecordError};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Views(#[from] ViewError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the data directory cannot be used: {0}")]
    Dir(#[from] std::io::Error),
}

/// A refused command: nothing has changed, unless the variant says so. Grouped by what the caller does.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    // Try again later.
    #[error("too many events are under way; send them again in a moment")]
    Busy,
    #[error("too many lists are being read; ask again in a moment")]
    TooManyQueries,
    #[error("the disk is nearly full; no new events are taken until there is space again")]
    DiskFull,
    #[error(
        "the disk is full, and what was asked for waits for space: it may still take effect; ask again when there is space"
    )]
    OutcomeUnknown,
    #[error("too many modules are being uploaded or loaded; try again in a moment")]
    ModuleQueueFull,
    #[error(
        "modules that no handler was deployed with may take {bytes_max} bytes together; deploy them, or wait until they are deleted"
    )]
    TooManyModules { bytes_max: u64 },
    #[error("the server is stopping")]
    Stopped,
    // The caller is wrong.
    #[error("{0} handlers are deployed, which is the most; give one of them the new work")]
    TooManyHandlers(usize),
    #[error(
        "{0} has not looked at the events that its last 64 changes of subscriptions are for; change them when it has"
    )]
    TooFarBehind(HandlerName),
    #[error("there is no handler {0}")]
    UnknownHandler(HandlerName),
    #[error("{0} is not a dead letter")]
    NotADeadLetter(DeliveryId),
    #[error("{0} is neither open nor a dead letter: it has been completed, skipped or resolved")]
    NotOpen(DeliveryId),
    #[error("{0} is running; try again when the attempt has ended")]
    Running(DeliveryId),
    #[error("{0} changed meanwhile; look at it and try again")]
    Changed(DeliveryId),
    #[error("there is no breaker {0}: give the handler a [breaker] in its manifest")]
    UnknownBreaker(BreakerId),
    #[error("there is no bulk job {0}")]
    UnknownBulkJob(u64),
    #[error("{0}")]
    Correction(String),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    // The server is.
    #[error("the log or its views cannot be read: {0}")]
    Storage(String),
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<ViewError> for Refusal {
    fn from(error: ViewError) -> Self {
        Self::Storage(error.to_string())
    }
}
