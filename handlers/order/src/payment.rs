//! Whether an order is paid in time. A payment and its deadline may coincide; which was first is decided here, where both
//! come in the order of the key, and `order.paid` or `order.cancelled` publishes the decision.

use std::time::Duration;

use order_events::{OrderPaid, OrderPaymentOverdue, PaymentCharged, span};
use weirgate_sdk::prelude::*;

use crate::{PAYMENT_TIMER, STAGE, Stage, closing};

const DEADLINE_S: u64 = 600;

/// The stock is reserved, so the payment is next. It has a deadline.
pub fn await_it(order: String, context: &mut Context) -> Result<(), Failure> {
    if context.state().get::<Stage>(STAGE)? == Some(Stage::Accepted) {
        let deadline_s = deadline_s(context)?;
        let due = Due::after(Duration::from_secs(deadline_s));
        context.start_timer(PAYMENT_TIMER, due, &OrderPaymentOverdue { order, deadline_s });
    }
    Ok(())
}

/// A payment in time makes the order one that is delivered. A late one is refunded by `payment`, which gets the cancellation
/// after it has charged.
pub fn accept(charged: PaymentCharged, context: &mut Context) -> Result<(), Failure> {
    let stage = context.state().get::<Stage>(STAGE)?;
    if stage != Some(Stage::Accepted) {
        context.warn(format!("the payment does not count: the order's stage is {stage:?}"));
        return Ok(());
    }
    context.state().set(STAGE, &Stage::Paid)?;
    context.cancel_timer(PAYMENT_TIMER);
    let PaymentCharged { order, total_cents, reference } = charged;
    context.emit(&OrderPaid { order, total_cents, reference });
    Ok(())
}

/// The timer may have fired while the payment came: then the order is paid, and there is nothing to cancel.
pub fn overdue(timer: OrderPaymentOverdue, context: &mut Context) -> Result<(), Failure> {
    let reason = format!("it was not paid within {}", span(timer.deadline_s));
    closing::cancel_as("payment-overdue", timer.order, &reason, context)
}

fn deadline_s(context: &Context) -> Result<u64, Failure> {
    let Some(text) = context.config("payment_deadline_s") else { return Ok(DEADLINE_S) };
    text.parse().map_err(|_| Failure::transient(format!("the setting `payment_deadline_s` is no number: {text:?}")))
}
