//! The payment handler: charges reserved orders, once each, and refunds a charge if the order was cancelled nevertheless, or
//! what a repair finds to be too much. The gateway module makes the calls.

mod excess;
mod gateway;

pub use excess::refund as on_corrected;
use gateway::{Answer, Charge, Refund};
use order_events::{
    OrderAccepted, OrderCancelled, PACE_TIMER, PaymentCharged, PaymentDeclined, PaymentRefunded, euros, order_key, pace,
};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Accepted(OrderAccepted),
    Reserved(Payable),
    /// From its own timer.
    Due(PaymentDue),
    Cancelled(OrderCancelled),
}

/// What this handler reads of `inventory.reserved`, and what a correction has added: a card (`payment.details-corrected` is
/// merged into this data), or why the order was cancelled (`order.cancelled` is).
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("inventory.reserved")]
pub struct Payable {
    pub order: String,
    pub total_cents: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The event of the timer: the bank has had its time to answer. Corrected like the reservation.
#[derive(Debug, Serialize, Deserialize, EventType)]
#[event("payment.due")]
pub struct PaymentDue(pub Payable);

/// The state of the payment; absent at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Payment {
    Charged,
    Declined,
    /// The order was cancelled before there was anything to pay.
    Cancelled,
    Refunded,
}

const CARD: &str = "card";
const PAYMENT: &str = "payment";
/// The charge, for as long as it may have to be refunded.
const CHARGE: &str = "charge";

#[derive(Serialize)]
struct ChargedData<'a> {
    total_cents: u64,
    reference: &'a str,
}

#[derive(Serialize)]
struct ReasonData<'a> {
    total_cents: u64,
    reason: &'a str,
}

/// # Errors
/// Transient: the gateway does not answer, or the setting `pace_ms` is not a number. Correctable: the payment details are wrong, or no card is known for the order.
#[handler(on_corrected = on_corrected)]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match (context.state().get::<Payment>(PAYMENT)?, event.data) {
        (None, Incoming::Accepted(accepted)) => context.state().set(CARD, &accepted.card),
        (
            None,
            Incoming::Cancelled(_)
            | Incoming::Reserved(Payable { reason: Some(_), .. })
            | Incoming::Due(PaymentDue(Payable { reason: Some(_), .. })),
        ) => settle(Payment::Cancelled, context),
        (None, Incoming::Reserved(payable)) => match pace(context)? {
            Some(done) => {
                context.start_timer(PACE_TIMER, done, &PaymentDue(payable));
                Ok(())
            }
            None => pay(payable, context),
        },
        (None, Incoming::Due(PaymentDue(payable))) => pay(payable, context),
        (Some(Payment::Charged), Incoming::Cancelled(news)) => pay_back(&news.reason, context),
        (Some(payment), _) => {
            context.info(format!("there is nothing left to pay: {payment:?}"));
            Ok(())
        }
    }
}

fn pay(payable: Payable, context: &mut Context) -> Result<(), Failure> {
    let Payable { order, total_cents, card: corrected, reason: _ } = payable;
    if order_key(&order) != context.delivery().key {
        return Err(Failure::correctable("the data names another order", format!("`order` is {order:?}")));
    }
    let is_corrected = corrected.is_some();
    let card = match corrected {
        Some(card) => Some(card),
        None => context.state().get::<String>(CARD)?,
    };
    let Some(card) = card else {
        return Err(Failure::correctable(
            "no card is known for the order",
            "no order.accepted came before inventory.reserved; give its `card`",
        ));
    };
    match gateway::charge(&Charge { order: &order, total_cents, card: &card, is_corrected }, context)? {
        Answer::Charged { reference } => charged(&PaymentCharged { order, total_cents, reference }, context),
        Answer::Declined { reason } => declined(&PaymentDeclined { order, total_cents, reason }, context),
    }
}

fn charged(payment: &PaymentCharged, context: &mut Context) -> Result<(), Failure> {
    settle(Payment::Charged, context)?;
    context.state().set(CHARGE, payment)?;
    let PaymentCharged { total_cents, reference, .. } = payment;
    context
        .set_status("charged", format!("Paid {}", euros(*total_cents)))
        .data(&ChargedData { total_cents: *total_cents, reference });
    context.emit(payment);
    Ok(())
}

fn declined(payment: &PaymentDeclined, context: &mut Context) -> Result<(), Failure> {
    settle(Payment::Declined, context)?;
    let PaymentDeclined { total_cents, reason, .. } = payment;
    context
        .set_status("declined", format!("Not paid: {reason}"))
        .data(&ReasonData { total_cents: *total_cents, reason });
    context.emit(payment);
    Ok(())
}

/// The order was cancelled before its payment was known.
fn pay_back(reason: &str, context: &mut Context) -> Result<(), Failure> {
    let Some(charge) = context.state().get::<PaymentCharged>(CHARGE)? else {
        return Err(Failure::permanent("what was charged is not known, so it cannot be paid back"));
    };
    let PaymentCharged { order, total_cents, reference } = charge;
    let step = "refund-charge";
    gateway::refund(&Refund { step, order: &order, total_cents, reference: &reference }, context)?;
    settle(Payment::Refunded, context)?;
    context
        .set_status("refunded", format!("Paid back {}: {reason}", euros(total_cents)))
        .data(&ReasonData { total_cents, reason });
    context.emit(&PaymentRefunded { order, total_cents, reference, reason: reason.to_owned(), replay: None });
    Ok(())
}

/// Data is deleted when it is no longer needed.
fn settle(payment: Payment, context: &Context) -> Result<(), Failure> {
    context.state().set(PAYMENT, &payment)?;
    context.state().delete(CARD);
    context.state().delete(CHARGE);
    Ok(())
}
