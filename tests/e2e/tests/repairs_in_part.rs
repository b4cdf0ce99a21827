//! Repairs of which a part is left, on the real binary: keys that were not approved, keys that were refused, and versions that are deployed
//! meanwhile. Nothing goes on without being asked for, and an undo is one of all repairs.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{
    Cli, Client, Setup,
    activation::{fixed_too_late, keys, members, registered, version},
    event, eventually, manifest,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn id_of(replay: &Value) -> &str {
    replay["id"].as_str().expect("an id")
}

/// Waits until an application has ended.
async fn ended(client: &Client, id: &str) -> Value {
    eventually("the application to end", PATIENCE, async || {
        let replay = client.replay(id).await;
        if replay["application"]["running"] == false { Ok(replay) } else { Err(replay) }
    })
    .await
}

/// Approves some keys of a plan, or all, applies that, and returns what came of it.
async fn applied(client: &Client, replay: &Value, keys: Option<&[&str]>) -> Value {
    let approval = json!({ "plan": replay["found"]["plan"], "keys": keys, "actor": "ada", "reason": "they wait" });
    client.about_replay(id_of(replay), "approve", &approval).await.ok();
    client.about_replay(id_of(replay), "apply", &json!({ "actor": "eva" })).await.ok();
    let ended = ended(client, id_of(replay)).await;
    client.drained(PATIENCE).await;
    ended
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The version that takes no more members.
fn without_members() -> Value {
    let mut manifest = version(false);
    manifest["subscriptions"] = json!([{ "types": ["organisation.activated"] }]);
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_applied_in_part_is_not_gone_on_with_under_another_version() {
    let mut server = Setup::new().start().await;
    let client = server.client.clone();
    let digest = fixed_too_late(&client, 4).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let id = id_of(&asked);
    let part = applied(&client, &asked, Some(&["org/1"])).await;
    assert_eq!((&part["state"], &part["repaired"]), (&json!("applied-in-part"), &json!(1)), "{part:#}");
    client.redeploy(&without_members(), &digest).await.ok();
    client.accept(registered(1, "after")).await;
    client.drained(PATIENCE).await;
    client.about_replay(id, "apply", &json!({})).await.is_problem(409, "candidate-not-in-force");
    server.kill9();
    server.start().await;
    let client = server.client.clone();
    // What is asked for now is computed after everything that goes on.
    client.what_if(&json!({ "handler": "keyring" })).await;
    let replay = client.replay(id).await;
    assert_eq!((&replay["state"], &replay["repaired"]), (&json!("applied-in-part"), &json!(1)), "{replay:#}");
    let expected: BTreeSet<_> = members(4, "late").into_iter().chain(["early-1".to_owned()]).collect();
    assert_eq!(keys(&client).await, expected.into_iter().collect::<Vec<_>>(), "the later member has none");
    // The same candidate again is another version: it is approved again.
    client.redeploy(&version(false), &digest).await.ok();
    let asked = client.computed(id).await;
    client.about_replay(id, "apply", &json!({})).await.is_problem(409, "version-changed");
    let whole = applied(&client, &asked, None).await;
    assert_eq!((&whole["state"], &whole["repaired"]), (&json!("applied"), &json!(4)), "{whole:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_ends_where_another_version_is_deployed() {
    const MANY: usize = 600;
    let server = Setup::new().expect_line("a replay ended early").start().await;
    let client = &server.client;
    let digest = fixed_too_late(client, MANY).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let id = id_of(&asked);
    client.about_replay(id, "approve", &json!({ "plan": asked["found"]["plan"] })).await.ok();
    client.about_replay(id, "apply", &json!({})).await.ok();
    client.redeploy(&without_members(), &digest).await.ok();
    let repaired_then = client.replay(id).await["repaired"].as_u64().expect("a number");
    let stopped = ended(client, id).await;
    assert_eq!(stopped["state"], "applied-in-part", "{stopped:#}");
    assert!(
        text(&stopped["application"]["error"]).contains("another version of activation was deployed"),
        "{stopped:#}"
    );
    let repaired = stopped["repaired"].as_u64().expect("a number");
    assert!(repaired <= repaired_then && repaired < MANY as u64 / 2, "{repaired_then} then, {repaired} in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_takes_back_what_was_repaired_after_it_was_asked_for() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 8).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let id = id_of(&asked);
    applied(client, &asked, Some(&["org/1"])).await;
    let early = client.undo_replay(id).await;
    assert_eq!(early["found"]["planned_keys"], 1, "{early:#}");
    assert_eq!(applied(client, &asked, None).await["state"], "applied");
    let undo = client.undo_replay(id).await;
    // The keys that have no event are repaired, too: their members wait.
    assert_eq!(undo["found"]["planned_keys"], 8, "{undo:#}");
    let approval = json!({ "plan": early["found"]["plan"] });
    client.about_replay(id_of(&undo), "approve", &approval).await.is_problem(409, "plan-changed");
    // Some first, and then all: it is undone when no repair is left.
    let part = applied(client, &undo, Some(&["org/3"])).await;
    assert_eq!((&part["state"], &part["repaired"]), (&json!("undone-in-part"), &json!(1)), "{part:#}");
    assert_eq!(client.replay(id).await["state"], "undone-in-part");
    let undone = applied(client, &undo, None).await;
    assert_eq!((&undone["state"], &undone["repaired"]), (&json!("undone"), &json!(8)), "{undone:#}");
    for n in [1, 3, 5, 7] {
        let status = client.status(&format!("member/early-{n}")).await;
        assert_ne!(status["parts"]["activation"]["state"], "active", "{status:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_can_be_cancelled_undone_or_left_to_another_replay() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 8).await;
    let first = client.what_if(&json!({ "handler": "activation" })).await;
    let second = client.what_if(&json!({ "handler": "activation" })).await;
    let id = id_of(&first);
    let part = applied(client, &first, Some(&["org/1", "org/3"])).await;
    assert_eq!(part["state"], "applied-in-part", "{part:#}");
    // Who approved what, and who applied it, is known.
    let approval = &part["approval"];
    assert_eq!((text(&approval["actor"]), text(&approval["reason"])), ("ada", "they wait"), "{part:#}");
    assert_eq!(approval["keys"]["first"], json!(["org/1", "org/3"]), "{part:#}");
    assert_eq!((&approval["fire_past"], &part["begun"]["actor"]), (&json!(false), &json!("eva")), "{part:#}");
    // The applier gave no reason: it is the approver's.
    let timeline = client.get("/v1/timeline?limit=1000&key=org/1").await.ok();
    let repaired = timeline["entries"].as_array().expect("entries").iter().find(|entry| entry["kind"] == "repaired");
    let repaired = repaired.expect("a repair");
    assert_eq!((text(&repaired["actor"]), text(&repaired["reason"])), ("eva", "they wait"), "{repaired:#}");
    // It is not in the way of another one.
    client.about_replay(id_of(&second), "approve", &json!({ "plan": second["found"]["plan"] })).await.ok();
    let refused = client.about_replay(id, "apply", &json!({})).await;
    refused.is_problem(409, "replay-under-way");
    assert!(refused.text.contains("is approved: apply it, or cancel it"), "{}", refused.text);
    client.about_replay(id_of(&second), "cancel", &json!({})).await.ok();
    // An undo that is not approved is withdrawn.
    let undo = client.undo_replay(id).await;
    assert_eq!((&undo["actor"], &undo["reason"]), (&json!("operator"), &json!("")), "{undo:#}");
    assert!(undo["asked_at_ms"].as_u64() > first["asked_at_ms"].as_u64(), "it has a time of its own: {undo:#}");
    let cancelled = client.about_replay(id_of(&undo), "cancel", &json!({})).await.ok();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
    assert_eq!(client.replay(id).await["state"], "applied-in-part");
    let undone = applied(client, &client.undo_replay(id).await, None).await;
    let by = (&undone["actor"], &undone["approval"]["actor"], &undone["begun"]["actor"]);
    assert_eq!((&undone["state"], &undone["repaired"]), (&json!("undone"), &json!(2)), "{undone:#}");
    assert_eq!(by, (&json!("operator"), &json!("ada"), &json!("eva")), "{undone:#}");
    let whole = client.replay(id).await;
    assert_eq!(whole["approval"]["keys"]["first"], json!(["org/1", "org/3"]), "its own approval: {whole:#}");
    let refused = client.about_replay(id, "cancel", &json!({})).await;
    refused.is_problem(409, "replay-state");
    assert!(refused.text.contains("is undone: ask again what would be"), "{}", refused.text);
}

/// The replays that the story of a key names.
async fn replays_of(client: &Client, key: &str) -> BTreeSet<String> {
    let timeline = client.get(&format!("/v1/timeline?limit=1000&key={key}")).await.ok();
    let entries = timeline["entries"].as_array().expect("entries").iter();
    entries.filter(|entry| entry["kind"] == "replay").map(|entry| entry["replay"].to_string()).collect()
}

/// The story of a key named all replays of its handlers, also those that had nothing to do with the key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_a_key_names_the_replays_that_repaired_it() {
    let server = Setup::new().start().await;
    let client = &server.client;
    fixed_too_late(client, 4).await;
    let first = client.what_if(&json!({ "handler": "activation" })).await;
    applied(client, &first, Some(&["org/1"])).await;
    let undo = client.undo_replay(id_of(&first)).await;
    applied(client, &undo, None).await;
    let second = client.what_if(&json!({ "handler": "activation" })).await;
    applied(client, &second, Some(&["org/3"])).await;
    // A timeline ends with the last record of its key.
    for n in 0..4 {
        client.accept(registered(n, &format!("later-{n}"))).await;
    }
    client.drained(PATIENCE).await;
    let of = |replays: &[&Value]| replays.iter().map(|replay| id_of(replay).to_owned()).collect::<BTreeSet<_>>();
    for (key, expected) in [("org/0", of(&[])), ("org/1", of(&[&first])), ("org/2", of(&[])), ("org/3", of(&[&second]))]
    {
        assert_eq!(replays_of(client, key).await, expected, "{key}");
    }
}

/// Of an undo that ended in part, what is left is another plan once it is asked for: it is not applied with the approval of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_an_undo_is_approved_anew() {
    let mut server = Setup::new().start().await;
    let client = server.client.clone();
    fixed_too_late(&client, 4).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    let whole = applied(&client, &asked, None).await;
    assert_eq!(whole["state"], "applied", "{whole:#}");
    let undo = client.undo_replay(id_of(&asked)).await;
    let undo_id = id_of(&undo);
    let part = applied(&client, &undo, Some(&["org/1"])).await;
    assert_eq!((&part["state"], &part["repaired"]), (&json!("undone-in-part"), &json!(1)), "{part:#}");
    // It is the same after a start, and may be applied again as it was approved.
    server.restart().await;
    let again = client.computed(undo_id).await;
    assert_eq!((&again["found"]["plan"], &again["through"]), (&undo["found"]["plan"], &undo["through"]), "{again:#}");
    client.about_replay(undo_id, "apply", &json!({})).await.ok();
    assert_eq!(ended(&client, undo_id).await["state"], "undone-in-part");
    let left = client.undo_replay(id_of(&asked)).await;
    assert_ne!(left["found"]["plan"], undo["found"]["plan"], "{left:#}");
    client.about_replay(undo_id, "apply", &json!({})).await.is_problem(409, "plan-changed");
    let undone = applied(&client, &left, None).await;
    assert_eq!((&undone["state"], &undone["repaired"]), (&json!("undone"), &whole["repaired"]), "{undone:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_a_handler_that_was_removed_says_so() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = fixed_too_late(client, 4).await;
    let asked = client.what_if(&json!({ "handler": "activation" })).await;
    applied(client, &asked, Some(&["org/1"])).await;
    Cli::of(&server).prints(&["handlers", "remove", "activation", "--yes", "--reason", "it is not needed"]);
    eventually("the name to be free", PATIENCE, async || {
        let answer = client.redeploy(&version(false), &digest).await;
        if answer.status == 200 || answer.status == 201 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    client.drained(PATIENCE).await;
    for id in [id_of(&asked).to_owned(), format!("{}-undo", id_of(&asked))] {
        let refused = client.about_replay(&id, "approve", &json!({ "plan": asked["found"]["plan"] })).await;
        refused.is_problem(409, "replay-over");
        assert!(refused.text.contains("activation was removed since"), "{}", refused.text);
    }
    let cancelled = client.about_replay(id_of(&asked), "cancel", &json!({})).await.ok();
    assert_eq!(cancelled["state"], "cancelled", "{cancelled:#}");
}

/// A timer that was still to come when it was asked for, and that is due when the plan is applied, is listed and does not fire.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_comes_due_before_the_application_does_not_fire() {
    const DUE: Duration = Duration::from_secs(15);
    let server = Setup::new().start().await;
    let client = &server.client;
    let other = manifest("prices", &["price.other"]);
    let digest = client.deploy(&other, weirgate_guests::build("prices")).await["digest"].clone();
    let set = event("price.set", "sku/1", "1", &json!({ "cents": 100, "seconds": DUE.as_secs() }));
    client.accept(set).await;
    client.drained(PATIENCE).await;
    client.redeploy(&manifest("prices", &["price.set"]), &digest).await.ok();
    let asked = client.what_if(&json!({ "handler": "prices" })).await;
    let planned = async || client.get(&format!("/v1/replays/{}/plan", id_of(&asked))).await.ok();
    assert_eq!(planned().await["keys"][0]["timers"]["first"][0]["name"], "end");
    client.about_replay(id_of(&asked), "approve", &json!({ "plan": asked["found"]["plan"] })).await.ok();
    eventually("the timer to be past", PATIENCE, async || {
        let plan = planned().await;
        if plan["keys"][0]["past_timers"]["first"][0]["name"] == "end" { Ok(()) } else { Err(plan) }
    })
    .await;
    let plan = planned().await;
    assert_eq!((&plan["plan"], &plan["keys"][0]["timers"]["first"]), (&asked["found"]["plan"], &json!([])), "{plan:#}");
    client.about_replay(id_of(&asked), "apply", &json!({})).await.ok();
    client.replay_is(id_of(&asked), "applied").await;
    client.drained(PATIENCE).await;
    let status = client.status("sku/1").await;
    assert_eq!(status["parts"]["prices"]["state"], "priced", "{status:#}");
    let done = ended(client, id_of(&asked)).await;
    assert_eq!(
        done["application"]["past_timers"], 1,
        "what was approved as pending is not left out in silence: {done:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_who_approved_what() {
    let server = Setup::new().start().await;
    fixed_too_late(&server.client, 4).await;
    let asked = server.client.what_if(&json!({ "handler": "activation" })).await;
    applied(&server.client, &asked, Some(&["org/1"])).await;
    let shown = Cli::of(&server).prints(&["replays", "show", id_of(&asked)]);
    for says in ["applied-in-part", "they wait", "ada", "eva", "org/1"] {
        assert!(shown.contains(says), "{says}: {shown}");
    }
}
