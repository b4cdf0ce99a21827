//! The cases that self-healing delivery is for, by name: on the real binary, with real components and a service that really
//! fails.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server that lets its handlers call the gateway.
fn beside(gateway: &Gateway) -> Setup {
    let dir = tempfile::tempdir().expect("a directory").keep();
    let file = dir.join("weirgate.toml");
    let text = format!(
        "[outbound]\nallow_private = [\"{}\"]\n[host_breaker]\nopen_ms = 300\nopen_ms_max = 300\n\
         [secrets.gateway]\nhandlers = [\"mender\"]\nhosts = [\"{}\"]\n",
        gateway.host(),
        gateway.url()
    );
    std::fs::write(&file, text).expect("a configuration");
    Setup::new().arg("--config").arg(file.to_string_lossy()).env("WEIRGATE__SECRETS__GATEWAY", "top-secret")
}

/// The manifest of a handler that calls the gateway.
fn caller(gateway: &Gateway) -> Value {
    let mut manifest = manifest("mender", &["mend.work", "mend.charge", "mend.wait", "mend.cancel"]);
    manifest["capabilities"] = json!({ "hosts": [gateway.url()], "secrets": ["gateway"] });
    manifest["config"] = json!({ "gateway_url": gateway.url() });
    manifest["limits"] = json!({ "wall_ms": 20_000 });
    manifest
}

