//! Orders that fail on the way, and their compensation.

use order_events::{OrderCancelRequested, PaymentDetailsCorrected, StockReleased};
use weirgate_sdk::EventType;

use crate::{DECLINED_CARD, GOOD_CARD, shop::Shop};

const GATEWAY_DOWN: &str = "transient: the payment gateway does not answer";

/// A shop whose gateway is down, with an order of the whole stock of honey.
fn unpaid() -> Shop {
    let mut shop = Shop::open();
    shop.handler("payment").world.configure("gateway", "down");
    shop.place("o-1", GOOD_CARD, &[("honey", 5)]);
    assert_eq!(shop.states("o-1"), ["inventory: reserved", "notification: sent", "order: accepted"]);
    shop
}

fn gateway_is_back(shop: &mut Shop) {
    assert_eq!(shop.retry("payment").iter().map(ToString::to_string).collect::<Vec<_>>(), [GATEWAY_DOWN]);
    shop.handler("payment").world.configure("gateway", "up");
    assert!(shop.retry("payment").is_empty());
}

fn honey(shop: &mut Shop) -> Option<u64> {
    shop.handler("inventory").world.state("sku/honey", "on-hand")
}

#[test]
fn a_late_payment_is_refunded() {
    let mut shop = unpaid();
    assert_eq!(honey(&mut shop), Some(0));
    shop.fire("order", "o-1", "payment");
    assert_eq!(shop.states("o-1"), ["inventory: released", "notification: sent", "order: payment-overdue"]);
    assert_eq!(
        (honey(&mut shop), &shop.status("o-1")["notification"].1["last"]["kind"]),
        (Some(5), &"cancelled".into())
    );
    gateway_is_back(&mut shop);
    assert_eq!(
        shop.states("o-1"),
        ["inventory: released", "notification: sent", "order: payment-overdue", "payment: refunded"]
    );
    assert_eq!(shop.status("o-1")["payment"].1["reason"], "it was not paid within 10 min");
    assert_eq!(shop.status("o-1")["notification"].1["last"]["kind"], "refunded");
    assert_eq!(shop.status("o-1")["notification"].1["count"], 3, "no mail thanks for it");
    assert_eq!(shop.types_seen.iter().filter(|seen| *seen == StockReleased::TYPE).count(), 1);
}

#[test]
fn a_payment_just_in_time_is_accepted() {
    let mut shop = unpaid();
    gateway_is_back(&mut shop);
    assert_eq!(shop.status("o-1")["order"].0, "completed");
    assert!(shop.handler("order").world.timer("order/o-1", "payment").is_none());
}

#[test]
fn a_customer_may_cancel_until_it_is_paid() {
    let request = OrderCancelRequested { order: "o-1".into(), reason: "I changed my mind".into() };
    let request = serde_json::to_vec(&request).expect("JSON");
    let mut shop = unpaid();
    shop.publish("order.cancel-requested", "o-1", request.clone());
    assert_eq!(shop.states("o-1"), ["inventory: released", "notification: sent", "order: cancelled"]);
    assert!(shop.handler("order").world.timer("order/o-1", "payment").is_none());
    gateway_is_back(&mut shop);
    assert_eq!((shop.status("o-1")["payment"].0.as_str(), honey(&mut shop)), ("refunded", Some(5)));

    let mut paid = Shop::open();
    paid.place("o-1", GOOD_CARD, &[("honey", 5)]);
    paid.publish("order.cancel-requested", "o-1", request);
    assert_eq!(paid.status("o-1")["order"].0, "completed");
}

#[test]
fn a_wrong_card_number_waits_for_a_correction() {
    let details = |card: &str| {
        let details = PaymentDetailsCorrected { order: "o-1".into(), card: card.into() };
        serde_json::to_vec(&details).expect("JSON")
    };
    for (card, order, payment) in [(GOOD_CARD, "completed", "charged"), (DECLINED_CARD, "cancelled", "declined")] {
        let mut shop = Shop::open();
        shop.place("o-1", "1234", &[("honey", 1)]);
        let failures = shop.retry("payment");
        assert!(failures.len() == 1 && failures[0].is_correctable(), "{failures:?}");
        shop.publish("payment.details-corrected", "o-1", details("12345"));
        assert!(shop.retry("payment")[0].is_correctable());
        shop.publish("payment.details-corrected", "o-1", details(card));
        let status = shop.status("o-1");
        assert_eq!((status["order"].0.as_str(), status["payment"].0.as_str()), (order, payment));
    }
}

#[test]
fn a_card_corrected_too_late_is_not_charged() {
    let mut shop = Shop::open();
    shop.place("o-1", "1234", &[("honey", 1)]);
    shop.fire("order", "o-1", "payment");
    assert!(shop.retry("payment").is_empty(), "nothing waits any longer");
    let details = PaymentDetailsCorrected { order: "o-1".into(), card: GOOD_CARD.into() };
    shop.publish("payment.details-corrected", "o-1", serde_json::to_vec(&details).expect("JSON"));
    let status = shop.status("o-1");
    assert_eq!(status["order"].0, "payment-overdue");
    assert!(["payment", "invoice", "delivery"].iter().all(|part| !status.contains_key(*part)));
}
