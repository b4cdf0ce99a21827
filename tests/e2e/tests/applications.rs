//! Applications on the real binary: what was acknowledged is durable, and goes on after a kill.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{
    Client, Gateway, Server,
    charges::{CHARGES, approve, ask, charged, computed, id_of, mender, text_of},
    event, eventually,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Charges that a fixed version would have handled otherwise: it asks for a rate, and the plan of that is approved.
async fn approved(gateway: &Gateway) -> (Server, Value, Value) {
    let (server, digest) = charged(gateway).await;
    server.client.redeploy(&mender(gateway, "GET rate"), &digest).await.ok();
    let asked = ask(&server.client, "call").await;
    assert_eq!(asked["found"]["planned_keys"], CHARGES, "{asked:#}");
    approve(&server.client, &asked, false).await;
    (server, digest, asked)
}

/// Another what-if, which waits for an answer of the gateway: those behind it are not begun meanwhile. Returns its id.
async fn waits(client: &Client, gateway: &Gateway, digest: &Value) -> String {
    gateway.hold(Some("/slow"));
    let before = gateway.requests("/slow").len();
    let mut slow = mender(gateway, "GET slow");
    slow["limits"] = json!({ "wall_ms": 30_000 });
    let request = json!({
        "handler": "mender", "missing_answers": "call", "candidate": { "digest": digest, "manifest": slow },
    });
    let asked = client.ask("/v1/replays", &request).await;
    assert_eq!(asked.status, 202, "{}", asked.text);
    eventually("the call", PATIENCE, async || {
        let requests = gateway.requests("/slow").len();
        if requests > before { Ok(()) } else { Err(requests) }
    })
    .await;
    id_of(&asked.json).to_owned()
}

/// The steps of a replay in the timeline of a charge, with their actors. A timeline ends with the last record of its key: another event
/// is handled first.
async fn steps(client: &Client, id: &str) -> Vec<(String, String)> {
    let later = client.get("/v1/events?limit=1").await.ok()["head"].to_string();
    client.accept(event("mend.charge", "charge/1", &later, &json!({ "amount": 9 }))).await;
    client.drained(PATIENCE).await;
    let timeline = client.get("/v1/timeline?limit=1000&key=charge/1").await.ok();
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let of_replay = entries.filter(|entry| entry["kind"] == "replay" && entry["replay"].to_string() == *id);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    of_replay.map(|entry| (text(&entry["step"]), text(&entry["actor"]))).collect()
}

async fn apply_as(client: &Client, id: &str, actor: &str) -> Value {
    let audit = json!({ "actor": actor, "reason": "the rate is missing" });
    let begun = client.about_replay(id, "apply", &audit).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    begun.json
}

/// Kills the server, and starts it again; the gateway answers again.
async fn killed(server: &mut Server, gateway: &Gateway) {
    server.kill9();
    gateway.hold(None);
    server.start().await;
}

