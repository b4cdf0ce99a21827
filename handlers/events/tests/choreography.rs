//! Whole orders through all six handlers, each event going to those whose manifest subscribes to it. What the runtime adds
//! (durability, retries, order under load) is not here; what the handlers say to each other is.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, VecDeque};

use order_events::{OrderPlaced, catalogue};
use serde_json::{Value, json};
use weirgate_sdk::testing::{Delivery, Emitted, Run, World};
use weirgate_types::Manifest;

type Handle = fn(&mut World, Delivery) -> Run;

const HANDLERS: [(&str, Handle); 6] = [
    (include_str!("../../order/handler.toml"), |world, delivery| world.run(delivery, order_handler::handle)),
    (include_str!("../../inventory/handler.toml"), |world, delivery| world.run(delivery, inventory_handler::handle)),
    (include_str!("../../payment/handler.toml"), |world, delivery| world.run(delivery, payment_handler::handle)),
    (include_str!("../../invoice/handler.toml"), |world, delivery| world.run(delivery, invoice_handler::handle)),
    (include_str!("../../delivery/handler.toml"), |world, delivery| world.run(delivery, delivery_handler::handle)),
    (include_str!("../../notification/handler.toml"), |world, delivery| {
        world.run(delivery, notification_handler::handle)
    }),
];

struct Deployed {
    manifest: Manifest,
    handle: Handle,
    world: World,
}

/// All handlers, and the events in the order in which they stand in the log.
struct Shop {
    handlers: Vec<Deployed>,
    log: VecDeque<(String, Emitted)>,
    position: u64,
    types_seen: Vec<String>,
}

impl Shop {
    fn open() -> Self {
        let handlers = HANDLERS.map(|(toml, handle)| {
            let manifest: Manifest = toml::from_str(toml).expect("a manifest");
            let manifest = manifest.checked().expect("a good manifest");
            let mut world = World::new().handler(manifest.name.as_str());
            manifest.config.iter().for_each(|(name, value)| world.configure(name, value));
            Deployed { manifest, handle, world }
        });
        Self { handlers: handlers.into(), log: VecDeque::new(), position: 0, types_seen: Vec::new() }
    }

