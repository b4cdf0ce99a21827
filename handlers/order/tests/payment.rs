//! The order handler and the deadline of a payment: whichever comes first, the payment or its deadline, counts.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{
    Customer, DeliveryDelivered, InventoryReserved, OrderCancelRequested, OrderCancelled, OrderPaid,
    OrderPaymentOverdue, OrderPlaced, PaymentCharged, PlacedLine,
};
use order_handler::handle;
use weirgate_sdk::{
    prelude::*,
    testing::{Delivery, Run, World},
};

const KEY: &str = "order/o-1";
const TIMER: &str = "payment";

fn order() -> String {
    "o-1".into()
}

fn placed() -> OrderPlaced {
    let line = PlacedLine {
        sku: "coffee-beans".into(),
        name: String::new(),
        quantity: 1,
        unit_price_cents: 1490,
        substitutes_ok: true,
    };
    let customer = Customer { name: "Ada".into(), email: "ada@example.org".into(), address: "London".into() };
    OrderPlaced { order: order(), customer, lines: vec![line], card: String::new() }
}

fn reserved() -> InventoryReserved {
    InventoryReserved { order: order(), lines: vec![], total_cents: 1490, ordered_total_cents: 1490, changes: vec![] }
}

fn charged() -> PaymentCharged {
    PaymentCharged { order: order(), total_cents: 1490, reference: "pay-1".into() }
}

fn run<E: EventType + Serialize>(world: &mut World, event: &E) -> Run {
    world.run(Delivery::of(event).key(KEY), handle)
}

/// A world in which the order's items are reserved.
fn world() -> World {
    let mut world = World::new();
    run(&mut world, &placed()).completed();
    run(&mut world, &reserved()).completed();
    world
}

#[test]
fn a_payment_has_ten_minutes_by_default() {
    let mut world = World::new();
    run(&mut world, &placed()).completed();
    assert!(world.timer(KEY, TIMER).is_none(), "no payment is due yet");
    let timer = run(&mut world, &reserved()).timer(TIMER).clone();
    assert_eq!((timer.due, timer.event::<OrderPaymentOverdue>().deadline_s), (Due::AfterMs(600_000), 600));
    world.configure("payment_deadline_s", "5");
    assert_eq!(run(&mut world, &reserved()).timer(TIMER).due, Due::AfterMs(5_000));
    world.configure("payment_deadline_s", "soon");
    assert!(run(&mut world, &reserved()).failure().is_transient());
}

#[test]
fn a_payment_in_time_cancels_the_timer() {
    let mut world = world();
    let paid = run(&mut world, &charged());
    assert_eq!(paid.cancelled_timers(), [TIMER]);
    assert_eq!(
        paid.emitted::<OrderPaid>(),
        [OrderPaid { order: order(), total_cents: 1490, reference: "pay-1".into() }]
    );
    run(&mut world, &charged()).did_nothing();
    run(&mut world, &reserved()).did_nothing();
    let request = OrderCancelRequested { order: order(), reason: "no".into() };
    run(&mut world, &request).did_nothing();
    let delivered = run(&mut world, &DeliveryDelivered { order: order(), parcel: "WG-1".into() });
    assert_eq!(delivered.status().state, "completed");
}

#[test]
fn an_order_that_is_not_paid_in_time_is_cancelled() {
    let mut world = world();
    let overdue = world.fire(KEY, TIMER, handle);
    assert_eq!(overdue.status().state, "payment-overdue");
    assert_eq!(overdue.status().text, "Order cancelled: it was not paid within 10 min");
    assert_eq!(overdue.status().data["reason"], "it was not paid within 10 min");
    assert_eq!(overdue.emitted::<OrderCancelled>()[0].reason, "it was not paid within 10 min");
    let late = run(&mut world, &charged());
    late.did_nothing();
    assert_eq!(late.log()[0].1, "the payment does not count: the order's stage is Some(Cancelled)");
    run(&mut world, &DeliveryDelivered { order: order(), parcel: "WG-1".into() }).did_nothing();
}

#[test]
fn a_cancelled_timer_that_fires_changes_nothing() {
    let timer = OrderPaymentOverdue { order: order(), deadline_s: 600 };
    run(&mut World::new(), &timer).did_nothing();
    let mut paid = world();
    run(&mut paid, &charged()).completed();
    run(&mut paid, &timer).did_nothing();
    let mut cancelled = world();
    cancelled.fire(KEY, TIMER, handle).completed();
    run(&mut cancelled, &timer).did_nothing();
}
