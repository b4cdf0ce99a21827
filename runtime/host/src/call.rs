//! What goes into a call and what comes out of it. Knows no WebAssembly.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use weirgate_types::{AttemptFailure, CallLimits, DeliveryId, Effects, Event, LogLine};

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
    pub config: &'a Arc<BTreeMap<String, String>>,
    pub limits: &'a CallLimits,
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

/// The committed state cannot be read: the host's trouble, which no attempt of the guest pays for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be read: {0}")]
pub struct StateError(pub String);

/// What a call came to.
#[derive(Debug)]
pub struct CallReport {
    pub result: Result<Effects, CallError>,
    /// What the guest logged or printed, whatever the result.
    pub log: Vec<LogLine>,
    /// Lines beyond the limit, which were counted only.
    pub log_lines_dropped: u32,
    /// The calling thread's CPU time, from making the instance to dropping it.
    pub cpu: Duration,
    /// The largest sum of the instance's linear memories.
    pub memory_bytes_peak: u64,
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
    #[error("as many calls are under way as the host has room for")]
    Busy,
}
