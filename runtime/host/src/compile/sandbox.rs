//! What the compiling process cannot do, besides using much memory or time: it has no network, opens no files and starts no
//! processes. Its limits of descriptors and processes see to that on every kernel; where the kernel has seccomp, a filter
//! refuses every system call that computing and writing the answer does not need, which also holds for root.

use std::{collections::BTreeMap, io, thread};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// stdin, stdout and stderr.
pub(super) const DESCRIPTORS: u64 = 3;

/// The system calls of a process that computes, takes memory, reads, writes and ends.
const ALLOWED: [i64; 32] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_uname,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Refuses, with `EPERM`, every other system call of this thread and of threads that it starts, for ever.
///
/// # Errors
/// The kernel has no seccomp, or the filter is not written for this processor.
pub(super) fn confine() -> Result<(), seccompiler::Error> {
    seccompiler::apply_filter(&program()?)
}

fn program() -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    // An abort is a signal to the process itself.
    let own = u64::from(std::process::id());
    let is_own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![is_own])?]);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let processor: TargetArch = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, refused, SeccompAction::Allow, processor)?.try_into()?)
}

/// Says in the log what holds the compiling processes back on this machine. Returns whether seccomp does: then each of them
/// has to confine itself.
pub(crate) fn announce() -> bool {
    // The filter holds for one thread, so this one tries it out and ends.
    let tried = thread::Builder::new().name("seccomp".into()).spawn(|| confine().map_err(io::Error::other));
    match tried.and_then(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")))) {
        Ok(()) => {
            tracing::info!("components are compiled without network and files: no descriptors, and a seccomp filter");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "components are compiled without network and files: no descriptors, but no seccomp filter");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        net::{TcpStream, UdpSocket},
        os::unix::net::UnixDatagram,
        process::Command,
    };

    use super::*;

    #[test]
    fn a_confined_thread_computes_and_reaches_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let confined = thread::spawn(move || {
            confine()?;
            let refused = [
                ("connect", TcpStream::connect(address).map(drop)),
                ("datagrams", UdpSocket::bind("127.0.0.1:0").map(drop)),
                ("sockets", UnixDatagram::unbound().map(drop)),
                ("read a file", fs::read("/etc/hostname").map(drop)),
                ("write a file", fs::write("/tmp/weirgate-sandbox", "x")),
                ("remove a file", fs::remove_file("/tmp/weirgate-sandbox")),
                ("start a program", Command::new("/bin/true").spawn().map(drop)),
                ("start a thread", thread::Builder::new().spawn(|| ()).map(drop)),
                (
                    "signal another process",
                    rustix::process::test_kill_process(rustix::process::getppid().expect("a parent"))
                        .map_err(Into::into),
                ),
            ];
            let refused: Vec<_> = refused.map(|(what, done)| (what, done.map_err(|error| error.kind()))).to_vec();
            // It still computes.
            let sum: u64 = vec![1_u64; 1 << 20].iter().sum();
            Ok::<_, seccompiler::Error>((refused, sum))
        });
        match confined.join().expect("it ends") {
            Ok((refused, sum)) => {
                for (what, done) in refused {
                    assert_eq!(done, Err(io::ErrorKind::PermissionDenied), "{what}");
                }
                assert_eq!(sum, 1 << 20);
            }
            Err(error) => println!("skipped: this kernel has no seccomp ({error})"),
        }
    }
}
