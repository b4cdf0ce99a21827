//! The runtime's notices about deliveries and breakers, as far as support reads them. Missing fields are left out.

use serde::Deserialize;
use weirgate_sdk::EventType;

/// The notice of an attempt's outcome.
#[derive(Debug, Clone, Deserialize)]
pub struct Notice {
    /// For example `payment@42`.
    pub delivery: String,
    pub handler: String,
    #[serde(default)]
    pub event: About,
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub failure: Option<Failed>,
}

/// The event that was delivered.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct About {
    #[serde(default)]
    pub r#type: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Failed {
    pub message: String,
    pub what_is_wrong: Option<String>,
}

/// It needs a correction.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.awaiting-correction")]
pub struct Waiting(pub Notice);

/// It has used up its attempts, or failed permanently.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.dead-lettered")]
pub struct DeadLettered(pub Notice);

/// It completed after failures.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.recovered")]
pub struct Recovered(pub Notice);

/// An operator's command was applied: it is tried again, or is closed.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.decided")]
pub struct Decided(pub Notice);

/// The notice of a breaker; the event's subject names it.
#[derive(Debug, Clone, Deserialize)]
pub struct Breaker {
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.breaker.opened")]
pub struct Opened(pub Breaker);

#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.breaker.closed")]
pub struct Closed(pub Breaker);
