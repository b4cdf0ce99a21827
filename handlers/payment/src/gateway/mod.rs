//! The payment provider, as the rest of the handler sees it. The setting `gateway` selects the implementation: `up` a
//! simulation that answers, `down` one that does not, `http` a real one at `gateway_url`.

mod http;
mod simulated;

use weirgate_sdk::prelude::*;

/// A charge to be made.
pub struct Charge<'a> {
    pub order: &'a str,
    pub total_cents: u64,
    pub card: &'a str,
    /// Whether the card came with a correction. An answered call is never made again under its name, so another card needs a
    /// call with another name.
    pub is_corrected: bool,
}

/// The gateway's answer about a card.
pub enum Answer {
    Charged {
        reference: String,
    },
    /// The card is valid but the payment is declined.
    Declined {
        reason: String,
    },
}

/// A refund to be made.
pub struct Refund<'a> {
    /// The name of its call: one for each refund of a delivery.
    pub step: &'a str,
    pub order: &'a str,
    pub total_cents: u64,
    /// The charge's reference.
    pub reference: &'a str,
}

/// Charges a card, once over all attempts at the delivery.
///
/// # Errors
/// Transient: the gateway does not answer. Correctable: the payment details are wrong. Permanent: the gateway rejects the
/// call.
pub fn charge(charge: &Charge, context: &mut Context) -> Result<Answer, Failure> {
    match mode(context).as_str() {
        "down" => Err(does_not_answer()),
        "http" => http::charge(charge, context),
        _ => simulated::charge(charge, context),
    }
}

/// Refunds a charge, once over all attempts at the delivery.
///
/// # Errors
/// As for a charge, without the correctable ones.
pub fn refund(refund: &Refund, context: &mut Context) -> Result<(), Failure> {
    match mode(context).as_str() {
        "down" => Err(does_not_answer()),
        "http" => http::refund(refund, context),
        _ => Ok(()),
    }
}

/// A correctable failure; `what` is wrong with the details.
fn wrong_details(what: &str) -> Failure {
    Failure::correctable(
        "the payment details are wrong",
        format!("{what}; a payment.details-corrected with the right `card` lets the payment continue"),
    )
}

fn mode(context: &Context) -> String {
    context.config("gateway").unwrap_or_default()
}

fn does_not_answer() -> Failure {
    Failure::transient("the payment gateway does not answer")
}
