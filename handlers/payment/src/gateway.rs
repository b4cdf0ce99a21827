//! The stand-in for a payment provider. The setting `gateway = "down"` takes it down.

use weirgate_sdk::prelude::*;

/// The well-known test number that every provider declines.
const DECLINED_CARD: &str = "4000000000000002";
const CARD_DIGITS: usize = 16;

/// What the gateway says once it answers.
pub enum Answer {
    Charged { reference: String },
    Declined { reason: &'static str },
}

/// Charge a card. The delivery's id is the idempotency key: however often a delivery is tried, the reference is the same.
///
/// # Errors
/// Transient: the gateway does not answer.
pub fn charge(card: &str, context: &Context) -> Result<Answer, Failure> {
    if context.config("gateway").as_deref() == Some("down") {
        return Err(Failure::transient("the payment gateway does not answer"));
    }
    let digits: String = card.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != CARD_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Answer::Declined { reason: "the card number is not 16 digits" });
    }
    if digits == DECLINED_CARD {
        return Ok(Answer::Declined { reason: "the card was declined" });
    }
    Ok(Answer::Charged { reference: format!("pay-{}", context.delivery().id) })
}
