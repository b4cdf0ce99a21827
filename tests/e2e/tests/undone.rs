//! Undos on the real binary: what comes back, what does not, and what what-ifs make of repairs that were undone.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Cli, Client, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(60);

/// A version of the counter that says which one it is, and the form of its state.
fn counter(version: &str, state: u32) -> Value {
    let mut manifest = manifest("counter", &["counter.add"]);
    manifest["config"] = json!({ "version": version, "state": state.to_string() });
    manifest["state_version"] = json!(state);
    manifest
}

async fn add(client: &Client, key: &str, id: &str, count: u64) {
    client.accept(event("counter.add", key, id, &json!({ "count": count }))).await;
    client.drained(PATIENCE).await;
}

async fn text(client: &Client, key: &str) -> Value {
    client.status(key).await["parts"]["counter"]["text"].clone()
}

fn id_of(replay: &Value) -> &str {
    replay["id"].as_str().expect("an id")
}

/// Approves a plan, applies it, and waits for what follows.
async fn apply(client: &Client, replay: &Value) {
    let id = id_of(replay);
    client.about_replay(id, "approve", &json!({ "plan": replay["found"]["plan"] })).await.ok();
    client.about_replay(id, "apply", &json!({})).await.ok();
    let ends = if id.ends_with("-undo") { "undone" } else { "applied" };
    client.replay_is(id, ends).await;
    client.drained(PATIENCE).await;
}

/// Asks what the version in force would do, and applies that.
async fn repair(client: &Client, handler: &str) -> Value {
    let asked = client.what_if(&json!({ "handler": handler })).await;
    apply(client, &asked).await;
    asked
}

async fn undo(client: &Client, replay: &Value) {
    let undo = client.undo_replay(id_of(replay)).await;
    apply(client, &undo).await;
}

