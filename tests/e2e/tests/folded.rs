//! Receivers of changed events that are folded again, on the real binary: when keys are repaired one after the other, and where receivers
//! have receivers of their own.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Gateway, Server, Setup, event, eventually, manifest};

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
    let path = format!("/v1/replays/{}/differences", asked["id"].as_str().expect("an id"));
    let differences = client.get(&path).await.ok();
    assert_eq!(
        (&asked["found"]["keys"], &asked["found"]["receivers"]),
        (&json!(0), &json!(0)),
        "{asked:#}\n{differences:#}"
    );
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

/// Receivers of created keys that call a gateway for each: one reads there, the other changes something. A member who had registered before
/// the activation has got no key, and the fixed handler is in force.
async fn calling_receivers(gateway: &Gateway) -> Server {
    let server = Setup::new().env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host()).start().await;
    let client = &server.client;
    let digest = client.deploy(&activation("true"), weirgate_guests::build("activation")).await["digest"].clone();
    for (name, method) in [("reader", "GET"), ("teller", "POST")] {
        let mut receiver = receiver(name, "key.created");
        receiver["capabilities"] = json!({ "hosts": [gateway.url()] });
        let announces = (method == "POST").to_string();
        receiver["config"] = json!({ "call": format!("{method} {}/{name}", gateway.url()), "announces": announces });
        client.redeploy(&receiver, &digest).await.ok();
    }
    let of = |r#type: &str, id: &str, member: &str| event(r#type, "org/1", id, &json!({ "member": member }));
    // Who registers twice gets two keys, which are equal events.
    for (r#type, id, member) in [
        ("member.registered", "1", "early"),
        ("member.registered", "2", "early"),
        ("organisation.activated", "3", ""),
        ("member.registered", "4", "late"),
    ] {
        client.accept(of(r#type, id, member)).await;
    }
    client.drained(PATIENCE).await;
    client.redeploy(&activation("false"), &digest).await.ok();
    server
}

/// The requests for a member.
fn asked_for(gateway: &Gateway, receiver: &str, member: &str) -> usize {
    gateway.requests(&format!("/{receiver}/{member}")).len()
}

async fn failing(client: &Client, asked: &Value, receiver: &str) -> String {
    let path = format!("/v1/replays/{}/keys?key=all", asked["id"].as_str().expect("an id"));
    let key = client.get(&path).await.ok();
    let handlers = key["handlers"].as_array().expect("a list");
    let of_receiver = handlers.iter().find(|one| one["handler"] == receiver).unwrap_or(&Value::Null);
    of_receiver["fails"]["reason"].as_str().unwrap_or_default().to_owned()
}

/// Its late delivery has made the call: in its place the same call is neither made again nor missing, and the late one is not left over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_folded_with_the_answers_that_it_got_late() {
    let gateway = Gateway::start().await;
    let mut server = calling_receivers(&gateway).await;
    let client = &server.client;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    for receiver in ["reader", "teller"] {
        let reason = failing(client, &asked, receiver).await;
        assert!(reason.contains("early"), "{receiver}: {reason}");
        assert_eq!(asked_for(&gateway, receiver, "early"), 0, "no consent, no call");
    }
    let done = apply(client, &asked, json!({ "fold_again": ["reader", "teller"] }), "applied").await;
    assert_eq!(done["application"]["folded"], 2, "{done:#}");
    for receiver in ["reader", "teller"] {
        assert_eq!(text(client, "last-key/all", receiver).await, "late", "as if it had come in time");
        assert_eq!([asked_for(&gateway, receiver, "early"), asked_for(&gateway, receiver, "late")], [2, 1]);
    }
    finds_nothing(client, "activation").await;
    server.restart().await;
    let client = &server.client;
    finds_nothing(client, "activation").await;
    let undo = client.undo_replay(asked["id"].as_str().expect("an id")).await;
    apply(client, &undo, json!({}), "undone").await;
    for receiver in ["reader", "teller"] {
        assert_eq!(text(client, "last-key/all", receiver).await, "early", "it came late");
        assert_eq!(asked_for(&gateway, receiver, "early"), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_call_with_consent_and_never_to_change_something() {
    let gateway = Gateway::start().await;
    let mut server = calling_receivers(&gateway).await;
    let client = &server.client;
    let asked = client.what_if(&json!({ "handler": "activation", "missing_answers": "call" })).await;
    assert_eq!(failing(client, &asked, "reader").await, "", "{asked:#}");
    assert!(failing(client, &asked, "teller").await.contains("POST"), "{asked:#}");
    assert_eq!([asked_for(&gateway, "reader", "early"), asked_for(&gateway, "teller", "early")], [1, 0]);
    gateway.answer(500);
    server.restart().await;
    let client = &server.client;
    let again = client.computed(asked["id"].as_str().expect("an id")).await;
    assert_eq!(again["found"], asked["found"], "its recorded answer is used");
    gateway.answer(200);
    let done = apply(client, &asked, json!({ "fold_again": ["reader"], "allow_calls": true }), "applied").await;
    assert_eq!(done["application"]["folded"], 1, "{done:#}");
    assert_eq!(
        [asked_for(&gateway, "reader", "early"), asked_for(&gateway, "teller", "early")],
        [3, 2],
        "late, each once"
    );
}

/// What comes behind a receiver that fails in the fork is not known before that has handled what is appended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_behind_one_that_calls_is_folded_again() {
    let gateway = Gateway::start().await;
    let server = calling_receivers(&gateway).await;
    let client = &server.client;
    let digest = client.handler("teller").await["digest"].clone();
    let mut board = receiver("board", "key.counted");
    board["start"] = json!("beginning");
    client.redeploy(&board, &digest).await.ok();
    client.drained(PATIENCE).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    assert_ne!(failing(client, &asked, "teller").await, "");
    let done = apply(client, &asked, json!({ "fold_again": ["board", "teller"] }), "applied").await;
    assert_eq!(done["application"]["refused"]["more"], 0, "{done:#}");
    assert_eq!(text(client, "listed/all", "board").await, "1 early, 2 early, 3 late", "as if all had come in time");
    assert_eq!([asked_for(&gateway, "teller", "early"), asked_for(&gateway, "teller", "late")], [2, 1]);
}

/// The receiver behind has events that the failing one has emitted: they are not taken away from it for others that are not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_behind_one_that_fails_keeps_what_it_has() {
    let gateway = Gateway::start().await;
    let server = Setup::new().env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host()).start().await;
    let client = &server.client;
    let mut misspelling = activation("false");
    misspelling["config"]["misspells"] = json!("x");
    let digest = client.deploy(&misspelling, weirgate_guests::build("activation")).await["digest"].clone();
    let mut teller = receiver("teller", "key.created");
    teller["capabilities"] = json!({ "hosts": [gateway.url()] });
    teller["config"]["call"] = json!(format!("POST {}/teller", gateway.url()));
    teller["retry"] = json!([{ "attempts": 2, "first_delay_ms": 10, "delay_ms_max": 10, "jitter": "none" }]);
    client.redeploy(&teller, &digest).await.ok();
    client.redeploy(&receiver("board", "key.counted"), &digest).await.ok();
    for (id, r#type) in [("1", "organisation.activated"), ("2", "member.registered")] {
        client.accept(event(r#type, "org/1", id, &json!({ "member": "ada" }))).await;
    }
    client.drained(PATIENCE).await;
    client.redeploy(&activation("false"), &digest).await.ok();
    gateway.answer(500);
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    assert!(failing(client, &asked, "board").await.contains("teller fails for all"), "{asked:#}");
    let both = json!({ "fold_again": ["board", "teller"] });
    let done = apply(client, &asked, both.clone(), "applied-in-part").await;
    assert_eq!(done["application"]["refused"]["first"].as_array().map(Vec::len), Some(2), "{done:#}");
    assert_eq!(text(client, "listed/all", "board").await, "1 adax");
    gateway.answer(200);
    let dead = client.get("/v1/dead-letters").await.ok();
    let dead = dead["dead_letters"][0]["id"].as_str().expect("the late delivery").to_owned();
    client.post(&format!("/v1/dead-letters/{dead}/resubmit")).await.ok();
    client.drained(PATIENCE).await;
    let done = apply(client, &asked, both, "applied").await;
    assert_eq!(done["application"]["refused"]["first"], json!([]), "{done:#}");
    assert_eq!(text(client, "listed/all", "board").await, "1 ada");
    // Neither handler compensates what it has published, and neither key had anything else to repair.
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let path = format!("/v1/replays/{}/differences", asked["id"].as_str().expect("an id"));
    let differences = client.get(&path).await.ok();
    let mut left = Vec::new();
    for one in differences["differences"].as_array().expect("a list") {
        let counts = one["counts"].as_object().expect("counts").iter().filter(|(_, count)| **count != json!(0));
        left.push((one["handler"].clone(), counts.map(|(name, _)| name.clone()).collect::<Vec<_>>()));
    }
    let stays = vec!["events_removed".to_owned()];
    assert_eq!(left, [(json!("activation"), stays.clone()), (json!("teller"), stays)], "{differences:#}");
}

/// A key that fails is not repaired: its receivers are planned, and folded, with what it has emitted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plan_of_a_receiver_is_what_is_applied_where_a_key_fails() {
    let server = fixed_too_late().await;
    let client = &server.client;
    let digest = client.handler("activation").await["digest"].clone();
    let mut failing = activation("false");
    failing["config"]["fails_for"] = json!("org/2");
    client.redeploy(&failing, &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    assert_eq!((&asked["found"]["keys"], &asked["found"]["keys_failing"]), (&json!(2), &json!(1)), "{asked:#}");
    let path = format!("/v1/replays/{}/differences", asked["id"].as_str().expect("an id"));
    let listed = client.get(&path).await.ok();
    let of = |handler: &str, key: &str| {
        let all = listed["differences"].as_array().expect("a list");
        all.iter().find(|one| one["handler"] == handler && one["key"] == key).cloned().unwrap_or_default()
    };
    assert!(of("activation", "org/2")["fails"].is_object(), "{listed:#}");
    let planned = &of("board", "all")["statuses"][0]["fork"]["text"];
    apply(client, &asked, json!({ "fold_again": ["keyring", "board"] }), "applied-in-part").await;
    assert_eq!(*planned, text(client, "listed/all", "board").await);
    assert_eq!(planned, "1 early-1, 2 late-1, 3 late-2");
}
