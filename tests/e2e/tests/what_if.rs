//! What-if and repair on the real binary: a handler that forgot members is fixed, the what-if names them, and the repair creates just
//! their keys, once; also when the server is killed meanwhile. The undo takes it back.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Cli, Client, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(180);

fn activation(config: &Value) -> Value {
    let mut manifest = manifest("activation", &["member.registered", "organisation.activated"]);
    manifest["config"] = config.clone();
    manifest["retry"] = json!([]);
    manifest
}

fn forgetful() -> Value {
    activation(&json!({ "forgets": "true" }))
}

fn fixed() -> Value {
    activation(&json!({}))
}

fn of_organisation(r#type: &str, organisation: usize, id: &str, data: &Value) -> Value {
    let mut event = event(r#type, &format!("org/{organisation}"), id, data);
    event["partitionkey"] = format!("org/{organisation}").into();
    event
}

/// Each organisation has an early member, is activated, and has a late member. Those with an even number are never activated.
fn story(organisations: usize) -> Vec<Value> {
    (0..organisations)
        .flat_map(|n| {
            let member = |name: &str| {
                let data = json!({ "member": format!("{name}-{n}") });
                of_organisation("member.registered", n, &format!("{name}-{n}"), &data)
            };
            let activated = of_organisation("organisation.activated", n, &format!("activated-{n}"), &json!({}));
            [Some(member("early")), (n % 2 == 1).then_some(activated), Some(member("late"))]
        })
        .flatten()
        .collect()
}

/// A server on which the forgetful handler has handled everything, and the fixed one is in force.
async fn fixed_too_late(organisations: usize) -> Server {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&forgetful(), weirgate_guests::build("activation")).await["digest"].clone();
    client.redeploy(&manifest("keyring", &["key.created"]), &digest).await.ok();
    for page in story(organisations).chunks(100) {
        client.publish(page).await.ok();
    }
    client.drained(PATIENCE).await;
    client.redeploy(&fixed(), &digest).await.ok();
    server
}

/// The members of organisations that were activated, and that have no key.
fn forgotten(organisations: usize) -> BTreeSet<String> {
    (0..organisations).filter(|n| n % 2 == 1).map(|n| format!("early-{n}")).collect()
}

/// How many keys each member has, by the events in the log.
async fn keys(client: &Client) -> Vec<String> {
    let created = client.events_of("key.created").await;
    let mut members: Vec<_> =
        created.iter().map(|event| event["data"]["member"].as_str().expect("a member").to_owned()).collect();
    members.sort();
    members
}

fn with_keys(organisations: usize) -> Vec<String> {
    let late = (0..organisations).filter(|n| n % 2 == 1).map(|n| format!("late-{n}"));
    late.collect::<BTreeSet<_>>().into_iter().collect()
}

async fn replay(client: &Client, id: &str) -> Value {
    client.get(&format!("/v1/replays/{id}")).await.ok()
}

async fn computed(client: &Client, id: &str) -> Value {
    eventually("the replay to be computed", PATIENCE, async || {
        let replay = replay(client, id).await;
        if replay["found"].is_object() { Ok(replay) } else { Err(replay) }
    })
    .await
}

/// Asks, and waits until it is computed.
async fn ask(client: &Client, request: &Value) -> Value {
    let answer = client.ask("/v1/replays", request).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.json["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/v1/replays/{id}"));
    computed(client, &id).await
}

/// Approves the plan of a computed replay.
async fn approve(client: &Client, replay: &Value) -> Value {
    let id = replay["id"].as_str().expect("an id");
    let approval = json!({ "plan": replay["found"]["plan"], "actor": "ada", "reason": "the members wait" });
    client.ask(&format!("/v1/replays/{id}/approve"), &approval).await.ok()
}

async fn ended(client: &Client, id: &str, state: &str) -> Value {
    eventually("the application to end", PATIENCE, async || {
        let replay = replay(client, id).await;
        if replay["state"] == state { Ok(replay) } else { Err(replay) }
    })
    .await
}

