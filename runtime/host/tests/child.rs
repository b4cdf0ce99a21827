//! The compiling process: it dies with its parent, even if that is killed, and is confined before it reads a module.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Starts the compiler with a stdin that stays open when the shell is gone, prints its process id, and waits.
const SCRIPT: &str = r#"exec 3<&0; "$0" <&3 & echo $!; wait"#;

/// The line that comes before the module.
const LIMITS: &[u8] = b"{\"cpu_seconds_max\":77,\"memory_bytes_max\":4294967296,\"has_seccomp\":true}\n";

/// Waits until the condition holds.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        thread::park_timeout(Duration::from_millis(10));
    }
    panic!("within 20 s it does not come true that {what}");
}

/// Gone, or ended and not yet reaped by its new parent.
fn has_ended(process: &str) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { return true };
    status.contains("State:\tZ")
}

#[test]
fn the_compiler_dies_with_its_parent() {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT, env!("CARGO_BIN_EXE_weirgate-compile")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = shell.stdin.take().expect("its input");
    stdin.write_all(LIMITS).expect("written");
    let mut process = String::new();
    BufReader::new(shell.stdout.take().expect("its output")).read_line(&mut process).expect("a line");
    let process = process.trim();
    until("the compiler has set its limits and waits for the module", || {
        fs::read_to_string(format!("/proc/{process}/limits")).is_ok_and(|limits| limits.contains(" 77 "))
    });
    assert!(!has_ended(process), "its input is open, so it waits");
    shell.kill().expect("killed");
    shell.wait().expect("gone");
    until("the compiler has ended", || has_ended(process));
    drop(stdin);
}

/// The soft and the hard value of a limit.
fn limit(limits: &str, name: &str) -> Vec<String> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

#[test]
fn the_compiler_is_confined_before_it_reads_a_module() {
    if !fs::exists("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default() {
        println!("skipped: this kernel has no seccomp");
        return;
    }
    let mut compiler = Command::new(env!("CARGO_BIN_EXE_weirgate-compile"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the compiler");
    let mut stdin = compiler.stdin.take().expect("its input");
    let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", compiler.id())).expect("its state");
    assert!(read("status").contains("\nSeccomp:\t0"), "nothing has been said to it yet");
    stdin.write_all(LIMITS).expect("written");
    until("the compiler has set a filter", || read("status").contains("\nSeccomp:\t2"));
    assert!(read("status").contains("\nNoNewPrivs:\t1") && read("status").contains("\nThreads:\t1"));
    let limits = read("limits");
    for (name, expected) in [
        ("Max cpu time", ["77", "78"]),
        ("Max address space", ["4294967296", "4294967296"]),
        ("Max open files", ["3", "3"]),
        ("Max processes", ["0", "0"]),
        ("Max core file size", ["0", "0"]),
    ] {
        assert_eq!(limit(&limits, name), expected, "{name}");
    }
    drop(stdin);
    let output = compiler.wait_with_output().expect("its end");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty() && !told.is_empty(), "an empty module: {told}");
}
