//! How much memory and how many tables an instance may have, and its peak memory. Its memory comes from the budget that all
//! instances share.

use wasmtime::ResourceLimiter;
use weirgate_types::FailureKind;

use crate::{Budget, Grant, Purpose, clock::Deadline, failure::Stop};

/// Maximum size of a table, in elements; the pool has the same bound.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Counts the linear memories of one call together.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    bytes_max: u64,
    bytes: u64,
    peak: u64,
    /// The largest refused request, in bytes for all memories together.
    denied: Option<u64>,
    /// Whether this machine had less memory than the limit allows.
    starved: bool,
    /// Its grant from the budget of all instances, and until when it may wait for more.
    shared: Option<(Grant, Deadline)>,
}

impl MemoryLimit {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, peak: 0, denied: None, starved: false, shared: None }
    }

    /// Also takes the instance's memory from a budget, and waits for it up to the deadline.
    pub(crate) fn draw_from(&mut self, budget: &Budget, deadline: Deadline) {
        self.shared = Some((budget.grant(Purpose::Instances), deadline));
    }

    pub(crate) fn bytes_peak(&self) -> u64 {
        self.peak
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// The message when the call failed after it was refused memory. A guest that handles the refusal has done nothing
    /// wrong, so this alone does not end a call.
    pub(crate) fn denied(&self) -> Option<String> {
        let asked = self.denied?;
        Some(format!(
            "the component asked for {asked} bytes of memory; at most {} are given (limits.memory_bytes)",
            self.bytes_max
        ))
    }
}

impl MemoryLimit {
    fn draw(&mut self, more: u64) -> Result<(), Stop> {
        let Some((grant, deadline)) = &mut self.shared else { return Ok(()) };
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        if grant.grow_within(more, deadline.left().unwrap_or_default()) {
            return Ok(());
        }
        self.starved = true;
        let message = "the components that are called hold as much memory as the server has for them; try again later";
        Err(Stop::Guest(FailureKind::Memory, message.to_owned()))
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, max: Option<usize>) -> wasmtime::Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let bytes = self.bytes.saturating_add(more);
        if bytes > self.bytes_max {
            self.denied = Some(bytes);
            return Ok(false);
        }
        // Beyond the component's own maximum it would fail anyway, and must not be counted.
        if max.is_some_and(|max| desired > max) {
            return Ok(false);
        }
        self.draw(more)?;
        self.bytes = bytes;
        self.peak = self.peak.max(bytes);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // The count was right before and is now too high, which only makes the limit stricter.
        tracing::debug!(%error, "a permitted growth of memory failed");
        self.denied = self.denied.or(Some(self.bytes));
        self.starved = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together_without_refused_growth() {
        let mut limit = MemoryLimit::new(100);
        let mut grow = |current, desired, max| limit.memory_growing(current, desired, max).expect("an answer");
        assert!(grow(0, 60, None), "the first memory");
        assert!(!grow(0, 40, Some(30)), "more than its own maximum");
        assert!(grow(0, 30, Some(30)), "the second memory");
        assert!(!grow(60, 80, None), "110 in all");
        assert_eq!(limit.bytes_peak(), 90);
        let denied = limit.denied().expect("something was refused");
        assert!(denied.contains("110 bytes") && denied.contains("at most 100"), "{denied}");
    }
}
