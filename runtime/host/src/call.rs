//! The input and the result of a call. Knows no WebAssembly.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::Arc,
    time::Duration,
};

use weirgate_types::{
    AttemptFailure, CallLimits, Capabilities, Correction, DeliveryId, Effects, Event, HostCall, LogLine,
};

/// One attempt at a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub event: &'a Event,
    pub delivery: &'a DeliveryId,
    /// The event's key for this handler: the scope of `state`.
    pub key: &'a str,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The attempt's time in milliseconds since the Unix epoch, as returned by the guest's clocks.
    pub at_ms: u64,
    /// The wall clock, which determines when timers are due.
    pub wall_ms: u64,
    pub config: &'a Arc<BTreeMap<String, String>>,
    pub limits: &'a CallLimits,
    /// The version of the key's state, if the guest is to migrate it before it handles the event.
    pub migrate_from: Option<u32>,
    /// Which hosts the guest may call, and with which secrets.
    pub capabilities: &'a Capabilities,
    pub processor: &'a Arc<dyn Processor>,
}

/// How a call shares the processors with others. Called on the call's own thread, which may wait in it; that counts neither
/// as the guest's CPU time nor as its wall-clock time.
pub trait Processor: std::fmt::Debug + Send + Sync {
    /// The guest has computed for a while (about 10 ms): it yields the processor if another handler is to go first.
    fn tick(&self);

    /// The call begins to wait for the network.
    fn release(&self);

    /// The wait is over, and the call needs a processor again.
    fn acquire(&self);

    /// Whether the result is not needed any more: the call ends at its next tick, and makes no further outbound call.
    fn is_discarded(&self) -> bool {
        false
    }
}

/// A processor that is not shared.
#[derive(Debug)]
pub struct OwnProcessor;

impl Processor for OwnProcessor {
    fn tick(&self) {}

    fn release(&self) {}

    fn acquire(&self) {}
}

/// The committed state of the call's handler and key.
pub trait ReadState: Send {
    /// # Errors
    /// The state cannot be read now. The call ends and must not be committed.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError>;

    /// The names that begin with `prefix`, sorted; the first `limit` of them.
    ///
    /// # Errors
    /// As for `get`.
    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError>;
}

/// The committed state or the journal cannot be read or written. No attempt of the guest is counted for it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the state of a delivery cannot be read")]
pub struct StateError(#[source] Arc<dyn Error + Send + Sync>);

impl StateError {
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into().into())
    }
}

/// Errors with the same text are equal.
impl PartialEq for StateError {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for StateError {}

/// The result of a call.
#[derive(Debug)]
pub struct CallReport {
    pub result: Result<Effects, CallError>,
    /// The corrected data that the component returned after a correctable failure.
    pub correction: Option<Correction>,
    /// The guest's log lines and output, whatever the result.
    pub log: Vec<LogLine>,
    /// Number of lines beyond the limit, which were dropped.
    pub log_lines_dropped: u32,
    /// The calling thread's CPU time, from creating the instance to dropping it, outbound calls included.
    pub cpu: Duration,
    /// The largest sum of the instance's linear memories.
    pub memory_bytes_peak: u64,
    /// Whether the same inputs give the same result: it did not depend on the machine's time and memory.
    pub reproducible: bool,
    /// Each host that was called, once. A call fails if the host cannot be reached, gives no answer in time, or answers
    /// 500 or above.
    pub hosts: Vec<HostCall>,
}

/// The result of a call of several deliveries. The lists have one entry for each, in order.
#[derive(Debug, Default)]
pub struct BatchReport {
    pub results: Vec<Result<Effects, CallError>>,
    pub logs: Vec<Vec<LogLine>>,
    pub log_lines_dropped: Vec<u32>,
    /// The calling thread's CPU time for all of them, from creating the instance to dropping it, outbound calls included.
    pub cpu: Duration,
    /// The largest sum of the instance's linear memories.
    pub memory_bytes_peak: u64,
    /// As in [`CallReport::reproducible`], for all of them.
    pub reproducible: bool,
    /// The hosts that any of them called, as in [`CallReport::hosts`].
    pub hosts: Vec<HostCall>,
}

/// Why a call has no effects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest failed, or exceeded a limit or violated the contract: the attempt is over.
    #[error("{}", .0.message)]
    Failed(AttemptFailure),
    /// There is nothing to commit: the attempt does not count.
    #[error(transparent)]
    State(#[from] StateError),
    /// The maximum number of calls is in flight: nothing was tried, retry later.
    #[error("the host's maximum of concurrent calls is reached")]
    Busy,
    /// An earlier delivery of its key failed in the same call, so no effects of this one count: the attempt does not count
    /// either.
    #[error("an earlier delivery of its key failed in the same call")]
    Blocked,
    /// Another attempt at a delivery of its key, which ran at the same time, migrated the state first. The attempt does not
    /// count.
    #[error("another delivery of its key migrated the state meanwhile")]
    MigratedMeanwhile,
    /// The deliveries of the call have more effects together than one call may have; each alone may have fewer. The attempts
    /// do not count.
    #[error("the batch's effects exceed 10 MiB in total; each delivery is retried alone")]
    TooMuchTogether,
    /// An attempt that is executed again made an outbound call that it did not make before.
    #[error("the step `{0}` is not recorded")]
    Unrecorded(String),
    /// The result was not needed any more, so the call was ended. The attempt does not count.
    #[error("the attempt was discarded, because another version was deployed")]
    Discarded,
}

/// The results of a batch after failures: later items of the same key have read effects that do not count, so they do not
/// count either.
pub(crate) fn block_behind_failures(
    answers: Vec<Result<(), CallError>>,
    calls: &[Call<'_>],
) -> Vec<Result<(), CallError>> {
    let mut failed = BTreeSet::new();
    let answers = answers.into_iter().zip(calls).map(|(answer, call)| {
        if failed.contains(call.key) {
            return Err(CallError::Blocked);
        }
        if answer.is_err() {
            failed.insert(call.key);
        }
        answer
    });
    answers.collect()
}