/// That a what-if of the version in force finds nothing.
async fn finds_nothing(client: &Client, handler: &str) {
    let asked = client.what_if(&json!({ "handler": handler })).await;
    let differences = client.get(&format!("/v1/replays/{}/differences", id_of(&asked))).await.ok();
    assert_eq!(
        (&asked["found"]["keys"], &asked["found"]["planned_keys"]),
        (&json!(0), &json!(0)),
        "{asked:#}\n{differences:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_returns_in_the_version_that_it_had_and_is_migrated_again() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&counter("one", 1), weirgate_guests::build("counter")).await["digest"].clone();
    add(client, "b", "1", 28).await;
    add(client, "c", "2", 28).await;
    client.redeploy(&counter("two", 2), &digest).await.ok();
    let repaired = repair(client, "counter").await;
    add(client, "b", "3", 1).await;
    undo(client, &repaired).await;
    let undone = format!("/v1/replays/{}-undo/undo", id_of(&repaired));
    client.ask(&undone, &json!({})).await.is_problem(409, "nothing-to-undo");
    assert_eq!(
        (text(client, "b").await, text(client, "c").await),
        (json!("29 in version two"), json!("28 in version one"))
    );
    add(client, "b", "4", 1).await;
    add(client, "c", "5", 1).await;
    assert_eq!(
        (text(client, "b").await, text(client, "c").await),
        (json!("30 in version two"), json!("29 in version two"))
    );
    // State of the later form is not given to the version before it.
    let asked = client
        .what_if(&json!({ "handler": "counter", "candidate": { "version": 1 }, "selection": { "keys": ["b"] } }))
        .await;
    let differs = client.get(&format!("/v1/replays/{}/differences", id_of(&asked))).await.ok();
    let reason = differs["differences"][0]["fails"]["reason"].as_str().unwrap_or_default();
    assert!(reason.is_empty(), "it handles all of them: {differs:#}");
    let head = client.get("/v1/timeline?limit=1000&key=b").await.ok();
    let last = head["entries"].as_array().expect("entries").iter().rfind(|entry| entry["kind"] == "event");
    let after = last.and_then(|entry| entry["position"].as_u64()).expect("a position") - 1;
    let selection = json!({ "keys": ["b"], "after": after });
    let asked =
        client.what_if(&json!({ "handler": "counter", "candidate": { "version": 1 }, "selection": selection })).await;
    let differs = client.get(&format!("/v1/replays/{}/differences", id_of(&asked))).await.ok();
    let reason = differs["differences"][0]["fails"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("not converted back"), "{differs:#}");
}

/// What a repair has handed over was handled by a version that reads the earlier form of the state alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_was_compensated_is_no_hindrance_to_migrating_the_state() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut announcing = counter("one", 1);
    announcing["config"]["announces"] = json!("true");
    let digest = client.deploy(&announcing, weirgate_guests::build("counter")).await["digest"].clone();
    add(client, "a", "1", 28).await;
    client.redeploy(&counter("two", 1), &digest).await.ok();
    let first = repair(client, "counter").await;
    add(client, "a", "2", 1).await;
    client.redeploy(&counter("three", 2), &digest).await.ok();
    repair(client, "counter").await;
    assert_eq!(text(client, "a").await, "29 in version three");
    finds_nothing(client, "counter").await;
    add(client, "a", "3", 1).await;
    assert_eq!(text(client, "a").await, "30 in version three");
    undo(client, &first).await;
    assert_eq!(text(client, "a").await, "30 in version three", "the later repair stands");
    // What the first version has published stands again: the later repair was not asked to compensate it.
    let again = repair(client, "counter").await;
    assert_eq!((&again["found"]["keys"], &again["found"]["stays"]), (&json!(1), &json!(1)), "{again:#}");
    finds_nothing(client, "counter").await;
    assert_eq!(text(client, "a").await, "30 in version three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_that_was_undone_does_not_come_back_with_the_undo_of_a_later_one() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&counter("A", 1), weirgate_guests::build("counter")).await["digest"].clone();
    add(client, "a", "1", 28).await;
    client.redeploy(&counter("B", 1), &digest).await.ok();
    let first = repair(client, "counter").await;
    finds_nothing(client, "counter").await;
    client.redeploy(&counter("C", 1), &digest).await.ok();
    let second = repair(client, "counter").await;
    finds_nothing(client, "counter").await;
    undo(client, &first).await;
    assert_eq!(text(client, "a").await, "28 in version C", "the later repair stands");
    undo(client, &second).await;
    assert_eq!(text(client, "a").await, "28 in version A");
    let between = ["handlers", "affected", "counter", "--between", "1", "2", "--output", "json"];
    let affected: Value = serde_json::from_str(&Cli::of(&server).prints(&between)).expect("JSON");
    assert_eq!(
        (&affected["found"]["keys"], &affected["found"]["keys_failing"]),
        (&json!(1), &json!(0)),
        "{affected:#}"
    );
}

/// The later one is undone first, and of one key alone: what it has written of that is gone, and what the earlier one has written comes back
/// with neither of the undos that follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repairs_are_undone_in_any_order_also_key_by_key() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&counter("A", 1), weirgate_guests::build("counter")).await["digest"].clone();
    add(client, "a", "1", 28).await;
    add(client, "b", "2", 28).await;
    let texts = async || [text(client, "a").await, text(client, "b").await];
    let in_version = |versions: [&str; 2]| versions.map(|version| json!(format!("28 in version {version}")));
    client.redeploy(&counter("B", 1), &digest).await.ok();
    let first = repair(client, "counter").await;
    client.redeploy(&counter("C", 1), &digest).await.ok();
    let second = repair(client, "counter").await;
    let part = client.undo_replay(id_of(&second)).await;
    let approval = json!({ "plan": part["found"]["plan"], "keys": ["a"] });
    client.about_replay(id_of(&part), "approve", &approval).await.ok();
    client.about_replay(id_of(&part), "apply", &json!({})).await.ok();
    client.replay_is(id_of(&part), "undone-in-part").await;
    assert_eq!(texts().await, in_version(["B", "C"]));
    undo(client, &first).await;
    assert_eq!(texts().await, in_version(["A", "C"]));
    undo(client, &second).await;
    assert_eq!(texts().await, in_version(["A", "A"]));
}

fn mender(source: Option<&str>) -> Value {
    let mut manifest = manifest("mender", &["mend.work", "mend.wait", "mend.cancel"]);
    if let Some(source) = source {
        manifest["subscriptions"][0]["source"] = json!(source);
    }
    manifest
}

