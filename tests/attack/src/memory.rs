//! The memory of the server's process, and the test's own limit of descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The peak and the present resident memory of a process, in bytes.
pub fn memory(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of proc(5)");
        let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("kilobytes");
        kib << 10
    };
    (field("VmHWM"), field("VmRSS"))
}

/// Attackers need more connections than a process's default limit.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
