//! Whole orders through all six handlers, each event going to those whose manifest subscribes to it. This tests the
//! handlers' exchange of events, not what the runtime adds (durability, retries, order under load).

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

mod pace;
mod readme;
mod saga;
mod shop;

use shop::Shop;
use weirgate_types::{Jitter, Manifest};

const GOOD_CARD: &str = "4242424242424242";
const DECLINED_CARD: &str = "4000000000000002";

#[test]
fn an_order_is_delivered() {
    let mut shop = Shop::open();
    shop.place("o-1", GOOD_CARD, &[("sourdough", 1), ("coffee-beans", 1), ("fig-jam", 1)]);
    assert_eq!(
        shop.states("o-1"),
        [
            "delivery: delivered",
            "inventory: reserved",
            "invoice: issued",
            "notification: sent",
            "order: completed",
            "payment: charged",
        ]
    );
    let status = shop.status("o-1");
    assert_eq!(status["payment"].1["total_cents"], 1910);
    assert_eq!(status["invoice"].1["lines"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["inventory"].1["changes"][0]["by"]["sku"], "rye-bread");
    assert_eq!(status["inventory"].1["ordered_total_cents"], 2560);
    assert_eq!(status["notification"].1["count"], 5);
}

#[test]
fn a_declined_card_gives_the_stock_back() {
    let mut shop = Shop::open();
    shop.place("o-1", DECLINED_CARD, &[("honey", 5)]);
    let cancelled = ["inventory: released", "notification: sent", "order: cancelled", "payment: declined"];
    assert_eq!(shop.states("o-1"), cancelled);
    assert_eq!(shop.status("o-1")["notification"].1["last"]["kind"], "declined");
    shop.place("o-2", GOOD_CARD, &[("honey", 5)]);
    assert_eq!(shop.status("o-2")["order"].0, "completed");
    shop.place("o-3", GOOD_CARD, &[("honey", 1)]);
    assert_eq!(shop.states("o-3"), ["inventory: unavailable", "notification: sent", "order: cancelled"]);
}

#[test]
fn no_card_is_stored_after_an_order_has_ended() {
    let mut shop = Shop::open();
    shop.place("o-1", GOOD_CARD, &[("honey", 1)]);
    shop.place("o-2", DECLINED_CARD, &[("honey", 1)]);
    shop.place("o-3", GOOD_CARD, &[("fig-jam", 1)]);
    let payment = &shop.handler("payment").world;
    for (order, state) in [("o-1", "charged"), ("o-2", "declined"), ("o-3", "cancelled")] {
        let key = format!("order/{order}");
        assert_eq!(payment.state::<String>(&key, "payment").as_deref(), Some(state), "{order}");
        assert_eq!(payment.state::<String>(&key, "card"), None, "{order}");
    }
}

#[test]
fn a_gateway_outage_of_an_hour_delays_the_payment() {
    let manifest = Manifest::from_toml(include_str!("../../../payment/handler.toml")).expect("a manifest");
    let levels = manifest.checked().expect("a good manifest").retry;
    // Each delay is drawn evenly from zero to its maximum. Their sum is practically always within a sixth of its mean.
    let delays = levels.iter().map(|level| {
        assert_eq!(level.jitter, Jitter::Full);
        // The first few are shorter, and negligible.
        u64::from(level.attempts).saturating_sub(20) * level.delay_ms_max / 2
    });
    let minutes = delays.sum::<u64>() / 60_000;
    assert!(minutes * 5 / 6 >= 60, "about {minutes} minutes in all");
}
