//! What the runtime tells of deliveries and breakers, as far as support reads it. What is missing in it is left out.

use serde::Deserialize;
use weirgate_sdk::EventType;

/// What is told of how an attempt at a delivery ended.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    /// For instance `payment@42`.
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
pub struct Waiting(pub Delivery);

/// It has used up its attempts, or nothing will ever come of it.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.dead-lettered")]
pub struct DeadLettered(pub Delivery);

/// It went through in the end.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.recovered")]
pub struct Recovered(pub Delivery);

/// Somebody has decided about it: it is tried again, or has ended.
#[derive(Debug, Deserialize, EventType)]
#[event("weirgate.delivery.decided")]
pub struct Decided(pub Delivery);

/// What is told of a breaker; the event's subject says which.
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
