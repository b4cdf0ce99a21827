//! Handlers beside each other: one that uses all its limits does not keep another from its share. Checked by order, never by
//! time: the other is done while the first still runs.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_mins(1);

async fn open(server: &Server, handler: &str) -> u64 {
    server.client.handler(handler).await["open"].as_u64().expect("how many are open")
}

/// Publishes `count` events, each with its own key.
async fn publish(server: &Server, r#type: &str, key: &str, count: usize, data: &Value) {
    let events: Vec<_> =
        (0..count).map(|n| event(r#type, &format!("{key}/{n}"), &format!("{key}-{n}"), data)).collect();
    server.client.publish(&events).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_in_an_endless_loop_does_not_delay_others() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut hog = manifest("hostile", &["hostile.loops_forever"]);
    hog["limits"] = json!({ "cpu_ms": 5_000, "wall_ms": 30_000 });
    hog["concurrency"] = json!(1_024);
    client.deploy(&hog, weirgate_guests::build("hostile")).await;
    client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    publish(&server, "hostile.loops_forever", "hog", 40, &json!({ "quantity": 1 })).await;
    for n in 0..20 {
        client.accept(event("ledger.add", "light", &format!("light-{n}"), &json!({ "n": n + 1 }))).await;
        eventually("the light handler to be done", PATIENCE, async || match open(&server, "ledger").await {
            0 => Ok(()),
            open => Err(open),
        })
        .await;
    }
    assert_eq!(open(&server, "hostile").await, 40, "each takes five seconds of a processor, and is tried again");
    let part = client.get("/v1/deliveries?handler=hostile&state=running&limit=1000").await.ok();
    assert!(part["deliveries"].as_array().is_some_and(|running| !running.is_empty()), "{part}");
}

/// A server whose handlers may call this gateway.
async fn beside(gateway: &Gateway) -> Server {
    Setup::new().env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host()).start().await
}

/// A handler that calls the gateway.
fn caller(name: &str, types: &[&str], gateway: &Gateway) -> Value {
    let mut caller = manifest(name, types);
    (caller["capabilities"], caller["concurrency"]) = (json!({ "hosts": [gateway.url()] }), json!(1_024));
    caller["limits"] = json!({ "wall_ms": 30_000 });
    caller
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_with_hanging_calls_does_not_delay_others() {
    let gateway = Gateway::start().await;
    let server = beside(&gateway).await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("hostile")).await.ok()["digest"].clone();
    client.redeploy(&caller("hanging", &["hostile.fetches"], &gateway), &digest).await.ok();
    let mut light = caller("light", &["hostile.fetches"], &gateway);
    (light["subscriptions"][0]["source"], light["start"]) = (json!("/light"), json!("now"));
    client.redeploy(&light, &digest).await.ok();
    gateway.hold(Some("/hangs"));
    let fetch = |path: &str| json!({ "fetches": [{ "url": format!("{}{path}", gateway.url()) }] });
    publish(&server, "hostile.fetches", "hang", 300, &fetch("/hangs")).await;
    eventually("calls to hang", PATIENCE, async || match gateway.requests("/hangs").len() {
        hanging if hanging >= 32 => Ok(()),
        hanging => Err(hanging),
    })
    .await;
    let mut one = event("hostile.fetches", "light", "light", &fetch("/answers"));
    one["source"] = json!("/light");
    client.accept(one).await;
    eventually("the light handler to be done", PATIENCE, async || match open(&server, "light").await {
        0 => Ok(()),
        open => Err(open),
    })
    .await;
    assert!(open(&server, "hanging").await >= 300, "they hang still");
    gateway.hold(None);
    client.drained(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_with_a_short_timeout_shuts_no_other_out_of_a_host() {
    let gateway = Gateway::start().await;
    let server = beside(&gateway).await;
    let client = &server.client;
    let digest = client.upload(weirgate_guests::build("hostile")).await.ok()["digest"].clone();
    client.redeploy(&caller("hasty", &["hostile.fails_after_fetches"], &gateway), &digest).await.ok();
    client.redeploy(&caller("patient", &["hostile.fetches"], &gateway), &digest).await.ok();
    gateway.hold(Some("/slow"));
    let slow = json!({ "fetches": [{ "url": format!("{}/slow", gateway.url()), "timeout_ms": 2 }] });
    publish(&server, "hostile.fails_after_fetches", "hasty", 40, &slow).await;
    let hasty = format!("hasty@{}", gateway.host());
    eventually("its breaker to open", PATIENCE, async || {
        let listed = client.get("/v1/breakers").await.ok();
        let breakers = listed["breakers"].as_array().cloned().unwrap_or_default();
        let is_open = |one: &Value| one["name"] == hasty.as_str() && one["state"] != "closed";
        if breakers.iter().any(is_open) { Ok(()) } else { Err(listed) }
    })
    .await;
    let fast = json!({ "fetches": [{ "url": format!("{}/fast", gateway.url()) }] });
    let position = client.accept(event("hostile.fetches", "patient", "patient", &fast)).await;
    eventually("the other handler to be done", PATIENCE, async || match open(&server, "patient").await {
        0 => Ok(()),
        open => Err(open),
    })
    .await;
    assert_eq!(gateway.requests("/fast").len(), 1);
    client.get(&format!("/v1/deliveries/patient@{position}")).await.is_problem(404, "not-open");
    let by_hand = format!("/v1/breakers/host/{hasty}/reset");
    assert_eq!(client.post(&by_hand).await.ok()["state"], "closed");
    client.post("/v1/breakers/host/absent@api.example.com/trip").await.is_problem(404, "unknown-breaker");
    gateway.hold(None);
}
