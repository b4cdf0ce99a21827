//! `on_deploy = "finish"` on the real binary: keys that are under way stay with their version, also after a crash.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Cli, Client, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(60);

/// A version of the counter that says which one it is.
fn counter(version: &str, on_deploy: &str, config: &Value) -> Value {
    let mut manifest = manifest("counter", &["counter.add"]);
    manifest["on_deploy"] = json!(on_deploy);
    manifest["config"] = config.clone();
    manifest["config"]["version"] = json!(version);
    manifest["config"]["state"] = json!("1");
    manifest["retry"] = json!([{ "attempts": 1_000, "first_delay_ms": 50, "delay_ms_max": 50, "jitter": "none" }]);
    manifest
}

fn add(key: &str, id: &str) -> Value {
    event("counter.add", key, id, &json!({ "count": 1 }))
}

async fn text(client: &Client, key: &str) -> Value {
    client.status(key).await["parts"]["counter"]["text"].clone()
}

async fn take(client: &Client, key: &str, id: &str) -> Value {
    client.accept(add(key, id)).await;
    client.drained(PATIENCE).await;
    text(client, key).await
}

/// The numbers of the versions that finish something.
async fn finishing(client: &Client) -> Vec<u64> {
    let versions = client.get("/v1/handlers/counter/versions").await.ok();
    let versions = versions["versions"].as_array().expect("versions").clone();
    let finishing = versions.iter().filter(|version| version["finishing"] == true);
    finishing.map(|version| version["version"].as_u64().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_a_timer_stays_with_its_version() {
    let mut server = Setup::new().start().await;
    let first = counter("one", "move", &json!({ "timer_ms": "6000" }));
    let digest = server.client.deploy(&first, weirgate_guests::build("counter")).await["digest"].clone();
    assert_eq!(take(&server.client, "a", "a-1").await, "1 in version one");
    let second = counter("two", "finish", &json!({}));
    server.client.redeploy(&second, &digest).await.ok();
    assert_eq!(finishing(&server.client).await, [1]);
    assert_eq!(take(&server.client, "a", "a-2").await, "2 in version one");
    assert_eq!(take(&server.client, "b", "b-1").await, "1 in version two");
    // Which version a key has is known from the log alone, too.
    server.kill9();
    std::fs::remove_dir_all(server.dir.join("views")).expect("the views are there");
    server.start().await;
    let client = &server.client;
    assert_eq!(take(client, "a", "a-3").await, "3 in version one");
    eventually("the timer", PATIENCE, async || match text(client, "a").await {
        fired if fired == "1003 in version one" => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(take(client, "a", "a-4").await, "1004 in version two");
    let table = Cli::of(&server).prints(&["handlers", "versions", "counter"]);
    assert!(table.contains("FINISHING") && table.contains("on_deploy: \"move\" -> \"finish\""), "{table}");
    // The next deployment finds nothing left.
    client.redeploy(&counter("three", "finish", &json!({})), &digest).await.ok();
    assert_eq!(finishing(client).await, [0_u64; 0]);
    assert_eq!(take(client, "a", "a-5").await, "1005 in version three");
    let verified = Cli::of(&server).prints(&["replays", "verify"]);
    assert!(verified.contains("different: 0"), "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_delivery_stays_until_a_deployment_moves_it() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let failing = counter("one", "move", &json!({ "handling": "fails" }));
    let digest = client.deploy(&failing, weirgate_guests::build("counter")).await["digest"].clone();
    let position = client.accept(add("a", "a-1")).await;
    let attempts = async || client.get("/v1/attempts?key=a").await.ok()["attempts"].as_array().expect("a list").clone();
    let failed = |count: usize| {
        eventually("failed attempts", PATIENCE, async move || {
            let attempts = attempts().await;
            if attempts.len() >= count { Ok(attempts) } else { Err(attempts.len()) }
        })
    };
    failed(1).await;
    client.redeploy(&counter("two", "finish", &json!({})), &digest).await.ok();
    let before = attempts().await.len();
    failed(before + 3).await;
    assert_eq!(finishing(client).await, [1]);
    let delivery = client.get(&format!("/v1/deliveries/counter@{position}")).await.ok();
    assert_eq!(delivery["state"], "retrying", "{delivery}");
    assert_eq!(take_other(client).await, "1 in version two");
    client.redeploy(&counter("three", "move", &json!({})), &digest).await.ok();
    client.drained(PATIENCE).await;
    assert_eq!(text(client, "a").await, "1 in version three");
    assert_eq!(finishing(client).await, [0_u64; 0]);
    let versions = client.get("/v1/handlers/counter/versions").await.ok();
    let counts = |index: usize| {
        let version = &versions["versions"][index];
        (version["completed"].as_u64().expect("a count"), version["failed"].as_u64().expect("a count"))
    };
    assert_eq!((counts(0), counts(1), counts(2).0), ((1, 0), (1, 0), 0), "{versions:#}");
    assert!(counts(2).1 >= 4, "{versions:#}");
}

async fn take_other(client: &Client) -> Value {
    client.accept(add("b", "b-1")).await;
    client.reaches("b", "counter", "counted").await["text"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_finish_is_refused() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut unordered = counter("one", "finish", &json!({}));
    unordered["ordering"] = json!("none");
    let digest = client.upload(weirgate_guests::build("counter")).await.ok()["digest"].clone();
    client.redeploy(&unordered, &digest).await.is_problem(422, "bad-manifest");
    let unknown = counter("one", "stay", &json!({}));
    client.redeploy(&unknown, &digest).await.is_problem(422, "bad-json");
    let body = json!({ "digest": digest, "manifest": counter("one", "finish", &json!({})), "retry_waiting": true });
    let put =
        |body: &Value| client.send(reqwest::Method::PUT, "/v1/handlers/counter", "application/json", body.to_string());
    put(&body).await.is_problem(422, "bad-manifest");
    unordered["on_deploy"] = json!("move");
    client.redeploy(&unordered, &digest).await.ok();
    client.redeploy(&counter("two", "finish", &json!({})), &digest).await.is_problem(409, "cannot-finish");
    client.redeploy(&counter("two", "move", &json!({})), &digest).await.ok();
    // Deliveries may be open that were opened without order.
    client.redeploy(&counter("three", "finish", &json!({})), &digest).await.is_problem(409, "cannot-finish");
}

/// Each keeps a module in memory, so there is a maximum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_eight_versions_finish() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("counter")).await.ok()["digest"].clone();
    let version = |number: u32| counter(&number.to_string(), "finish", &json!({ "timer_ms": "3600000" }));
    for number in 1..=9 {
        client.redeploy(&version(number), &digest).await.ok();
        assert_eq!(take(client, &format!("key-{number}"), &number.to_string()).await, format!("1 in version {number}"));
    }
    assert_eq!(finishing(client).await, [8, 7, 6, 5, 4, 3, 2, 1]);
    client.redeploy(&version(10), &digest).await.is_problem(409, "too-many-finishing");
    for number in 1..=9 {
        assert_eq!(
            take(client, &format!("key-{number}"), &format!("{number}-2")).await,
            format!("2 in version {number}")
        );
    }
    let mut moving = version(10);
    moving["on_deploy"] = json!("move");
    client.redeploy(&moving, &digest).await.ok();
    assert_eq!(take(client, "key-1", "1-3").await, "3 in version 10");
}
