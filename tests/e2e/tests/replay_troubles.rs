//! What users of other systems run into with resets, reverts and replays: each trouble is a test, named for it, of what Weirgate does
//! instead.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use weirgate_tests::{
    Cli, Client, Gateway, Setup,
    activation::{all_members, fixed_too_late, keys, members, registered, version},
    event, eventually, manifest,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn id_of(replay: &Value) -> &str {
    replay["id"].as_str().expect("an id")
}

/// How many deliveries each handler has completed, over all versions.
async fn completed(client: &Client) -> BTreeMap<String, u64> {
    let mut completed = BTreeMap::new();
    for handler in client.get("/v1/handlers").await.ok()["handlers"].as_array().expect("handlers") {
        let name = handler["name"].as_str().expect("a name").to_owned();
        let versions = client.get(&format!("/v1/handlers/{name}/versions")).await.ok();
        let counts = versions["versions"].as_array().expect("versions").iter();
        completed.insert(name, counts.map(|version| version["completed"].as_u64().expect("a count")).sum());
    }
    completed
}

async fn timeline(client: &Client, key: &str) -> Vec<Value> {
    let path = format!("/v1/timeline?limit=1000&key={key}");
    client.get(&path).await.ok()["entries"].as_array().expect("entries").clone()
}

/// Temporal: a reset of a workflow with a pending activity ended it. Here what is open stays open, and what is pending comes: the
/// repair is a record between the deliveries of a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_that_ends_the_work_instead_of_redoing_it() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut mender = manifest("mender", &["mend.work", "mend.wait"]);
    mender["retry"] = json!([{ "attempts": 9, "first_delay_ms": 3_600_000 }]);
    let wrong = with(&mender, "note", "wrong");
    let digest = client.deploy(&wrong, weirgate_guests::build("mender")).await["digest"].clone();
    client.accept(event("mend.wait", "k", "wait", &json!({ "ms": 1_500 }))).await;
    client.accept(event("mend.work", "k", "done", &json!({ "n": 1 }))).await;
    client.reaches("k", "mender", "done").await;
    let open = client.accept(event("mend.work", "k", "open", &json!({ "n": 2, "fail": "correctable" }))).await;
    let phase = async || client.get(&format!("/v1/deliveries/mender@{open}")).await.json["state"].clone();
    eventually("the delivery to wait", PATIENCE, async || {
        let phase = phase().await;
        if phase == "awaiting-correction" { Ok(()) } else { Err(phase) }
    })
    .await;
    // The candidate counts otherwise: it does nothing where work was done.
    let idle = weirgate_guests::in_handler("", "");
    let digest_idle = client.upload(idle).await.ok()["digest"].clone();
    client.redeploy(&wrong, &digest_idle).await.ok();
    let asked = client.what_if(&json!({ "handler": "mender", "selection": { "types": ["mend.work"] } })).await;
    assert_eq!(asked["found"]["planned_keys"], 1, "{asked:#}");
    approve_and_apply(client, &asked).await;
    assert_eq!(phase().await, "awaiting-correction", "what is open stays open");
    client.redeploy(&wrong, &digest).await.ok();
    let correction = json!({ "actor": "ada", "reason": "now", "patch": { "fail": null } });
    client.ask(&format!("/v1/deliveries/mender@{open}/correct"), &correction).await.ok();
    client.drained(PATIENCE).await;
    // The timer that was pending has fired, and the corrected delivery has been done.
    let done = eventually("the timer's event", PATIENCE, async || {
        let done: Vec<_> = client.events_of("mend.done").await.iter().map(|event| event["data"]["n"].clone()).collect();
        if done.len() == 3 { Ok(done) } else { Err(done) }
    })
    .await;
    assert_eq!(done.into_iter().map(|n| n.as_u64()).collect::<BTreeSet<_>>(), [Some(0), Some(1), Some(2)].into());
}

fn with(manifest: &Value, setting: &str, value: &str) -> Value {
    let mut manifest = manifest.clone();
    manifest["config"][setting] = value.into();
    manifest
}

