//! Handlers that take several deliveries in one call.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{
    Setup,
    charges::{apply, approve, computed, id_of},
    event, manifest,
};

const PATIENCE: Duration = Duration::from_mins(1);

fn meters(events_max: u64) -> Value {
    let mut manifest = manifest("meters", &["meter.read"]);
    (manifest["concurrency"], manifest["batch"]) = (json!(1), json!({ "events_max": events_max }));
    manifest
}

fn readings(count: u64) -> Vec<Value> {
    let reading = |n| event("meter.read", &format!("meter/{n}"), &format!("r{n}"), &json!({ "watts": 1 }));
    (0..count).map(reading).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_request_share_calls() {
    let server = Setup::new().start().await;
    let client = &server.client;
    client.deploy(&meters(100), weirgate_guests::build("meters")).await;
    client.publish(&readings(100)).await.ok();
    client.drained(PATIENCE).await;
    for n in [0, 50, 99] {
        let part = client.status(&format!("meter/{n}")).await["parts"]["meters"].clone();
        assert_eq!(part["text"], "1 in all, 1% of these 100", "all in one call");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_without_batches_refuses_a_batch_setting() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("ledger")).await.ok()["digest"].clone();
    let mut wrong = manifest("ledger", &["ledger.add"]);
    wrong["batch"] = json!({ "events_max": 10 });
    let refused = client.redeploy(&wrong, &digest).await;
    refused.is_problem(422, "bad-manifest");
    assert!(refused.text.contains("handle-batch"), "{}", refused.text);
    client.get("/v1/handlers/ledger").await.is_problem(404, "unknown-handler");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_component_gets_one_delivery_per_call_by_default() {
    let server = Setup::new().start().await;
    let client = &server.client;
    client.deploy(&manifest("meters", &["meter.read"]), weirgate_guests::build("meters")).await;
    client.publish(&readings(10)).await.ok();
    client.drained(PATIENCE).await;
    let part = client.status("meter/9").await["parts"]["meters"].clone();
    assert_eq!(part["text"], "1 in all, 100% of these 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_executes_calls_whole() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut good_alone = meters(10);
    good_alone["subscriptions"][0]["source"] = json!("/good");
    let digest = client.deploy(&good_alone, weirgate_guests::build("meters")).await["digest"].clone();
    client.ask("/v1/handlers/meters/pause", &json!({})).await.ok();
    let read = |id: &str, source: &str, meter: &str, watts: u64| {
        let mut event = event("meter.read", meter, id, &json!({ "watts": watts }));
        event["source"] = json!(source);
        event
    };
    let events = [read("r1", "/good", "a", 1), read("r2", "/good", "b", 3), read("r3", "/bad", "a", 4)];
    client.publish(&events).await.ok();
    client.ask("/v1/handlers/meters/resume", &json!({})).await.ok();
    client.drained(PATIENCE).await;
    client.redeploy(&meters(10), &digest).await.ok();

    let found = async || {
        let asked = client.ask("/v1/replays", &json!({ "handler": "meters" })).await.ok();
        computed(client, id_of(&asked)).await
    };
    let asked = found().await;
    assert_eq!(asked["found"]["planned_keys"], 1, "{asked:#}");
    approve(client, &asked, false).await;
    apply(client, &asked).await;
    // The reading that only the new version takes comes behind the one that was open before it, in a call of its own.
    for (meter, text) in [("a", "5 in all, 100% of these 4"), ("b", "3 in all, 75% of these 4")] {
        assert_eq!(client.status(meter).await["parts"]["meters"]["text"], text);
    }
    assert_eq!(found().await["found"]["planned_keys"], 0);
}

/// A version that takes one event at a time sees what those before it wrote, also where all of them were one call, and so have one record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_without_batches_sees_the_earlier_deliveries_of_a_call() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut counter = manifest("counter", &["counter.add"]);
    counter["config"] = json!({ "state": "1" });
    let mut batches = counter.clone();
    batches["batch"] = json!({ "events_max": 10 });
    client.deploy(&batches, weirgate_guests::build("counter-batch")).await;
    let add = |id: &str, count: u64| event("counter.add", "a", id, &json!({ "count": count }));
    client.publish(&[add("1", 1), add("2", 2), add("3", 4)]).await.ok();
    client.drained(PATIENCE).await;
    let digest = client.upload(weirgate_guests::build("counter")).await.ok()["digest"].clone();
    client.redeploy(&counter, &digest).await.ok();
    let asked = client.ask("/v1/replays", &json!({ "handler": "counter" })).await.ok();
    let found = computed(client, id_of(&asked)).await["found"].clone();
    assert_eq!((&found["executed"], &found["values"]), (&json!(3), &json!(0)), "it counts to 7, too: {found:#}");
}
