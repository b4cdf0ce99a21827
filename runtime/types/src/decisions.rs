//! What people, and the runtime for them, decide about handlers and deliveries. Each decision is a record that says who
//! and why.

use serde::{Deserialize, Serialize};

use crate::{Carried, DeliveryId, Event, HandlerName, IdError, Position};

/// Whether a handler works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Running,
    /// What is open goes on, and nothing new is taken from the log.
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

/// What was decided about a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryDecided {
    pub delivery: DeliveryId,
    /// The event's key, so that views can be derived from the record alone.
    pub key: String,
    pub command: DeliveryCommand,
    /// What a dead letter that is opened again takes up; empty for other deliveries.
    pub carried: Carried,
    pub actor: String,
    pub reason: String,
    pub at_ms: u64,
    /// The events that resolve it, and last what the runtime tells of the decision: nothing of those that it made itself.
    pub emitted: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryCommand {
    /// It runs now, with its attempts counted from zero; a dead letter is opened again.
    Retry,
    /// It runs with other data, with its attempts counted from zero. The event stays as it was accepted.
    Correct(Correction),
    /// It ends without effect.
    Skip,
    /// It ends, and the events of the decision take its place.
    Resolve,
    /// A dead letter leaves the store.
    Discard,
    /// An open delivery is given up.
    DeadLetter,
}

/// The data that a delivery is given in place of its event's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    pub data: Vec<u8>,
    pub data_content_type: Option<String>,
    /// The event that brought it, where one did.
    pub event: Option<Position>,
}

impl DeliveryCommand {
    /// The command's word, the same wherever it is named.
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

/// What a breaker stands before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerId {
    Handler(HandlerName),
    Host(CalledHost),
}

/// A host, as one handler calls it or as all do: written `<handler>@<host>` or `<host>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalledHost {
    /// The handler whose calls it is about; `None` for those of all handlers.
    pub handler: Option<HandlerName>,
    /// The host's name, with its port where that is not the scheme's own.
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
    /// For how long nothing passes; `None`: it is closed, all passes.
    pub open_ms: Option<u64>,
    /// When that is over by the wall clock, for people.
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

/// The answer to an outbound call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl StepAnswer {
    /// How many bytes the answer takes with its step's name.
    #[must_use]
    pub fn size_of_step(&self, step: &str) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        step.len() + headers.sum::<usize>() + self.body.len()
    }
}
