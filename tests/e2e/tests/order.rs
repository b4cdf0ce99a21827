//! The orders, on the real binary: resequenced events, emissions released in the order of their events, keys within a batch.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

/// The handler's emissions, in the order of their release.
async fn done(client: &Client, key: &str) -> Vec<Value> {
    let done = client.events_of("mend.done").await.into_iter();
    done.filter(|event| event["subject"] == key).map(|event| event["data"]["n"].clone()).collect()
}

/// Waits until the handler has emitted this many.
async fn done_are(client: &Client, key: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} of {key}"), PATIENCE, async || {
        let done = done(client, key).await;
        if done.len() == count { Ok(done) } else { Err(done) }
    })
    .await
}

fn numbered(key: &str, n: u64) -> Value {
    let mut event = event("mend.work", key, &format!("{key}-{n}"), &json!({ "n": n }));
    event["sequence"] = n.to_string().into();
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbered_events_are_resequenced_and_a_gap_is_reported() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["resequence"] = json!({ "first": 1, "gap_timeout_ms": 600_000 });
    let module = weirgate_guests::build("mender");
    let digest = server.client.deploy(&manifest, module).await["digest"].clone();
    for n in [3, 5, 2] {
        server.client.accept(numbered("order/1", n)).await;
    }
    server.client.accept(numbered("order/2", 1)).await;
    done_are(&server.client, "order/2", 1).await;
    let waiting = server.client.get("/v1/deliveries?state=out-of-order").await.ok();
    assert!(!waiting["deliveries"].as_array().expect("a list").is_empty(), "{waiting}");
    assert_eq!(done(&server.client, "order/1").await, [] as [Value; 0], "the first is missing");
    server.restart().await;
    server.client.accept(numbered("order/1", 1)).await;
    assert_eq!(done_are(&server.client, "order/1", 3).await, [1, 2, 3], "through a restart too");
    // The fourth never comes. With a shorter timeout it is passed, and reported.
    manifest["resequence"]["gap_timeout_ms"] = json!(100);
    server.client.redeploy(&manifest, &digest).await.ok();
    server.client.accept(numbered("order/3", 2)).await;
    assert_eq!(done_are(&server.client, "order/3", 1).await, [2]);
    let gaps = server.client.events_of("weirgate.sequence.gap").await;
    let data = &gaps.first().expect("a gap")["data"];
    assert_eq!((&data["expected"], &data["found"]), (&json!(1), &json!(2)), "{data}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_completions_emit_in_the_order_of_their_events() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["ordering"] = json!("none");
    manifest["emit_order"] = json!("input");
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    let wrong = json!({ "n": 1, "fail": "correctable" });
    let first = server.client.accept(event("mend.work", "order/1", "1", &wrong)).await;
    for n in 2..=5 {
        server.client.accept(event("mend.work", "order/1", &n.to_string(), &json!({ "n": n }))).await;
    }
    server.client.accept(event("mend.work", "order/2", "other", &json!({ "n": 9 }))).await;
    assert_eq!(done_are(&server.client, "order/2", 1).await, [9]);
    eventually("the others to complete without emissions", PATIENCE, async || {
        let withheld = server.client.get("/v1/deliveries?state=blocked").await.ok();
        if withheld["deliveries"].as_array().map(Vec::len) == Some(4) { Ok(()) } else { Err(withheld) }
    })
    .await;
    assert_eq!(done(&server.client, "order/1").await, [] as [Value; 0]);
    server.restart().await;
    let correction = json!({ "actor": "ada", "reason": "seen to", "patch": { "fail": null } });
    server.client.ask(&format!("/v1/deliveries/mender@{first}/correct"), &correction).await.ok();
    assert_eq!(done_are(&server.client, "order/1", 5).await, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_has_an_outcome_for_each_and_stops_only_the_key_that_failed() {
    let server = Setup::new().start().await;
    let mut manifest = manifest("meters", &["meter.read"]);
    manifest["batch"] = json!({ "events_max": 32 });
    manifest["after_dead_letter"] = json!("hold");
    let read = |meter: u64, n: u64, watts: i64| {
        event("meter.read", &format!("meter/{meter}"), &format!("{meter}-{n}"), &json!({ "watts": watts }))
    };
    let meters = 30;
    // They are there before the handler is, so that it has whole batches.
    let readings: Vec<_> = (1..=3)
        .flat_map(|n| (0..meters).map(move |meter| (meter, n)))
        .map(|(meter, n)| read(meter, n, if meter == 7 && n == 2 { -1 } else { 5 }))
        .collect();
    server.client.publish(&readings).await.ok();
    server.client.deploy(&manifest, weirgate_guests::build("meters")).await;
    let total = async |meter: u64, watts: u64| {
        eventually(&format!("{watts} at meter {meter}"), PATIENCE, async || {
            let part = server.client.get(&format!("/v1/status/meter/{meter}")).await.json["parts"]["meters"].clone();
            let text = part["text"].as_str().unwrap_or_default().to_owned();
            if text.starts_with(&format!("{watts} in all")) { Ok(text) } else { Err(part) }
        })
        .await
    };
    let mut texts = Vec::new();
    for meter in (0..meters).filter(|meter| *meter != 7) {
        texts.push(total(meter, 15).await);
    }
    assert!(texts.iter().any(|text| !text.contains("100%")), "each was alone in its call: {texts:?}");
    let dead_letters = server.client.get("/v1/dead-letters?handler=meters").await.ok();
    let dead_letter = &dead_letters["dead_letters"][0];
    assert_eq!(
        (&dead_letter["key"], &dead_letter["message"]),
        (&json!("meter/7"), &json!("a meter does not run backwards"))
    );
    total(7, 5).await;
    let held = server.client.get("/v1/deliveries?handler=meters").await.ok();
    assert_eq!(held["deliveries"].as_array().map(Vec::len), Some(2), "the dead letter and the one behind it: {held}");
    let id = dead_letter["id"].as_str().expect("its name");
    server
        .client
        .ask(&format!("/v1/deliveries/{id}/skip"), &json!({ "actor": "ada", "reason": "a typing error" }))
        .await
        .ok();
    total(7, 10).await;
    server.client.drained(PATIENCE).await;
}