/// Approves and applies, where deliveries stay open.
async fn approve_and_apply(client: &Client, asked: &Value) {
    client.about_replay(id_of(asked), "approve", &json!({ "plan": asked["found"]["plan"] })).await.ok();
    client.about_replay(id_of(asked), "apply", &json!({})).await.ok();
    client.replay_is(id_of(asked), "applied").await;
}

/// Temporal: a reset applies all updates that came after it again. Here what came after the what-if, under the fixed version, is taken into
/// account and stays as it is: it has neither a new record nor a second effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_updates_are_applied_again_by_a_reset() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 4).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    client.accept(registered(1, "after-1")).await;
    client.drained(PATIENCE).await;
    let before = timeline(client, "org/1").await;
    client.apply_replay(&asked, "applied").await;
    let expected: BTreeSet<_> = all_members(4).into_iter().chain(["after-1".to_owned()]).collect();
    assert_eq!(keys(client).await, expected.into_iter().collect::<Vec<_>>(), "each has one key, the later member too");
    let after = timeline(client, "org/1").await;
    // That the replay was asked for is part of the story since it has repaired the key.
    let history = after.iter().filter(|entry| entry["kind"] != "replay").take(before.len());
    assert_eq!(history.collect::<Vec<_>>(), before.iter().collect::<Vec<_>>(), "history stays");
    let issued = client.status("member/after-1").await["parts"]["keyring"]["data"].clone();
    assert_eq!(issued, 1, "its key was counted once");
}

/// Temporal and Golem: one can reset to certain points only. Here a single delivery can be selected, and a single key of a plan approved; no
/// other key gets a record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_points_are_too_coarse() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 8).await;
    let event = client.get("/v1/events?key=org/5&limit=1").await.ok()["events"][0].clone();
    let position = event["position"].as_u64().expect("a position");
    let one = json!({ "handler": "activation", "selection": { "after": position - 1, "through": position } });
    let one = client.what_if(&one).await;
    assert_eq!(client.planned_keys(id_of(&one)).await, ["org/5"]);
    let filtered = json!({ "handler": "activation", "selection": { "filter": ["/member = \"early-3\""] } });
    let filtered = client.what_if(&filtered).await;
    assert_eq!(client.planned_keys(id_of(&filtered)).await, ["org/3"]);
    client.apply_replay(&one, "applied").await;
    let expected: BTreeSet<_> = members(8, "late").into_iter().chain(["early-5".to_owned()]).collect();
    assert_eq!(keys(client).await, expected.into_iter().collect::<Vec<_>>());
    for key in [1, 3, 7].map(|n| format!("org/{n}")) {
        let repairs = timeline(client, &key).await.into_iter().filter(|entry| entry["kind"] == "repaired").count();
        assert_eq!(repairs, 0, "{key} was not selected");
    }
}

/// A repair of some keys is history for a what-if of others: their plan leaves it alone, also if it was undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_some_keys_reverts_another() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 8).await;
    let of = |keys: &[&str]| json!({ "handler": "activation", "selection": { "keys": keys } });
    let first = client.what_if(&of(&["org/0", "org/1"])).await;
    client.apply_replay(&first, "applied").await;
    let second = client.what_if(&of(&["org/3"])).await;
    assert_eq!(client.planned_keys(id_of(&second)).await, ["org/3"]);
    client.apply_replay(&second, "applied").await;
    let undo = client.undo_replay(id_of(&first)).await;
    client.apply_replay(&undo, "undone").await;
    let third = client.what_if(&of(&["org/5"])).await;
    assert_eq!(client.planned_keys(id_of(&third)).await, ["org/5"]);
    let active = client.status("member/early-3").await["parts"]["activation"]["state"].clone();
    assert_eq!(active, "active", "the second repair stands");
}

/// Axon: handlers took replayed events for new ones. Here no event is delivered again, by a what-if to none and by its application to those alone
/// that are appended, and these name the replay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_taken_for_new_events_by_a_handler() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 8).await;
    let (events, before) = (client.events().await.len(), completed(client).await);
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    assert_eq!(
        (client.events().await.len(), completed(client).await),
        (events, before.clone()),
        "a what-if delivers nothing"
    );
    client.apply_replay(&asked, "applied").await;
    let appended: Vec<_> = client.events().await.split_off(events);
    let keys: Vec<_> = appended.iter().filter(|stored| stored["event"]["type"] == "key.created").collect();
    assert_eq!(keys.len(), 4);
    for stored in keys {
        let event = &stored["event"];
        assert_eq!(event["replayid"], id_of(&asked), "{event}");
        assert!(event["replayof"].as_str().is_some_and(|of| !of.is_empty()), "{event}");
    }
    let after = completed(client).await;
    assert_eq!(
        (after["activation"], after["keyring"]),
        (before["activation"], before["keyring"] + 4),
        "the appended ones alone"
    );
}

