//! The events of `delivery` and `notification` about an order.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

/// The steps of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryStep {
    Packed,
    Dispatched,
    Delivered,
}

/// The event of the delivery handler's timer: the work of this step is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("delivery.due")]
pub struct DeliveryDue {
    pub order: String,
    pub parcel: String,
    pub step: DeliveryStep,
}

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
