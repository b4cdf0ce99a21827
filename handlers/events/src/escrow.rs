//! What is said of an escrow: money of a buyer that is held until a seller has earned it. The desk says what the two have
//! done, the handler `escrow` what follows from it.

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

/// The key and the subject of everything about an escrow.
#[must_use]
pub fn escrow_key(escrow: &str) -> String {
    format!("escrow/{escrow}")
}

/// What has to be done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EscrowStep {
    BuyerSignature,
    SellerSignature,
    Payment,
    /// The buyer says that the seller has earned the money.
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

/// How many seconds each step has; what is absent is as the handler's settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EscrowDeadlines {
    /// For both signatures, from the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures_s: Option<u64>,
    /// From the second signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_s: Option<u64>,
    /// From the moment when all is signed and paid.
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
    /// The payment's own name: money under another one is other money.
    pub reference: String,
}

/// The buyer has what was bought.
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

/// What the handler's timers tell it.
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

/// The seller is to get the money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.release-requested")]
pub struct EscrowReleaseRequested {
    pub escrow: String,
    pub to: String,
    pub amount_cents: u64,
    pub reference: String,
}

/// The buyer is to get the money back.
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

/// A step was not done in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("escrow.expired")]
pub struct EscrowExpired {
    pub escrow: String,
    pub step: EscrowStep,
}
