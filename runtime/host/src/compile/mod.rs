//! Compiles in a child process, so that a module that makes the compiler use too much memory or time, or crash, affects only
//! that process. [`parent`] starts it and waits; [`child`] runs in it, confined by [`sandbox`].
//!
//! The protocol: stdin has the limits as one line of JSON, then the module; stdout has the artefact; stderr the error
//! message. Exit status 0 means that the artefact is complete.

pub(crate) mod child;
pub(crate) mod parent;
pub(crate) mod sandbox;

use serde::{Deserialize, Serialize};

/// The child's limits, as sent to it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CompileLimits {
    pub(crate) cpu_seconds_max: u64,
    pub(crate) memory_bytes_max: u64,
    /// Whether the kernel has seccomp: then a child that cannot confine itself compiles nothing.
    pub(crate) has_seccomp: bool,
}

/// The child's exit status if the module does not compile; all other failures are the child's own.
const STATUS_REJECTED: u8 = 3;
/// The child's exit status if it ran out of memory and could still report it.
const STATUS_MEMORY: u8 = 4;
