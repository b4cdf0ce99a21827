//! Starts the compiling process, sends it the module, and kills it after its time limit.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::{CompileLimits, STATUS_MEMORY, STATUS_REJECTED};
use crate::{ModuleError, artefact::Artefact, lines};

/// Maximum size of an artefact, in bytes: a few times that of the largest module.
const ARTEFACT_BYTES_MAX: u64 = 1 << 30;
/// Maximum size of the kept stderr, in bytes.
const REASON_BYTES_MAX: u64 = 16 * 1024;
/// The beginning of the Rust runtime's message about a failed allocation, before it aborts.
const ALLOCATION_FAILED: &str = "memory allocation of";

/// Factor by which the child's wall-clock time may exceed its CPU time, for busy machines.
const WALL_PER_CPU: u64 = 2;

/// Compiles the module in a file, from its present offset on, with `command`. Takes at most twice `limits.cpu_seconds_max`
/// of wall-clock time.
///
/// # Errors
/// The module is the cause (time, memory, the compiler's error), or `command` cannot be run.
pub(crate) fn compile(command: &[OsString], limits: CompileLimits, module: File) -> Result<Artefact, ModuleError> {
    let unavailable = |error: io::Error| ModuleError::CompilerUnavailable(error.to_string());
    let mut child = spawn(command).map_err(unavailable)?;
    let output = converse(&mut child, limits, module);
    if output.is_none() {
        // It may have ended at this moment.
        let _ = child.kill();
    }
    let status = child.wait().map_err(unavailable)?;
    match output {
        None => Err(ModuleError::CompileTime { seconds_max: limits.cpu_seconds_max }),
        Some((artefact, _)) if status.success() => Ok(Artefact(artefact)),
        Some((_, reason)) => Err(failure(status, &reason, limits)),
    }
}

fn spawn(command: &[OsString]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("the compile command is empty"))?;
    Command::new(program)
        .args(arguments)
        // It needs nothing from the environment, which may hold secrets.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// The child's stdout and stderr, or `None` if it did not end in time.
fn converse(child: &mut Child, limits: CompileLimits, module: File) -> Option<(Vec<u8>, String)> {
    let (stdin, stdout, stderr) = (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let (send, receive) = mpsc::sync_channel(1);
    let limits_line = format!("{}\n", serde_json::json!(limits));
    // One thread per pipe, because a full one would block the others. They end when the child does.
    thread::spawn(move || feed(stdin, &limits_line, module));
    let reason = thread::spawn(move || read(stderr, REASON_BYTES_MAX));
    thread::spawn(move || {
        let artefact = read(stdout, ARTEFACT_BYTES_MAX);
        let reason = String::from_utf8_lossy(&reason.join().unwrap_or_default()).into_owned();
        // The receiver is gone if the time was over.
        let _ = send.send((artefact, reason));
    });
    let wall_max = Duration::from_secs(limits.cpu_seconds_max.saturating_mul(WALL_PER_CPU));
    receive.recv_timeout(wall_max).ok()
}

fn feed(mut stdin: ChildStdin, limits_line: &str, mut module: File) {
    // A child that does not read to the end reports the reason on stderr.
    let _ = stdin.write_all(limits_line.as_bytes()).and_then(|()| io::copy(&mut module, &mut stdin));
}

/// Reads up to `bytes_max`. A broken pipe is treated like the end: the exit status shows the result.
fn read(from: impl Read, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = from.take(bytes_max).read_to_end(&mut bytes);
    bytes
}

fn failure(status: ExitStatus, reason: &str, limits: CompileLimits) -> ModuleError {
    let reason = reason.trim();
    let memory = ModuleError::CompileMemory { bytes_max: limits.memory_bytes_max };
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(STATUS_REJECTED) => ModuleError::CompileFailed(lines::message(reason)),
        (Some(code), _) if code == i32::from(STATUS_MEMORY) => memory,
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() => {
            ModuleError::CompileTime { seconds_max: limits.cpu_seconds_max }
        }
        // Only the kernel kills it, when the whole machine is out of memory.
        (_, Some(signal)) if signal == Signal::KILL.as_raw() => memory,
        _ if reason.contains(ALLOCATION_FAILED) => memory,
        (_, Some(signal)) => {
            ModuleError::CompileFailed(format!("the compiler crashed with signal {signal}: {}", lines::message(reason)))
        }
        _ => ModuleError::CompilerUnavailable(format!("it ended with {status}: {}", lines::message(reason))),
    }
}
