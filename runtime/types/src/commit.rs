//! The commit: a delivery's outcome and all its effects, in one record.

use serde::{Deserialize, Serialize};

use crate::{AttemptFailure, Event, HandlerName, Position};

/// The one record that ends an attempt. Its emitted events take the positions that follow its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub handler: HandlerName,
    /// The event that was delivered.
    pub event: Position,
    /// The event's key, so that views can be derived from the commit alone.
    pub key: String,
    pub attempt: u32,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub outcome: Outcome,
    /// Empty unless the outcome is `Completed`.
    pub effects: Effects,
    pub log: Vec<LogLine>,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Completed,
    /// It will be tried again at `due_ms`, not earlier.
    Retry {
        due_ms: u64,
        failure: AttemptFailure,
    },
    DeadLettered {
        failure: AttemptFailure,
    },
}

/// What a completed attempt changes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    pub state: Vec<StateWrite>,
    pub status: Vec<StatusWrite>,
    pub emitted: Vec<Event>,
}

/// A named value of the handler's state for the delivery's key; `None` removes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWrite {
    pub name: String,
    pub value: Option<Vec<u8>>,
}

/// The handler's part of a subject's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusWrite {
    pub subject: String,
    pub state: String,
    pub text: String,
    /// A JSON document.
    pub data: Option<String>,
}

/// A line the handler logged during the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: LogLevel,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}