fn named(steps: &[(&str, &str)]) -> Vec<(String, String)> {
    steps.iter().map(|(step, actor)| ((*step).to_owned(), (*actor).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_goes_on_after_a_kill_before_the_first_key() {
    let gateway = Gateway::start().await;
    let (mut server, digest, asked) = approved(&gateway).await;
    let id = id_of(&asked);
    waits(&server.client, &gateway, &digest).await;
    let begun = apply_as(&server.client, id, "eva").await;
    assert_eq!((&begun["state"], &begun["application"]["running"]), (&json!("applying"), &json!(true)), "{begun:#}");
    // The same again is the same application, also if another asks.
    apply_as(&server.client, id, "eva").await;
    let again = apply_as(&server.client, id, "bo").await;
    assert_eq!(again["repaired"], 0, "{again:#}");
    let approval = json!({ "plan": asked["found"]["plan"] });
    server.client.about_replay(id, "approve", &approval).await.is_problem(409, "replay-runs");

    killed(&mut server, &gateway).await;
    let client = server.client.clone();
    let applied = client.replay_is(id, "applied").await;
    client.drained(PATIENCE).await;
    assert_eq!(applied["repaired"], CHARGES, "{applied:#}");
    assert_eq!(text_of(&client, 2).await, "2 with GET rate");

    // So does an undo.
    let undo = client.undo_replay(id).await;
    approve(&client, &undo, false).await;
    waits(&client, &gateway, &digest).await;
    apply_as(&client, id_of(&undo), "cleo").await;
    killed(&mut server, &gateway).await;
    let undone = client.replay_is(id_of(&undo), "undone").await;
    client.drained(PATIENCE).await;
    assert_eq!(undone["repaired"], CHARGES, "{undone:#}");
    let expected = [
        ("approved", "operator"),
        ("apply-begun", "eva"),
        ("applied", "eva"),
        ("undo-approved", "operator"),
        ("undo-begun", "cleo"),
        ("undone", "cleo"),
    ];
    let steps_of_it = steps(&client, id).await;
    assert!(steps_of_it.ends_with(&named(&expected)), "{steps_of_it:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cancelled_does_not_go_on_after_a_kill() {
    let gateway = Gateway::start().await;
    let (mut server, digest, asked) = approved(&gateway).await;
    let id = id_of(&asked);
    waits(&server.client, &gateway, &digest).await;
    apply_as(&server.client, id, "eva").await;
    let cancelled = server.client.about_replay(id, "cancel", &json!({ "actor": "bo" })).await.ok();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
    killed(&mut server, &gateway).await;
    let client = &server.client;
    // What is asked for now is computed after everything that goes on.
    assert_eq!(ask(client, "fail").await["found"]["planned_keys"], CHARGES, "no key was repaired");
    let replay = client.replay(id).await;
    assert_eq!((&replay["state"], &replay["repaired"]), (&json!("cancelled"), &json!(0)), "{replay:#}");
    client.about_replay(id, "apply", &json!({})).await.is_problem(409, "not-approved");
    let steps_of_it = steps(client, id).await;
    let expected = [("approved", "operator"), ("apply-begun", "eva"), ("cancelled", "bo")];
    assert!(steps_of_it.ends_with(&named(&expected)), "{steps_of_it:?}");
}

/// Keys that were refused are tried again by another application, of which the log says who asked for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_refused_keys_is_begun_again() {
    let gateway = Gateway::start().await;
    let (mut server, digest) = charged(&gateway).await;
    server.client.redeploy(&mender(&gateway, "POST receipt"), &digest).await.ok();
    let asked = ask(&server.client, "call").await;
    let id = id_of(&asked);
    approve(&server.client, &asked, true).await;
    gateway.answer(503);
    let ended = async |client: &Client| {
        eventually("the application to end", PATIENCE, async || {
            let replay = client.replay(id).await;
            if replay["application"]["running"] == false { Ok(replay) } else { Err(replay) }
        })
        .await
    };
    apply_as(&server.client, id, "eva").await;
    let refused = ended(&server.client).await;
    assert_eq!((&refused["state"], &refused["repaired"]), (&json!("applying"), &json!(0)), "{refused:#}");
    // It is not over: so it is tried again after a start, and when it is asked for.
    killed(&mut server, &gateway).await;
    let client = &server.client;
    computed(client, id).await;
    assert_eq!(ended(client).await["repaired"], 0);
    gateway.answer(200);
    apply_as(client, id, "bo").await;
    let applied = client.replay_is(id, "applied").await;
    assert_eq!(applied["repaired"], CHARGES, "{applied:#}");
    let steps_of_it = steps(client, id).await;
    let expected = [("apply-begun", "eva"), ("apply-begun", "bo"), ("applied", "bo")];
    assert!(steps_of_it.ends_with(&named(&expected)), "{steps_of_it:?}");
}
