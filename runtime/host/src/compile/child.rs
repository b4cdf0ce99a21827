//! The compiling process: it limits itself, reads a module, writes an artefact and exits.

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::{CompileLimits, STATUS_MEMORY, STATUS_REJECTED, sandbox};
use crate::{check, engine};

#[derive(Debug, thiserror::Error)]
enum ChildError {
    #[error("the request cannot be read: {0}")]
    Request(io::Error),
    #[error("the limits cannot be set: {0}")]
    Limits(io::Error),
    #[error("the child cannot be bound to its parent's lifetime: {0}")]
    Parent(io::Error),
    #[error("the child cannot be confined: {0}")]
    Sandbox(seccompiler::Error),
    #[error("{0}")]
    Rejected(String),
    #[error("out of memory")]
    Memory,
    #[error("the artefact cannot be written: {0}")]
    Write(io::Error),
}

/// Compiles the module on stdin to an artefact on stdout, as [`crate::HostOptions::compiler`] requires. Limits this
/// process's memory and CPU time permanently, so call it from a program's hidden subcommand, before any thread is started,
/// and exit with its result.
#[must_use]
pub fn compile_in_this_process() -> ExitCode {
    let error = match run(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    // A closed stderr has no reader.
    let _ = writeln!(io::stderr(), "{error}");
    match error {
        ChildError::Rejected(_) => STATUS_REJECTED.into(),
        ChildError::Memory => STATUS_MEMORY.into(),
        _ => ExitCode::FAILURE,
    }
}

fn run(input: &mut impl BufRead, output: &mut impl Write) -> Result<(), ChildError> {
    // It dies with its parent, more precisely with the thread that started it, which waits for it all the time. If the
    // parent was gone before this call, the process ends at the end of stdin below.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| ChildError::Parent(error.into()))?;
    let mut line = String::new();
    input.read_line(&mut line).map_err(ChildError::Request)?;
    let limits: CompileLimits = serde_json::from_str(&line).map_err(|error| ChildError::Request(error.into()))?;
    limit_this_process(limits)?;
    confined(sandbox::confine(), limits.has_seccomp)?;
    let mut module = Vec::new();
    input.read_to_end(&mut module).map_err(ChildError::Request)?;
    let artefact = compile(&module)?;
    output.write_all(&artefact).and_then(|()| output.flush()).map_err(ChildError::Write)
}

/// Without seccomp the limits have to do, and the server has said so in its log.
fn confined(confined: Result<(), seccompiler::Error>, has_seccomp: bool) -> Result<(), ChildError> {
    match confined {
        Err(error) if has_seccomp => Err(ChildError::Sandbox(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn compile(module: &[u8]) -> Result<Vec<u8>, ChildError> {
    let rejected = |error: wasmtime::Error| {
        let reason = check::one_line(&error);
        // The operating system's message when the limit on address space is exceeded.
        if reason.contains("os error 12") { ChildError::Memory } else { ChildError::Rejected(reason) }
    };
    let engine = engine::compiling().map_err(rejected)?;
    engine.precompile_component(module).map_err(rejected)
}

fn limit_this_process(limits: CompileLimits) -> Result<(), ChildError> {
    let CompileLimits { cpu_seconds_max, memory_bytes_max, .. } = limits;
    for (resource, max, hard_max) in [
        (Resource::As, memory_bytes_max, memory_bytes_max),
        // At the first limit the signal states the reason; the second is for a process that ignores it.
        (Resource::Cpu, cpu_seconds_max, cpu_seconds_max.saturating_add(1)),
        // No file, socket or pipe can be opened.
        (Resource::Nofile, sandbox::DESCRIPTORS, sandbox::DESCRIPTORS),
        // Neither processes nor threads can be started.
        (Resource::Nproc, 0, 0),
        // A crash of the compiler leaves no core dump.
        (Resource::Core, 0, 0),
    ] {
        let limit = Rlimit { current: Some(max), maximum: Some(hard_max) };
        setrlimit(resource, limit).map_err(|error| ChildError::Limits(error.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_compiled_unconfined_where_the_kernel_has_seccomp() {
        let failed = || Err(seccompiler::Error::EmptyFilter);
        assert!(matches!(confined(failed(), true), Err(ChildError::Sandbox(_))));
        assert!(confined(failed(), false).is_ok());
        assert!(confined(Ok(()), true).is_ok() && confined(Ok(()), false).is_ok());
    }
}
