//! Decisions of operators, and of the runtime, about handlers and deliveries. Each decision is a record with its actor and
//! reason.

use serde::{Deserialize, Serialize};

use crate::{Carried, DeliveryId, Event, HandlerName, IdError, Position};

/// A handler's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Running,
    /// Open deliveries continue, and no new ones are opened.
    Draining,
    /// No attempt begins.
    Paused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModeChanged {
    pub handler: HandlerName,
    pub mode: Mode,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
    /// `weirgate.handler.paused`, `draining` or `resumed`.
    pub notice: Event,
}

/// A handler was removed. It had no open delivery. A later deployment of its name makes a new handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub handler: HandlerName,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
}

/// A decision about a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryDecided {
    pub delivery: DeliveryId,
    /// The event's key, so that views can be derived from the record alone.
    pub key: String,
    pub command: DeliveryCommand,
    /// For a dead letter that is opened again, what its next attempt needs; empty for other deliveries.
    pub carried: Carried,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
    /// The events that resolve it, and last the runtime's notice of the decision; decisions that the runtime itself made
    /// have none.
    pub emitted: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryCommand {
    /// It runs now, with its attempts counted from zero; a dead letter is opened again.
    Retry,
    /// It runs with corrected data, with its attempts counted from zero. The event stays as it was accepted.
    Correct(Correction),
    /// It is closed without effect.
    Skip,
    /// It is closed, and the events of the decision replace it.
    Resolve,
    /// A dead letter is removed from the store.
    Discard,
    /// An open delivery is given up.
    DeadLetter,
}

/// The data that a delivery gets in place of its event's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    pub data: Vec<u8>,
    pub data_content_type: Option<String>,
    /// The correction event, if it came as an event.
    pub event: Option<Position>,
}

impl DeliveryCommand {
    /// Whether the delivery is closed by it.
    #[must_use]
    pub fn closes(&self) -> bool {
        matches!(self, Self::Skip | Self::Resolve | Self::Discard | Self::DeadLetter)
    }

    /// The command's name, the same in every interface.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Correct(_) => "correct",
            Self::Skip => "skip",
            Self::Resolve => "resolve",
            Self::Discard => "discard",
            Self::DeadLetter => "dead-letter",
        }
    }
}

/// What a breaker protects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerId {
    Handler(HandlerName),
    Host(CalledHost),
}

/// The result of a handler's calls to one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostCall {
    /// The host's name, with its port unless that is the scheme's default.
    pub host: String,
    /// All of them succeeded.
    pub is_success: bool,
}

/// A host, for one handler or for all: written `<handler>@<host>` or `<host>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalledHost {
    /// The handler whose calls it covers; `None` for those of all handlers.
    pub handler: Option<HandlerName>,
    /// The host's name, with its port unless that is the scheme's default.
    pub host: String,
}

impl CalledHost {
    #[must_use]
    pub fn of_handler(handler: &HandlerName, host: &str) -> Self {
        Self { handler: Some(handler.clone()), host: host.to_owned() }
    }

    #[must_use]
    pub fn of_all_handlers(host: &str) -> Self {
        Self { handler: None, host: host.to_owned() }
    }
}

impl std::fmt::Display for CalledHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.handler {
            Some(handler) => write!(f, "{handler}@{}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

impl std::str::FromStr for CalledHost {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('@') {
            Some((handler, host)) => Ok(Self::of_handler(&handler.parse()?, host)),
            None => Ok(Self::of_all_handlers(text)),
        }
    }
}

impl Serialize for CalledHost {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CalledHost {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for BreakerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Handler(name) => write!(f, "handler/{name}"),
            Self::Host(host) => write!(f, "host/{host}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerChanged {
    pub breaker: BreakerId,
    /// How long it stays open; `None`: it is closed.
    pub open_ms: Option<u64>,
    /// When the open time ends by the wall clock, for people.
    pub open_until_ms: Option<u64>,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
    /// `weirgate.breaker.opened` or `closed`.
    pub notice: Event,
}

/// A timer's name: unique for its handler and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerId {
    pub handler: HandlerName,
    pub key: String,
    pub name: String,
}
