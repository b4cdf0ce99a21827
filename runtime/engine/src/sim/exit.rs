//! Why a simulated engine ended.

use crate::{EngineFault, StorageError, writer};

/// Why an engine ended.
#[derive(Debug)]
pub enum Exit {
    /// The disk failed.
    Disk(String),
    /// An internal error.
    Broken(String),
    /// A stop was requested, and the engine is ready to stop.
    Asked,
}

impl From<writer::Exit> for Exit {
    fn from(exit: writer::Exit) -> Self {
        match exit {
            writer::Exit::Asked => Self::Asked,
            writer::Exit::Fault(EngineFault::Storage(StorageError::Log(error))) => Self::Disk(error.to_string()),
            writer::Exit::Fault(EngineFault::Storage(StorageError::Identities(error))) => Self::Disk(error.to_string()),
            writer::Exit::Fault(fault) => Self::Broken(fault.to_string()),
        }
    }
}
