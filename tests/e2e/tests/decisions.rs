//! Commands for deliveries and handlers: the effect of each, its actor and reason, and what is refused.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn work(key: &str, id: &str, fail: Option<&str>) -> Value {
    event("mend.work", key, id, &json!({ "n": 1, "fail": fail }))
}

/// A server whose only handler fails as its events request, and retries for long.
async fn mending() -> Server {
    let server = Setup::new().start().await;
    server.client.deploy(&manifest("mender", &["mend.work"]), weirgate_guests::build("mender")).await;
    server
}

/// Publishes one, and waits until its delivery is in a phase.
async fn stands(client: &Client, event: Value, state: &str) -> String {
    let id = format!("mender@{}", client.accept(event).await);
    is(client, &id, state).await;
    id
}

async fn is(client: &Client, id: &str, state: &str) -> Value {
    eventually(&format!("{id} to be {state}"), PATIENCE, async || {
        let answer = client.get(&format!("/v1/deliveries/{id}")).await;
        if answer.json["state"] == state { Ok(answer.json) } else { Err(answer.text) }
    })
    .await
}

/// Sends the command as soon as no attempt is running.
async fn decide(client: &Client, id: &str, command: &str, body: &Value) -> Value {
    eventually(&format!("{command} {id}"), PATIENCE, async || {
        let answer = client.ask(&format!("/v1/deliveries/{id}/{command}"), body).await;
        if answer.status == 202 { Ok(answer.json) } else { Err(answer.text) }
    })
    .await
}

