//! The events of an escrow: a buyer's money that is held until a seller has earned it. The desk publishes the actions of the
//! two, the handler `escrow` their consequences.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

/// The key and the subject of everything about an escrow.
#[must_use]
pub fn escrow_key(escrow: &str) -> String {
    format!("escrow/{escrow}")
}

/// The steps with a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EscrowStep {
    BuyerSignature,
    SellerSignature,
    Payment,
    /// The buyer confirms that the seller has earned the money.
    Closing,
}

impl EscrowStep {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuyerSignature => "buyer-signature",
            Self::SellerSignature => "seller-signature",
            Self::Payment => "payment",
            Self::Closing => "closing",
        }
    }
}

/// How many seconds each step has; absent ones use the handler's settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EscrowDeadlines {
    /// For both signatures, from the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures_s: Option<u64>,
    /// From the second signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_s: Option<u64>,
    /// From the moment when everything is signed and paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closing_s: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.opened")]
pub struct EscrowOpened {
    pub escrow: String,
    pub buyer: String,
    pub seller: String,
    pub amount_cents: u64,
    #[serde(default)]
    pub deadlines: EscrowDeadlines,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.buyer-signed")]
pub struct EscrowBuyerSigned {
    pub escrow: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.seller-signed")]
pub struct EscrowSellerSigned {
    pub escrow: String,
}

/// Money of the buyer has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.funded")]
pub struct EscrowFunded {
    pub escrow: String,
    pub amount_cents: u64,
    /// The payment's id: money under another id is other money.
    pub reference: String,
}

/// The buyer has received the purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.close-requested")]
pub struct EscrowCloseRequested {
    pub escrow: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.cancel-requested")]
pub struct EscrowCancelRequested {
    pub escrow: String,
    pub reason: String,
}

/// The events of the handler's timers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.deadline-passed")]
pub struct EscrowDeadlinePassed {
    pub escrow: String,
    pub step: EscrowStep,
}

/// Both have signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.signed")]
pub struct EscrowSigned {
    pub escrow: String,
}

/// The seller gets the money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.release-requested")]
pub struct EscrowReleaseRequested {
    pub escrow: String,
    pub to: String,
    pub amount_cents: u64,
    pub reference: String,
}

/// The buyer gets the money back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.refund-requested")]
pub struct EscrowRefundRequested {
    pub escrow: String,
    pub to: String,
    pub amount_cents: u64,
    pub reference: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.closed")]
pub struct EscrowClosed {
    pub escrow: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.cancelled")]
pub struct EscrowCancelled {
    pub escrow: String,
    pub reason: String,
}

/// A step missed its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.expired")]
pub struct EscrowExpired {
    pub escrow: String,
    pub step: EscrowStep,
}
