//! Orders with the setting `pace_ms`: each step waits for its timer, and the result is the same.

use order_events::PaymentDetailsCorrected;

use crate::{DECLINED_CARD, GOOD_CARD, shop::Shop};

const PACED: [&str; 4] = ["inventory", "payment", "invoice", "delivery"];

fn shop(pace_ms: &str) -> Shop {
    let mut shop = Shop::open();
    for handler in PACED {
        shop.handler(handler).world.configure("pace_ms", pace_ms);
    }
    shop
}

#[test]
fn each_step_waits_for_its_timer() {
    let mut shop = shop("1200");
    shop.place("o-1", GOOD_CARD, &[("sourdough", 1), ("coffee-beans", 1), ("fig-jam", 1)]);
    for (handler, before, after) in [
        ("inventory", Some("checking"), "reserved"),
        ("payment", None, "charged"),
        ("invoice", None, "issued"),
        ("delivery", None, "packed"),
        ("delivery", Some("packed"), "dispatched"),
        ("delivery", Some("dispatched"), "delivered"),
    ] {
        let state = |shop: &Shop| shop.status("o-1").get(handler).map(|(state, _)| state.clone());
        assert_eq!(state(&shop).as_deref(), before, "{handler}");
        shop.fire(handler, "o-1", "pace");
        assert_eq!(state(&shop).as_deref(), Some(after), "{handler}");
    }
    let mut at_once = Shop::open();
    at_once.place("o-1", GOOD_CARD, &[("sourdough", 1), ("coffee-beans", 1), ("fig-jam", 1)]);
    assert_eq!(shop.states("o-1"), at_once.states("o-1"));
    assert_eq!(shop.status("o-1")["payment"].1["total_cents"], 1910);
}

#[test]
fn a_paced_payment_is_corrected_declined_and_cancelled_like_another() {
    let mut shop = shop("1200");
    for (order, card) in [("o-1", "1234"), ("o-2", DECLINED_CARD), ("o-3", GOOD_CARD)] {
        shop.place(order, card, &[("honey", 1)]);
        shop.fire("inventory", order, "pace");
    }
    shop.fire("payment", "o-1", "pace");
    let details = PaymentDetailsCorrected { order: "o-1".into(), card: GOOD_CARD.into() };
    shop.publish("payment.details-corrected", "o-1", serde_json::to_vec(&details).expect("JSON"));
    shop.fire("payment", "o-2", "pace");
    shop.fire("order", "o-3", "payment");
    shop.fire("payment", "o-3", "pace");
    for (order, payment) in [("o-1", Some("charged")), ("o-2", Some("declined")), ("o-3", None)] {
        let status = shop.status(order);
        assert_eq!(status.get("payment").map(|(state, _)| state.as_str()), payment, "{order}");
        let inventory = if payment == Some("charged") { "reserved" } else { "released" };
        assert_eq!(status["inventory"].0, inventory, "{order}");
    }
}

#[test]
fn an_order_cancelled_while_its_items_are_collected_is_not_reserved() {
    let mut shop = shop("1200");
    shop.place("o-1", GOOD_CARD, &[("honey", 1)]);
    shop.publish("order.cancel-requested", "o-1", br#"{"order":"o-1","reason":"no"}"#.to_vec());
    shop.fire("inventory", "o-1", "pace");
    assert_eq!(shop.states("o-1"), ["inventory: released", "notification: sent", "order: cancelled"]);
}

#[test]
fn a_pace_of_zero_is_none_and_no_number_can_be_corrected() {
    let mut shop = shop("0");
    shop.place("o-1", GOOD_CARD, &[("honey", 1)]);
    assert_eq!(shop.status("o-1")["order"].0, "completed");
    for handler in PACED {
        shop.handler(handler).world.configure("pace_ms", "slowly");
    }
    shop.place("o-2", GOOD_CARD, &[("honey", 1)]);
    for handler in PACED {
        shop.handler(handler).world.configure("pace_ms", "0");
        assert!(shop.retry(handler).is_empty(), "{handler}");
    }
    assert_eq!(shop.status("o-2")["order"].0, "completed");
}