/// How many events of this type are in the log.
async fn emitted(client: &Client, key: &str, r#type: &str) -> usize {
    let timeline = client.get(&format!("/v1/timeline?limit=1000&key={key}")).await.ok();
    timeline["entries"].as_array().expect("entries").iter().filter(|entry| entry["type"] == r#type).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_compensated_a_repair_that_was_undone_is_not_emitted_by_the_next() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&mender(Some("/good")), weirgate_guests::build("mender")).await["digest"].clone();
    let mut wait = event("mend.wait", "s1", "1", &json!({ "ms": 1_000 }));
    wait["source"] = json!("/good");
    client.accept(wait).await;
    client.drained(PATIENCE).await;
    client.accept(event("mend.cancel", "s1", "2", &json!({}))).await;
    eventually("the timer to fire", PATIENCE, async || {
        let status = client.status("s1").await;
        if status["parts"]["mender"]["state"] == "overdue" { Ok(()) } else { Err(status) }
    })
    .await;
    client.redeploy(&mender(None), &digest).await.ok();
    let repaired = repair(client, "mender").await;
    assert_eq!(emitted(client, "s1", "mend.undone").await, 1);
    undo(client, &repaired).await;
    let asked = client.what_if(&json!({ "handler": "mender" })).await;
    let plan = client.get(&format!("/v1/replays/{}/plan", id_of(&asked))).await.ok();
    assert_eq!(plan["keys"][0]["events"]["first"], json!([]), "{plan:#}");
    apply(client, &asked).await;
    assert_eq!(emitted(client, "s1", "mend.undone").await, 2, "the handler compensates it anew");
    finds_nothing(client, "mender").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_gets_what_it_would_have_emitted_to_itself() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut none = manifest("ledger", &["ledger.add", "ledger.added"]);
    none["subscriptions"][0]["source"] = json!("/none");
    let digest = client.deploy(&none, weirgate_guests::build("ledger")).await["digest"].clone();
    client.accept(event("ledger.add", "a", "1", &json!({ "n": 1 }))).await;
    client.drained(PATIENCE).await;
    client.redeploy(&manifest("ledger", &["ledger.add", "ledger.added"]), &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "ledger" })).await;
    let key = client.get(&format!("/v1/replays/{}/differences", id_of(&asked))).await.ok();
    let would_be = key["differences"][0]["statuses"][0]["fork"]["text"].clone();
    apply(client, &asked).await;
    client.accept(event("ledger.add", "z", "2", &json!({ "n": 1 }))).await;
    client.drained(PATIENCE).await;
    let [repaired, live] =
        [client.status("a").await, client.status("z").await].map(|one| one["parts"]["ledger"]["text"].clone());
    assert!(would_be == live && repaired == live && live != json!(null), "{would_be} {repaired} {live}: {key:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_what_if_is_computed_again_after_a_kill_without_being_asked_for() {
    let mut server = Setup::new().start().await;
    let digest = server.client.deploy(&counter("A", 1), weirgate_guests::build("counter")).await["digest"].clone();
    add(&server.client, "a", "1", 28).await;
    server.client.redeploy(&counter("B", 1), &digest).await.ok();
    let asked = server.client.what_if(&json!({ "handler": "counter" })).await;
    server.kill9();
    server.start().await;
    // A command that reads it at once waits for it.
    let plan = Cli::of(&server).prints(&["replays", "plan", id_of(&asked)]);
    assert!(plan.contains("28 in version B"), "{plan}");
    server.kill9();
    server.start().await;
    eventually("the list to show what it came to", PATIENCE, async || {
        let list = server.client.get("/v1/replays").await.ok();
        if list["replays"][0]["state"] == "ready" { Ok(()) } else { Err(list) }
    })
    .await;
}

