//! The invoice handler: joins the reserved lines with the payment, and writes one invoice per order.

use order_events::{
    InventoryReserved, InvoiceCreated, InvoiceDue, Line, OrderPaid, PACE_TIMER, euros, pace, total_cents,
};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Reserved(InventoryReserved),
    Paid(OrderPaid),
    /// From its own timer.
    Due(InvoiceDue),
}

/// Value added tax, which prices include.
const VAT_PERCENT: u32 = 20;
const LINES: &str = "lines";
const NUMBER: &str = "number";

/// # Errors
/// Transient: the setting `pace_ms` is not a number. Correctable: the lines of the order are unknown, or do not add up to the charge.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    if let Some(number) = context.state().get::<String>(NUMBER)? {
        context.info(format!("the invoice was already written: {number}"));
        return Ok(());
    }
    match event.data {
        Incoming::Reserved(reserved) => context.state().set(LINES, &reserved.lines),
        Incoming::Paid(paid) => match pace(context)? {
            Some(done) => {
                context.start_timer(PACE_TIMER, done, &InvoiceDue(paid));
                Ok(())
            }
            None => issue(paid, context),
        },
        Incoming::Due(InvoiceDue(paid)) => issue(paid, context),
    }
}

fn issue(order_paid: OrderPaid, context: &mut Context) -> Result<(), Failure> {
    let lines = lines_for(&order_paid, context)?;
    let OrderPaid { order, total_cents, reference } = order_paid;
    // Positions are unique, so the number is unique and the same at every attempt.
    let number = format!("INV-{:06}", context.delivery().position);
    let net_cents = net_of(total_cents);
    context.state().set(NUMBER, &number)?;
    context.state().delete(LINES);
    let invoice = InvoiceCreated {
        order,
        number,
        lines,
        total_cents,
        net_cents,
        vat_cents: total_cents.saturating_sub(net_cents),
        vat_percent: VAT_PERCENT,
        reference,
    };
    context.set_status("issued", format!("Invoice {} over {}", invoice.number, euros(total_cents))).data(&invoice);
    context.emit(&invoice);
    Ok(())
}

/// An invoice must list what was paid for.
fn lines_for(order_paid: &OrderPaid, context: &Context) -> Result<Vec<Line>, Failure> {
    let Some(lines) = context.state().get::<Vec<Line>>(LINES)? else {
        return Err(Failure::correctable(
            "the order's lines are not known",
            "no inventory.reserved came before order.paid; resubmit it, then this event",
        ));
    };
    let reserved_cents = total_cents(&lines);
    if reserved_cents != order_paid.total_cents {
        let (reserved, paid) = (euros(reserved_cents), euros(order_paid.total_cents));
        return Err(Failure::correctable(
            format!("{paid} was charged for lines that come to {reserved}"),
            "the amount of order.paid does not fit the lines of inventory.reserved",
        ));
    }
    Ok(lines)
}

/// The amount without the tax that it includes, to the nearest cent.
fn net_of(total_cents: u64) -> u64 {
    let with_tax = 100 + u64::from(VAT_PERCENT);
    total_cents.saturating_mul(100).saturating_add(with_tax / 2) / with_tax
}
