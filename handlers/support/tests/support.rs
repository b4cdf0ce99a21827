//! The support handler in the native test kit, with events as the runtime writes them.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use serde_json::{Value, json};
use support_handler::{SUBJECT, SupportNoted, handle};
use weirgate_sdk::testing::{Delivery, World};

fn notice(word: &str, position: u64, failure: &Value) -> Delivery {
    let data = json!({
        "delivery": format!("payment@{position}"), "handler": "payment", "attempt": 1,
        "event": {"position": position, "id": "e", "source": "/handlers/inventory", "type": "inventory.reserved"},
        "key": "order/o-1", "failure": failure, "next_attempt_at_ms": null,
    });
    Delivery::raw(format!("weirgate.delivery.{word}"), data.to_string()).key("order/o-1")
}

fn waiting(position: u64) -> Delivery {
    let failure = json!({
        "class": "correctable", "kind": "returned", "message": "the payment details are wrong",
        "what_is_wrong": "the card number is not 16 digits",
    });
    notice("awaiting-correction", position, &failure)
}

fn dead(position: u64) -> Delivery {
    notice("dead-lettered", position, &json!({"class": "permanent", "kind": "returned", "message": "no"}))
}

fn breaker(word: &str) -> Delivery {
    let data =
        json!({"breaker": {"Handler": "payment"}, "open_until_ms": 7, "actor": "runtime", "reason": "8 of 9 failed"});
    Delivery::raw(format!("weirgate.breaker.{word}"), data.to_string()).key("weirgate/handlers/payment")
}

/// Delivers, and then the handler's own events.
fn tell(world: &mut World, delivery: Delivery) {
    let run = world.run(delivery, handle);
    for noted in run.emissions() {
        assert_eq!((noted.key.as_str(), noted.r#type.as_str()), (SUBJECT, "support.noted"));
        world.run(Delivery::of_emitted(noted), handle).completed();
    }
}

fn text(world: &World) -> &str {
    &world.status(SUBJECT).expect("a status").text
}

#[test]
fn open_cases_are_listed_until_they_are_settled() {
    let mut world = World::new().handler("support");
    for delivery in [waiting(7), dead(8), breaker("opened")] {
        tell(&mut world, delivery);
    }
    assert_eq!(text(&world), "1 to correct, 1 dead letters, 1 breakers open");
    let first = &world.status(SUBJECT).expect("a status").data["items"][0];
    let expected = json!({
        "name": "payment@7", "kind": "waiting", "key": "order/o-1", "type": "inventory.reserved",
        "message": "the payment details are wrong", "what_is_wrong": "the card number is not 16 digits",
    });
    assert_eq!(*first, expected);
    tell(&mut world, notice("recovered", 7, &Value::Null));
    tell(&mut world, breaker("closed"));
    assert_eq!(text(&world), "0 to correct, 1 dead letters, 0 breakers open");
    tell(&mut world, notice("decided", 8, &Value::Null));
    let status = world.status(SUBJECT).expect("a status");
    assert_eq!((status.state.as_str(), status.text.as_str()), ("empty", "No open cases"));
}

#[test]
fn a_delivery_is_on_the_list_once() {
    let mut world = World::new().handler("support");
    for delivery in [waiting(7), waiting(7), dead(7)] {
        tell(&mut world, delivery);
    }
    assert_eq!(text(&world), "0 to correct, 1 dead letters, 0 breakers open");
}

#[test]
fn a_list_that_is_full_counts_the_rest() {
    let mut world = World::new().handler("support");
    let long = json!({"message": "ä".repeat(4_096), "what_is_wrong": "ä".repeat(4_096)});
    for position in 0..50 {
        tell(&mut world, notice("awaiting-correction", position, &long));
    }
    let data = world.status(SUBJECT).expect("a status").data.clone();
    assert_eq!((&data["waiting"], &data["left_out"]), (&40.into(), &10.into()));
    assert_eq!(data["items"].as_array().map(Vec::len), Some(15));
    assert_eq!(data["items"][0]["message"].as_str().map(|text| text.chars().count()), Some(160));
    tell(&mut world, notice("recovered", 49, &Value::Null));
    tell(&mut world, notice("recovered", 0, &Value::Null));
    let data = &world.status(SUBJECT).expect("a status").data;
    assert_eq!((&data["waiting"], &data["left_out"]), (&39.into(), &9.into()));
}

#[test]
fn its_own_failures_are_not_noted() {
    let run = waiting(7).handler("payment").run(handle);
    run.did_nothing();
}

#[test]
fn notices_with_extra_or_missing_fields_are_accepted() {
    let bare = json!({"delivery": "payment@7", "handler": "payment", "colour": "red"});
    let run = Delivery::raw("weirgate.delivery.awaiting-correction", bare.to_string()).key("order/o-1").run(handle);
    assert_eq!(run.emitted::<SupportNoted>()[0].name, "payment@7");
}
