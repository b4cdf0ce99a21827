//! A payment provider over HTTP: `POST /charges` and `POST /refunds` at the setting `gateway_url`. Owns the requests and the
//! meaning of each answer. The runtime ensures that no call is made twice: each is a step of the delivery, whose answer is
//! recorded.

use serde::{Deserialize, Serialize};
use weirgate_sdk::{HttpError, Response, prelude::*};

use super::{Answer, Charge, Refund, wrong_details};

const AUTHORIZATION: &str = "Bearer {{secret:payment-gateway}}";
const CURRENCY: &str = "EUR";
/// A provider's error codes for details that no other try with the same card can fix.
const WRONG_DETAILS: [&str; 6] =
    ["incorrect_number", "invalid_number", "invalid_expiry", "expired_card", "incorrect_cvc", "invalid_card"];

#[derive(Serialize)]
struct ChargeCall<'a> {
    order: &'a str,
    amount_cents: u64,
    currency: &'a str,
    card: &'a str,
}

#[derive(Deserialize)]
struct Charged {
    reference: String,
}

#[derive(Serialize)]
struct RefundCall<'a> {
    order: &'a str,
    amount_cents: u64,
    currency: &'a str,
    reference: &'a str,
}

/// Why a card was not charged.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: String,
    message: String,
}

pub fn charge(charge: &Charge, context: &mut Context) -> Result<Answer, Failure> {
    let call =
        ChargeCall { order: charge.order, amount_cents: charge.total_cents, currency: CURRENCY, card: charge.card };
    let response = post(&step(charge), "charges", &call, context)?;
    if !matches!(response.status, 402 | 422) {
        let Charged { reference } = response.ok()?.json()?;
        return Ok(Answer::Charged { reference });
    }
    let refusal: Refusal = response.json().unwrap_or_default();
    let said = if refusal.message.is_empty() { "the card was declined".to_owned() } else { refusal.message };
    if WRONG_DETAILS.contains(&refusal.code.as_str()) {
        return Err(wrong_details(&said));
    }
    // Unlike a declined payment, a request that the provider could not parse says nothing about the card.
    if response.status == 422 {
        return Err(Failure::permanent(format!("the payment gateway refuses the call: {said}")));
    }
    Ok(Answer::Declined { reason: said })
}

pub fn refund(refund: &Refund, context: &mut Context) -> Result<(), Failure> {
    let Refund { step, order, total_cents: amount_cents, reference } = *refund;
    let call = RefundCall { order, amount_cents, currency: CURRENCY, reference };
    post(step, "refunds", &call, context)?.ok()?;
    Ok(())
}

fn post<T: Serialize>(step: &str, path: &str, call: &T, context: &mut Context) -> Result<Response, Failure> {
    let Some(url) = context.config("gateway_url") else {
        return Err(Failure::transient("the setting `gateway_url` is missing"));
    };
    let url = format!("{}/{path}", url.trim_end_matches('/'));
    let request = Request::post(url).header("Authorization", AUTHORIZATION).json(call)?;
    context.fetch(step, request).map_err(|error| match error {
        // The manifest can be corrected, and then it is the same call.
        HttpError::Denied(why) => Failure::transient(format!("the call of the payment gateway was denied: {why}")),
        error => error.into(),
    })
}

/// The step name of the call: another card is another call. The name distinguishes cards without revealing them.
fn step(charge: &Charge) -> String {
    if !charge.is_corrected {
        return "charge-card".to_owned();
    }
    let digest = charge.card.bytes().fold(0x811c_9dc5_u32, |digest, byte| {
        (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193) // FNV-1a
    });
    format!("charge-card-{digest:08x}")
}
