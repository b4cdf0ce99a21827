//! File descriptors: the process raises its limit to the maximum, and reserves some of them, so that connections cannot use
//! up those of the log, the views, outbound calls and compilers.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Maximum number of descriptors of the log's older segments, the views, the listener and the runtime.
const OF_STORAGE: u64 = 128;
/// Concurrent name look-ups, each over a socket.
const OF_LOOKUPS: u64 = 64;
/// Uploads, and the pipes of compilers.
const OF_UPLOADS: u64 = 32;
/// Refusals of connections beyond the limit.
const OF_REFUSALS: u64 = 32;
/// Connections get at least this fraction of a limit that is too low for everything.
const CONNECTIONS_SHARE_MIN: u64 = 4;

/// Raises the soft limit to the hard one. Returns how many descriptors the process may have; `None`: no limit.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, ?current, ?maximum, "the limit of file descriptors cannot be raised");
            current
        }
    }
}

/// Maximum number of connections.
pub fn connections(wanted: usize, descriptors: Option<u64>, outbound_workers: usize) -> usize {
    let Some(descriptors) = descriptors else { return wanted };
    let outbound = u64::try_from(outbound_workers).unwrap_or(u64::MAX);
    let kept_back = (OF_STORAGE + OF_LOOKUPS + OF_UPLOADS + OF_REFUSALS).saturating_add(outbound);
    let left = descriptors.saturating_sub(kept_back).max(descriptors / CONNECTIONS_SHARE_MIN).max(1);
    wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for (wanted, descriptors, outbound_workers, connections_max) in [
            (12_000, None, 64, 12_000),
            (12_000, Some(1_048_576), 64, 12_000),
            (12_000, Some(20_000), 64, 12_000),
            (12_000, Some(4_096), 64, 3_776),
            (12_000, Some(1_024), 64, 704),
            (12_000, Some(1_024), 1_024, 256),
            (12_000, Some(256), 64, 64),
            (12_000, Some(3), 64, 1),
            (10, Some(1_024), 64, 10),
        ] {
            assert_eq!(connections(wanted, descriptors, outbound_workers), connections_max, "{descriptors:?}");
        }
    }
}