async fn applied(client: &Client, replay: &Value, state: &str) -> Value {
    approve(client, replay).await;
    let id = replay["id"].as_str().expect("an id");
    let begun = client.ask(&format!("/v1/replays/{id}/apply"), &json!({})).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let ended = ended(client, id, state).await;
    client.drained(PATIENCE).await;
    ended
}

fn id_of(replay: &Value) -> &str {
    replay["id"].as_str().expect("an id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_members_are_named_and_get_their_keys_once() {
    const ORGANISATIONS: usize = 8;
    let server = fixed_too_late(ORGANISATIONS).await;
    let client = &server.client;
    assert_eq!(keys(client).await, with_keys(ORGANISATIONS), "the defect is there");
    let asked = ask(client, &json!({ "handler": "activation", "reason": "who has no key?" })).await;
    let found = &asked["found"];
    assert_eq!((&asked["state"], &found["planned_keys"], &found["events"]), (&json!("ready"), &json!(8), &json!(4)));
    let list = client.get(&format!("/v1/replays/{}/differences?limit=1000", id_of(&asked))).await.ok();
    let all = list["differences"].as_array().expect("differences");
    let named = |difference: &Value| {
        let statuses = difference["statuses"].as_array().expect("statuses").clone();
        statuses.into_iter().filter(|one| one["fork"]["state"] == "active")
    };
    let own = all.iter().filter(|difference| difference["handler"] == "activation");
    let members = own.flat_map(named).map(|one| {
        let subject = one["subject"].as_str().expect("a subject").to_owned();
        subject.trim_start_matches("member/").to_owned()
    });
    assert_eq!(members.collect::<BTreeSet<_>>(), forgotten(ORGANISATIONS), "{list:#}");
    let key = client.get(&format!("/v1/replays/{}/keys?key=org/1", id_of(&asked))).await.ok();
    let lane = &key["handlers"][0];
    assert_eq!((&lane["handler"], &lane["executed"]), (&json!("activation"), &json!(3)), "{key:#}");
    assert_eq!(lane["events_added"]["first"][0]["data"]["text"], "{\"member\":\"early-1\"}", "{key:#}");
    assert_eq!(key["plan"]["events"]["first"][0]["type"], "key.created", "{key:#}");
    assert_eq!(keys(client).await, with_keys(ORGANISATIONS), "nothing was changed");

    let done = applied(client, &asked, "applied").await;
    assert_eq!((&done["repaired"], &done["application"]["repaired"]), (&json!(8), &json!(8)), "{done:#}");
    let mut all: Vec<_> = with_keys(ORGANISATIONS).into_iter().chain(forgotten(ORGANISATIONS)).collect();
    all.sort();
    assert_eq!(keys(client).await, all, "each has exactly one");
    let status = client.status("member/early-1").await;
    assert_eq!(
        (&status["parts"]["activation"]["state"], &status["parts"]["keyring"]["data"]),
        (&json!("active"), &json!(1))
    );

    let twice = client.ask(&format!("/v1/replays/{}/apply", id_of(&asked)), &json!({})).await.ok();
    assert_eq!((&twice["state"], &twice["repaired"]), (&json!("applied"), &json!(8)), "{twice:#}");
    assert_eq!(keys(client).await, all, "a second apply changes nothing");
    let again = ask(client, &json!({ "handler": "activation" })).await;
    let found = &again["found"];
    assert_eq!(
        (&found["planned_keys"], &found["events"], &found["stays"]),
        (&json!(0), &json!(0), &json!(0)),
        "{again:#}"
    );

    let undo = client.ask(&format!("/v1/replays/{}/undo", id_of(&asked)), &json!({})).await;
    assert_eq!((undo.status, undo.header("location")), (202, format!("/v1/replays/{}-undo", id_of(&asked)).as_str()));
    let undo = computed(client, undo.json["id"].as_str().expect("an id")).await;
    assert_eq!(undo["found"]["planned_keys"], 8, "{undo:#}");
    let undone = applied(client, &undo, "undone").await;
    assert_eq!(undone["repaired"], 8, "{undone:#}");
    let status = client.status("member/early-1").await;
    assert_eq!(status["parts"]["activation"]["state"], "registered", "{status:#}");
    assert_eq!(keys(client).await, all, "events stay");
    assert_eq!(replay(client, id_of(&asked)).await["state"], "undone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_asks_shows_approves_applies_and_undoes() {
    let server = fixed_too_late(4).await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let asked = cli.run(&["replays", "what-if", "activation", "--wait", "--reason", "who has no key?"]);
    let text = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success(), "{asked:?}");
    assert!(
        text.contains("org/1: member/early-1: registered (Waits for the activation) -> active (Has a key)"),
        "{text}"
    );
    let listed = cli.json(&["replays", "list"]);
    let replay = &listed["replays"][0];
    let (id, plan) = (id_of(replay), replay["found"]["plan"].as_str().expect("a plan"));
    assert!(cli.prints(&["replays", "show", id]).contains("ready"));
    let of_key = cli.prints(&["replays", "diff", id, "org/1"]);
    assert!(of_key.contains("+ event key.created for member/early-1 {\"member\":\"early-1\"}"), "{of_key}");
    assert!(of_key.contains("what applying it appends"), "{of_key}");
    let same = cli.prints(&["replays", "diff", id, "org/none"]);
    assert_eq!(same.trim_end(), "nothing differs for org/none");
    let subject = cli.json(&["replays", "diff", id, "--subject", "member/early-3"]);
    let keys: Vec<_> = subject["differences"].as_array().expect("differences").iter().map(|one| &one["key"]).collect();
    assert!(!keys.is_empty() && keys.iter().all(|key| **key == "org/3"), "{subject:#}");
    assert!(cli.prints(&["replays", "plan", id]).contains(&format!("plan {plan}")));
    let refused = cli.fails(&["replays", "apply", id]);
    assert!(refused[0].contains("not-approved") && refused[1].contains("replays approve"), "{refused:?}");
    let other = format!("sha256:{}", "0".repeat(64));
    assert!(cli.fails(&["replays", "approve", id, "--plan", &other])[0].contains("plan-changed"));
    cli.prints(&["replays", "approve", id, "--plan", plan, "--key", "org/1", "--reason", "the members wait"]);
    let applied = cli.run(&["replays", "apply", id, "--wait"]);
    assert!(applied.status.success(), "{applied:?}");
    client.drained(PATIENCE).await;
    assert_eq!(self::keys(client).await, ["early-1", "late-1", "late-3"], "only the key that was named");
    let undo = cli.run(&["replays", "undo", id, "--wait", "--actor", "dora", "--reason", "it was ours"]);
    assert!(undo.status.success(), "{undo:?}");
    let undo = cli.prints(&["replays", "show", &format!("{id}-undo")]);
    assert!(undo.contains("dora") && undo.contains("it was ours"), "{undo}");
    assert_eq!(cli.run(&["replays", "show", "9999999"]).status.code(), Some(4));
    let cancelled = cli.json(&["replays", "what-if", "activation", "--key", "org/3", "--handled-by", "1"]);
    assert_eq!(cancelled["selection"]["keys"], json!(["org/3"]), "{cancelled:#}");
    cli.prints(&["replays", "cancel", id_of(&cancelled)]);
    assert!(cli.fails(&["replays", "cancel", id_of(&cancelled)])[0].contains("replay-state"));
    let affected = cli.run(&["handlers", "affected", "activation", "--between", "1", "2"]);
    let text = String::from_utf8_lossy(&affected.stdout).into_owned();
    assert!(affected.status.success() && text.contains("member/early-3"), "{affected:?}");
}

/// The candidate is not deployed yet: what it would do is seen, and cannot be applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_is_not_in_force_is_only_looked_at() {
    let server = fixed_too_late(4).await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let dir = tempfile::tempdir().expect("a directory");
    let text = "name = \"activation\"\nmodule = \"activation.wasm\"\nstart = \"beginning\"\nretry = []\n\
        [config]\nfails_for = \"org/1\"\n\
        [[subscriptions]]\ntypes = [\"member.registered\", \"organisation.activated\"]\n";
    let file = dir.path().join("handler.toml");
    std::fs::write(&file, text).expect("written");
    std::fs::write(dir.path().join("activation.wasm"), weirgate_guests::build("activation")).expect("written");
    let file = file.to_str().expect("a path");
    let asked = cli.json(&["replays", "what-if", "activation", "--candidate", file]);
    let asked = computed(client, id_of(&asked)).await;
    let found = &asked["found"];
    assert_eq!((&found["keys_failing"], &found["planned_keys"]), (&json!(1), &json!(4)), "{asked:#}");
    let plan = client.get(&format!("/v1/replays/{}/plan", id_of(&asked))).await.ok();
    let failing = plan["keys"].as_array().expect("keys").iter().find(|key| key["key"] == "org/1").expect("the key");
    assert!(failing["refused"].as_str().is_some_and(|reason| reason.contains("no contract")), "{failing:#}");
    let approval = json!({ "plan": found["plan"] });
    let path = format!("/v1/replays/{}/approve", id_of(&asked));
    client.ask(&path, &approval).await.is_problem(409, "candidate-not-in-force");
    let other = cli.fails(&["replays", "what-if", "keyring", "--candidate", file]);
    assert!(other[0].contains("is the manifest of activation, not of keyring"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_is_refused() {
    const TIME: u64 = 1_790_000_000_000;
    let server = fixed_too_late(2).await;
    let client = &server.client;
    for (request, status, code) in [
        (json!({}), 422, "bad-json"),
        (json!({ "handler": "other" }), 404, "unknown-handler"),
        (json!({ "handler": "Other" }), 400, "bad-id"),
        (json!({ "handler": "activation", "candidate": { "version": 9 } }), 404, "unknown-version"),
        (json!({ "handler": "activation", "candidate": { "version": 1, "digest": "0000" } }), 422, "bad-command"),
        (
            json!({ "handler": "activation", "candidate": { "digest": "0000", "manifest": fixed() } }),
            404,
            "unknown-digest",
        ),
        (json!({ "handler": "activation", "selection": { "after": 7, "through": 7 } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "since": TIME, "until": TIME } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "since": "1790000000" } }), 422, "bad-json"),
        (json!({ "handler": "activation", "selection": { "keys": vec!["k"; 1_001] } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "keys": [] } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "keys": [""] } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "types": [] } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "filter": ["/member == 1"] } }), 422, "bad-selection"),
        (json!({ "handler": "activation", "selection": { "version": 9 } }), 404, "unknown-version"),
        (json!({ "handler": "activation", "selection": { "other": 9 } }), 422, "bad-json"),
        (json!({ "handler": "activation", "bounds": { "keys": 0 } }), 422, "bad-command"),
        (json!({ "handler": "activation", "bounds": { "bytes": (1_u64 << 30) + 1 } }), 422, "bad-command"),
        (json!({ "handler": "activation", "reason": "a\nb" }), 422, "bad-command"),
    ] {
        client.ask("/v1/replays", &request).await.is_problem(status, code);
    }
    let allowed = json!({ "handler": "activation", "selection": { "keys": vec!["k"; 1_000] }, "bounds": { "bytes": 1_u64 << 30 } });
    let asked = ask(client, &allowed).await;
    assert_eq!(asked["found"]["keys"], 0, "{asked:#}");
    for (path, status, code) in [
        ("/v1/replays/7777", 404, "unknown-replay"),
        ("/v1/replays/x", 400, "bad-id"),
        ("/v1/replays/7777/differences", 404, "unknown-replay"),
        ("/v1/replays/7777/plan", 404, "unknown-replay"),
        ("/v1/replays/7777/keys?key=k", 404, "unknown-replay"),
        (&format!("/v1/replays/{}/differences?after=x", id_of(&asked)), 400, "bad-query"),
        (&format!("/v1/replays/{}/differences?limit=0", id_of(&asked)), 400, "bad-query"),
        (&format!("/v1/replays/{}/keys", id_of(&asked)), 400, "bad-query"),
        (&format!("/v1/replays/{}-undo", id_of(&asked)), 409, "nothing-to-undo"),
    ] {
        client.get(path).await.is_problem(status, code);
    }
    let at = |command: &str| format!("/v1/replays/{}/{command}", id_of(&asked));
    client.ask(&at("undo"), &json!({})).await.is_problem(409, "nothing-to-undo");
    client.ask(&at("apply"), &json!({})).await.is_problem(409, "not-approved");
    client.ask(&at("approve"), &json!({ "plan": "x" })).await.is_problem(400, "bad-id");
    let plan = &asked["found"]["plan"];
    client.ask(&at("approve"), &json!({ "plan": plan, "keys": [] })).await.is_problem(422, "bad-command");
    client.ask(&at("approve"), &json!({ "plan": plan })).await.is_problem(409, "plan-is-empty");
    let whole = ask(client, &json!({ "handler": "activation", "selection": { "version": 1 } })).await;
    let approve = format!("/v1/replays/{}/approve", id_of(&whole));
    let unknown = json!({ "plan": whole["found"]["plan"], "keys": ["k"] });
    client.ask(&approve, &unknown).await.is_problem(422, "key-not-planned");
    assert_eq!((&whole["selection"]["version"], &whole["candidate"]["version"]), (&json!(1), &json!(2)));
    client.ask(&at("cancel"), &json!({})).await.ok();
    assert_eq!(replay(client, id_of(&asked)).await["state"], "cancelled");
    // What it found may be looked at; nothing follows from it.
    let looked_at = eventually("the plan of a cancelled replay", PATIENCE, async || {
        let answer = client.get(&at("plan")).await;
        if answer.status == 200 { Ok(answer.json) } else { Err(answer.text) }
    });
    assert_eq!(looked_at.await["plan"], *plan);
    assert_eq!(replay(client, id_of(&asked)).await["state"], "cancelled");
    client.ask(&at("approve"), &json!({ "plan": plan })).await.is_problem(409, "replay-state");
    client.ask(&at("cancel"), &json!({})).await.is_problem(409, "replay-state");
}

