//! How an order ends. The other handlers compensate for `order.cancelled`: the stock is returned, the charge is refunded,
//! the customer gets a mail.

use order_events::OrderCancelled;
use serde::Serialize;
use weirgate_sdk::prelude::*;

use crate::{PAYMENT_TIMER, STAGE, Stage};

#[derive(Serialize)]
struct CancelledData<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct CompletedData {}

/// Cancels an unpaid order.
pub fn cancel(order: String, reason: &str, context: &mut Context) -> Result<(), Failure> {
    cancel_as("cancelled", order, reason, context)
}

/// Cancels it, with a status that shows the cause.
pub fn cancel_as(word: &str, order: String, reason: &str, context: &mut Context) -> Result<(), Failure> {
    let stage = context.state().get::<Stage>(STAGE)?;
    if stage != Some(Stage::Accepted) {
        context.warn(format!("nothing to cancel: the order's stage is {stage:?}"));
        return Ok(());
    }
    context.state().set(STAGE, &Stage::Cancelled)?;
    context.cancel_timer(PAYMENT_TIMER);
    context.set_status(word, format!("Order cancelled: {reason}")).data(&CancelledData { reason });
    context.emit(&OrderCancelled { order, reason: reason.to_owned() });
    Ok(())
}

/// A delivered order is completed.
pub fn complete(context: &mut Context) -> Result<(), Failure> {
    let stage = context.state().get::<Stage>(STAGE)?;
    if stage != Some(Stage::Paid) {
        context.warn(format!("nothing to complete: the order's stage is {stage:?}"));
        return Ok(());
    }
    context.state().set(STAGE, &Stage::Completed)?;
    context.set_status("completed", "Order completed").data(&CompletedData {});
    Ok(())
}
