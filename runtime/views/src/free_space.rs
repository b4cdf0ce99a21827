//! Whether there is disk space and a file descriptor for a flush. sled does not recover from a full disk or from a file that
//! it cannot open, so it must meet neither; the log does, and may use the rest. Knows nothing of the flushed data.

use std::{
    fs::File,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{fs::statvfs, io::Errno};

/// Bytes that stay free regardless of flushes.
const MARGIN_BYTES: u64 = 16 << 20;
/// Bytes that may be written per changed byte: once in the redo file, and four times by sled, which writes whole pages and
/// frees old ones later.
const AMPLIFICATION: u64 = 5;
/// Number of files that sled may open during a flush: a snapshot, its directory, and a large value or two.
const DESCRIPTORS_MIN: usize = 4;
const PLACEHOLDER: &str = "/dev/null";

/// Number of free bytes; `None` if unknown.
pub type Measure = Box<dyn Fn() -> Option<u64> + Send + Sync>;

pub struct FreeSpace {
    measure: Measure,
    is_short: AtomicBool,
}

/// Measures the file system of `dir`.
pub fn of(dir: PathBuf) -> Measure {
    Box::new(move || statvfs(&dir).ok().map(|found| found.f_bavail.saturating_mul(found.f_frsize)))
}

impl FreeSpace {
    pub fn new(measure: Measure) -> Self {
        Self { measure, is_short: AtomicBool::new(false) }
    }

    /// Whether the last check found too little.
    pub fn is_short(&self) -> bool {
        self.is_short.load(Ordering::SeqCst)
    }

    /// Checks whether this many bytes can be flushed. Logs each change of the result once.
    pub fn suffices(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let needed = bytes.saturating_mul(AMPLIFICATION).saturating_add(MARGIN_BYTES);
        let free = (self.measure)();
        // If the free space is unknown, sled has to try.
        let has_space = free.is_none_or(|free| free >= needed);
        let has_descriptors = has_descriptors();
        let is_short = !has_space || !has_descriptors;
        let was_short = self.is_short.swap(is_short, Ordering::SeqCst);
        if is_short && !was_short {
            let lack = if has_space { "no file descriptor is free" } else { "the disk is nearly full" };
            tracing::warn!(free, needed, "{lack}: view changes stay in memory");
        } else if was_short && !is_short {
            tracing::info!(free, needed, "there is space again: the flusher continues");
        }
        !is_short
    }
}

/// Whether this many files can be opened now. Failures other than a lack of descriptors are left to sled.
fn has_descriptors() -> bool {
    let opened: Result<Vec<_>, _> = (0..DESCRIPTORS_MIN).map(|_| File::open(PLACEHOLDER)).collect();
    let of_process_or_machine = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    !opened.is_err_and(|error| of_process_or_machine.contains(&error.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_stays_free() {
        let needed = MARGIN_BYTES + 5 * 1000;
        for (free, suffices) in [(Some(needed), true), (Some(needed - 1), false), (Some(0), false), (None, true)] {
            let free_space = FreeSpace::new(Box::new(move || free));
            assert_eq!(free_space.suffices(1000), suffices, "{free:?}");
            assert_eq!(free_space.is_short(), !suffices);
        }
    }

    #[test]
    fn a_real_file_system_is_measured() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(of(dir.path().to_owned())().expect("a number") > 0);
        assert_eq!(of(dir.path().join("missing"))(), None);
    }
}