/// A limit that is reached leaves a part unexamined; that plan cannot be approved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_is_not_whole_is_not_approved() {
    let server = fixed_too_late(6).await;
    let client = &server.client;
    let asked = ask(client, &json!({ "handler": "activation", "bounds": { "keys": 1 } })).await;
    let found = &asked["found"];
    assert_eq!((&found["not_examined"]["limit"], &found["keys"]), (&json!("keys"), &json!(1)), "{asked:#}");
    let path = format!("/v1/replays/{}/approve", id_of(&asked));
    client.ask(&path, &json!({ "plan": asked["found"]["plan"] })).await.is_problem(409, "plan-not-whole");
    let pages = client.get("/v1/replays?limit=1").await.ok();
    assert_eq!((&pages["replays"][0]["id"], &pages["next"]), (&asked["id"], &Value::Null));
}

/// Killed while it is computed and while it is applied: it is computed again, and the application goes on; each member gets one key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_after_a_kill() {
    const ORGANISATIONS: usize = 300;
    let mut server = fixed_too_late(ORGANISATIONS).await;
    let asked = server.client.ask("/v1/replays", &json!({ "handler": "activation" })).await.ok();
    server.restart().await;
    let asked = computed(&server.client, id_of(&asked)).await;
    assert_eq!(asked["found"]["events"], ORGANISATIONS / 2, "{asked:#}");
    approve(&server.client, &asked).await;
    server.client.ask(&format!("/v1/replays/{}/apply", id_of(&asked)), &json!({})).await.ok();
    eventually("some keys to be repaired", PATIENCE, async || {
        let replay = replay(&server.client, id_of(&asked)).await;
        if replay["repaired"].as_u64() > Some(10) { Ok(()) } else { Err(replay) }
    })
    .await;
    server.restart().await;
    let done = ended(&server.client, id_of(&asked), "applied").await;
    assert_eq!(done["repaired"], ORGANISATIONS, "{done:#}");
    server.client.drained(PATIENCE).await;
    let mut all: Vec<_> = with_keys(ORGANISATIONS).into_iter().chain(forgotten(ORGANISATIONS)).collect();
    all.sort();
    assert_eq!(keys(&server.client).await, all, "each has exactly one");
    let again = ask(&server.client, &json!({ "handler": "activation" })).await;
    assert_eq!(again["found"]["planned_keys"], 0, "{again:#}");
}