async fn told(client: &Client, r#type: &str) -> Vec<Value> {
    let events = client.events().await.into_iter().map(|stored| stored["event"].clone());
    events.filter(|event| event["type"] == r#type).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_shown_with_its_event_and_every_failed_attempt() {
    let server = mending().await;
    let client = &server.client;
    let id = stands(client, work("order/1", "1", Some("correctable")), "awaiting-correction").await;
    let shown = client.get(&format!("/v1/deliveries/{id}")).await.ok();
    assert_eq!((&shown["key"], &shown["type"], &shown["attempt"]), (&json!("order/1"), &json!("mend.work"), &json!(1)));
    assert_eq!(shown["event"]["data"], json!({ "n": 1, "fail": "correctable" }));
    let failure = &shown["failures"][0];
    assert_eq!((&failure["class"], &failure["kind"]), (&json!("correctable"), &json!("handler")));
    assert_eq!(failure["what_is_wrong"], "`fail` should be null");
    assert_eq!(failure["digest"], client.handler("mender").await["digest"]);
    assert!(shown["dead_letter"].is_null());
    // Its data may be anything.
    let mut bytes = work("order/2", "2", None);
    bytes["datacontenttype"] = "application/octet-stream".into();
    bytes.as_object_mut().expect("an object").remove("data");
    bytes["data_base64"] = "AP8=".into();
    let id = stands(client, bytes, "dead-lettered").await;
    let shown = client.get(&format!("/v1/deliveries/{id}")).await.ok();
    assert_eq!((&shown["event"]["data_base64"], &shown["dead_letter"]["id"]), (&json!("AP8="), &json!(id)));
    let waiting = client.get("/v1/deliveries?handler=mender&state=awaiting-correction&key=order/1").await.ok();
    assert_eq!(waiting["deliveries"].as_array().map(Vec::len), Some(1), "{waiting}");
    let after = format!("/v1/deliveries?after={}", waiting["deliveries"][0]["id"].as_str().expect("an id"));
    assert_eq!(client.get(&after).await.ok()["deliveries"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_closes_a_delivery_in_its_own_way() {
    let server = mending().await;
    let client = &server.client;
    let said = json!({ "actor": "ada", "reason": "it is a test" });
    let retried = stands(client, work("order/1", "1", Some("correctable")), "awaiting-correction").await;
    decide(client, &retried, "retry", &json!({})).await;
    eventually("another attempt", PATIENCE, async || {
        let shown = client.get(&format!("/v1/deliveries/{retried}")).await.ok();
        if shown["failures"].as_array().is_some_and(|failures| failures.len() == 2) { Ok(()) } else { Err(shown) }
    })
    .await;
    decide(client, &retried, "skip", &said).await;
    client.get(&format!("/v1/deliveries/{retried}")).await.is_problem(404, "not-open");
    // Given up, it is a dead letter with its actor; discarded, it is gone.
    let given_up = stands(client, work("order/2", "2", Some("correctable")), "awaiting-correction").await;
    decide(client, &given_up, "dead-letter", &said).await;
    let dead_letter = client.get(&format!("/v1/dead-letters/{given_up}")).await.ok();
    assert_eq!(
        (&dead_letter["message"], &dead_letter["class"]),
        (&json!("given up by ada: it is a test; last failure: it cannot be done like this"), &json!("correctable"))
    );
    client.ask(&format!("/v1/deliveries/{given_up}/dead-letter"), &said).await.is_problem(404, "not-open");
    decide(client, &given_up, "discard", &said).await;
    client.ask(&format!("/v1/deliveries/{given_up}/discard"), &said).await.is_problem(404, "not-a-dead-letter");
    // Other events in its place.
    let resolved = stands(client, work("order/3", "3", Some("correctable")), "awaiting-correction").await;
    let instead = json!({ "actor": "ada", "events": [work("order/3", "3b", None), work("order/4", "3c", None)] });
    let decided = decide(client, &resolved, "resolve", &instead).await;
    client.reaches("order/3", "mender", "done").await;
    client.reaches("order/4", "mender", "done").await;
    let position = decided["position"].as_u64().expect("a position");
    assert_eq!(client.get(&format!("/v1/events/{}", position + 1)).await.ok()["event"]["id"], "3b");
    client.drained(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrected_data_is_used_from_the_next_attempt_on() {
    let server = mending().await;
    let client = &server.client;
    for (n, body) in [
        (1, json!({ "data": { "n": 7 } })),
        (2, json!({ "patch": { "n": 7, "fail": null } })),
        (3, json!({ "data_base64": "eyJuIjo3fQ==", "data_content_type": "application/json" })),
    ] {
        let key = format!("order/{n}");
        let id = stands(client, work(&key, &n.to_string(), Some("correctable")), "awaiting-correction").await;
        let decided = decide(client, &id, "correct", &body).await;
        let mut paths: Vec<_> = decided["diff"].as_array().expect("a diff").iter().map(|one| &one["path"]).collect();
        paths.sort_by_key(ToString::to_string);
        assert_eq!(paths, ["/fail", "/n"], "{decided}");
        assert_eq!(client.reaches(&key, "mender", "done").await["data"], 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_patches_are_all_applied() {
    let server = mending().await;
    let client = &server.client;
    let id = stands(client, work("order/1", "1", Some("correctable")), "awaiting-correction").await;
    client.ask("/v1/handlers/mender/pause", &json!({})).await.ok();
    for round in 0..8 {
        let patch = |name: &str| json!({ "patch": { format!("{name}{round}"): round } });
        let [a, b] = ["a", "b"].map(patch);
        tokio::join!(decide(client, &id, "correct", &a), decide(client, &id, "correct", &b));
        let kept = client.get(&format!("/v1/deliveries/{id}")).await.ok()["correction"]["data"].clone();
        assert_eq!([&kept[format!("a{round}")], &kept[format!("b{round}")]], [&json!(round); 2], "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_commands_change_nothing() {
    let server = mending().await;
    let client = &server.client;
    let id = stands(client, work("order/1", "1", Some("correctable")), "awaiting-correction").await;
    let head = client.get("/v1/events").await.ok()["head"].clone();
    let reserved = |name: &str, value: &str| {
        let mut event = work("order/1", "2", None);
        event[name] = value.into();
        json!({ "events": [event] })
    };
    let long = json!({ "reason": "w".repeat(2_000) });
    let many = json!({ "events": vec![work("order/1", "2", None); 65] });
    for (command, body, status, code) in [
        ("retry", json!({ "actor": "a\nb" }), 422, "bad-command"),
        ("retry", json!({ "colour": "red" }), 422, "bad-json"),
        ("skip", long, 422, "bad-command"),
        ("discard", json!({}), 404, "not-a-dead-letter"),
        ("correct", json!({}), 422, "bad-command"),
        ("correct", json!({ "data": 1, "patch": {} }), 422, "bad-command"),
        ("correct", json!({ "data_base64": "AP8=" }), 422, "bad-command"),
        ("correct", json!({ "data": "x".repeat(300_000) }), 413, "event-too-large"),
        ("resolve", reserved("source", "/handlers/mender"), 422, "reserved-source"),
        ("resolve", reserved("type", "weirgate.delivery.failed"), 422, "reserved-type"),
        ("resolve", json!({ "events": [{}] }), 422, "not-a-cloudevent"),
        ("resolve", many, 422, "bad-command"),
    ] {
        client.ask(&format!("/v1/deliveries/{id}/{command}"), &body).await.is_problem(status, code);
    }
    let text = client.send(reqwest::Method::POST, &format!("/v1/deliveries/{id}/retry"), "text/plain", "now").await;
    text.is_problem(415, "bad-json");
    let broken =
        client.send(reqwest::Method::POST, &format!("/v1/deliveries/{id}/retry"), "application/json", "{").await;
    broken.is_problem(400, "bad-json");
    for command in ["retry", "skip", "dead-letter"] {
        client.post(&format!("/v1/deliveries/mender@999/{command}")).await.is_problem(404, "not-open");
        client.post(&format!("/v1/deliveries/mender/{command}")).await.is_problem(400, "bad-id");
    }
    client.get("/v1/deliveries/mender@999").await.is_problem(404, "not-open");
    client.get("/v1/deliveries/absent@1").await.is_problem(404, "unknown-handler");
    client.get("/v1/deliveries?state=happy").await.is_problem(400, "bad-query");
    client.get("/v1/deliveries?after=x").await.is_problem(400, "bad-id");
    client.get("/v1/blocked?handler=absent").await.is_problem(404, "unknown-handler");
    assert_eq!(client.get("/v1/events").await.ok()["head"], head, "something was recorded");
    is(client, &id, "awaiting-correction").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_that_is_not_json_cannot_be_patched() {
    let server = mending().await;
    let client = &server.client;
    let mut text = work("order/1", "1", None);
    (text["datacontenttype"], text["data"]) = ("text/plain".into(), "hello".into());
    let id = stands(client, text, "dead-lettered").await;
    let refused = client.ask(&format!("/v1/deliveries/{id}/correct"), &json!({ "patch": { "n": 1 } })).await;
    refused.is_problem(422, "bad-command");
    let decided = decide(client, &id, "correct", &json!({ "data": { "n": 1 } })).await;
    assert_eq!(decided["diff"], Value::Null, "there is none between text and JSON");
    client.reaches("order/1", "mender", "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mode_changes_of_a_handler_record_actor_and_reason() {
    let mut server = mending().await;
    let said = json!({ "actor": "ada", "reason": "maintenance" });
    let paused = server.client.ask("/v1/handlers/mender/pause", &said).await.ok();
    assert_eq!((&paused["state"], &paused["spilled"]), (&json!("paused"), &json!(0)));
    let position = server.client.accept(work("order/1", "1", Some("correctable"))).await;
    let id = format!("mender@{position}");
    server.restart().await;
    let client = &server.client;
    assert_eq!(client.handler("mender").await["state"], "paused", "a crash changes nothing");
    let told_of = &told(client, "weirgate.handler.paused").await[0];
    assert_eq!((&told_of["data"]["actor"], &told_of["data"]["reason"]), (&json!("ada"), &json!("maintenance")));
    client.post("/v1/handlers/mender/resume").await.ok();
    is(client, &id, "awaiting-correction").await;
    // Open deliveries are finished, and no new ones are opened.
    assert_eq!(client.ask("/v1/handlers/mender/drain", &said).await.ok()["state"], "draining");
    client.accept(work("order/2", "2", None)).await;
    decide(client, &id, "correct", &json!({ "data": { "n": 1 } })).await;
    client.reaches("order/1", "mender", "done").await;
    eventually("the handler to be drained", PATIENCE, async || {
        let handler = client.handler("mender").await;
        if handler["state"] == "drained" { Ok(()) } else { Err(handler) }
    })
    .await;
    assert_eq!(client.get("/v1/status/order/2").await.status, 404);
    assert_eq!(client.post("/v1/handlers/mender/resume").await.ok()["state"], "running");
    client.reaches("order/2", "mender", "done").await;
    assert_eq!(told(client, "weirgate.handler.resumed").await[0]["data"]["actor"], "operator", "the default actor");
    client.post("/v1/handlers/absent/drain").await.is_problem(404, "unknown-handler");
    client.post("/v1/handlers/Absent/drain").await.is_problem(400, "bad-id");
    client.ask("/v1/handlers/mender/pause", &json!({ "actor": 7 })).await.is_problem(422, "bad-json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_opens_and_resets_breakers() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["breaker"] = json!({});
    client.deploy(&manifest, weirgate_guests::build("mender")).await;
    let closed = client.get("/v1/breakers").await.ok();
    assert_eq!(closed["breakers"], json!([{ "kind": "handler", "name": "mender", "state": "closed" }]));
    let tripped = client.ask("/v1/breakers/handler/mender/trip", &json!({ "actor": "ada" })).await.ok();
    assert_eq!(tripped["state"], "open");
    assert!(client.handler("mender").await["breaker_open_until_ms"].is_u64());
    let position = client.accept(work("order/1", "1", None)).await;
    is(client, &format!("mender@{position}"), "ready").await;
    assert_eq!(client.post("/v1/breakers/handler/mender/reset").await.ok()["state"], "closed");
    client.reaches("order/1", "mender", "done").await;
    let opened = &told(client, "weirgate.breaker.opened").await[0];
    assert_eq!(opened["data"]["actor"], "ada");
    // A host's breaker may be opened before any handler calls it.
    let host = client.post("/v1/breakers/host/api.example.com:8443/trip").await.ok();
    assert_eq!((&host["kind"], &host["state"]), (&json!("host"), &json!("open")));
    assert_eq!(client.get("/v1/breakers").await.ok()["breakers"][1]["state"], "open");
    let reset = client.post("/v1/breakers/host/API.example.com:8443/reset").await.ok();
    assert_eq!(reset["state"], "closed");
    // For all handlers, calls are counted only while it is open.
    assert_eq!(client.get("/v1/breakers").await.ok()["breakers"].as_array().map(Vec::len), Some(1));
    client.post("/v1/breakers/handler/absent/trip").await.is_problem(404, "unknown-breaker");
    client.post("/v1/breakers/colour/red/trip").await.is_problem(400, "bad-path");
    client.post("/v1/breakers/host/a%20b/trip").await.is_problem(400, "bad-path");
}
