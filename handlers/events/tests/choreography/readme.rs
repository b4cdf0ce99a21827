//! `handlers/README.md` against the handlers: everything it names exists, and it names everything that exists.

use std::{fs, path::Path};

use order_events::{OrderCancelRequested, OrderPlaced, PaymentDetailsCorrected, catalogue};
use weirgate_sdk::testing::Delivery;
use weirgate_types::Manifest;

use crate::{DECLINED_CARD, GOOD_CARD, shop::Shop};

const README: &str = include_str!("../../../README.md");

/// Orders with all possible results.
fn shop() -> Shop {
    let mut shop = Shop::open();
    shop.place("o-1", GOOD_CARD, &[("coffee-beans", 1)]);
    shop.place("o-2", DECLINED_CARD, &[("coffee-beans", 1)]);
    shop.place("o-3", GOOD_CARD, &[("fig-jam", 1)]);
    shop.place("o-4", GOOD_CARD, &[]);
    shop.place("o-5", "1234", &[("coffee-beans", 1)]);
    shop.fire("order", "o-5", "payment");
    let details = PaymentDetailsCorrected { order: "o-5".into(), card: GOOD_CARD.into() };
    shop.publish("payment.details-corrected", "o-5", serde_json::to_vec(&details).expect("JSON"));
    shop.handler("payment").world.configure("gateway", "down");
    shop.place("o-6", GOOD_CARD, &[("coffee-beans", 1)]);
    shop.fire("order", "o-6", "payment");
    shop.handler("payment").world.configure("gateway", "up");
    shop.retry("payment");
    let request = OrderCancelRequested { order: "o-1".into(), reason: "no".into() };
    shop.publish("order.cancel-requested", "o-1", serde_json::to_vec(&request).expect("JSON"));
    shop
}

#[test]
fn every_event_and_state_of_the_readme_is_real() {
    let mut shop = shop();
    shop.types_seen.sort();
    shop.types_seen.dedup();
    assert_eq!(shop.types_seen.len(), 21, "{:?}", shop.types_seen);
    for r#type in &shop.types_seen {
        assert!(README.contains(&format!("`{type}`")), "handlers/README.md lacks {type}");
    }
    for order in ["o-1", "o-2", "o-3", "o-4", "o-5", "o-6"] {
        for (handler, (state, _)) in shop.status(order) {
            assert!(README.contains(&format!("`{state}`")), "handlers/README.md lacks {state} of {handler}");
        }
    }
}

#[test]
fn every_manifest_is_valid_and_in_the_readme() {
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = fs::read_dir(handlers).expect("handlers").map(|entry| entry.expect("an entry").path());
    let manifests = folders.filter_map(|folder| fs::read_to_string(folder.join("handler.toml")).ok());
    let mut names = Vec::new();
    for text in manifests {
        let manifest = Manifest::from_toml(&text).expect("a manifest");
        let manifest = manifest.checked().expect("a good manifest");
        assert!(README.contains(&format!("`{}/`", manifest.name)), "handlers/README.md lacks {}", manifest.name);
        let types = manifest.subscriptions.iter().flat_map(|subscription| {
            subscription.types.iter().chain(&subscription.corrections).filter(|r#type| !r#type.starts_with("weirgate."))
        });
        for r#type in types.chain(manifest.schedules.iter().map(|schedule| &schedule.r#type)) {
            let is_told = README.contains(&format!("`{type}`")) || r#type.starts_with("stock.");
            assert!(is_told, "handlers/README.md lacks {type}, which {} takes", manifest.name);
        }
        for setting in manifest.config.keys().filter(|setting| !setting.starts_with("stock.")) {
            assert!(README.contains(&format!("`{setting}`")), "handlers/README.md lacks the setting {setting}");
        }
        names.push(manifest.name.to_string());
    }
    assert_eq!(names.len(), 9, "{names:?}");
}

#[test]
fn the_stocktaking_shows_the_stock_of_every_article() {
    let text = include_str!("../../../inventory/stocktaking.json");
    let events: Vec<serde_json::Value> = serde_json::from_str(text).expect("events");
    assert_eq!(events.len(), catalogue::ENTRIES.len());
    for entry in catalogue::ENTRIES {
        let subject = order_events::stock_key(entry.sku);
        let event = events.iter().find(|event| event["subject"] == subject.as_str()).expect(entry.sku);
        assert_eq!((&event["type"], &event["source"]), (&"stock.counted".into(), &"/warehouse".into()));
        let counted: order_events::StockCounted = serde_json::from_value(event["data"].clone()).expect("a count");
        let run = Delivery::of(&counted).key(subject).config("stock.default", "1").run(inventory_handler::handle);
        assert_eq!(run.status().state, "in-stock", "{}", entry.sku);
    }
}

#[test]
fn the_readmes_order_is_one() {
    let json = README.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let placed: OrderPlaced = serde_json::from_str(json).expect("an order");
    let run = Delivery::of(&placed).key("order/o-1").run(order_handler::handle);
    assert_eq!(run.status().data["total_cents"], 1970);
}