    /// Append an order, and deliver until nothing is left.
    fn place(&mut self, order: &str, card: &str, lines: &[(&str, u32)]) {
        let key = format!("order/{order}");
        let placed = Emitted {
            r#type: "order.placed".into(),
            subject: key.clone(),
            key,
            data_content_type: None,
            data: placed(order, card, lines),
        };
        self.log.push_back(("/shop".into(), placed));
        while let Some((source, event)) = self.log.pop_front() {
            self.position += 1;
            self.types_seen.push(event.r#type.clone());
            self.deliver(&source, &event);
        }
    }

    fn deliver(&mut self, source: &str, event: &Emitted) {
        for Deployed { manifest, handle, world } in &mut self.handlers {
            if manifest.subscriptions.iter().any(|subscription| subscription.matches(&event.r#type, source)) {
                let delivery = Delivery::of_emitted(event).source(source).position(self.position);
                let run = handle(world, delivery);
                let own_source = format!("/handlers/{}", manifest.name);
                self.log.extend(run.emissions().iter().map(|emitted| (own_source.clone(), emitted.clone())));
            }
        }
    }

    /// The status document of an order, as the page gets it: by handler, state and data.
    fn status(&self, order: &str) -> BTreeMap<String, (String, Value)> {
        let parts = self.handlers.iter().filter_map(|deployed| {
            let status = deployed.world.status(&format!("order/{order}"))?;
            Some((deployed.manifest.name.to_string(), (status.state.clone(), status.data.clone())))
        });
        parts.collect()
    }

    fn states(&self, order: &str) -> Vec<(String, String)> {
        self.status(order).into_iter().map(|(handler, (state, _))| (handler, state)).collect()
    }
}

fn placed(order: &str, card: &str, lines: &[(&str, u32)]) -> Vec<u8> {
    let lines = lines.iter().map(|(sku, quantity)| {
        let entry = catalogue::find(sku).expect("an article");
        json!({"sku": sku, "name": entry.name, "quantity": quantity, "unit_price_cents": entry.price_cents,
            "substitutes_ok": true})
    });
    let customer = json!({"name": "Ada", "email": "ada@example.org", "address": "London"});
    let lines: Vec<_> = lines.collect();
    let placed = json!({"order": order, "customer": customer, "lines": lines, "card": card});
    serde_json::to_vec(&placed).expect("JSON")
}

fn pairs(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(handler, state)| (handler.as_str(), state.as_str())).collect()
}

#[test]
fn an_order_reaches_the_door() {
    let mut shop = Shop::open();
    shop.place("o-1", "4242424242424242", &[("sourdough", 1), ("coffee-beans", 1), ("fig-jam", 1)]);
    assert_eq!(
        pairs(&shop.states("o-1")),
        [
            ("delivery", "delivered"),
            ("inventory", "reserved"),
            ("invoice", "issued"),
            ("notification", "sent"),
            ("order", "completed"),
            ("payment", "charged"),
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
    shop.place("o-1", "4000000000000002", &[("honey", 5)]);
    assert_eq!(
        pairs(&shop.states("o-1")),
        [("inventory", "released"), ("notification", "sent"), ("order", "cancelled"), ("payment", "declined")]
    );
    assert_eq!(shop.status("o-1")["notification"].1["last"]["kind"], "declined");
    shop.place("o-2", "4242424242424242", &[("honey", 5)]);
    assert_eq!(shop.status("o-2")["order"].0, "completed");
    shop.place("o-3", "4242424242424242", &[("honey", 1)]);
    assert_eq!(
        pairs(&shop.states("o-3")),
        [("inventory", "unavailable"), ("notification", "sent"), ("order", "cancelled")]
    );
}

#[test]
fn no_card_is_kept_once_an_order_is_at_its_end() {
    let mut shop = Shop::open();
    shop.place("o-1", "4242424242424242", &[("honey", 1)]);
    shop.place("o-2", "4000000000000002", &[("honey", 1)]);
    shop.place("o-3", "4242424242424242", &[("fig-jam", 1)]);
    let payment = shop.handlers.iter().find(|deployed| deployed.manifest.name.as_str() == "payment").expect("payment");
    for (order, state) in [("o-1", "charged"), ("o-2", "declined"), ("o-3", "cancelled")] {
        let key = format!("order/{order}");
        assert_eq!(payment.world.state::<String>(&key, "payment").as_deref(), Some(state), "{order}");
        assert_eq!(payment.world.state::<String>(&key, "card"), None, "{order}");
    }
}

#[test]
fn the_gateway_may_be_down_for_an_hour() {
    let manifest: Manifest = toml::from_str(include_str!("../../payment/handler.toml")).expect("a manifest");
    let retry = manifest.checked().expect("a good manifest").retry;
    // The first few are shorter, and count as nothing.
    let delays = u64::from(retry.attempts_max).saturating_sub(20);
    // Each delay is drawn evenly from zero to its maximum. Their sum is within a sixth of its mean, practically always.
    let minutes = delays * retry.delay_ms_max / 2 / 60_000;
    assert!(minutes * 5 / 6 >= 60, "about {minutes} minutes in all");
}

#[test]
fn every_event_and_state_of_the_readme_is_real() {
    let mut shop = Shop::open();
    shop.place("o-1", "4242424242424242", &[("coffee-beans", 1)]);
    shop.place("o-2", "4000000000000002", &[("coffee-beans", 1)]);
    shop.place("o-3", "4242424242424242", &[("fig-jam", 1)]);
    shop.place("o-4", "4242424242424242", &[]);
    let readme = include_str!("../../README.md");
    shop.types_seen.sort();
    shop.types_seen.dedup();
    assert_eq!(shop.types_seen.len(), 16, "{:?}", shop.types_seen);
    for r#type in &shop.types_seen {
        assert!(readme.contains(&format!("`{type}`")), "handlers/README.md lacks {type}");
    }
    for order in ["o-1", "o-2", "o-3", "o-4"] {
        for (handler, state) in shop.states(order) {
            assert!(readme.contains(&format!("`{state}`")), "handlers/README.md lacks {state} of {handler}");
        }
    }
}

#[test]
fn the_readmes_order_is_one() {
    let readme = include_str!("../../README.md");
    let json = readme.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let placed: OrderPlaced = serde_json::from_str(json).expect("an order");
    let run = Delivery::of(&placed).key("order/o-1").run(order_handler::handle);
    assert_eq!(run.status().data["total_cents"], 1970);
}
