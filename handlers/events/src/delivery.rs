//! The events of `delivery` and `notification` about an order.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("delivery.packed")]
pub struct DeliveryPacked {
    pub order: String,
    pub parcel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("delivery.dispatched")]
pub struct DeliveryDispatched {
    pub order: String,
    pub parcel: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("delivery.delivered")]
pub struct DeliveryDelivered {
    pub order: String,
    pub parcel: String,
}

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("notification.sent")]
pub struct NotificationSent {
    pub order: String,
    /// The mail's topic, for example `charged`.
    pub kind: String,
    pub to: String,
    pub subject: String,
    pub text: String,
}
