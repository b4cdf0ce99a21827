//! Receivers of changed events that are folded again, on the real binary: when keys are repaired one after the other, and where receivers
//! have receivers of their own.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(180);

/// The handler of members: all keys are created under one key, which receivers count and list.
fn activation(forgets: &str) -> Value {
    let mut manifest = manifest("activation", &["member.registered", "organisation.activated"]);
    manifest["config"] = json!({ "forgets": forgets, "keys_under": "all" });
    manifest
}

fn receiver(name: &str, r#type: &str) -> Value {
    let mut manifest = manifest(name, &[r#type]);
    manifest["config"] = json!({ "announces": "true" });
    manifest["fold_again"] = json!(true);
    manifest
}

/// The forgetful handler has handled everything, and the fixed one is in force; receivers' receivers sort before them.
async fn fixed_too_late() -> Server {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&activation("true"), weirgate_guests::build("activation")).await["digest"].clone();
    client.redeploy(&receiver("keyring", "key.created"), &digest).await.ok();
    client.redeploy(&receiver("board", "key.counted"), &digest).await.ok();
    for organisation in ["org/1", "org/2"] {
        let n = &organisation[4..];
        let of = |r#type: &str, id: String, data: Value| {
            let mut event = event(r#type, organisation, &id, &data);
            event["partitionkey"] = organisation.into();
            event
        };
        let member =
            |name: &str| of("member.registered", format!("{name}-{n}"), json!({ "member": format!("{name}-{n}") }));
        let activated = of("organisation.activated", format!("activated-{n}"), json!({}));
        client.publish(&[member("early"), activated, member("late")]).await.ok();
        client.drained(PATIENCE).await;
    }
    client.redeploy(&activation("false"), &digest).await.ok();
    server
}

async fn apply(client: &Client, asked: &Value, choices: Value, state: &str) -> Value {
    let path = format!("/v1/replays/{}", asked["id"].as_str().expect("an id"));
    let mut approval = choices;
    approval["plan"] = asked["found"]["plan"].clone();
    client.ask(&format!("{path}/approve"), &approval).await.ok();
    client.ask(&format!("{path}/apply"), &json!({})).await.ok();
    let ended = eventually("the application to end", PATIENCE, async || {
        let replay = client.get(&path).await.ok();
        if replay["state"] == state { Ok(replay) } else { Err(replay) }
    })
    .await;
    client.drained(PATIENCE).await;
    ended
}

async fn text(client: &Client, subject: &str, handler: &str) -> String {
    let status = client.status(subject).await;
    status["parts"][handler]["text"].as_str().unwrap_or_default().to_owned()
}

async fn finds_nothing(client: &Client, handler: &str) {
    let asked = client.what_if(&json!({ "handler": handler })).await;
    assert_eq!((&asked["found"]["keys"], &asked["found"]["receivers"]), (&json!(0), &json!(0)), "{asked:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_of_several_keys_stands_right_when_they_are_repaired_one_after_the_other() {
    let server = fixed_too_late().await;
    let client = &server.client;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    for (key, state) in [("org/1", "applied-in-part"), ("org/2", "applied-in-part")] {
        apply(client, &asked, json!({ "keys": [key], "fold_again": ["keyring"] }), state).await;
    }
    assert_eq!(text(client, "last-key/all", "keyring").await, "late-2", "as if all had come in time");
    let done = apply(client, &asked, json!({ "fold_again": ["keyring", "board"] }), "applied").await;
    assert_eq!(done["application"]["refused"]["more"], 0, "{done:#}");
    assert_eq!(text(client, "listed/all", "board").await, "1 early-1, 2 late-1, 3 early-2, 4 late-2");
    finds_nothing(client, "activation").await;
    finds_nothing(client, "keyring").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_folded_behind_those_whose_events_it_takes() {
    let server = fixed_too_late().await;
    let client = &server.client;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let done = apply(client, &asked, json!({ "fold_again": ["board", "keyring"] }), "applied").await;
    assert_eq!(done["application"]["folded"], 2, "{done:#}");
    assert_eq!(text(client, "last-key/all", "keyring").await, "late-2");
    assert_eq!(text(client, "listed/all", "board").await, "1 early-1, 2 late-1, 3 early-2, 4 late-2");
    let undo = client.undo_replay(asked["id"].as_str().expect("an id")).await;
    let undone = apply(client, &undo, json!({}), "undone").await;
    assert_eq!(undone["application"]["folded"], 2, "{undone:#}");
    finds_nothing(client, "board").await;
}
