//! The payment handler in the native test kit.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{
    Customer, InventoryReserved, OrderAccepted, OrderCancelled, PaymentCharged, PaymentDeclined,
    PaymentDetailsCorrected, PaymentRefunded,
};
use payment_handler::{Payable, handle};
use serde_json::{Map, Value, json};
use weirgate_sdk::{
    Failure,
    testing::{Delivery, World},
};

const KEY: &str = "order/o-1";

fn accepted(card: &str) -> Delivery {
    Delivery::of(&OrderAccepted {
        order: "o-1".into(),
        customer: Customer { name: "Ada".into(), email: "ada@example.org".into(), address: "London".into() },
        lines: vec![],
        card: card.into(),
        total_cents: 1970,
    })
    .key(KEY)
}

fn payable() -> InventoryReserved {
    InventoryReserved {
        order: "o-1".into(),
        lines: vec![],
        total_cents: 1910,
        ordered_total_cents: 1970,
        changes: vec![],
    }
}

fn reserved() -> Delivery {
    Delivery::of(&payable()).key(KEY)
}

/// A world that knows the card.
fn world(card: &str) -> World {
    let mut world = World::new().handler("payment");
    world.run(accepted(card), handle).did_nothing();
    world
}

#[test]
fn a_reserved_order_is_charged_once() {
    let mut world = world("4242 4242 4242 4242");
    let run = world.run(reserved().position(17), handle);
    let charged = PaymentCharged { order: "o-1".into(), total_cents: 1910, reference: "pay-payment@17".into() };
    assert_eq!(run.emitted::<PaymentCharged>(), [charged]);
    assert_eq!((run.status().state.as_str(), run.status().text.as_str()), ("charged", "Paid €19.10"));
    assert_eq!(world.state::<String>(KEY, "card"), None, "the card is not kept");
    world.run(reserved().position(18), handle).did_nothing();
    world.run(accepted("4242424242424242"), handle).did_nothing();
}

#[test]
fn a_gateway_that_is_down_is_a_transient_failure() {
    let mut world = world("4242424242424242").config("gateway", "down");
    let run = world.run(reserved().position(17), handle);
    assert!(run.failure().is_transient());
    assert_eq!(run.failure().message(), "the payment gateway does not answer");
    world.configure("gateway", "up");
    let run = world.run(reserved().position(17).attempt(2), handle);
    assert_eq!(run.emitted::<PaymentCharged>()[0].reference, "pay-payment@17");
}

#[test]
fn a_declined_card_stays_declined() {
    for card in ["4000000000000002", "4000 0000 0000 0002"] {
        let mut world = world(card);
        let run = world.run(reserved(), handle);
        assert_eq!(run.emitted::<PaymentDeclined>()[0].reason, "the card was declined");
        assert_eq!(run.status().data["reason"], "the card was declined");
        world.run(reserved(), handle).did_nothing();
    }
}

#[test]
fn an_invalid_card_number_awaits_correction() {
    for (card, what) in [
        ("1234", "is not 16 digits"),
        ("\u{ff14}242424242424242", "is not 16 digits"),
        ("", "is not 16 digits"),
        ("4242424242424241", "has a digit that is wrong"),
    ] {
        let failure = world(card).run(reserved(), handle).failure().clone();
        let Failure::Correctable { message, what_is_wrong } = failure else { panic!("{card}: {failure}") };
        assert_eq!(message, "the payment details are wrong");
        assert!(what_is_wrong.starts_with(&format!("the card number {what}; ")), "{what_is_wrong}");
        assert!(card.is_empty() || !what_is_wrong.contains(card), "no log needs a card's number");
    }
}

#[test]
fn corrected_card_details_are_charged() {
    let mut world = world("1234");
    assert!(world.run(reserved().position(17), handle).failure().is_correctable());
    let wrong = world.run(corrected("4242424242424241").position(17), handle);
    assert!(wrong.failure().is_correctable());
    let run = world.run(corrected("4242424242424242").position(17), handle);
    assert_eq!(run.emitted::<PaymentCharged>()[0].reference, "pay-payment@17");
    world.run(reserved().position(18), handle).did_nothing();
}

#[test]
fn a_correction_cannot_change_the_order_or_customer() {
    let delivery = corrected("4242424242424242");
    let payable = Payable { order: "o-2".into(), ..delivery.data() };
    assert!(world("1234").run(delivery.with_data(&payable), handle).failure().is_correctable());
}

/// What the runtime makes of `inventory.reserved` and a `payment.details-corrected`: the data of the first with the second
/// merged into it.
fn corrected(card: &str) -> Delivery {
    let correction = PaymentDetailsCorrected { order: "o-1".into(), card: card.into() };
    let mut data: Map<String, Value> = serde_json::from_value(json!(payable())).expect("an object");
    data.extend(serde_json::from_value::<Map<_, _>>(json!(correction)).expect("an object"));
    Delivery::raw("inventory.reserved", json!(data).to_string()).key(KEY)
}

fn cancelled() -> Delivery {
    Delivery::of(&OrderCancelled { order: "o-1".into(), reason: "nothing is left of it".into() }).key(KEY)
}

#[test]
fn the_card_of_a_cancelled_order_is_forgotten() {
    let mut world = world("4242424242424242");
    assert!(world.state::<String>(KEY, "card").is_some());
    world.run(cancelled(), handle).did_nothing();
    assert_eq!(world.state::<String>(KEY, "card"), None);
    world.run(accepted("4242424242424242"), handle).did_nothing();
    assert_eq!(world.state::<String>(KEY, "card"), None, "nor kept again");
    world.run(reserved(), handle).did_nothing();
}

#[test]
fn a_declined_order_that_is_cancelled_stays_declined() {
    let mut world = world("4000000000000002");
    world.run(reserved(), handle).completed();
    world.run(cancelled(), handle).did_nothing();
    assert_eq!(world.state::<String>(KEY, "payment").as_deref(), Some("declined"));
}

#[test]
fn an_order_without_a_card_awaits_correction() {
    assert!(reserved().run(handle).failure().is_correctable());
}

#[test]
fn a_late_charge_is_refunded_once() {
    let mut world = world("4242424242424242");
    world.run(reserved().position(17), handle).completed();
    world.configure("gateway", "down");
    assert!(world.run(cancelled(), handle).failure().is_transient());
    world.configure("gateway", "up");
    let run = world.run(cancelled(), handle);
    let refunded = PaymentRefunded {
        order: "o-1".into(),
        total_cents: 1910,
        reference: "pay-payment@17".into(),
        reason: "nothing is left of it".into(),
        replay: None,
    };
    assert_eq!(run.emitted::<PaymentRefunded>(), [refunded]);
    assert_eq!(run.status().state, "refunded");
    assert_eq!(run.status().text, "Paid back €19.10: nothing is left of it");
    world.run(cancelled(), handle).did_nothing();
    world.run(reserved(), handle).did_nothing();
}
