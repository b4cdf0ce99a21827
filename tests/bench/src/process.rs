//! The resources that a process has used, from /proc. Knows nothing of the process.

use std::{fs, time::Duration};

use anyhow::{Context, Result, anyhow};

/// CPU time of the process `pid` so far, user and system, all threads, without its children.
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("there is no process {pid}"))?;
    let ticks = cpu_ticks(&stat).ok_or_else(|| anyhow!("/proc/{pid}/stat cannot be read"))?;
    Ok(Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1)))
}

/// Resident memory of the process `pid` in KiB.
///
/// # Errors
/// There is no such process.
pub fn resident_kib(pid: u32) -> Result<u64> {
    memory_kib(pid, "VmRSS:")
}

/// Peak resident memory of the process `pid` in KiB.
///
/// # Errors
/// There is no such process.
pub fn resident_peak_kib(pid: u32) -> Result<u64> {
    memory_kib(pid, "VmHWM:")
}

/// Bytes that the process `pid` has had written to the disk so far.
///
/// # Errors
/// There is no such process.
pub fn written_bytes(pid: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).with_context(|| format!("there is no process {pid}"))?;
    number_of(&io, "write_bytes:").ok_or_else(|| anyhow!("/proc/{pid}/io has no write_bytes"))
}

/// Average number of runnable threads in the last minute.
///
/// # Errors
/// This is not Linux.
pub fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    text.split_whitespace().next().and_then(|word| word.parse().ok()).ok_or_else(|| anyhow!("/proc/loadavg: {text}"))
}

/// Raises the limit of open files of this process and its children to the maximum: each socket needs one.
///
/// # Errors
/// The system refuses.
pub fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

fn memory_kib(pid: u32, name: &str) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("there is no process {pid}"))?;
    number_of(&status, name).ok_or_else(|| anyhow!("/proc/{pid}/status has no {name}"))
}

fn number_of(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// `utime` and `stime`: the 12th and 13th field after the name, which is in brackets and may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut words = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_names_with_brackets_are_parsed() {
        let stat = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 700 30 999 999 20 0";
        assert_eq!(cpu_ticks(stat), Some(730));
        assert_eq!(cpu_ticks("42 (short) S 1"), None);
    }

    #[test]
    fn memory_is_found_by_its_name() {
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        assert_eq!((number_of(status, "VmRSS:"), number_of(status, "VmSwap:")), (Some(1024), None));
    }

    #[test]
    fn work_shows_up_as_cpu_time() {
        let own = std::process::id();
        let before = cpu(own).expect("this process");
        let mut turns = 0_u64;
        while cpu(own).expect("this process") < before + Duration::from_millis(20) {
            turns = std::hint::black_box(turns + 1);
        }
        assert!(
            turns > 0 && resident_peak_kib(own).expect("this process") >= resident_kib(own).expect("this process") / 2
        );
    }
}
