//! Invalid and hostile modules and handlers: what is refused at the endpoint, and what happens to a delivery when a handler
//! misbehaves; the server always continues.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use weirgate_guests::{core_module, odd};
use weirgate_tests::{Client, Setup, event, manifest};

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_cannot_run_is_refused_with_its_code() {
    let server = Setup::new().start().await;
    let cases = [
        (b"hello, this is not it".to_vec(), "not-webassembly"),
        (Vec::new(), "not-webassembly"),
        (core_module(), "core-module"),
        (odd("another-world"), "other-world"),
        (odd("handle-differs"), "other-world"),
        (odd("import-unknown"), "import-not-offered"),
        (odd("import-differs"), "import-differs"),
        (odd("traps-at-start"), "traps-at-start"),
        (odd("loops-at-start"), "start-limit-exceeded"),
        (odd("memory-at-start"), "start-limit-exceeded"),
        (odd("does-not-validate"), "compile-failed"),
    ];
    for (bytes, code) in cases {
        server.client.upload(bytes).await.is_problem(422, code);
    }
    server.client.upload(vec![0; (32 << 20) + 1]).await.is_problem(413, "module-too-large");
    let uploaded = server.client.upload(weirgate_guests::build("ledger")).await.ok();
    assert!(uploaded["imports"].to_string().contains("weirgate:handler/state@0.1"), "{uploaded}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_deployment_is_refused_with_its_code() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("ledger")).await.ok()["digest"].clone();
    let good = manifest("ledger", &["ledger.add"]);
    let changed = |name: &str, value: Value| {
        let mut manifest = good.clone();
        manifest[name] = value;
        manifest
    };
    let missing = json!(format!("sha256:{}", "0".repeat(64)));
    client.redeploy(&good, &missing).await.is_problem(404, "module-missing");
    client.redeploy(&changed("concurrency", json!(0)), &digest).await.is_problem(422, "bad-manifest");
    client.redeploy(&changed("subscriptions", json!([])), &digest).await.is_problem(422, "bad-manifest");
    for (name, value) in [("colour", json!("red")), ("limits", json!({ "cpu": 1 })), ("start", json!("tomorrow"))] {
        client.redeploy(&changed(name, value), &digest).await.is_problem(422, "bad-json");
    }
    client.redeploy(&good, &json!("sha256:12")).await.is_problem(400, "bad-id");
    let put = async |path: &str, body: &str| client.send(Method::PUT, path, "application/json", body.to_owned()).await;
    let body = json!({ "digest": digest, "manifest": good }).to_string();
    put("/v1/handlers/other", &body).await.is_problem(400, "name-mismatch");
    put("/v1/handlers/Ledger", &body).await.is_problem(400, "bad-id");
    put("/v1/handlers/ledger", "{").await.is_problem(400, "bad-json");
    client.get("/v1/handlers/ledger").await.is_problem(404, "unknown-handler");
    client.post("/v1/handlers/ledger/pause").await.is_problem(404, "unknown-handler");
    client.get("/v1/deliveries?handler=ledger").await.is_problem(404, "unknown-handler");
    client.get("/v1/deliveries?state=odd").await.is_problem(400, "bad-query");
    client.get("/v1/dead-letters/nonsense").await.is_problem(400, "bad-id");
    client.get("/v1/dead-letters/ledger@1").await.is_problem(404, "not-a-dead-letter");
    client.post("/v1/dead-letters/ledger@1/resubmit").await.is_problem(404, "not-a-dead-letter");
    assert_eq!(client.redeploy(&good, &digest).await.ok()["state"], "running");
}

/// The hostile guest's instruction, and the resulting kind of failure.
const HOSTILE: [(&str, &str); 15] = [
    ("loops_forever", "timeout"),
    ("sleeps_forever", "effect-limit"),
    ("hogs_memory", "memory"),
    ("recurses_deeply", "trap"),
    ("panics", "trap"),
    ("traps_after_effects", "trap"),
    ("exits", "contract"),
    ("bad_status_json", "contract"),
    ("bad_state_name", "contract"),
    ("bad_emission", "contract"),
    ("emits_a_million", "effect-limit"),
    ("huge_state_value", "effect-limit"),
    ("floods_host_calls", "effect-limit"),
    ("fails_transient", "handler"),
    ("fails_permanent", "handler"),
];

async fn happen(client: &Client, behaviour: &str, id: &str) -> u64 {
    let key = format!("hostile/{behaviour}");
    let r#type = if id == "bad" { behaviour } else { "plain" };
    client
        .accept(event(&format!("hostile.{type}"), &key, &format!("{behaviour}-{id}"), &json!({ "quantity": 1 })))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_handler_harms_only_its_own_deliveries() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("hostile", &["hostile.*"]);
    manifest["retry"] = json!([{ "attempts": 1, "first_delay_ms": 1, "delay_ms_max": 1 }]);
    server.client.deploy(&manifest, weirgate_guests::build("hostile")).await;
    let mut bad = Vec::new();
    for (behaviour, kind) in HOSTILE {
        happen(&server.client, behaviour, "before").await;
        bad.push((behaviour, kind, happen(&server.client, behaviour, "bad").await));
        happen(&server.client, behaviour, "after").await;
    }
    server.client.drained(PATIENCE).await;
    check_hostile(&server.client, &bad).await;
    // A crash of the server changes nothing: dead letters, their log and the statuses are the same.
    server.restart().await;
    check_hostile(&server.client, &bad).await;
    let metrics = server.client.get("/metrics").await.text;
    assert!(metrics.contains("weirgate_handler_open_deliveries{handler=\"hostile\"} 0"), "{metrics}");
}

async fn check_hostile(client: &Client, bad: &[(&str, &str, u64)]) {
    for (behaviour, kind, position) in bad {
        let dead_letter = client.get(&format!("/v1/dead-letters/hostile@{position}")).await.ok();
        let attempts = if dead_letter["class"] == "transient" { 2 } else { 1 };
        assert_eq!(
            (&dead_letter["kind"], &dead_letter["attempt"]),
            (&json!(kind), &json!(attempts)),
            "{behaviour}: {dead_letter}"
        );
        assert!(
            dead_letter["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{behaviour}: {dead_letter}"
        );
        // Two good deliveries of the key, one before and one after; the bad one wrote nothing.
        let part = client.status(&format!("hostile/{behaviour}")).await["parts"]["hostile"].clone();
        assert_eq!((&part["state"], &part["text"]), (&json!("counted"), &json!("2 so far")), "{behaviour}: {part}");
    }
    let listed = client.get("/v1/dead-letters?handler=hostile").await.ok();
    assert_eq!(listed["dead_letters"].as_array().map(Vec::len), Some(HOSTILE.len()));
    let dead_letter = async |behaviour: &str| {
        let (_, _, position) = bad.iter().find(|(name, ..)| *name == behaviour).expect("it was published");
        client.get(&format!("/v1/dead-letters/hostile@{position}")).await
    };
    assert!(dead_letter("panics").await.text.contains("the guest's own words"));
    let events = client.events().await;
    let emitted: Vec<_> = events.iter().filter(|stored| stored["event"]["source"] == "/handlers/hostile").collect();
    assert!(emitted.is_empty(), "{emitted:?}");
}
