//! The main use case: the inventory handler is away for a while, orders continue to arrive, and when it is back every one of
//! them is processed, in order per key, none lost and none twice.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Value, json};
use weirgate_crash::{Book, Entry, deploy_ledger, entry, verify};
use weirgate_tests::{Client, Server, Setup, eventually, order_handlers, placed};

const ORDERS: u64 = 40;
const ACCOUNTS: u64 = 10;
const ENTRIES: u64 = 20;
const PATIENCE: Duration = Duration::from_mins(1);
const MODULE_GONE: &str = "its module cannot be loaded";

/// The events of a successful order, each once.
const STEPS: [&str; 9] = [
    "order.placed",
    "order.accepted",
    "stock.requested",
    "stock.answered",
    "inventory.reserved",
    "payment.charged",
    "invoice.created",
    "delivery.packed",
    "delivery.delivered",
];

fn order(n: u64) -> Value {
    placed(&format!("o-{n}"), &[("coffee-beans", 1490)], "4242424242424242")
}

async fn start() -> (Server, Value) {
    let server = Setup::new().expect_line(MODULE_GONE).start().await;
    let mut inventory = Value::Null;
    for (manifest, wasm) in order_handlers() {
        let handler = server.client.deploy(&manifest, wasm).await;
        if handler["name"] == "inventory" {
            inventory = handler;
        }
    }
    deploy_ledger(&server.client).await;
    (server, inventory)
}

/// Places orders and adds entries, some of which fail once, while the handlers are away or not.
async fn arrive(
    client: &Client,
    book: &mut Book,
    orders: std::ops::RangeInclusive<u64>,
    entries: std::ops::RangeInclusive<u64>,
) {
    for n in orders {
        client.accept(order(n)).await;
    }
    for n in entries {
        for account in 0..ACCOUNTS {
            let account = format!("account/{account}");
            let position = client.accept(entry(&account, n, u32::from(n % 7 == 0))).await;
            book.accounts.entry(account).or_default().push(Entry { n, position });
        }
    }
}

/// Every order was delivered, by exactly one event of each kind.
async fn all_delivered(client: &Client) {
    for n in 1..=ORDERS {
        client.reaches(&format!("order/o-{n}"), "order", "completed").await;
    }
    let mut seen = BTreeMap::<(String, String), u64>::new();
    for stored in client.events().await {
        let kind = stored["event"]["type"].as_str().expect("a type").to_owned();
        if STEPS.contains(&kind.as_str()) {
            let data = stored["event"]["data"].as_object().expect("data");
            *seen.entry((data["order"].as_str().expect("an order").to_owned(), kind)).or_default() += 1;
        }
    }
    let expected = (1..=ORDERS).flat_map(|n| STEPS.map(|kind| ((format!("o-{n}"), kind.to_owned()), 1)));
    assert_eq!(seen, expected.collect());
}

/// No order has passed the inventory.
async fn waiting(client: &Client, name: &str, state: &str, at_least: u64) {
    eventually("the orders to wait", PATIENCE, async || {
        let handler = client.handler(name).await;
        let waits = handler["state"] == state && handler["open"].as_u64() >= Some(at_least) && handler["running"] == 0;
        if waits { Ok(()) } else { Err(handler) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_handler_catches_up_without_missing_events() {
    let (mut server, _) = start().await;
    let mut book = Book::default();
    arrive(&server.client, &mut book, 1..=10, 1..=5).await;
    for name in ["inventory", "ledger"] {
        assert_eq!(server.client.post(&format!("/v1/handlers/{name}/pause")).await.ok()["state"], "paused");
    }
    arrive(&server.client, &mut book, 11..=25, 6..=12).await;
    server.restart().await;
    arrive(&server.client, &mut book, 26..=ORDERS, 13..=ENTRIES).await;
    waiting(&server.client, "inventory", "paused", ORDERS - 10).await;
    waiting(&server.client, "ledger", "paused", ACCOUNTS * (ENTRIES - 5)).await;
    let last = server.client.status(&format!("order/o-{ORDERS}")).await;
    assert_eq!((&last["parts"]["order"]["state"], &last["parts"]["inventory"]), (&json!("accepted"), &Value::Null));
    for name in ["inventory", "ledger"] {
        assert_eq!(server.client.post(&format!("/v1/handlers/{name}/resume")).await.ok()["state"], "running");
    }
    all_delivered(&server.client).await;
    verify(&server.client, &book).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_without_its_module_catches_up_after_an_upload() {
    let (mut server, inventory) = start().await;
    let mut book = Book::default();
    arrive(&server.client, &mut book, 1..=10, 1..=5).await;
    server.client.drained(PATIENCE).await;
    server.kill9();
    remove_modules(&server);
    server.start().await;
    waiting(&server.client, "inventory", "waiting-for-module", 0).await;
    arrive(&server.client, &mut book, 11..=ORDERS, 6..=ENTRIES).await;
    for (manifest, wasm) in order_handlers() {
        // The same bytes again: no deployment is needed.
        let digest = server.client.upload(wasm).await.ok()["digest"].clone();
        assert!(manifest["name"] != "inventory" || digest == inventory["digest"]);
    }
    server.client.upload(weirgate_guests::build("ledger")).await.ok();
    all_delivered(&server.client).await;
    verify(&server.client, &book).await;
}

/// Removes all modules, as an administrator might by mistake.
fn remove_modules(server: &Server) {
    let modules = server.dir.join("modules");
    assert!(fs::read_dir(&modules).expect("the modules").count() > 0);
    fs::remove_dir_all(&modules).expect("removed");
}
