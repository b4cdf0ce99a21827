//! The payment provider, as the rest of the handler sees it. The setting `gateway` chooses what is behind it: `up` a
//! stand-in that answers, `down` one that does not, `http` a real one at `gateway_url`.

mod http;
mod simulated;

use weirgate_sdk::prelude::*;

/// What is to be charged.
pub struct Charge<'a> {
    pub order: &'a str,
    pub total_cents: u64,
    pub card: &'a str,
    /// Whether the card came with a correction. A call that was answered is never made again under its name, so another
    /// card needs a call of another name.
    pub is_corrected: bool,
}

/// What the gateway says of a card once it answers.
pub enum Answer {
    Charged {
        reference: String,
    },
    /// The card is good and there will be no money.
    Declined {
        reason: String,
    },
}

/// What is to be paid back.
pub struct Refund<'a> {
    pub order: &'a str,
    pub total_cents: u64,
    /// That of the charge.
    pub reference: &'a str,
}

/// Charge a card, once however often the delivery is tried.
///
/// # Errors
/// Transient: the gateway does not answer. Correctable: the payment details are wrong. Permanent: the gateway cannot make
/// sense of the call.
pub fn charge(charge: &Charge, context: &mut Context) -> Result<Answer, Failure> {
    match mode(context).as_str() {
        "down" => Err(does_not_answer()),
        "http" => http::charge(charge, context),
        _ => simulated::charge(charge, context),
    }
}

/// Pay back what was charged, once however often the delivery is tried.
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

/// The failure that a correction mends; `what` is wrong with the details.
fn wrong_details(what: &str) -> Failure {
    Failure::correctable(
        "the payment details are wrong",
        format!("{what}; a payment.details-corrected with the right `card` makes the payment go on"),
    )
}

fn mode(context: &Context) -> String {
    context.config("gateway").unwrap_or_default()
}

fn does_not_answer() -> Failure {
    Failure::transient("the payment gateway does not answer")
}
