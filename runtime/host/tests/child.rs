//! The compiling process dies with its parent, even if that is killed.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// Starts the compiler with a stdin that stays open when the shell is gone, prints its process id, and waits.
const SCRIPT: &str = r#"exec 3<&0; "$0" <&3 & echo $!; wait"#;

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
    stdin.write_all(b"{\"cpu_seconds_max\":77,\"memory_bytes_max\":4294967296}\n").expect("written");
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
