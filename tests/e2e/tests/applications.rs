//! Applications on the real binary: what was acknowledged is durable, and goes on after a kill; what waits for a host ends soon when it is
//! to end, and keys whose host cannot be called wait for it.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{
    Client, Gateway, Server,
    charges::{CHARGES, approve, ask, charged, computed, id_of, mender, text_of},
    event, eventually, within,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long a call may take that is not cut off; the tests' patience with it is less.
const CALL_MS_MAX: u64 = 30_000;
const SOON: Duration = Duration::from_secs(15);
/// Keys whose calls are enough to open a breaker.
const MANY: usize = 60;

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
    slow["limits"] = json!({ "wall_ms": CALL_MS_MAX });
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

/// An attempt of the first key, which waits for an answer of the gateway: an application waits for it before it repairs a key.
async fn attempt_waits(client: &Client, gateway: &Gateway) {
    gateway.hold(Some("/charge"));
    let before = gateway.requests("/charge").len();
    let id = format!("waits-{before}");
    client.accept(event("mend.charge", "charge/0", &id, &json!({ "amount": 0 }))).await;
    eventually("the call", PATIENCE, async || {
        let requests = gateway.requests("/charge").len();
        if requests > before { Ok(()) } else { Err(requests) }
    })
    .await;
}

/// All keys, or all but the one with the attempt that waited: it may stand right by that.
fn all_but_first(keys: &Value) -> bool {
    *keys == json!(CHARGES) || *keys == json!(CHARGES - 1)
}

