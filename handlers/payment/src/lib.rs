//! The payment handler: charges what inventory has reserved, once an order. The gateway is a stand-in with the manners of
//! a real one: it can be down, and it can decline.

mod gateway;

use gateway::Answer;
use order_events::{InventoryReserved, OrderAccepted, OrderCancelled, PaymentCharged, PaymentDeclined, euros};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The news this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Accepted(OrderAccepted),
    Reserved(InventoryReserved),
    Cancelled(OrderCancelled),
}

/// What became of the payment; absent before.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Payment {
    Charged,
    Declined,
    /// The order came to nothing before there was anything to pay.
    Cancelled,
}

const CARD: &str = "card";
const PAYMENT: &str = "payment";

#[derive(Serialize)]
struct ChargedData<'a> {
    total_cents: u64,
    reference: &'a str,
}

#[derive(Serialize)]
struct DeclinedData<'a> {
    total_cents: u64,
    reason: &'a str,
}

/// # Errors
/// Transient: the gateway does not answer. Correctable: no card is known for the order.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    if let Some(payment) = context.state().get::<Payment>(PAYMENT)? {
        context.info(format!("there is nothing left to pay: {payment:?}"));
        return Ok(());
    }
    match event.data {
        Incoming::Accepted(accepted) => context.state().set(CARD, &accepted.card),
        Incoming::Reserved(reserved) => pay(reserved, context),
        Incoming::Cancelled(_) => settle(&Payment::Cancelled, context),
    }
}

fn pay(reserved: InventoryReserved, context: &mut Context) -> Result<(), Failure> {
    let Some(card) = context.state().get::<String>(CARD)? else {
        return Err(Failure::correctable(
            "no card is known for the order",
            "no order.accepted came before inventory.reserved; resubmit it, then this event",
        ));
    };
    let InventoryReserved { order, total_cents, .. } = reserved;
    match gateway::charge(&card, context)? {
        Answer::Charged { reference } => charged(&PaymentCharged { order, total_cents, reference }, context),
        Answer::Declined { reason } => {
            declined(&PaymentDeclined { order, total_cents, reason: reason.to_owned() }, context)
        }
    }
}

fn charged(payment: &PaymentCharged, context: &mut Context) -> Result<(), Failure> {
    settle(&Payment::Charged, context)?;
    let PaymentCharged { total_cents, reference, .. } = payment;
    context
        .set_status("charged", format!("Paid {}", euros(*total_cents)))
        .data(&ChargedData { total_cents: *total_cents, reference });
    context.emit(payment);
    Ok(())
}

fn declined(payment: &PaymentDeclined, context: &mut Context) -> Result<(), Failure> {
    settle(&Payment::Declined, context)?;
    let PaymentDeclined { total_cents, reason, .. } = payment;
    context
        .set_status("declined", format!("Not paid: {reason}"))
        .data(&DeclinedData { total_cents: *total_cents, reason });
    context.emit(payment);
    Ok(())
}

/// The card is kept no longer than it is needed.
fn settle(payment: &Payment, context: &Context) -> Result<(), Failure> {
    context.state().set(PAYMENT, payment)?;
    context.state().delete(CARD);
    Ok(())
}