/// Obelisk: the replay of a trap never ended. Here a candidate that traps or does not end fails on these keys, once each and within its limits,
/// and the server goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_replay_of_a_trap() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut good = manifest("subject", &["hostile.*"]);
    good["limits"] = json!({ "cpu_ms": 50 });
    client.deploy(&good, weirgate_guests::in_handler("", "")).await;
    let troubles = ["panics", "loops_forever", "recurses_deeply", "traps_after_effects"];
    for trouble in troubles {
        client.accept(event(&format!("hostile.{trouble}"), trouble, trouble, &json!({}))).await;
    }
    client.accept(event("hostile.plain", "plain", "plain", &json!({}))).await;
    client.drained(PATIENCE).await;
    let digest = client.upload(weirgate_guests::build("hostile")).await.ok()["digest"].clone();
    let request = json!({ "handler": "subject", "candidate": { "digest": digest, "manifest": good } });
    let asked = client.what_if(&request).await;
    let found = &asked["found"];
    assert_eq!(
        (&found["executed"], &found["keys_failing"], &found["not_examined"]),
        (&json!(5), &json!(4), &Value::Null),
        "{asked:#}"
    );
    let list = client.get(&format!("/v1/replays/{}/differences", id_of(&asked))).await.ok();
    let failing = list["differences"].as_array().expect("differences").iter().filter(|one| one["fails"].is_object());
    let failing: BTreeSet<_> = failing.map(|one| one["key"].as_str().expect("a key")).collect();
    assert_eq!(failing, troubles.into());
    let plan = client.get(&format!("/v1/replays/{}/plan", id_of(&asked))).await.ok();
    assert!(
        plan["keys"].as_array().expect("keys").iter().all(|key| key["refused"].is_string() || key["key"] == "plain"),
        "{plan:#}"
    );
}

/// Golem: a revert went to the wrong place of the log. Here an undo takes back what its replay repaired, value by value, for its keys alone, and
/// leaves what later deliveries have written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_goes_to_the_wrong_place() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 6).await;
    let subjects = ["early-1", "early-3", "early-5", "late-1"].map(|member| format!("member/{member}"));
    let mut before = Vec::new();
    for subject in &subjects {
        before.push(client.status(subject).await["parts"]["activation"].clone());
    }
    let asked = client.what_if(&json!({ "handler": "activation", "selection": { "keys": ["org/1", "org/3"] } })).await;
    client.apply_replay(&asked, "applied").await;
    assert_eq!(client.status("member/early-3").await["parts"]["activation"]["state"], "active");
    client.accept(registered(3, "after-3")).await;
    client.drained(PATIENCE).await;
    let undo = client.undo_replay(id_of(&asked)).await;
    assert_eq!(client.planned_keys(id_of(&undo)).await, ["org/1", "org/3"]);
    client.apply_replay(&undo, "undone").await;
    for (subject, before) in subjects.iter().zip(before) {
        let now = client.status(subject).await["parts"]["activation"].clone();
        let shown = |part: &Value| (part["state"].clone(), part["text"].clone(), part["data"].clone());
        assert_eq!(shown(&now), shown(&before), "{subject}");
    }
    assert_eq!(
        client.status("member/after-3").await["parts"]["activation"]["state"],
        "active",
        "what came later stays"
    );
    let again = json!({ "plan": undo["found"]["plan"] });
    let again = client.about_replay(id_of(&undo), "approve", &again).await;
    assert_eq!(again.status, 409, "it cannot be taken back twice: {}", again.text);
}