/// The steps of a replay in the timeline of a charge, with their actors. A timeline ends with the last record of its key: another event
/// is handled first.
async fn steps(client: &Client, id: &str) -> Vec<(String, String)> {
    let later = client.get("/v1/events?limit=1").await.ok()["head"].to_string();
    client.accept(event("mend.charge", "charge/1", &later, &json!({ "amount": 9 }))).await;
    client.drained(PATIENCE).await;
    let timeline = client.get("/v1/timeline?limit=1000&key=charge/1").await.ok();
    let entries = timeline["entries"].as_array().expect("entries").iter();
    let of_replay = entries.filter(|entry| entry["kind"] == "replay" && entry["replay"].as_u64() == id.parse().ok());
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
    let (mut server, _, asked) = approved(&gateway).await;
    let id = id_of(&asked);
    attempt_waits(&server.client, &gateway).await;
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
    assert!(all_but_first(&applied["repaired"]), "{applied:#}");
    assert_eq!(text_of(&client, 2).await, "2 with GET rate");

    // So does an undo, from when it is asked for.
    let undo_id = format!("{id}-undo");
    client.get(&format!("/v1/replays/{undo_id}")).await.is_problem(409, "undo-not-requested");
    for actor in ["dora", "bo"] {
        let asked = client.about_replay(id, "undo", &json!({ "actor": actor, "reason": "the rate was right" })).await;
        assert_eq!((asked.status, &asked.json["actor"]), (202, &json!("dora")), "it is asked for once: {}", asked.text);
    }
    let undo = client.computed(&undo_id).await;
    killed(&mut server, &gateway).await;
    let again = client.computed(&undo_id).await;
    for name in ["actor", "reason", "asked_at_ms", "through", "found"] {
        assert_eq!(undo[name], again[name], "{name}: {again:#}");
    }
    let approval = json!({ "plan": undo["found"]["plan"], "actor": "ada" });
    client.about_replay(&undo_id, "approve", &approval).await.ok();
    attempt_waits(&client, &gateway).await;
    client.about_replay(&undo_id, "apply", &json!({ "actor": "cleo" })).await.ok();
    killed(&mut server, &gateway).await;
    let undone = client.replay_is(&undo_id, "undone").await;
    client.drained(PATIENCE).await;
    assert!(all_but_first(&undone["repaired"]), "{undone:#}");
    let by = |name: &str| (undone[name]["actor"].clone(), undone[name]["reason"].clone());
    assert_eq!((&undone["actor"], by("approval").0), (&json!("dora"), json!("ada")), "{undone:#}");
    assert_eq!(by("ended"), (json!("cleo"), json!("the rate was right")), "as it was asked for: {undone:#}");
    let expected = [
        ("approved", "operator"),
        ("apply-begun", "eva"),
        ("applied", "eva"),
        ("undo-requested", "dora"),
        ("undo-approved", "ada"),
        ("undo-begun", "cleo"),
        ("undone", "cleo"),
    ];
    let steps_of_it = steps(&client, id).await;
    assert!(steps_of_it.ends_with(&named(&expected)), "{steps_of_it:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cancelled_does_not_go_on_after_a_kill() {
    let gateway = Gateway::start().await;
    let (mut server, _, asked) = approved(&gateway).await;
    let id = id_of(&asked);
    attempt_waits(&server.client, &gateway).await;
    apply_as(&server.client, id, "eva").await;
    let cancelled = server.client.about_replay(id, "cancel", &json!({ "actor": "bo" })).await.ok();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
    killed(&mut server, &gateway).await;
    let client = &server.client;
    // What is asked for now is computed after everything that goes on.
    let left = ask(client, "fail").await["found"]["planned_keys"].clone();
    assert!(all_but_first(&left), "no key was repaired: {left}");
    let replay = client.replay(id).await;
    assert_eq!((&replay["state"], &replay["repaired"]), (&json!("cancelled"), &json!(0)), "{replay:#}");
    client.about_replay(id, "apply", &json!({})).await.is_problem(409, "not-approved");
    let by = ["approval", "begun", "ended"].map(|step| replay[step]["actor"].clone());
    assert_eq!(by, [json!("operator"), json!("eva"), json!("bo")], "{replay:#}");
    assert_eq!(steps(client, id).await, [], "it has changed nothing of the key");
}

/// An undo that was asked for can be withdrawn until it is approved; that is durable, and the replay stays applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_that_was_withdrawn_is_asked_for_anew() {
    let gateway = Gateway::start().await;
    let (mut server, _, asked) = approved(&gateway).await;
    let (id, undo_id) = (id_of(&asked), format!("{}-undo", id_of(&asked)));
    apply_as(&server.client, id, "eva").await;
    server.client.replay_is(id, "applied").await;
    let undo = server.client.undo_replay(id).await;
    let cancelled = server.client.about_replay(&undo_id, "cancel", &json!({ "actor": "bo" })).await.ok();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
    killed(&mut server, &gateway).await;
    let client = &server.client;
    let replay = client.replay(id).await;
    assert_eq!((&replay["state"], &replay["ended"]["actor"]), (&json!("applied"), &json!("eva")), "{replay:#}");
    client.get(&format!("/v1/replays/{undo_id}")).await.is_problem(409, "undo-not-requested");
    for (command, body) in [("cancel", json!({})), ("approve", json!({ "plan": undo["found"]["plan"] }))] {
        client.about_replay(&undo_id, command, &body).await.is_problem(409, "undo-not-requested");
    }
    let again = client.about_replay(id, "undo", &json!({ "actor": "dora" })).await;
    assert_eq!((again.status, &again.json["actor"]), (202, &json!("dora")), "{}", again.text);
    let computed = client.computed(&undo_id).await;
    assert_eq!(computed["found"]["planned_keys"], CHARGES, "{computed:#}");
    let steps_of_it = steps(client, id).await;
    let expected =
        [("applied", "eva"), ("undo-requested", "operator"), ("undo-cancelled", "bo"), ("undo-requested", "dora")];
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
    assert_eq!((&refused["state"], &refused["repaired"]), (&json!("applied-in-part"), &json!(0)), "{refused:#}");
    let why = &refused["application"]["refused"];
    let listed = why["first"].as_array().map(Vec::len);
    assert_eq!((&refused["ended"]["refused"], listed), (why, Some(CHARGES)), "{refused:#}");
    // It has ended: so it is tried again when that is asked for, and not by a start.
    gateway.answer(200);
    killed(&mut server, &gateway).await;
    let client = &server.client;
    let computed = computed(client, id).await;
    assert_eq!((&computed["state"], &computed["application"]), (&json!("applied-in-part"), &Value::Null));
    assert_eq!(client.replay(id).await["repaired"], 0);
    assert_eq!(computed["ended"]["refused"], *why, "the log has it: {computed:#}");
    apply_as(client, id, "bo").await;
    let applied = client.replay_is(id, "applied").await;
    assert_eq!((&applied["repaired"], &applied["ended"]["refused"]), (&json!(CHARGES), &Value::Null), "{applied:#}");
    let steps_of_it = steps(client, id).await;
    let expected = [("apply-begun", "eva"), ("ended-in-part", "eva"), ("apply-begun", "bo"), ("applied", "bo")];
    assert!(steps_of_it.ends_with(&named(&expected)), "{steps_of_it:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_an_answer_is_cut_off_by_a_cancel_and_by_a_stop() {
    let gateway = Gateway::start().await;
    let (mut server, digest) = charged(&gateway).await;
    let client = server.client.clone();
    let waiting = waits(&client, &gateway, &digest).await;
    client.about_replay(&waiting, "cancel", &json!({})).await.ok();
    // The next one is computed at once, while the gateway still holds its answer.
    let next = within("the next what-if", SOON, ask(&client, "fail")).await;
    assert_eq!(next["found"]["keys"], 0, "{next:#}");
    let cut = client.replay(&waiting).await;
    assert_eq!((&cut["state"], &cut["found"]), (&json!("cancelled"), &Value::Null), "{cut:#}");
    let breakers = client.get("/v1/breakers").await.ok();
    assert!(!breakers.to_string().contains("\"open\""), "what was cut off is no failure of the host: {breakers:#}");

    waits(&client, &gateway, &digest).await;
    let status = within("the server to stop", SOON, server.terminate()).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

/// The state of the breaker of the handler's calls to the gateway.
async fn breaker(client: &Client, gateway: &Gateway) -> Value {
    let breakers = client.get("/v1/breakers").await.ok();
    let of_host = |breaker: &&Value| {
        breaker["kind"] == "host" && breaker["name"].as_str().is_some_and(|name| name.ends_with(&gateway.host()))
    };
    breakers["breakers"]
        .as_array()
        .expect("breakers")
        .iter()
        .find(of_host)
        .map_or(Value::Null, |one| one["state"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_calls_of_a_what_if_open_the_breaker_and_other_keys_are_not_examined() {
    let gateway = Gateway::start().await;
    let (mut server, digest) = charged(&gateway).await;
    let charge =
        |n: usize| event("mend.charge", &format!("charge/many-{n}"), &format!("m-{n}"), &json!({ "amount": n }));
    server.client.publish(&(0..MANY).map(charge).collect::<Vec<_>>()).await.ok();
    server.client.drained(PATIENCE).await;
    server.client.redeploy(&mender(&gateway, "GET rate"), &digest).await.ok();
    // The successful calls are in no window any more.
    server.restart().await;
    let client = &server.client;
    gateway.answer(503);
    let asked = ask(client, "call").await;
    let [failing, not_examined] = ["keys_failing", "keys_not_examined"].map(|name| asked["found"][name].as_u64());
    let (failing, not_examined) = (failing.expect("a number"), not_examined.expect("a number"));
    assert_eq!(failing + not_examined, (CHARGES + MANY) as u64, "{asked:#}");
    assert!(failing >= 10 && not_examined > 0, "{asked:#}");
    assert!(gateway.requests("/rate").len() < CHARGES + MANY, "an open breaker lets none through");
    assert_ne!(breaker(client, &gateway).await, "closed");
    let key = client.get(&format!("/v1/replays/{}/plan?limit=1000", id_of(&asked))).await.ok().to_string();
    assert!(key.contains("was not examined: GET http://") && key.contains("the breaker of the host is open"), "{key}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_whose_host_cannot_be_called_wait_for_it() {
    let gateway = Gateway::start().await;
    let (server, digest) = charged(&gateway).await;
    let client = &server.client;
    client.redeploy(&mender(&gateway, "POST receipt"), &digest).await.ok();
    let asked = ask(client, "fail").await;
    let id = id_of(&asked);
    approve(client, &asked, true).await;
    let of_host = format!("/v1/breakers/host/{}", gateway.host());
    client.ask(&format!("{of_host}/trip"), &json!({ "reason": "maintenance" })).await.ok();
    apply_as(client, id, "eva").await;
    eventually("the keys to wait", PATIENCE, async || {
        let application = client.replay(id).await["application"].clone();
        if application["waiting"] == CHARGES { Ok(()) } else { Err(application) }
    })
    .await;
    assert_eq!(gateway.requests("/receipt").len(), 0);
    client.ask(&format!("{of_host}/reset"), &json!({})).await.ok();
    let applied = client.replay_is(id, "applied").await;
    assert_eq!((&applied["repaired"], gateway.requests("/receipt").len()), (&json!(CHARGES), CHARGES), "{applied:#}");
    assert_eq!(applied["application"]["waiting"], 0);
}
