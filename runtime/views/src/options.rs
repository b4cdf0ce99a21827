//! How much the views keep in memory, and when they are flushed.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewOptions {
    /// Maximum size of sled's page cache, in bytes on disk. In memory it takes three to four times as much.
    pub cache_bytes: u64,
    /// Maximum delay of a change before it is written to sled, if sled keeps up.
    pub flush_interval_ms: u64,
    /// A flush begins early when this many bytes wait.
    pub flush_bytes: usize,
    /// Writers wait when this many bytes wait. Twice as many can be in memory: as many again may be in a flush.
    pub pending_bytes_max: usize,
}

impl Default for ViewOptions {
    fn default() -> Self {
        let mib = 1024 * 1024;
        Self { cache_bytes: 64 << 20, flush_interval_ms: 1000, flush_bytes: 8 * mib, pending_bytes_max: 32 * mib }
    }
}