/// Two handlers that have nothing to do with each other: the undo of one replay does not look behind what the other has repaired and taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_leaves_what_the_undo_of_another_handlers_replay_has_taken_back() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let tally = |version: &str| {
        let mut manifest = counter(version, 1);
        manifest["name"] = json!("tally");
        manifest["config"]["timer_ms"] = json!("3600000");
        manifest
    };
    let digest = client.deploy(&counter("A", 1), weirgate_guests::build("counter")).await["digest"].clone();
    client.redeploy(&tally("A"), &digest).await.ok();
    add(client, "a", "1", 28).await;
    let texts = async || {
        let parts = client.status("a").await["parts"].clone();
        [parts["counter"]["text"].clone(), parts["tally"]["text"].clone()]
    };
    let in_version = |versions: [&str; 2]| versions.map(|version| json!(format!("28 in version {version}")));
    client.redeploy(&counter("B", 1), &digest).await.ok();
    client.redeploy(&tally("B"), &digest).await.ok();
    let first = repair(client, "tally").await;
    let second = repair(client, "counter").await;
    assert_eq!(texts().await, in_version(["B", "B"]));
    undo(client, &first).await;
    assert_eq!(texts().await, in_version(["B", "A"]));
    undo(client, &second).await;
    assert_eq!(texts().await, in_version(["A", "A"]));
}

/// The later replay covers what the earlier one has repaired. Its undo brings that back, after the undo of the earlier one was approved for
/// some keys: that one is asked for anew, and ends when all is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_of_some_keys_is_asked_for_anew_after_the_undo_of_another_replay() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&counter("A", 1), weirgate_guests::build("counter")).await["digest"].clone();
    for key in ["a", "b", "c"] {
        add(client, key, key, 28).await;
    }
    let texts = async || [text(client, "a").await, text(client, "b").await, text(client, "c").await];
    let in_version = |versions: [&str; 3]| versions.map(|version| json!(format!("28 in version {version}")));
    client.redeploy(&counter("B", 1), &digest).await.ok();
    let first = repair(client, "counter").await;
    client.redeploy(&counter("C", 1), &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "counter", "selection": { "keys": ["c"] } })).await;
    apply(client, &asked).await;
    assert_eq!(texts().await, in_version(["B", "B", "C"]));
    let path = format!("/v1/replays/{}-undo", id_of(&first));
    let undoing = client.undo_replay(id_of(&first)).await;
    let some = json!({ "plan": undoing["found"]["plan"], "keys": ["a"] });
    client.ask(&format!("{path}/approve"), &some).await.ok();
    client.ask(&format!("{path}/apply"), &json!({})).await.ok();
    client.replay_is(id_of(&undoing), "undone-in-part").await;
    assert_eq!(texts().await, in_version(["A", "B", "C"]));
    undo(client, &asked).await;
    assert_eq!(texts().await, in_version(["A", "B", "B"]));
    undo(client, &first).await;
    assert_eq!(texts().await, in_version(["A", "A", "A"]));
}

/// What the undo has brought back is in no plan that was computed before it; named keys are looked at again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_from_before_another_undo_is_approved_for_named_keys_alone() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&counter("A", 1), weirgate_guests::build("counter")).await["digest"].clone();
    add(client, "a", "1", 28).await;
    add(client, "b", "2", 28).await;
    client.redeploy(&counter("B", 1), &digest).await.ok();
    let selection = json!({ "keys": ["a"] });
    let first = client.what_if(&json!({ "handler": "counter", "selection": selection })).await;
    apply(client, &first).await;
    let asked = client.what_if(&json!({ "handler": "counter" })).await;
    assert_eq!(asked["found"]["planned_keys"], 1, "{asked:#}");
    undo(client, &first).await;
    let approve = format!("/v1/replays/{}/approve", id_of(&asked));
    let all = json!({ "plan": asked["found"]["plan"] });
    client.ask(&approve, &all).await.is_problem(409, "undone-since");
    let named = json!({ "plan": asked["found"]["plan"], "keys": ["b"] });
    client.ask(&approve, &named).await.ok();
    client.ask(&format!("/v1/replays/{}/apply", id_of(&asked)), &json!({})).await.ok();
    client.replay_is(id_of(&asked), "applied-in-part").await;
    assert_eq!([text(client, "a").await, text(client, "b").await], ["28 in version A", "28 in version B"]);
    client.ask(&format!("/v1/replays/{}/cancel", id_of(&asked)), &json!({})).await.ok();
    repair(client, "counter").await;
    finds_nothing(client, "counter").await;
}
