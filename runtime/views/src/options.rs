//! How much the views keep in memory, and when they are flushed.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewOptions {
    /// What sled may keep of its pages, by their size on disk. In memory they take three to four times as much.
    pub cache_bytes: u64,
    /// How long a change waits for sled at most, if sled keeps up.
    pub flush_interval_ms: u64,
    /// A flush begins early when so many bytes wait.
    pub flush_bytes: usize,
    /// Writers wait when so many bytes wait. Twice as many can be in memory: as much again may be on its way.
    pub pending_bytes_max: usize,
}

impl Default for ViewOptions {
    fn default() -> Self {
        let mib = 1024 * 1024;
        Self { cache_bytes: 64 << 20, flush_interval_ms: 1000, flush_bytes: 8 * mib, pending_bytes_max: 32 * mib }
    }
}
