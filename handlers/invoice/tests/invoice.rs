//! The invoice handler in the native test kit.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use invoice_handler::handle;
use order_events::{InventoryReserved, InvoiceCreated, Line, OrderPaid};
use weirgate_sdk::testing::{Delivery, World};

const KEY: &str = "order/o-1";

fn reserved() -> Delivery {
    let line =
        |sku: &str, quantity, unit_price_cents| Line { sku: sku.into(), name: sku.into(), quantity, unit_price_cents };
    Delivery::of(&InventoryReserved {
        order: "o-1".into(),
        lines: vec![line("rye-bread", 1, 420), line("coffee-beans", 1, 1490)],
        total_cents: 1910,
        ordered_total_cents: 1970,
        changes: vec![],
    })
    .key(KEY)
}

fn paid(total_cents: u64) -> Delivery {
    Delivery::of(&OrderPaid { order: "o-1".into(), total_cents, reference: "pay-payment@17".into() }).key(KEY)
}

#[test]
fn a_paid_order_gets_one_invoice() {
    let mut world = World::new();
    world.run(reserved(), handle).did_nothing();
    let run = world.run(paid(1910).position(21), handle);
    let invoice = &run.emitted::<InvoiceCreated>()[0];
    assert_eq!((invoice.number.as_str(), invoice.reference.as_str()), ("INV-000021", "pay-payment@17"));
    assert_eq!((invoice.net_cents, invoice.vat_cents, invoice.vat_percent), (1592, 318, 20));
    assert_eq!(invoice.lines.len(), 2);
    assert_eq!(run.status().state, "issued");
    assert_eq!(run.status().data["lines"][0]["sku"], "rye-bread");
    world.run(paid(1910).position(22), handle).did_nothing();
    world.run(reserved(), handle).did_nothing();
}

#[test]
fn tax_and_net_add_up_to_the_total() {
    for total_cents in [1, 5, 6, 99, 120, 1910, 123_456_789] {
        let lines = vec![Line { sku: "a".into(), name: "a".into(), quantity: 1, unit_price_cents: total_cents }];
        let run = paid(total_cents).state("lines", &lines).run(handle);
        let invoice = &run.emitted::<InvoiceCreated>()[0];
        assert_eq!(invoice.net_cents + invoice.vat_cents, total_cents);
        // In hundred-and-twentieths of a cent, the net is at most half a cent from exact.
        let (written, exact) = (invoice.net_cents * 120, total_cents * 100);
        assert!(written.abs_diff(exact) <= 60, "{total_cents}: {}", invoice.net_cents);
    }
}

#[test]
fn missing_or_invalid_lines_await_correction() {
    assert!(paid(1910).run(handle).failure().is_correctable());
    let mut world = World::new();
    world.run(reserved(), handle).completed();
    let run = world.run(paid(1970), handle);
    assert_eq!(run.failure().message(), "€19.70 was charged for lines that come to €19.10");
}
