//! The payment handler, through the native test kit.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use order_events::{Customer, InventoryReserved, OrderAccepted, OrderCancelled, PaymentCharged, PaymentDeclined};
use payment_handler::handle;
use weirgate_sdk::testing::{Delivery, World};

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

fn reserved() -> Delivery {
    Delivery::of(&InventoryReserved {
        order: "o-1".into(),
        lines: vec![],
        total_cents: 1910,
        ordered_total_cents: 1970,
        changes: vec![],
    })
    .key(KEY)
}

/// A world that knows the card.
fn world(card: &str) -> World {
    let mut world = World::new().handler("payment");
    world.run(accepted(card), handle).did_nothing();
    world
}

#[test]
fn what_was_reserved_is_charged_once() {
    let mut world = world("4242 4242 4242 4242");
    let run = world.run(reserved().position(17), handle);
    let charged = PaymentCharged { order: "o-1".into(), total_cents: 1910, reference: "pay-payment@17".into() };
    assert_eq!(run.emitted::<PaymentCharged>(), [charged]);
    assert_eq!((run.status().state.as_str(), run.status().text.as_str()), ("charged", "Paid 19.10 EUR"));
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
fn bad_cards_are_declined_and_stay_so() {
    for (card, reason) in [
        ("4000000000000002", "the card was declined"),
        ("4000 0000 0000 0002", "the card was declined"),
        ("1234", "the card number is not 16 digits"),
        ("４242424242424242", "the card number is not 16 digits"),
        ("", "the card number is not 16 digits"),
    ] {
        let mut world = world(card);
        let run = world.run(reserved(), handle);
        assert_eq!(run.emitted::<PaymentDeclined>()[0].reason, reason, "{card}");
        assert_eq!(run.status().data["reason"], reason);
        world.run(reserved(), handle).did_nothing();
    }
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
    let mut world = world("1234");
    world.run(reserved(), handle).completed();
    world.run(cancelled(), handle).did_nothing();
    assert_eq!(world.state::<String>(KEY, "payment").as_deref(), Some("declined"));
}

#[test]
fn without_a_card_somebody_has_to_look() {
    assert!(reserved().run(handle).failure().is_correctable());
}
