//! Replays followed over the live endpoint: their progress and what comes of them is pushed, to pages of this server alone.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Live, Server, Setup, event, manifest};

const PATIENCE: Duration = Duration::from_secs(60);
const ALLOWED: &str = "https://shop.example";

/// A server on which a forgetful handler has handled members, and the fixed one is in force.
async fn fixed_too_late(setup: Setup) -> Server {
    let server = setup.start().await;
    let client = &server.client;
    let mut activation = manifest("activation", &["member.registered", "organisation.activated"]);
    activation["config"] = json!({ "forgets": "true" });
    let digest = client.deploy(&activation, weirgate_guests::build("activation")).await["digest"].clone();
    for (n, r#type) in ["member.registered", "organisation.activated"].into_iter().enumerate() {
        let mut event = event(r#type, "org/1", &n.to_string(), &json!({ "member": "ada" }));
        event["partitionkey"] = "org/1".into();
        client.accept(event).await;
    }
    client.drained(PATIENCE).await;
    activation["config"] = json!({});
    client.redeploy(&activation, &digest).await.ok();
    server
}

async fn follow(live: &mut Live, id: &str) {
    live.send(&json!({ "type": "follow", "replays": [id] })).await;
}

/// The frames of a replay up to one of this state, which is the last.
async fn until(live: &mut Live, id: &str, state: &str) -> Value {
    loop {
        let frame = live.receive().await;
        assert_eq!((&frame["type"], &frame["id"]), (&json!("replay"), &json!(id)), "{frame:#}");
        if frame["replay"]["state"] == state {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_followed_from_its_request_to_its_application() {
    let server = fixed_too_late(Setup::new()).await;
    let client = &server.client;
    let mut live = Live::connect(&server.url("")).await;
    let asked = client.ask("/v1/replays", &json!({ "handler": "activation" })).await;
    let id = asked.json["id"].as_str().expect("an id").to_owned();
    follow(&mut live, &id).await;
    let ready = until(&mut live, &id, "ready").await;
    assert_eq!(ready["replay"]["found"]["planned_keys"], 1, "{ready:#}");
    // Statuses come over the same connection.
    live.subscribe(&["member/ada"]).await;
    assert_eq!(live.receive().await["type"], "snapshot");
    let approval = json!({ "plan": ready["replay"]["found"]["plan"] });
    client.ask(&format!("/v1/replays/{id}/approve"), &approval).await.ok();
    client.ask(&format!("/v1/replays/{id}/apply"), &json!({})).await;
    let (mut applied, mut corrected) = (false, false);
    while !(applied && corrected) {
        let frame = live.receive().await;
        match frame["type"].as_str() {
            Some("replay") => applied |= frame["replay"]["state"] == "applied" && frame["replay"]["repaired"] == 1,
            _ => corrected |= frame["parts"]["activation"]["corrected"] == true,
        }
    }
    // What is not followed any more, and what is not there.
    live.send(&json!({ "type": "unfollow", "replays": [id] })).await;
    follow(&mut live, "9999999").await;
    let gone = loop {
        let frame = live.receive().await;
        if frame["id"] == "9999999" {
            break frame;
        }
    };
    assert_eq!((&gone["code"], &gone["replay"]), (&json!("unknown-replay"), &Value::Null), "{gone:#}");
}

/// Nothing else happens on the connection that would make the server look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_a_followed_replay_reaches_a_quiet_connection() {
    let server = fixed_too_late(Setup::new()).await;
    let client = &server.client;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let id = asked["id"].as_str().expect("an id");
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut live = Live::connect(&server.url("")).await;
        follow(&mut live, id).await;
        until(&mut live, id, "ready").await;
        connections.push(live);
    }
    client.about_replay(id, "approve", &json!({ "plan": asked["found"]["plan"] })).await.ok();
    for live in &mut connections {
        until(live, id, "approved").await;
    }
    client.about_replay(id, "apply", &json!({})).await;
    for live in &mut connections {
        until(live, id, "applied").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_follow_statuses_but_no_replays() {
    let server = fixed_too_late(Setup::new().env("WEIRGATE__LIVE__ORIGINS", ALLOWED)).await;
    let mut live = Live::try_connect(&server.url(""), Some(ALLOWED)).await.expect("it may follow statuses");
    follow(&mut live, "1").await;
    let (frames, code) = live.close_code().await;
    assert_eq!((frames[0]["code"].as_str(), code), (Some("origin-not-allowed"), 4502), "{frames:?}");
    let mut live = Live::connect(&server.url("")).await;
    let many: Vec<String> = (0..17).map(|id| id.to_string()).collect();
    live.send(&json!({ "type": "follow", "replays": many })).await;
    assert_eq!(live.close_code().await.1, 4504);
}
