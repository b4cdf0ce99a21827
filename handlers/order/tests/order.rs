//! The order handler in the native test kit.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{
    Customer, DeliveryDelivered, InventoryUnavailable, OrderAccepted, OrderCancelRequested, OrderCancelled,
    OrderPlaced, OrderRejected, PaymentDeclined, PlacedLine,
};
use order_handler::handle;
use weirgate_sdk::testing::{Delivery, Run, World};

fn placed() -> OrderPlaced {
    let line = PlacedLine {
        sku: "coffee-beans".into(),
        name: "Free coffee!".into(),
        quantity: 2,
        unit_price_cents: 1490,
        substitutes_ok: true,
    };
    OrderPlaced {
        order: "o-1".into(),
        customer: Customer { name: "Ada".into(), email: "ada@example.org".into(), address: "London".into() },
        lines: vec![line],
        card: "4242424242424242".into(),
    }
}

fn place(placed: &OrderPlaced) -> Run {
    Delivery::of(placed).key("order/o-1").run(handle)
}

fn declined() -> PaymentDeclined {
    PaymentDeclined { order: "o-1".into(), total_cents: 2980, reason: "the card was declined".into() }
}

#[test]
fn a_good_order_is_accepted_under_the_catalogues_names() {
    let run = place(&placed());
    let accepted = run.emitted::<OrderAccepted>();
    assert_eq!(accepted.len(), 1);
    assert_eq!((accepted[0].total_cents, accepted[0].lines[0].name.as_str()), (2980, "Coffee beans, 500 g"));
    assert_eq!(run.status().state, "accepted");
    assert_eq!(run.status().data["lines"][0]["quantity"], 2);
    let kept = run.status_on("order/o-1/acceptance").expect("a status that no later one replaces");
    assert_eq!((kept.state.as_str(), &kept.text, &kept.data), ("accepted", &run.status().text, &run.status().data));
    assert!(run.status().data["lines"][0].get("card").is_none());
}

#[test]
fn every_problem_of_an_order_is_reported() {
    let mut order = placed();
    order.customer.email = "ada at example".into();
    order.customer.address = " ".into();
    let line = order.lines[0].clone();
    order.lines[0].quantity = 100;
    order.lines.push(PlacedLine { unit_price_cents: 1, ..line.clone() });
    order.lines.push(PlacedLine { sku: "caviar".into(), ..line });
    let run = place(&order);
    assert_eq!(
        run.emitted::<OrderRejected>()[0].problems,
        [
            "the address is missing",
            "the e-mail address is not one",
            "line 1: quantity 100 is not 1 to 99",
            "line 2: the price of Coffee beans, 500 g is €14.90, not €0.01",
            "line 3: there is no article `caviar`",
        ]
    );
    assert_eq!(run.status().state, "rejected");
    assert_eq!(run.status().text, "Order rejected: the address is missing, and 4 more");
    assert!(run.emitted::<OrderAccepted>().is_empty());
}

#[test]
fn an_order_has_1_to_30_lines() {
    for (lines, accepted) in [(0, 0), (1, 1), (30, 1), (31, 0)] {
        let mut order = placed();
        order.lines = vec![order.lines[0].clone(); lines];
        assert_eq!(place(&order).emitted::<OrderAccepted>().len(), accepted, "{lines} lines");
    }
}

#[test]
fn long_texts_are_refused_before_they_meet_a_limit() {
    let mut order = placed();
    order.customer.name = "ä".repeat(20_000);
    order.lines = vec![PlacedLine { sku: "x".repeat(1_000), ..order.lines[0].clone() }; 30];
    let run = place(&order);
    assert_eq!(run.status().state, "rejected");
    assert_eq!(run.emitted::<OrderRejected>()[0].problems.len(), 20);
    for (bytes, state) in [(200, "accepted"), (201, "rejected"), (1_000, "rejected")] {
        let id = "o".repeat(bytes);
        let delivery = Delivery::of(&OrderPlaced { order: id.clone(), ..placed() }).key(format!("order/{id}"));
        assert_eq!(delivery.run(handle).completed().status().state, state, "an id of {bytes} bytes");
    }
}

#[test]
fn an_order_is_placed_once() {
    let mut world = World::new();
    let delivery = || Delivery::of(&placed()).key("order/o-1");
    world.run(delivery(), handle).completed();
    world.run(delivery().id("another"), handle).did_nothing();
    let elsewhere = world.run(delivery().key("order/o-2"), handle);
    assert!(elsewhere.failure().is_permanent());
}

#[test]
fn an_accepted_order_ends_once() {
    let key = "order/o-1";
    let mut world = World::new();
    world.run(Delivery::of(&declined()).key(key), handle).did_nothing();
    world.run(Delivery::of(&placed()).key(key), handle).completed();
    let run = world.run(Delivery::of(&declined()).key(key), handle);
    assert_eq!(run.emitted::<OrderCancelled>()[0].reason, "the card was declined");
    assert_eq!(run.status().state, "cancelled");
    let unavailable = InventoryUnavailable { order: "o-1".into(), changes: vec![] };
    world.run(Delivery::of(&unavailable).key(key), handle).did_nothing();
    let delivered = DeliveryDelivered { order: "o-1".into(), parcel: "WG-1".into() };
    world.run(Delivery::of(&delivered).key(key), handle).did_nothing();
}

#[test]
fn a_customer_can_cancel_only_own_orders() {
    let request = || Delivery::of(&OrderCancelRequested { order: "o-1".into(), reason: "I changed my mind".into() });
    let mut world = World::new();
    world.run(request().key("order/o-1"), handle).did_nothing();
    world.run(Delivery::of(&placed()).key("order/o-1"), handle).completed();
    assert!(world.run(request().key("order/o-2"), handle).failure().is_permanent());
    let run = world.run(request().key("order/o-1"), handle);
    assert_eq!(run.emitted::<OrderCancelled>()[0].reason, "I changed my mind");
    world.run(request().key("order/o-1"), handle).did_nothing();
}
