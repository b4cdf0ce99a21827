//! Compiling in a child process, so that a module which makes the compiler hungry, slow or crash costs that process
//! and nothing else. [`parent`] starts it and waits; [`child`] is what runs in it.
//!
//! What they say to each other: on the child's stdin the limits as one line of JSON, then the module; on its stdout the
//! artefact; on its stderr why there is none. Exit status 0 means that the artefact is whole.

pub(crate) mod child;
pub(crate) mod parent;

use serde::{Deserialize, Serialize};

/// What the child may use, as it is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct CompileLimits {
    pub(crate) cpu_seconds_max: u64,
    pub(crate) memory_bytes_max: u64,
}

/// The child's exit status when the module does not compile; every other failure is the child's own.
const STATUS_REJECTED: u8 = 3;
/// The child's exit status when it ran out of memory and could still say so.
const STATUS_MEMORY: u8 = 4;
