//! A simulated payment provider that behaves like a real one: it distinguishes an invalid card number from a card that is
//! declined.

use weirgate_sdk::prelude::*;

use super::{Answer, Charge, wrong_details};

/// The well-known test number that every provider declines.
const DECLINED_CARD: &str = "4000000000000002";
const CARD_DIGITS: usize = 16;

/// Charges a card. The reference is the same for every attempt at the delivery.
pub fn charge(charge: &Charge, context: &Context) -> Result<Answer, Failure> {
    let number: String = charge.card.chars().filter(|c| !c.is_whitespace()).collect();
    if number.len() != CARD_DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong_details("the card number is not 16 digits"));
    }
    if !is_checked(&number) {
        return Err(wrong_details("the card number has a digit that is wrong"));
    }
    if number == DECLINED_CARD {
        return Ok(Answer::Declined { reason: "the card was declined".to_owned() });
    }
    Ok(Answer::Charged { reference: format!("pay-{}", context.delivery().id) })
}

/// Whether the check digit is right (ISO/IEC 7812-1, the Luhn algorithm): one wrong digit is detected.
fn is_checked(number: &str) -> bool {
    let digits = number.chars().rev().filter_map(|c| c.to_digit(10));
    let weighed = digits.enumerate().map(|(n, digit)| match digit * 2 {
        double if n % 2 == 1 => double / 10 + double % 10,
        _ => digit,
    });
    weighed.sum::<u32>() % 10 == 0
}