/// Temporal: a history of more than 50 MB, or 51,200 events, cannot be replayed. Here a key has as long a history as the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_over_a_size_limit_cannot_be_replayed() {
    const EVENTS: usize = 280;
    const EVENT_BYTES: usize = 200_000;
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = fixed_too_late(client, 2).await;
    client.redeploy(&version(true), &digest).await.ok();
    let note = "x".repeat(EVENT_BYTES);
    let members: Vec<_> = (0..EVENTS)
        .map(|n| {
            let mut event = registered(1, &format!("m-{n}"));
            event["data"]["note"] = note.clone().into();
            event
        })
        .collect();
    for page in members.chunks(8) {
        client.publish(page).await.ok();
    }
    client.drained(PATIENCE).await;
    client.redeploy(&version(false), &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "activation", "selection": { "keys": ["org/1"] } })).await;
    let found = &asked["found"];
    let executed = found["executed"].as_u64().expect("a number");
    assert!(executed >= EVENTS as u64 + 2 && found["not_examined"].is_null(), "{asked:#}");
    assert_eq!(
        (&found["planned_keys"], &found["events"]),
        (&json!(1), &json!(1)),
        "the one who registered before: {asked:#}"
    );
    let done = client.apply_replay(&asked, "applied").await;
    assert_eq!(done["repaired"], 1, "{done:#}");
    assert_eq!(keys(client).await.iter().filter(|member| *member == "early-1").count(), 1);
}

/// Inngest, Axon: replays mailed customers again. Here neither a what-if nor its application makes a call that was made before, or emits what was
/// emitted before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_mails_customers_again() {
    let gateway = Gateway::start().await;
    let server = Setup::new()
        .env("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", gateway.host())
        .env("WEIRGATE__SECRETS__GATEWAY", "top-secret")
        .env("WEIRGATE__SECRETS__GATEWAY__HANDLERS", "mender")
        .env("WEIRGATE__SECRETS__GATEWAY__HOSTS", gateway.url())
        .start()
        .await;
    let client = &server.client;
    let mut manifest = manifest("mender", &["mend.charge", "mend.work"]);
    manifest["capabilities"] = json!({ "hosts": [gateway.url()], "secrets": ["gateway"] });
    manifest["config"] = json!({ "gateway_url": gateway.url() });
    let digest = client.deploy(&manifest, weirgate_guests::build("mender")).await["digest"].clone();
    for n in 1..=5 {
        client.accept(event("mend.charge", &format!("order/{n}"), &n.to_string(), &json!({ "amount": n }))).await;
    }
    client.drained(PATIENCE).await;
    let (calls, done) = (gateway.requests("/").len(), client.events_of("mend.done").await.len());
    assert_eq!((calls, done), (10, 5));
    client.redeploy(&with(&manifest, "note", "another version"), &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "mender" })).await;
    assert_eq!((&asked["found"]["executed"], &asked["found"]["planned_keys"]), (&json!(5), &json!(0)), "{asked:#}");
    let approval = json!({ "plan": asked["found"]["plan"] });
    client.about_replay(id_of(&asked), "approve", &approval).await.is_problem(409, "plan-is-empty");
    assert_eq!((gateway.requests("/").len(), client.events_of("mend.done").await.len()), (calls, done));
}

/// Temporal: a user gathered logs of 600 workflows into a table by hand, to learn which a change affects. Here it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_affected_set_is_gathered_by_hand() {
    const ORGANISATIONS: usize = 40;
    let server = Setup::new().start().await;
    let (client, cli) = (&server.client, Cli::of(&server));
    fixed_too_late(client, ORGANISATIONS).await;
    // On a busy machine it tells its progress on standard error.
    let printed = cli.run(&["handlers", "affected", "activation", "--between", "1", "2", "--output", "json"]);
    let asked: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let found = client.computed(id_of(&asked)).await;
    let list = client.get(&format!("/v1/replays/{}/differences?limit=1000", id_of(&found))).await.ok();
    let named: BTreeSet<_> = list["differences"]
        .as_array()
        .expect("differences")
        .iter()
        .filter(|one| one["handler"] == "activation")
        .flat_map(|one| one["statuses"].as_array().expect("statuses").clone())
        .filter(|one| one["fork"]["state"] == "active")
        .map(|one| one["subject"].as_str().expect("a subject").trim_start_matches("member/").to_owned())
        .collect();
    assert_eq!(named, members(ORGANISATIONS, "early"));
}
