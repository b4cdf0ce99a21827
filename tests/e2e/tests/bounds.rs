//! Nothing that events, handlers and operators do within their limits ends the server or prevents its next start, on the
//! real binary with real components.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_mins(1);

fn greedy() -> Value {
    let mut manifest = manifest("greedy", &["greedy.act"]);
    manifest["limits"] = json!({ "cpu_ms": 5_000, "host_calls": 65_536 });
    manifest
}

/// Number of open deliveries of a handler.
async fn open(client: &Client, name: &str) -> u64 {
    client.handler(name).await["open"].as_u64().expect("a count")
}

async fn publish_all(client: &Client, events: &[Value]) {
    for part in events.chunks(1_000) {
        client.publish(part).await.ok();
    }
}

/// Kills the server twice, so that it opens with its views and replays later records.
async fn survives(server: &mut Server) {
    server.restart().await;
    server.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_for_thousands_of_keys_that_wait_on_disk_are_applied() {
    let mut server = Setup::new().start().await;
    let mut manifest = greedy();
    manifest["subscriptions"] = json!([{ "types": ["greedy.act"], "corrections": ["greedy.correct"] }]);
    server.client.deploy(&manifest, weirgate_guests::build("greedy")).await;
    let keys = 17_500;
    let act = |n: usize| event("greedy.act", &format!("k/{n}"), &format!("act-{n}"), &json!({ "fail": "correctable" }));
    publish_all(&server.client, &(0..keys).map(act).collect::<Vec<_>>()).await;
    eventually("all of them to wait, some on disk", PATIENCE, async || {
        let handler = server.client.handler("greedy").await;
        let waits = handler["open"] == keys && handler["running"] == 0 && handler["lag"] == 0;
        let is_spilled = handler["spilled"].as_u64() > Some(0);
        if waits && is_spilled { Ok(()) } else { Err(handler) }
    })
    .await;
    let fix = |n: usize| event("greedy.correct", &format!("k/{n}"), &format!("fix-{n}"), &json!({ "fail": null }));
    // The newest ones are on disk.
    server.client.publish(&(keys - 1_000..keys).map(fix).collect::<Vec<_>>()).await.ok();
    survives(&mut server).await;
    eventually("the corrected ones to be done", PATIENCE, async || {
        let left = open(&server.client, "greedy").await;
        if left == keys as u64 - 1_000 { Ok(()) } else { Err(left) }
    })
    .await;
}

/// All deliveries of the handler are one lane, which waits on disk behind its first. Each correction for another key is kept
/// until the lane is reloaded: more of them than fit into the handler's own row in the views.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_that_wait_for_one_lane_on_disk_are_kept_and_applied() {
    let mut server = Setup::new().start().await;
    let mut manifest = greedy();
    manifest["ordering"] = json!("handler");
    manifest["subscriptions"] = json!([{ "types": ["greedy.act"], "corrections": ["greedy.correct"] }]);
    server.client.deploy(&manifest, weirgate_guests::build("greedy")).await;
    let (deliveries, corrections) = (200, 1_000);
    let act = |n: usize| event("greedy.act", &format!("k/{n}"), &format!("act-{n}"), &json!({ "fail": "correctable" }));
    publish_all(&server.client, &(0..deliveries).map(act).collect::<Vec<_>>()).await;
    eventually("the first to wait for its correction", PATIENCE, async || {
        let first = server.client.get("/v1/deliveries?handler=greedy&limit=1").await.ok()["deliveries"][0].clone();
        if first["attempt"] == 1 && first["state"] != "running" { Ok(()) } else { Err(first) }
    })
    .await;
    let fix = |n: usize| event("greedy.correct", &format!("k/{n}"), &format!("fix-{n}"), &json!({ "fail": null }));
    publish_all(&server.client, &(1..=corrections).map(fix).collect::<Vec<_>>()).await;
    survives(&mut server).await;
    assert_eq!(open(&server.client, "greedy").await, deliveries as u64, "none can pass the first");
    publish_all(&server.client, &[fix(0)]).await;
    eventually("all of them to be done", PATIENCE, async || {
        let left = open(&server.client, "greedy").await;
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrections_that_grow_the_data_beyond_an_events_are_refused() {
    let mut server = Setup::new().start().await;
    let mut manifest = greedy();
    manifest["subscriptions"] = json!([{ "types": ["greedy.act"], "corrections": ["greedy.correct"] }]);
    server.client.deploy(&manifest, weirgate_guests::build("greedy")).await;
    let position = server.client.accept(event("greedy.act", "k", "1", &json!({ "fail": "correctable" }))).await;
    let grow = |n: usize| {
        let data = json!({ format!("field-{n}"): "x".repeat(250_000) });
        event("greedy.correct", "k", &format!("grow-{n}"), &data)
    };
    for n in 0..69 {
        server.client.publish(&[grow(n)]).await.ok();
    }
    let refused = eventually("a refusal to be reported", PATIENCE, async || {
        let told = server.client.events_of("weirgate.delivery.correction-refused").await;
        if told.is_empty() { Err("none yet") } else { Ok(told) }
    })
    .await;
    assert!(
        refused[0]["data"]["reason"].as_str().is_some_and(|reason| reason.contains("the maximum is 262144")),
        "{refused:?}"
    );
    survives(&mut server).await;
    let shown = server.client.get(&format!("/v1/deliveries/greedy@{position}")).await.ok();
    assert_eq!(shown["state"], "awaiting-correction", "{shown}");
    server.client.publish(&[event("greedy.correct", "k", "fix", &json!({ "fail": null }))]).await.ok();
    server.client.reaches("k", "greedy", "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_answers_of_a_delivery_are_limited() {
    let gateway = Gateway::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weirgate.toml");
    std::fs::write(&file, format!("[outbound]\nallow_private = [\"{}\"]\n", gateway.host())).expect("a configuration");
    let mut server = Setup::new().arg("--config").arg(file.to_string_lossy()).start().await;
    let mut manifest = greedy();
    manifest["capabilities"] = json!({ "hosts": [gateway.url()] });
    manifest["config"] = json!({ "gateway_url": gateway.url() });
    manifest["retry"] = json!([{ "attempts": 1_100, "first_delay_ms": 1, "factor": 1.0, "delay_ms_max": 1 }]);
    server.client.deploy(&manifest, weirgate_guests::build("greedy")).await;
    let act = json!({ "step": true, "fail": "transient" });
    server.client.accept(event("greedy.act", "k", "1", &act)).await;
    let dead = eventually("it to be given up", PATIENCE, async || {
        let dead_letters = server.client.get("/v1/dead-letters").await.ok()["dead_letters"].clone();
        if dead_letters[0].is_null() { Err(open(&server.client, "greedy").await) } else { Ok(dead_letters[0].clone()) }
    })
    .await;
    assert!(dead["message"].as_str().is_some_and(|message| message.contains("at most 1024")), "{dead}");
    assert_eq!(gateway.requests("/step").len(), 1_024);
    survives(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_too_many_effects_runs_one_by_one() {
    let mut server = Setup::new().start().await;
    let mut manifest = manifest("filler", &["greedy.fill"]);
    manifest["batch"] = json!({ "events_max": 256 });
    manifest["limits"] = json!({ "cpu_ms": 5_000, "wall_ms": 30_000, "log_lines": 1_000, "log_line_bytes": 1_024 });
    server.client.deploy(&manifest, weirgate_guests::build("greedy-batch")).await;
    server.client.post("/v1/handlers/filler/pause").await.ok();
    let fill = |n: usize| {
        let data = json!({ "bytes": 192 << 10, "log_bytes": 100_000 });
        event("greedy.fill", &format!("k/{n}"), &format!("fill-{n}"), &data)
    };
    server.client.publish(&(0..256).map(fill).collect::<Vec<_>>()).await.ok();
    server.client.post("/v1/handlers/filler/resume").await.ok();
    server.client.drained(PATIENCE).await;
    for n in [0, 255] {
        server.client.reaches(&format!("k/{n}"), "filler", "filled").await;
    }
    assert_eq!(server.client.get("/v1/dead-letters").await.ok()["dead_letters"], json!([]));
    survives(&mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_emits_its_own_event_is_stopped() {
    let mut server = Setup::new().start().await;
    server.client.deploy(&greedy(), weirgate_guests::build("greedy")).await;
    server.client.accept(event("greedy.act", "k", "1", &json!({ "copies": 1 }))).await;
    let dead = eventually("the chain to end", PATIENCE, async || {
        let dead_letters = server.client.get("/v1/dead-letters").await.ok()["dead_letters"].clone();
        if dead_letters[0].is_null() { Err("it continues") } else { Ok(dead_letters[0].clone()) }
    })
    .await;
    assert_eq!((&dead["class"], &dead["kind"]), (&json!("permanent"), &json!("effect-limit")), "{dead}");
    assert_eq!(server.client.events_of("greedy.act").await.len(), 65, "the first and one for each of 64 emissions");
    survives(&mut server).await;
    assert_eq!(open(&server.client, "greedy").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_emits_too_fast_waits_and_others_continue() {
    let server = Setup::new().start().await;
    let mut fast = greedy();
    fast["limits"] = json!({ "cpu_ms": 5_000, "host_calls": 65_536, "emitted_events": 1_024, "emitted_per_second": 1 });
    fast["name"] = "fast".into();
    server.client.deploy(&fast, weirgate_guests::build("greedy")).await;
    server.client.accept(event("greedy.act", "a", "1", &json!({ "copies": 1_024 }))).await;
    server.client.reaches("a", "fast", "done").await;
    server.client.deploy(&manifest("mender", &["mend.work"]), weirgate_guests::build("mender")).await;
    server.client.accept(event("mend.work", "b", "2", &json!({ "n": 1 }))).await;
    server.client.reaches("b", "mender", "done").await;
    let emitted = server.client.events_of("greedy.act").await.len();
    assert_eq!(emitted, 1_025, "its own events wait for 1,024 seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_change_while_a_handler_lags_are_remembered() {
    let mut server = Setup::new().start().await;
    let digest = server.client.upload(weirgate_guests::build("greedy")).await.ok()["digest"].clone();
    server.client.redeploy(&greedy(), &digest).await.ok();
    server.client.post("/v1/handlers/greedy/drain").await.ok();
    // Each is remembered, and their number is limited.
    let mut refused = None;
    for n in 0..2_500 {
        let mut manifest = greedy();
        manifest["subscriptions"] = json!([{ "types": ["greedy.act", format!("other.{n}")] }]);
        let answer = server.client.redeploy(&manifest, &digest).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    refused.expect("an end").is_problem(409, "too-far-behind");
    server.client.accept(event("greedy.act", "k", "1", &json!({}))).await;
    survives(&mut server).await;
    server.client.post("/v1/handlers/greedy/resume").await.ok();
    server.client.reaches("k", "greedy", "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_is_forgotten_when_it_has_left_its_window() {
    let mut server = Setup::new().env("WEIRGATE__ENGINE__IDENTITY_WINDOW_POSITIONS", "100").start().await;
    let one = event("a.b", "k", "1", &json!({}));
    let other = |n: usize| event("a.b", "k", &format!("other-{n}"), &json!({}));
    let is_duplicate = async |client: &Client| {
        client.publish(std::slice::from_ref(&one)).await.ok()["events"][0]["duplicate"]
            .as_bool()
            .expect("whether it is")
    };
    assert!(!is_duplicate(&server.client).await);
    server.client.publish(&(0..99).map(other).collect::<Vec<_>>()).await.ok();
    assert!(is_duplicate(&server.client).await, "99 positions follow it");
    server.client.publish(&[other(99)]).await.ok();
    assert!(!is_duplicate(&server.client).await, "100 do: it is another event");
    assert!(is_duplicate(&server.client).await, "and that one is known");
    survives(&mut server).await;
    assert!(is_duplicate(&server.client).await, "also after a crash");
    assert!(!server.client.publish(&[other(0)]).await.ok()["events"][0]["duplicate"].as_bool().expect("whether it is"));
}
