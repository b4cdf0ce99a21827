//! The outbound calls of an attempt, as the log holds them.

use weirgate_log::LogReader;
use weirgate_types::{Position, Record, Stepped};

use super::attempts::Begun;
use crate::{StorageError, journaled_calls::answers_before};

/// The calls that ended before an attempt began with a final answer, by step, and its own, in order.
pub struct RecordedCalls {
    pub before: Vec<Stepped>,
    pub own: Vec<Stepped>,
}

impl RecordedCalls {
    /// # Errors
    /// The log cannot be read.
    pub fn read(log: &LogReader, begun: &Begun) -> Result<Self, StorageError> {
        let before = answers_before(log, &begun.delivery, begun.carried.step)?;
        let before = before.values().map(|(position, _)| stepped(log, *position)).collect::<Result<_, _>>()?;
        let own = begun.steps.iter().map(|position| stepped(log, *position)).collect::<Result<_, _>>()?;
        Ok(Self { before, own })
    }
}

fn stepped(log: &LogReader, position: Position) -> Result<Stepped, StorageError> {
    match log.read(position)? {
        Some((_, Record::Stepped(stepped))) => Ok(stepped),
        _ => Err(StorageError::Missing { what: "step", position }),
    }
}
