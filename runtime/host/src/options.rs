//! What a host is told when it is made: where modules live, what compiles them, and how much of everything there is.

use std::{ffi::OsString, path::PathBuf};

use weirgate_types::CallLimits;

use crate::{Budget, OutboundOptions};

/// A host's settings. `docs/limits.md` lists the limits with what happens at each.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Where modules and their compiled artefacts are kept. Made when it does not exist.
    pub dir: PathBuf,
    /// A command that runs [`crate::compile_in_this_process`]: a program and its arguments.
    pub compiler: Vec<OsString>,
    pub module_bytes_max: usize,
    /// CPU time; by the clock it may take twice as long.
    pub compile_seconds_max: u64,
    pub compile_memory_bytes_max: u64,
    /// How many components may be compiled at once; further ones wait.
    pub compiles_max: usize,
    /// How many calls may be under way at once; one more is answered [`crate::CallError::Busy`].
    pub instances_max: u32,
    /// How much memory an instance can have at all, whatever its manifest says.
    pub memory_bytes_max: usize,
    /// What a component may use to start when it is uploaded. Its manifest's limits hold from then on.
    pub start: CallLimits,
    pub outbound: OutboundOptions,
    /// What uploads and answers to outbound calls take their bytes from.
    pub budget: Budget,
}

impl HostOptions {
    /// The defaults, for modules kept in `dir` and compiled by `compiler`.
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
