//! The order handler: accepts or rejects what the shop places, and says how an order ends. It knows no stock, no payment
//! and no parcels beyond the news of them.

mod check;

use order_events::{
    DeliveryDelivered, InventoryUnavailable, Line, OrderAccepted, OrderCancelled, OrderPlaced, OrderRejected,
    PaymentDeclined, euros, order_key, total_cents,
};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The news this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Placed(OrderPlaced),
    Unavailable(InventoryUnavailable),
    Declined(PaymentDeclined),
    Delivered(DeliveryDelivered),
}

/// How far an order has come; absent before it was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    Accepted,
    Rejected,
    Cancelled,
    Completed,
}

const STAGE: &str = "stage";

#[derive(Serialize)]
struct AcceptedData<'a> {
    total_cents: u64,
    lines: &'a [Line],
}

#[derive(Serialize)]
struct RejectedData<'a> {
    problems: &'a [String],
}

#[derive(Serialize)]
struct CancelledData<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct CompletedData {}

/// # Errors
/// Permanent: an order that is placed under another order's key.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Placed(placed) => place(placed, context),
        Incoming::Unavailable(news) => cancel(news.order, "nothing of it is available", context),
        Incoming::Declined(news) => cancel(news.order, &news.reason, context),
        Incoming::Delivered(_) => complete(context),
    }
}

fn place(placed: OrderPlaced, context: &mut Context) -> Result<(), Failure> {
    if context.delivery().key != order_key(&placed.order) {
        let key = &context.delivery().key;
        return Err(Failure::permanent(format!("an order was placed under the key {key}, but its data names another")));
    }
    if context.state().get::<Stage>(STAGE)?.is_some() {
        context.warn("the order was placed before; this second event changes nothing");
        return Ok(());
    }
    match check::check(placed) {
        Ok(accepted) => accept(&accepted, context),
        Err(rejected) => reject(&rejected, context),
    }
}

fn accept(accepted: &OrderAccepted, context: &mut Context) -> Result<(), Failure> {
    let lines: Vec<Line> = accepted.lines.iter().map(check::as_line).collect();
    let total_cents = total_cents(&lines);
    context.state().set(STAGE, &Stage::Accepted)?;
    context
        .set_status("accepted", format!("Order accepted, {} in all", euros(total_cents)))
        .data(&AcceptedData { total_cents, lines: &lines });
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

fn cancel(order: String, reason: &str, context: &mut Context) -> Result<(), Failure> {
    if !is_under_way("cancel", context)? {
        return Ok(());
    }
    context.state().set(STAGE, &Stage::Cancelled)?;
    context.set_status("cancelled", format!("Order cancelled: {reason}")).data(&CancelledData { reason });
    context.emit(&OrderCancelled { order, reason: reason.to_owned() });
    Ok(())
}

fn complete(context: &mut Context) -> Result<(), Failure> {
    if !is_under_way("complete", context)? {
        return Ok(());
    }
    context.state().set(STAGE, &Stage::Completed)?;
    context.set_status("completed", "Order completed").data(&CompletedData {});
    Ok(())
}

/// Only an accepted order that has not ended can end.
fn is_under_way(wish: &str, context: &Context) -> Result<bool, Failure> {
    let stage = context.state().get::<Stage>(STAGE)?;
    if stage != Some(Stage::Accepted) {
        context.warn(format!("nothing to {wish}: the order's stage is {stage:?}"));
    }
    Ok(stage == Some(Stage::Accepted))
}
