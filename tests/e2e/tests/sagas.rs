//! Long processes on the real binary, with the handlers of `handlers/`: missed deadlines and their compensation; data
//! corrected by a handler, by the customer and by support; a schedule without clients.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Client, Server, Setup, event, eventually, from, handler, order_handlers, placed};

const PATIENCE: Duration = Duration::from_secs(90);
const GOOD_CARD: &str = "4242424242424242";

/// The order domain, with settings that differ from the demo's: (handler, setting, value).
async fn shop(settings: &[(&str, &str, &str)]) -> Server {
    let server = Setup::new().start().await;
    for (mut manifest, wasm) in order_handlers() {
        for (name, setting, value) in settings {
            if manifest["name"] == *name {
                manifest["config"][setting] = json!(value);
            }
        }
        server.client.deploy(&manifest, wasm).await;
    }
    server
}

/// Deploys a handler again, with another setting.
async fn set(client: &Client, name: &str, setting: &str, value: &str) {
    let deployed = client.handler(name).await;
    let mut manifest = deployed["manifest"].clone();
    manifest["config"][setting] = json!(value);
    client.redeploy(&manifest, &deployed["digest"]).await.ok();
}

async fn count(client: &Client, r#type: &str) -> usize {
    client.events_of(r#type).await.len()
}

/// Waits until a part of a subject's status is as expected.
async fn part(client: &Client, subject: &str, name: &str, is: &dyn Fn(&Value) -> bool) -> Value {
    eventually(&format!("{name} of {subject}"), PATIENCE, async || {
        let found = client.get(&format!("/v1/status/{subject}")).await.json["parts"][name].clone();
        if is(&found) { Ok(found) } else { Err(found) }
    })
    .await
}

/// Waits until a part's delivery is in this phase.
async fn stands(client: &Client, subject: &str, name: &str, state: &str) -> Value {
    part(client, subject, name, &|part| part["delivery"]["state"] == state).await["delivery"].clone()
}

fn at_ms(part: &Value) -> u64 {
    part["at_ms"].as_u64().expect("a time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_misses_its_payment_deadline_is_cancelled_and_compensated() {
    let mut server = shop(&[("payment", "gateway", "down"), ("order", "payment_deadline_s", "2")]).await;
    server.client.accept(placed("o-1", &[("oat-milk", 249)], GOOD_CARD)).await;
    let reserved = server.client.reaches("order/o-1", "inventory", "reserved").await;
    // It dies while the deadline runs, without consequences.
    server.restart().await;
    let overdue = server.client.reaches("order/o-1", "order", "payment-overdue").await;
    assert_eq!(overdue["text"], "Order cancelled: it was not paid within 2 s");
    assert!(at_ms(&overdue) >= at_ms(&reserved) + 2_000, "never early: {reserved} {overdue}");
    server.client.reaches("order/o-1", "inventory", "released").await;
    part(&server.client, "sku/oat-milk", "inventory", &|part| part["data"]["on_hand"] == 1_000_000).await;
    // The payment was still being retried. It succeeds now, too late, and is refunded.
    stands(&server.client, "order/o-1", "payment", "retrying").await;
    set(&server.client, "payment", "gateway", "up").await;
    server.client.reaches("order/o-1", "payment", "refunded").await;
    server.client.drained(PATIENCE).await;
    let once = ["order.payment-overdue", "order.cancelled", "stock.released", "payment.charged", "payment.refunded"];
    for r#type in once {
        assert_eq!(count(&server.client, r#type).await, 1, "{type}");
    }
    for r#type in ["order.paid", "invoice.created", "delivery.packed"] {
        assert_eq!(count(&server.client, r#type).await, 0, "{type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_paid_in_time_misses_no_deadline() {
    let server = shop(&[("order", "payment_deadline_s", "2")]).await;
    server.client.accept(placed("o-1", &[("oat-milk", 249)], GOOD_CARD)).await;
    let completed = server.client.reaches("order/o-1", "order", "completed").await;
    // Another order whose deadline is later than the first one's would have been.
    server.client.accept(placed("o-2", &[("oat-milk", 249)], "4242424242424241")).await;
    let overdue = server.client.reaches("order/o-2", "order", "payment-overdue").await;
    assert!(at_ms(&overdue) >= at_ms(&completed) + 2_000);
    assert_eq!(count(&server.client, "order.payment-overdue").await, 1, "a timer that was cancelled never fires");
    assert_eq!(server.client.status("order/o-1").await["parts"]["order"]["state"], "completed");
    // Its payment does not wait for another card any longer either.
    server.client.drained(PATIENCE).await;
    assert_eq!(server.client.status("order/o-2").await["parts"]["payment"]["delivery"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unclosed_escrow_refunds_the_buyer() {
    let mut server = Setup::new().start().await;
    let (manifest, wasm) = handler("escrow");
    server.client.deploy(&manifest, wasm).await;
    let terms = json!({ "escrow": "e-1", "buyer": "ada", "seller": "bob", "amount_cents": 9_900, "deadlines": { "closing_s": 2 } });
    let desk = async |id: &str, r#type: &str, data: &Value| {
        server.client.accept(from("/escrow-desk", event(r#type, "escrow/e-1", id, data))).await
    };
    desk("1", "escrow.opened", &terms).await;
    desk("2", "escrow.buyer-signed", &json!({ "escrow": "e-1" })).await;
    desk("3", "escrow.funded", &json!({ "escrow": "e-1", "amount_cents": 9_900, "reference": "bank-7" })).await;
    let is_paid = |part: &Value| part["text"] == "Waiting for the seller to sign; the money is here";
    part(&server.client, "escrow/e-1", "escrow", &is_paid).await;
    let signed = desk("4", "escrow.seller-signed", &json!({ "escrow": "e-1" })).await;
    server.client.reaches("escrow/e-1", "escrow", "funded").await;
    // The timer counts from the attempt, which came between the event and its commit.
    let signed = server.client.get(&format!("/v1/events/{signed}")).await.ok();
    server.restart().await;
    let expired = server.client.reaches("escrow/e-1", "escrow", "expired").await;
    assert!(at_ms(&expired) >= at_ms(&signed) + 2_000, "never early: {signed} {expired}");
    // Too late, but requested nevertheless.
    let late = event("escrow.close-requested", "escrow/e-1", "5", &json!({ "escrow": "e-1" }));
    server.client.accept(from("/escrow-desk", late)).await;
    server.client.drained(PATIENCE).await;
    let dead_letters = server.client.get("/v1/dead-letters?handler=escrow").await.ok();
    assert_eq!(dead_letters["dead_letters"][0]["message"], "it cannot be closed: it has ended without");
    assert_eq!(count(&server.client, "escrow.refund-requested").await, 1);
    assert_eq!(count(&server.client, "escrow.release-requested").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picked_product_that_does_not_exist_is_taken_at_its_marked_price() {
    let server = shop(&[("inventory", "stock.oat-milk", "by-hand")]).await;
    let picked = async |id: &str, data: Value| {
        let key = format!("order/{}", data["order"].as_str().expect("an order"));
        server.client.accept(from("/picking", event("stock.picked", &key, id, &data))).await
    };
    for order in ["o-1", "o-2"] {
        server.client.accept(placed(order, &[("oat-milk", 249), ("rye-bread", 420)], GOOD_CARD)).await;
        part(&server.client, &format!("order/{order}"), "inventory", &|part| part["data"]["answered"] == 1).await;
    }
    // The price is on the bottle.
    picked(
        "1",
        json!({ "order": "o-1", "line": 0, "sku": "hazel-milk", "name": "Hazel milk", "marked_price_cents": 199 }),
    )
    .await;
    let charged = server.client.reaches("order/o-1", "payment", "charged").await;
    assert_eq!(charged["data"]["total_cents"], 199 + 420);
    server.client.reaches("order/o-1", "order", "completed").await;
    // It is not, so an operator has to provide it.
    let position = picked("2", json!({ "order": "o-2", "line": 0, "sku": "hazel-milk" })).await;
    let waiting = stands(&server.client, "order/o-2", "inventory", "awaiting-correction").await;
    assert_eq!(waiting["message"], "unknown product");
    let correction = json!({ "actor": "ada", "reason": "asked the supplier", "patch": { "unit_price_cents": 150 } });
    server.client.ask(&format!("/v1/deliveries/inventory@{position}/correct"), &correction).await.ok();
    let charged = server.client.reaches("order/o-2", "payment", "charged").await;
    assert_eq!(charged["data"]["total_cents"], 150 + 420);
    server.client.drained(PATIENCE).await;
    let reserved = server.client.status("order/o-1").await["parts"]["invoice"]["data"]["lines"][0].clone();
    assert_eq!((&reserved["sku"], &reserved["name"]), (&json!("hazel-milk"), &json!("Hazel milk")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_support_list_has_open_cases_only() {
    let server = shop(&[]).await;
    let (manifest, wasm) = handler("support");
    server.client.deploy(&manifest, wasm).await;
    let inbox = async |is: &dyn Fn(&Value) -> bool| {
        part(&server.client, "support/inbox", "support", &|part| is(&part["data"])).await["data"].clone()
    };
    for order in ["o-1", "o-2"] {
        server.client.accept(placed(order, &[("oat-milk", 249)], "4242424242424241")).await;
    }
    let both = inbox(&|data| data["waiting"] == 2).await;
    let item = both["items"].as_array().into_iter().flatten().find(|item| item["key"] == "order/o-2").expect("it");
    let told = item["what_is_wrong"].as_str().unwrap_or_default();
    assert!(item["kind"] == "waiting" && told.starts_with("the card number has a digit that is wrong"), "{both}");
    // One customer looks at the card again; for the other, support has the customer on the phone.
    let details = json!({ "order": "o-1", "card": GOOD_CARD });
    server.client.accept(from("/shop", event("payment.details-corrected", "order/o-1", "1", &details))).await;
    server.client.reaches("order/o-1", "payment", "charged").await;
    let one = inbox(&|data| data["waiting"] == 1).await;
    assert_eq!(one["items"][0]["key"], "order/o-2");
    let name = item["name"].as_str().expect("a delivery");
    let correction = json!({ "actor": "ada", "reason": "read out on the phone", "patch": { "card": GOOD_CARD } });
    server.client.ask(&format!("/v1/deliveries/{name}/correct"), &correction).await.ok();
    server.client.reaches("order/o-2", "order", "completed").await;
    inbox(&|data| data["items"] == json!([])).await;
    // The third gets no answer. Support gives it up, and then it is not even listed.
    server.client.accept(placed("o-3", &[("oat-milk", 249)], "4242424242424241")).await;
    let third = inbox(&|data| data["waiting"] == 1).await["items"][0]["name"].clone();
    let third = third.as_str().expect("a delivery");
    let said = json!({ "actor": "ada", "reason": "no answer" });
    server.client.ask(&format!("/v1/deliveries/{third}/dead-letter"), &said).await.ok();
    let given_up = inbox(&|data| data["dead_lettered"] == 1).await["items"][0].clone();
    assert_eq!(
        (&given_up["kind"], &given_up["message"]),
        (&json!("dead-lettered"), &json!("given up by ada: no answer; last failure: the payment details are wrong"))
    );
    server.client.ask(&format!("/v1/deliveries/{third}/discard"), &said).await.ok();
    inbox(&|data| data["items"] == json!([])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_survives_a_restart_without_clients() {
    let mut server = shop(&[]).await;
    let (manifest, wasm) = handler("report");
    server.client.deploy(&manifest, wasm).await;
    server.client.accept(placed("o-1", &[("oat-milk", 249)], GOOD_CARD)).await;
    server.client.reaches("order/o-1", "order", "completed").await;
    server.restart().await;
    let told = part(&server.client, "report/orders", "report", &|part| part["data"]["today"]["paid"] == 1).await;
    assert_eq!(told["data"]["today"]["paid_cents"], 249);
    let fired = server.client.events().await;
    let fired = fired.iter().filter(|stored| stored["event"]["type"] == "report.minute-passed");
    let times: Vec<_> = fired.map(|stored| stored["at_ms"].as_u64().expect("a time")).collect();
    let minutes: BTreeSet<_> = times.iter().map(|at_ms| at_ms / 60_000).collect();
    assert!(!times.is_empty() && minutes.len() == times.len(), "each minute once: {times:?}");
}
