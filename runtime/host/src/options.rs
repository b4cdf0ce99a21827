//! The options of a host: where modules are stored, what compiles them, and the resource limits.

use std::{ffi::OsString, path::PathBuf};

use weirgate_types::CallLimits;

use crate::{Budget, OutboundOptions};

/// A host's settings. `docs/limits.md` lists the limits with what happens at each.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The directory of modules and their compiled artefacts. Created if it does not exist.
    pub dir: PathBuf,
    /// A command that runs [`crate::compile_in_this_process`]: a program and its arguments.
    pub compiler: Vec<OsString>,
    pub module_bytes_max: usize,
    /// CPU time; the wall-clock time may be twice as long.
    pub compile_seconds_max: u64,
    pub compile_memory_bytes_max: u64,
    /// Maximum number of concurrent compilations; further ones wait.
    pub compiles_max: usize,
    /// Maximum number of calls in flight; one more returns [`crate::CallError::Busy`].
    pub instances_max: u32,
    /// Maximum memory of an instance, whatever its manifest says.
    pub memory_bytes_max: usize,
    /// The limits of a component's start when it is uploaded. Its manifest's limits apply from then on.
    pub start: CallLimits,
    pub outbound: OutboundOptions,
    /// The budget of uploads and of answers to outbound calls.
    pub budget: Budget,
}

impl HostOptions {
    /// The defaults, for modules in `dir` that `compiler` compiles.
    #[must_use]
    pub fn new(dir: PathBuf, compiler: Vec<OsString>) -> Self {
        let memory_bytes_max = 256 << 20;
        Self {
            dir,
            compiler,
            module_bytes_max: 32 << 20,
            compile_seconds_max: 60,
            compile_memory_bytes_max: 2 << 30,
            compiles_max: 1,
            instances_max: 256,
            memory_bytes_max,
            start: CallLimits { cpu_ms: 1_000, wall_ms: 10_000, memory_bytes: 256 << 20, ..CallLimits::default() },
            outbound: OutboundOptions::default(),
            budget: Budget::default(),
        }
    }
}