/// Who got the last key of an organisation, as the receiver says.
async fn last_key(client: &Client, organisation: usize) -> String {
    let status = client.status(&format!("last-key/org/{organisation}")).await;
    status["parts"]["keyring"]["text"].as_str().unwrap_or_default().to_owned()
}

/// A receiver gets what is appended late; folded again, it stands as if it had come in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_folded_again_where_that_is_approved_and_allowed() {
    let server = fixed_too_late(4).await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let asked = ask(client, &json!({ "handler": "activation" })).await;
    let path = format!("/v1/replays/{}", id_of(&asked));
    let approval = json!({ "plan": asked["found"]["plan"], "fold_again": ["keyring"] });
    client.ask(&format!("{path}/approve"), &approval).await.is_problem(422, "not-foldable");

    let keyring = client.handler("keyring").await;
    let mut allows = manifest("keyring", &["key.created"]);
    allows["fold_again"] = json!(true);
    client.redeploy(&allows, &keyring["digest"]).await.ok();
    let asked = ask(client, &json!({ "handler": "activation" })).await;
    let (id, plan) = (id_of(&asked), asked["found"]["plan"].as_str().expect("a plan"));
    let shown = cli.prints(&["replays", "plan", id]);
    assert!(shown.contains("keyring, only if that is approved (--fold-again keyring):"), "{shown}");
    cli.prints(&["replays", "approve", id, "--plan", plan, "--fold-again", "keyring", "--reason", "late keys"]);
    let done = cli.run(&["replays", "apply", id, "--wait"]);
    assert!(done.status.success(), "{done:?}");
    let done = replay(client, id).await;
    assert_eq!((&done["state"], &done["application"]["folded"]), (&json!("applied"), &json!(2)), "{done:#}");
    assert_eq!(keys(client).await, ["early-1", "early-3", "late-1", "late-3"], "nothing is emitted again");
    assert_eq!([last_key(client, 1).await, last_key(client, 3).await], ["late-1", "late-3"], "as if in time");
    let status = client.status("member/early-1").await;
    assert_eq!(status["parts"]["keyring"]["data"], 1, "it counts once: {status:#}");
    let again = ask(client, &json!({ "handler": "activation" })).await;
    let found = &again["found"];
    assert_eq!((&found["planned_keys"], &found["receivers"]), (&json!(0), &json!(0)), "{again:#}");
    let of_receiver = ask(client, &json!({ "handler": "keyring" })).await;
    assert_eq!(of_receiver["found"]["keys"], 0, "what it came to stands: {of_receiver:#}");

    let undo = client.ask(&format!("/v1/replays/{id}/undo"), &json!({})).await;
    let undo = computed(client, undo.json["id"].as_str().expect("an id")).await;
    let undone = applied(client, &undo, "undone").await;
    assert_eq!(undone["application"]["folded"], 2, "{undone:#}");
    assert_eq!(last_key(client, 1).await, "early-1", "what came late came last");
    let of_receiver = ask(client, &json!({ "handler": "keyring" })).await;
    assert_eq!(of_receiver["found"]["keys"], 0, "{of_receiver:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_candidates_hook_corrects_in_a_what_if_as_it_does_live() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut prices = manifest("prices", &["price.set"]);
    prices["subscriptions"][0]["source"] = json!("/good");
    let digest = client.deploy(&prices, weirgate_guests::build("prices")).await["digest"].clone();
    let set = |id: &str, cents: i64| {
        let mut event = event("price.set", "sku/1", id, &json!({ "cents": cents }));
        event["source"] = json!("/bad");
        event
    };
    client.publish(&[set("p1", 70), set("p2", -1)]).await.ok();
    client.drained(PATIENCE).await;
    client.redeploy(&manifest("prices", &["price.set"]), &digest).await.ok();
    let asked = ask(client, &json!({ "handler": "prices" })).await;
    assert_eq!((&asked["found"]["planned_keys"], &asked["found"]["keys_failing"]), (&json!(1), &json!(0)), "{asked:#}");
    let applied = applied(client, &asked, "applied").await;
    assert_eq!(applied["repaired"], 1, "{applied:#}");
    assert_eq!(client.status("sku/1").await["parts"]["prices"]["text"], "70 cents");
}