async fn started(gateway: &Gateway) -> Server {
    let server = beside(gateway).start().await;
    server.client.deploy(&caller(gateway), weirgate_guests::build("mender")).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_payment_service_delays_payments() {
    let gateway = Gateway::start().await;
    let server = started(&gateway).await;
    gateway.set_down(true);
    let orders = 30;
    for n in 0..orders {
        server
            .client
            .accept(event("mend.charge", &format!("order/{n}"), &n.to_string(), &json!({ "amount": n })))
            .await;
    }
    let breakers = eventually("the host's breaker to open", PATIENCE, async || {
        let listed = server.client.get("/v1/breakers").await.ok();
        if listed.to_string().contains("open_until_ms\":1") { Ok(listed) } else { Err(listed) }
    });
    assert!(breakers.await.to_string().contains(&gateway.host()));
    // While it is open no delivery spends an attempt, however long it takes.
    assert!(gateway.requests("/").is_empty());
    gateway.set_down(false);
    server.client.drained(PATIENCE).await;
    assert_eq!((gateway.keys("/charge"), gateway.keys("/confirm")), (orders, orders), "each was charged");
    assert_eq!(server.client.get("/v1/dead-letters").await.ok()["dead_letters"], json!([]));
    assert_eq!(server.client.events_of("mend.done").await.len(), orders);
    for told in ["weirgate.breaker.opened", "weirgate.breaker.closed", "weirgate.delivery.recovered"] {
        assert!(!server.client.events_of(told).await.is_empty(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_charging_the_card_and_the_commit_charges_it_once() {
    let gateway = Gateway::start().await;
    let mut server = started(&gateway).await;
    // The card is charged, and the process dies while the handler does the rest.
    gateway.hold(Some("/confirm"));
    server.client.accept(event("mend.charge", "order/1", "1", &json!({ "amount": 7 }))).await;
    let confirming = async |count: usize| {
        eventually("the second step to be under way", PATIENCE, async || {
            if gateway.requests("/confirm").len() == count { Ok(()) } else { Err(gateway.requests("/").len()) }
        })
        .await;
    };
    for crash in 1..=3 {
        confirming(crash).await;
        server.restart().await;
    }
    gateway.hold(None);
    let part = server.client.reaches("order/1", "mender", "charged").await;
    assert_eq!(part["text"], "7");
    let charges = gateway.requests("/charge");
    assert_eq!(charges.len(), 1, "a finished step gets its recorded answer");
    assert_eq!(gateway.keys("/confirm"), 1, "one that is made again has the same idempotency key");
    assert!(gateway.requests("/confirm").len() >= 4);
    assert_eq!(charges[0].header("authorization"), "Bearer top-secret");
    assert_eq!(server.client.events_of("mend.done").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_the_answer_is_recorded_asks_again_with_the_same_key() {
    let gateway = Gateway::start().await;
    let mut server = started(&gateway).await;
    gateway.hold(Some("/charge"));
    server.client.accept(event("mend.charge", "order/1", "1", &json!({ "amount": 7 }))).await;
    eventually("the call", PATIENCE, async || gateway.requests("/charge").pop().ok_or("none yet")).await;
    server.kill9();
    gateway.hold(None);
    server.start().await;
    server.client.reaches("order/1", "mender", "charged").await;
    assert_eq!((gateway.requests("/charge").len(), gateway.keys("/charge")), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_data_is_corrected_by_support() {
    let mut server = Setup::new().start().await;
    server.client.deploy(&manifest("mender", &["mend.work"]), weirgate_guests::build("mender")).await;
    let wrong =
        server.client.accept(event("mend.work", "order/1", "1", &json!({ "n": 1, "fail": "correctable" }))).await;
    server.client.accept(event("mend.work", "order/1", "2", &json!({ "n": 2 }))).await;
    let id = format!("mender@{wrong}");
    let waiting = async |client: &Client| {
        eventually("it to wait for a correction", PATIENCE, async || {
            let part = client.get("/v1/status/order/1").await.json["parts"]["mender"]["delivery"].clone();
            if part["state"] == "awaiting-correction" { Ok(part) } else { Err(part) }
        })
        .await
    };
    assert_eq!(waiting(&server.client).await["what_is_wrong"], "`fail` should be null");
    server.restart().await;
    waiting(&server.client).await;
    let blocked = server.client.get("/v1/blocked").await.ok();
    assert_eq!((&blocked["blocked"][0]["id"], &blocked["blocked"][0]["behind"]), (&json!(id), &json!(1)), "{blocked}");
    // The first correction is invalid. The corrected data is shown beside the original.
    let still_wrong = json!({ "actor": "bob", "reason": "a guess", "patch": { "n": 7 } });
    server.client.ask(&format!("/v1/deliveries/{id}/correct"), &still_wrong).await.ok();
    let shown = eventually("it to wait again", PATIENCE, async || {
        let shown = server.client.get(&format!("/v1/deliveries/{id}")).await.ok();
        if shown["failures"].as_array().map(Vec::len) == Some(2) { Ok(shown) } else { Err(shown) }
    });
    let shown = shown.await;
    let [given, came] = [&shown["correction"], &shown["event"]].map(|of| of["data"]["n"].clone());
    assert_eq!((given, came, &shown["correction"]["actor"]), (json!(7), json!(1), &json!("bob")), "{shown}");
    let correction = json!({ "actor": "ada", "reason": "the customer called", "patch": { "n": 1, "fail": null } });
    let decided = server.client.ask(&format!("/v1/deliveries/{id}/correct"), &correction).await;
    let difference = json!([{ "op": "remove", "path": "/fail" }, { "op": "replace", "path": "/n", "value": 1 }]);
    assert_eq!((decided.status, &decided.json["diff"]), (202, &difference), "{}", decided.text);
    let part = eventually("both to be done", PATIENCE, async || {
        let part = server.client.status("order/1").await["parts"]["mender"].clone();
        if part["text"] == "2 so far" { Ok(part) } else { Err(part) }
    });
    assert_eq!((&part.await["data"], server.client.events_of("mend.done").await.len()), (&json!(2), 2), "in order");
    let original = server.client.get(&format!("/v1/events/{wrong}")).await.ok();
    assert_eq!(original["event"]["data"]["fail"], "correctable", "the event stays as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_data_is_corrected_by_the_customer() {
    let server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["subscriptions"][0]["corrections"] = json!(["mend.corrected"]);
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    server.client.accept(event("mend.work", "order/1", "1", &json!({ "n": 1, "fail": "correctable" }))).await;
    server.client.accept(event("mend.work", "order/2", "2", &json!({ "n": 1, "fail": "correctable" }))).await;
    server.client.accept(event("mend.corrected", "order/1", "3", &json!({ "fail": null }))).await;
    let part = server.client.reaches("order/1", "mender", "done").await;
    assert_eq!((&part["delivery"], &part["data"]), (&Value::Null, &json!(1)));
    let other = server.client.status("order/2").await["parts"]["mender"].clone();
    assert_eq!(other["delivery"]["state"], "awaiting-correction", "it was not for this one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_becomes_a_dead_letter_and_holds_its_key_if_configured() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["after_dead_letter"] = json!("hold");
    manifest["retry"] = json!([{ "attempts": 2, "first_delay_ms": 10 }]);
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    let poison = server.client.accept(event("mend.work", "order/1", "1", &json!({ "n": 1, "fail": "trap" }))).await;
    server.client.accept(event("mend.work", "order/1", "2", &json!({ "n": 2 }))).await;
    server.client.accept(event("mend.work", "order/2", "3", &json!({ "n": 1 }))).await;
    server.client.reaches("order/2", "mender", "done").await;
    let id = format!("mender@{poison}");
    let dead_letter = async |client: &Client| {
        eventually("a dead letter", PATIENCE, async || {
            let answer = client.get(&format!("/v1/dead-letters/{id}")).await;
            if answer.status == 200 { Ok(answer.json) } else { Err(answer.text) }
        })
        .await
    };
    assert_eq!(
        (&dead_letter(&server.client).await["kind"], &dead_letter(&server.client).await["attempt"]),
        (&json!("trap"), &json!(3))
    );
    server.restart().await;
    let held = server.client.get("/v1/deliveries?state=held").await.ok();
    assert_eq!(held["deliveries"][0]["id"], json!(id), "{held}");
    let shown = server.client.get(&format!("/v1/deliveries/{id}")).await.ok();
    assert_eq!(shown["failures"].as_array().map(Vec::len), Some(3), "every attempt with its error: {shown}");
    server.client.ask(&format!("/v1/deliveries/{id}/skip"), &json!({ "actor": "ada", "reason": "poison" })).await.ok();
    server.client.reaches("order/1", "mender", "done").await;
    server.client.drained(PATIENCE).await;
    server.client.get(&format!("/v1/dead-letters/{id}")).await.is_problem(404, "not-a-dead-letter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_fires_once_after_its_time_and_not_when_it_was_cancelled() {
    let gateway = Gateway::start().await;
    let mut server = started(&gateway).await;
    server.client.accept(event("mend.wait", "order/1", "1", &json!({ "ms": 1_500 }))).await;
    server.client.accept(event("mend.wait", "order/2", "2", &json!({ "ms": 1_500 }))).await;
    server.client.reaches("order/2", "mender", "waiting").await;
    server.client.accept(event("mend.cancel", "order/2", "3", &json!({}))).await;
    server.client.reaches("order/2", "mender", "cancelled").await;
    server.restart().await;
    let started = server.client.status("order/1").await["parts"]["mender"].clone();
    let overdue = server.client.reaches("order/1", "mender", "overdue").await;
    let waited = overdue["at_ms"].as_u64().zip(started["at_ms"].as_u64()).map(|(end, start)| end - start);
    assert!(waited >= Some(1_400), "{waited:?}");
    server.client.drained(PATIENCE).await;
    assert_eq!(server.client.events_of("mend.overdue").await.len(), 1);
    assert_eq!(server.client.status("order/2").await["parts"]["mender"]["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_posted_straight_to_one_handler() {
    let server = Setup::new().start().await;
    let wasm = weirgate_guests::build("mender");
    server.client.deploy(&manifest("one", &["nothing.at.all"]), wasm.clone()).await;
    server.client.deploy(&manifest("other", &["mend.work"]), wasm).await;
    let work = event("mend.work", "order/1", "1", &json!({ "n": 5 }));
    let path = "/v1/handlers/one/events";
    server.client.send(reqwest::Method::POST, path, "application/cloudevents+json", work.to_string()).await.ok();
    let part = server.client.reaches("order/1", "one", "done").await;
    assert_eq!(part["data"], 5);
    server.client.drained(PATIENCE).await;
    assert_eq!(server.client.status("order/1").await["parts"]["other"], Value::Null, "it was for the one alone");
    let unknown = "/v1/handlers/absent/events";
    let refused = server.client.send(reqwest::Method::POST, unknown, "application/cloudevents+json", work.to_string());
    refused.await.is_problem(404, "unknown-handler");
}

/// Flip a bit in the last record of the log.
fn damage_the_last_record(data: &std::path::Path) {
    let entries = std::fs::read_dir(data.join("log")).expect("the log").map(|entry| entry.expect("an entry").path());
    let segments = entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
    let path = segments.max().expect("a segment");
    let mut bytes = std::fs::read(&path).expect("the segment");
    let last = bytes.iter().rposition(|byte| *byte != 0).expect("a record");
    bytes[last - 2] ^= 1;
    std::fs::write(&path, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_loss_nothing_is_charged_twice_and_no_key_is_given_again() {
    let gateway = Gateway::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let setup = beside(&gateway).dir(dir.path().join("data"));
    let mut server = setup.clone().start().await;
    server.client.deploy(&caller(&gateway), weirgate_guests::build("mender")).await;
    gateway.hold(Some("/charge"));
    server.client.accept(event("mend.charge", "order/1", "1", &json!({ "amount": 7 }))).await;
    eventually("the call", PATIENCE, async || gateway.requests("/charge").pop().ok_or("none yet")).await;
    let answer = server.client.publish(&[event("other.thing", "order/9", "9", &json!({}))]).await.ok();
    let (old, lost) = (answer["epoch"].as_str().expect("an epoch").to_owned(), &answer["events"][0]["position"]);
    server.kill9();
    drop(server);
    damage_the_last_record(&dir.path().join("data"));
    gateway.hold(None);

    let server = setup.arg("--accept-loss").expect_line("WARN").start().await;
    server.client.reaches("order/1", "mender", "charged").await;
    let keys = |path: &str| -> Vec<String> {
        gateway.requests(path).iter().map(|request| request.header("idempotency-key").to_owned()).collect()
    };
    let before = keys("/charge");
    assert!(before.len() >= 2 && before.iter().all(|key| *key == before[0] && key.starts_with(&old)), "{before:?}");

    let answer = server.client.publish(&[event("mend.charge", "order/2", "2", &json!({ "amount": 8 }))]).await.ok();
    server.client.reaches("order/2", "mender", "charged").await;
    let new = answer["epoch"].as_str().expect("an epoch");
    assert!(new != old && answer["events"][0]["position"].as_u64() > lost.as_u64(), "{answer}");
    let key = keys("/charge").pop().expect("a request");
    assert!(key.starts_with(new), "{key} is not of epoch {new}");
}
