//! The order handler: accepts or rejects the shop's orders, decides whether they are paid in time, and publishes how an
//! order ends. It knows stock, cards and parcels only from events.

mod check;
mod closing;
mod payment;

use order_events::{
    DeliveryDelivered, InventoryReserved, InventoryUnavailable, Line, OrderAccepted, OrderCancelRequested,
    OrderPaymentOverdue, OrderPlaced, OrderRejected, PaymentCharged, PaymentDeclined, acceptance_key, euros, order_key,
    total_cents,
};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Placed(OrderPlaced),
    CancelRequested(OrderCancelRequested),
    Reserved(InventoryReserved),
    Unavailable(InventoryUnavailable),
    Charged(PaymentCharged),
    Declined(PaymentDeclined),
    /// From its own timer.
    Overdue(OrderPaymentOverdue),
    Delivered(DeliveryDelivered),
}

/// The progress of an order; absent before it was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Accepted,
    Paid,
    Rejected,
    Cancelled,
    Completed,
}

const STAGE: &str = "stage";
/// The timer of the deadline for the payment.
const PAYMENT_TIMER: &str = "payment";

#[derive(Serialize)]
struct AcceptedData<'a> {
    total_cents: u64,
    lines: &'a [Line],
}

#[derive(Serialize)]
struct RejectedData<'a> {
    problems: &'a [String],
}

/// # Errors
/// Permanent: an order that is placed or cancelled under another order's key. Transient: the setting `payment_deadline_s` is
/// not a number.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Placed(placed) => place(placed, context),
        Incoming::CancelRequested(request) => {
            check_key(&request.order, context)?;
            closing::cancel(request.order, &request.reason, context)
        }
        Incoming::Reserved(news) => payment::await_it(news.order, context),
        Incoming::Unavailable(news) => closing::cancel(news.order, "everything in it is sold out", context),
        Incoming::Charged(news) => payment::accept(news, context),
        Incoming::Declined(news) => closing::cancel(news.order, &news.reason, context),
        Incoming::Overdue(timer) => payment::overdue(timer, context),
        Incoming::Delivered(_) => closing::complete(context),
    }
}

fn place(placed: OrderPlaced, context: &mut Context) -> Result<(), Failure> {
    check_key(&placed.order, context)?;
    if context.state().get::<Stage>(STAGE)?.is_some() {
        context.warn("the order was placed before; this second event changes nothing");
        return Ok(());
    }
    match check::check(placed) {
        Ok(accepted) => accept(&accepted, context),
        Err(rejected) => reject(&rejected, context),
    }
}

/// Events from outside could name any order.
fn check_key(order: &str, context: &Context) -> Result<(), Failure> {
    let key = &context.delivery().key;
    if *key == order_key(order) {
        return Ok(());
    }
    Err(Failure::permanent(format!("the key is {key}, but the data names another order")))
}

fn accept(accepted: &OrderAccepted, context: &mut Context) -> Result<(), Failure> {
    let lines: Vec<Line> = accepted.lines.iter().map(check::as_line).collect();
    let total_cents = total_cents(&lines);
    context.state().set(STAGE, &Stage::Accepted)?;
    let text = format!("Order accepted, {} in all", euros(total_cents));
    let data = AcceptedData { total_cents, lines: &lines };
    context.set_status("accepted", &text).data(&data);
    // The order's end replaces this status. On a subject of its own it stays, with its time and position.
    context.set_status("accepted", text).data(&data).on(acceptance_key(&accepted.order));
    context.emit(accepted);
    Ok(())
}

fn reject(rejected: &OrderRejected, context: &mut Context) -> Result<(), Failure> {
    context.state().set(STAGE, &Stage::Rejected)?;
    let first = rejected.problems.first().map_or("", String::as_str);
    let text = match rejected.problems.len() {
        1 => format!("Order rejected: {first}"),
        n => format!("Order rejected: {first}, and {} more", n.saturating_sub(1)),
    };
    context.set_status("rejected", text).data(&RejectedData { problems: &rejected.problems });
    context.emit(rejected);
    Ok(())
}
