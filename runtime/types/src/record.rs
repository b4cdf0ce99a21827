//! The records of the log: facts, in the past tense. All else is a view of them.

use serde::{Deserialize, Serialize};

use crate::{Commit, DeliveryId, Digest, Event, HandlerName, Position};

/// One fact. It takes [`Record::width`] positions. The variants' order is part of the format: add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A producer's event was accepted.
    Accepted {
        event: Event,
        at_ms: u64,
    },
    /// An attempt is about to begin. Durable before the call, so that a component that kills the process counts.
    Attempted {
        delivery: DeliveryId,
        attempt: u32,
        at_ms: u64,
    },
    /// An attempt ended.
    Committed(Commit),
    /// From here on the handler is this version.
    Deployed(Deployed),
    /// The handler takes no new deliveries until resumed.
    Paused {
        handler: HandlerName,
        at_ms: u64,
    },
    Resumed {
        handler: HandlerName,
        at_ms: u64,
    },
    /// A dead letter was opened again, with its attempts counted from zero.
    Resubmitted {
        delivery: DeliveryId,
        key: String,
        at_ms: u64,
    },
}

/// A handler's version: a module and the manifest it runs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    pub handler: HandlerName,
    pub digest: Digest,
    /// The manifest as JSON, so that it can gain settings without a change of this format.
    pub manifest: String,
    pub at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record cannot be decoded: {0}")]
pub struct RecordError(#[from] postcard::Error);

impl Record {
    /// How many positions the record takes: its own, and one for each event that a commit emits.
    #[must_use]
    pub fn width(&self) -> u64 {
        match self {
            Self::Committed(commit) => 1 + commit.effects.emitted.len() as u64,
            _ => 1,
        }
    }

    /// The event at offset `offset` from the record's own position, where there is one.
    #[must_use]
    pub fn event_at(&self, offset: u64) -> Option<&Event> {
        match self {
            Self::Accepted { event, .. } if offset == 0 => Some(event),
            Self::Committed(commit) => commit.effects.emitted.get(usize::try_from(offset.checked_sub(1)?).ok()?),
            _ => None,
        }
    }

    /// The events in the record with their positions, `first` being the record's own.
    pub fn events(&self, first: Position) -> impl Iterator<Item = (Position, &Event)> {
        (0..self.width()).filter_map(move |offset| Some((first.plus(offset), self.event_at(offset)?)))
    }

    /// Append the record's bytes ([postcard 1](https://postcard.jamesmunns.com/wire-format)) to `buffer`.
    ///
    /// # Errors
    /// None in practice: writing to memory. The error is kept so that no caller has to assume that.
    pub fn encode(&self, buffer: Vec<u8>) -> Result<Vec<u8>, RecordError> {
        Ok(postcard::to_extend(self, buffer)?)
    }

    /// # Errors
    /// The bytes are not a record, or are followed by others.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match postcard::take_from_bytes(bytes)? {
            (record, []) => Ok(record),
            _ => Err(postcard::Error::DeserializeBadEncoding.into()),
        }
    }
}
