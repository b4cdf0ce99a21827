//! The invoice handler: joins what was reserved with what was paid, and writes one invoice an order.

use order_events::{InventoryReserved, InvoiceCreated, Line, PaymentCharged, euros, total_cents};
use weirgate_sdk::prelude::*;

/// The news this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Reserved(InventoryReserved),
    Charged(PaymentCharged),
}

/// Value added tax, which prices include.
const VAT_PERCENT: u32 = 20;
const LINES: &str = "lines";
const NUMBER: &str = "number";

/// # Errors
/// Correctable: the lines of the order are not known, or do not come to what was charged.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    if let Some(number) = context.state().get::<String>(NUMBER)? {
        context.info(format!("the invoice was already written: {number}"));
        return Ok(());
    }
    match event.data {
        Incoming::Reserved(reserved) => context.state().set(LINES, &reserved.lines),
        Incoming::Charged(charged) => issue(charged, context),
    }
}

fn issue(charged: PaymentCharged, context: &mut Context) -> Result<(), Failure> {
    let lines = lines_for(&charged, context)?;
    let PaymentCharged { order, total_cents, reference } = charged;
    // Positions grow without gaps of their own making, so the number is unique and the same at every attempt.
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

/// An invoice must say what was paid for.
fn lines_for(charged: &PaymentCharged, context: &Context) -> Result<Vec<Line>, Failure> {
    let Some(lines) = context.state().get::<Vec<Line>>(LINES)? else {
        return Err(Failure::correctable(
            "the order's lines are not known",
            "no inventory.reserved came before payment.charged; resubmit it, then this event",
        ));
    };
    let reserved_cents = total_cents(&lines);
    if reserved_cents != charged.total_cents {
        let (reserved, paid) = (euros(reserved_cents), euros(charged.total_cents));
        return Err(Failure::correctable(
            format!("{paid} were charged for lines that come to {reserved}"),
            "the amount of payment.charged does not fit the lines of inventory.reserved",
        ));
    }
    Ok(lines)
}

/// The amount without the tax that it includes, to the nearest cent.
fn net_of(total_cents: u64) -> u64 {
    let with_tax = 100 + u64::from(VAT_PERCENT);
    total_cents.saturating_mul(100).saturating_add(with_tax / 2) / with_tax
}
