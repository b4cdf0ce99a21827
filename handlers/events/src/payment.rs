//! The events of `payment` and `invoice` about an order.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

use crate::{Line, OrderPaid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("payment.charged")]
pub struct PaymentCharged {
    pub order: String,
    pub total_cents: u64,
    /// The payment's reference; the same for every attempt at the delivery.
    pub reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("payment.declined")]
pub struct PaymentDeclined {
    pub order: String,
    pub total_cents: u64,
    pub reason: String,
}

/// A charge is refunded: the order was cancelled, or a part of it, because it was too high.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("payment.refunded")]
pub struct PaymentRefunded {
    pub order: String,
    pub total_cents: u64,
    /// The charge's reference.
    pub reference: String,
    pub reason: String,
    /// The replay whose repair found that too much was charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
}

/// The customer has corrected the payment details. If the payment awaits correction, this is merged into the data of the
/// event it could not handle, `inventory.reserved`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("payment.details-corrected")]
pub struct PaymentDetailsCorrected {
    pub order: String,
    pub card: String,
}

/// The event of the invoice handler's timer: the invoice is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("invoice.due")]
pub struct InvoiceDue(pub OrderPaid);

/// The invoice; its amounts include value added tax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("invoice.created")]
pub struct InvoiceCreated {
    pub order: String,
    pub number: String,
    pub lines: Vec<Line>,
    pub total_cents: u64,
    pub net_cents: u64,
    pub vat_cents: u64,
    pub vat_percent: u32,
    /// The payment's reference.
    pub reference: String,
}
