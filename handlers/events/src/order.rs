//! The events of an order as a whole: placed by the shop, then accepted, rejected, paid or cancelled by `order`.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

/// The key and the subject of everything about an order.
#[must_use]
pub fn order_key(order: &str) -> String {
    format!("order/{order}")
}

/// The subject that keeps the status of an order's acceptance.
#[must_use]
pub fn acceptance_key(order: &str) -> String {
    format!("order/{order}/acceptance")
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    pub name: String,
    pub email: String,
    pub address: String,
}

/// A line as the customer placed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedLine {
    pub sku: String,
    pub name: String,
    pub quantity: u32,
    pub unit_price_cents: u64,
    /// Whether a substitute may be sent.
    #[serde(default)]
    pub substitutes_ok: bool,
}

/// The shop's event; nothing in it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.placed")]
pub struct OrderPlaced {
    pub order: String,
    pub customer: Customer,
    pub lines: Vec<PlacedLine>,
    /// In place of the token that a payment provider would give the shop instead of a number.
    pub card: String,
}

/// A checked order; names are the catalogue's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.accepted")]
pub struct OrderAccepted {
    pub order: String,
    pub customer: Customer,
    pub lines: Vec<PlacedLine>,
    pub card: String,
    pub total_cents: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.rejected")]
pub struct OrderRejected {
    pub order: String,
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.cancelled")]
pub struct OrderCancelled {
    pub order: String,
    pub reason: String,
}

/// The customer cancels. An event of the shop, like `order.placed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.cancel-requested")]
pub struct OrderCancelRequested {
    pub order: String,
    pub reason: String,
}

/// The order was charged while it was valid. From here on it cannot be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.paid")]
pub struct OrderPaid {
    pub order: String,
    pub total_cents: u64,
    /// The payment's reference.
    pub reference: String,
}

/// The event of the order handler's timer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("order.payment-overdue")]
pub struct OrderPaymentOverdue {
    pub order: String,
    /// How long the order waited for the payment.
    pub deadline_s: u64,
}
