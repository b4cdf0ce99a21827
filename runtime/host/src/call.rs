//! What goes into a call and what comes out of it. Knows no WebAssembly.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    sync::Arc,
    time::Duration,
};

use weirgate_types::{AttemptFailure, CallLimits, Capabilities, Correction, DeliveryId, Effects, Event, LogLine};

/// One attempt at a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub event: &'a Event,
    pub delivery: &'a DeliveryId,
    /// The event's key for this handler: what `state` is scoped to.
    pub key: &'a str,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The attempt's time in milliseconds since the Unix epoch. The guest's clocks answer it.
    pub at_ms: u64,
    /// What the wall clock says: timers are due by it.
    pub wall_ms: u64,
    pub config: &'a Arc<BTreeMap<String, String>>,
    pub limits: &'a CallLimits,
    /// Whom the guest may call, and with which secrets.
    pub capabilities: &'a Capabilities,
    pub processor: &'a Arc<dyn Processor>,
}

/// How a call shares the processors with others. Asked on the call's own thread, which may wait in it; that counts neither
/// as the guest's CPU time nor as its wall time.
pub trait Processor: std::fmt::Debug + Send + Sync {
    /// The guest has computed for a while (about 10 ms): whoever has more right to the processor goes first.
    fn tick(&self);

    /// The call is about to wait for the network.
    fn release(&self);

    /// It is back, and wants to go on.
    fn acquire(&self);
}

/// A processor that is shared with nobody.
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

    /// The names that begin with `prefix`, sorted, the first `limit` of them.
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

/// Errors are equal that read the same.
impl PartialEq for StateError {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for StateError {}

/// What a call came to.
#[derive(Debug)]
pub struct CallReport {
    pub result: Result<Effects, CallError>,
    /// The data that the component would rather handle, where it failed as correctable and knew better.
    pub correction: Option<Correction>,
    /// What the guest logged or printed, whatever the result.
    pub log: Vec<LogLine>,
    /// Lines beyond the limit, which were counted only.
    pub log_lines_dropped: u32,
    /// The calling thread's CPU time, from making the instance to dropping it, outbound calls included.
    pub cpu: Duration,
    /// The largest sum of the instance's linear memories.
    pub memory_bytes_peak: u64,
    /// Each host that was called, by name, with its port where that is not the scheme's own; and whether it answered
    /// well. Not well: it was not reached, gave no answer in time, or answered 500 or above, if only once.
    pub hosts: Vec<(String, bool)>,
}

/// What a call of several deliveries came to. The lists have one entry for each, in their order.
#[derive(Debug, Default)]
pub struct BatchReport {
    pub results: Vec<Result<Effects, CallError>>,
    pub logs: Vec<Vec<LogLine>>,
    pub log_lines_dropped: Vec<u32>,
    /// The calling thread's CPU time for all of them, from making the instance to dropping it, outbound calls included.
    pub cpu: Duration,
    /// The largest sum of the instance's linear memories.
    pub memory_bytes_peak: u64,
    /// The hosts that were called for any of them, as in [`CallReport::hosts`].
    pub hosts: Vec<(String, bool)>,
}

/// Why a call has no effects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest failed, or broke a limit or the contract: the attempt is over.
    #[error("{}", .0.message)]
    Failed(AttemptFailure),
    /// There is nothing to commit: the attempt did not count.
    #[error(transparent)]
    State(#[from] StateError),
    /// As many calls as the host has room for are under way: nothing was tried, come back later.
    #[error("the host's maximum of concurrent calls is reached")]
    Busy,
    /// An earlier delivery of its key failed in the same call, so nothing of this one counts: the attempt did not count
    /// either.
    #[error("an earlier delivery of its key failed in the same call")]
    Blocked,
    /// The deliveries of the call have more effects together than one call may have; each for itself may have fewer. The
    /// attempts did not count.
    #[error("the batch's effects exceed 10 MiB in total; each delivery is retried alone")]
    TooMuchTogether,
}

/// What the calls of a batch come to where some have failed: later ones of the same key have read what then does not
/// count, so they do not count either.
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
