//! Versions of a handler on the real binary: a deployment as a fence, the list of versions, rollback, removal, and what runs
//! again at once.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use weirgate_tests::{Cli, Client, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn add(account: &str, n: u64, failures: u64) -> Value {
    event("ledger.add", account, &format!("{account}-{n}"), &json!({ "n": n, "failures": failures }))
}

fn ledger(config: &str) -> Value {
    let mut manifest = manifest("ledger", &["ledger.add"]);
    manifest["config"] = json!({ "kind": config });
    manifest["retry"] =
        json!([{ "attempts": 3, "first_delay_ms": 3_600_000, "delay_ms_max": 3_600_000, "jitter": "none" }]);
    manifest
}

async fn versions(client: &Client, name: &str) -> Vec<Value> {
    let list = client.get(&format!("/v1/handlers/{name}/versions")).await.ok();
    list["versions"].as_array().expect("versions").clone()
}

async fn remove(client: &Client, query: &str) -> weirgate_tests::Answer {
    client.send(Method::DELETE, &format!("/v1/handlers/ledger{query}"), "application/json", "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_attempt_is_discarded_and_runs_under_the_new_version() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut slow = manifest("hostile", &["hostile.*"]);
    slow["retry"] = json!([]);
    slow["limits"] = json!({ "cpu_ms": 5_000, "wall_ms": 30_000 });
    let deployed = client.deploy(&slow, weirgate_guests::build("hostile")).await;
    let position = client.accept(event("hostile.loops_forever", "k", "e-1", &json!({ "quantity": 1 }))).await;
    eventually("the call to begin", PATIENCE, async || {
        let handler = client.handler("hostile").await;
        if handler["running"] == 1 { Ok(()) } else { Err(handler) }
    })
    .await;
    let begun = Instant::now();
    slow["limits"] = json!({ "cpu_ms": 30, "wall_ms": 30_000 });
    client.redeploy(&slow, &deployed["digest"]).await.ok();
    let dead = eventually("the delivery to fail under the new version", PATIENCE, async || {
        let answer = client.get(&format!("/v1/dead-letters/hostile@{position}")).await;
        if answer.status == 200 { Ok(answer.json) } else { Err(answer.text) }
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "the discarded call ended at its next tick: {:?}",
        begun.elapsed()
    );
    assert_eq!((&dead["attempt"], &dead["kind"]), (&json!(2), &json!("timeout")), "{dead}");
    assert!(dead["message"].as_str().is_some_and(|message| message.contains("30 ms of CPU time")), "{dead}");
    assert_eq!(dead["failures"].as_array().map(Vec::len), Some(1), "the discarded attempt is no failure: {dead}");
    let counts: Vec<_> = versions(client, "hostile")
        .await
        .iter()
        .map(|one| (one["failed"].clone(), one["dead_lettered"].clone()))
        .collect();
    assert_eq!(counts, [(json!(1), json!(1)), (json!(0), json!(0))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_say_who_changed_what_and_what_came_of_it() {
    let mut server = Setup::new().start().await;
    let digest = server.client.deploy(&ledger("one"), weirgate_guests::build("ledger")).await["digest"].clone();
    for n in 1..=3 {
        server.client.accept(add("a", n, 0)).await;
    }
    server.client.drained(PATIENCE).await;
    // The same again is no version.
    assert_eq!(server.client.redeploy(&ledger("one"), &digest).await.ok()["version"], 1);
    let body = json!({ "digest": digest, "manifest": ledger("two"), "actor": "ada", "reason": "a better kind" });
    let put = server.client.send(Method::PUT, "/v1/handlers/ledger", "application/json", body.to_string()).await;
    assert_eq!(put.ok()["version"], 2);
    server.client.accept(add("a", 4, 0)).await;
    server.client.drained(PATIENCE).await;
    let listed = versions(&server.client, "ledger").await;
    server.restart().await;
    assert_eq!(versions(&server.client, "ledger").await, listed, "counts survive a kill -9");
    let [two, one] = &listed[..] else { panic!("{listed:?}") };
    let fields = |version: &Value, names: [&str; 4]| names.map(|name| version[name].clone());
    assert_eq!(
        fields(two, ["version", "completed", "actor", "reason"]),
        [json!(2), json!(1), json!("ada"), json!("a better kind")]
    );
    assert_eq!(
        fields(one, ["version", "completed", "actor", "failed"]),
        [json!(1), json!(3), json!("operator"), json!(0)]
    );
    assert_eq!(two["changes"], json!([{ "setting": "config.kind", "before": "one", "after": "two" }]));
    assert_eq!((two["module_changed"].clone(), two["until"].clone()), (json!(false), Value::Null));
    assert_eq!(one["until"].as_u64().map(|until| until + 1), two["position"].as_u64());
    let page = server.client.get("/v1/handlers/ledger/versions?limit=1").await.ok();
    let next = page["next"].as_u64().expect("a next page");
    let rest = server.client.get(&format!("/v1/handlers/ledger/versions?limit=1&after={next}")).await.ok();
    assert_eq!((&page["versions"][0], &rest["versions"][0], &rest["next"]), (two, one, &Value::Null));
    server.client.get("/v1/handlers/other/versions").await.is_problem(404, "unknown-handler");
    let text = Cli::of(&server).prints(&["handlers", "versions", "ledger"]);
    assert!(text.contains("version 2: config.kind: \"one\" -> \"two\"") && text.contains("a better kind"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_is_a_version_that_copies_an_earlier_one() {
    let server = Setup::new().start().await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let digest = client.deploy(&ledger("one"), weirgate_guests::build("ledger")).await["digest"].clone();
    client.post("/v1/handlers/ledger/rollback").await.is_problem(409, "no-earlier-version");
    client.post("/v1/handlers/other/rollback").await.is_problem(404, "unknown-handler");
    for kind in ["two", "three"] {
        client.redeploy(&ledger(kind), &digest).await.ok();
    }
    client.ask("/v1/handlers/ledger/rollback", &json!({ "to": 3 })).await.is_problem(409, "version-in-force");
    client.ask("/v1/handlers/ledger/rollback", &json!({ "to": 9 })).await.is_problem(404, "unknown-version");
    let plan = client.ask("/v1/handlers/ledger/rollback", &json!({ "plan": true })).await.ok();
    assert_eq!((&plan["from"], &plan["to"], &plan["handler"]), (&json!(3), &json!(2), &Value::Null), "{plan}");
    assert_eq!(plan["changes"], json!([{ "setting": "config.kind", "before": "three", "after": "two" }]));
    assert_eq!(client.handler("ledger").await["version"], 3, "a plan does nothing");
    let kind = async || client.handler("ledger").await["manifest"]["config"]["kind"].clone();
    cli.prints(&["handlers", "rollback", "ledger", "--yes", "--reason", "three is wrong"]);
    assert_eq!(kind().await, "two");
    // It counts as the version that it copied: the next one goes further back.
    cli.prints(&["handlers", "rollback", "ledger", "--yes"]);
    assert_eq!(kind().await, "one");
    client.post("/v1/handlers/ledger/rollback").await.is_problem(409, "no-earlier-version");
    client.ask("/v1/handlers/ledger/rollback", &json!({ "to": 3 })).await.ok();
    let listed = versions(client, "ledger").await;
    let copies: Vec<_> = listed.iter().map(|one| (one["version"].clone(), one["copied_from"].clone())).collect();
    let copy = |version: u64, from: u64| (json!(version), json!(from));
    assert_eq!(copies[..3], [copy(6, 3), copy(5, 1), copy(4, 2)]);
    assert_eq!(listed[2]["reason"], "three is wrong");
    assert!(
        cli.prints(&["handlers", "rollback", "ledger", "--plan"])
            .contains("plan: roll ledger back from version 6 to version 2")
    );
    let refused = cli.run(&["handlers", "rollback", "ledger"]);
    assert_eq!(refused.status.code(), Some(2), "no terminal to ask at: {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_handler_leaves_nothing_and_its_name_begins_anew() {
    let mut server = Setup::new().start().await;
    let cli = Cli::of(&server);
    let digest = server.client.deploy(&ledger("one"), weirgate_guests::build("ledger")).await["digest"].clone();
    server.client.accept(add("a", 1, 0)).await;
    let waiting = server.client.accept(add("b", 1, 9)).await;
    eventually("the delivery to wait", PATIENCE, async || {
        let handler = server.client.handler("ledger").await;
        if handler["retrying"] == 1 { Ok(()) } else { Err(handler) }
    })
    .await;
    remove(&server.client, "").await.is_problem(409, "has-deliveries");
    let plan = remove(&server.client, "?plan=true").await.ok();
    assert_eq!(
        (&plan["open"], &plan["dead_letters"], &plan["position"]),
        (&json!(1), &json!(0), &Value::Null),
        "{plan}"
    );
    assert_eq!(cli.run(&["handlers", "remove", "ledger", "--yes"]).status.code(), Some(5));
    let job = cli.json(&["handlers", "remove", "ledger", "--skip-open", "--yes", "--reason", "it is not needed"]);
    assert_eq!((&job["bulk_jobs"][0]["state"], &job["bulk_jobs"][0]["done"]), (&json!("done"), &json!(1)), "{job}");
    server.client.get("/v1/handlers/ledger").await.is_problem(404, "unknown-handler");
    server.client.get(&format!("/v1/deliveries/ledger@{waiting}")).await.is_problem(404, "unknown-handler");
    server.client.get("/v1/handlers/ledger/versions").await.is_problem(404, "unknown-handler");
    assert!(!server.client.get("/metrics").await.text.contains("handler=\"ledger\""));
    assert_eq!(server.client.status("a").await["parts"]["ledger"]["text"], "1 entries", "statuses stay");
    server.restart().await;
    server.client.get("/v1/handlers/ledger").await.is_problem(404, "unknown-handler");
    let mut fresh = ledger("two");
    fresh["start"] = json!("now");
    let again = eventually("the name to be free", PATIENCE, async || {
        let answer = server.client.redeploy(&fresh, &digest).await;
        if answer.status == 200 { Ok(answer.json) } else { Err(answer.text) }
    })
    .await;
    assert_eq!(again["version"], 1);
    server.client.accept(event("ledger.add", "a", "a-again", &json!({ "n": 1 }))).await;
    server.client.drained(PATIENCE).await;
    assert_eq!(server.client.status("a").await["parts"]["ledger"]["data"]["count"], 1, "it has no state from before");
    let version = versions(&server.client, "ledger").await;
    assert_eq!((version.len(), &version[0]["completed"]), (1, &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_retry_may_run_at_once_under_the_new_version() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&ledger("one"), weirgate_guests::build("ledger")).await["digest"].clone();
    // Attempts count from zero after the retry, so the first one fails again with one failure more.
    for account in ["a", "b", "c"] {
        client.accept(event("ledger.add", account, account, &json!({ "n": 1, "failures": 1 }))).await;
    }
    let waits = async |number: u64| {
        eventually("deliveries to wait", PATIENCE, async || {
            let handler = client.handler("ledger").await;
            if handler["retrying"] == number && handler["running"] == 0 { Ok(()) } else { Err(handler) }
        })
        .await;
    };
    waits(3).await;
    client.redeploy(&ledger("two"), &digest).await.ok();
    waits(3).await;
    let body = json!({ "digest": digest, "manifest": ledger("three"), "retry_waiting": true, "reason": "fixed" });
    let deployed = client.send(Method::PUT, "/v1/handlers/ledger", "application/json", body.to_string()).await.ok();
    let id = deployed["bulk_job"].as_u64().expect("a bulk job");
    let job = eventually("the job to end", PATIENCE, async || {
        let job = client.get(&format!("/v1/bulk-jobs/{id}")).await.ok();
        if job["state"] == "running" { Err(job) } else { Ok(job) }
    })
    .await;
    assert_eq!(
        (&job["state"], &job["done"], &job["refused"], &job["reason"]),
        (&json!("done"), &json!(3), &json!(0), &json!("fixed"))
    );
    waits(3).await;
    let failed = versions(client, "ledger").await.iter().map(|one| one["failed"].clone()).collect::<Vec<_>>();
    assert_eq!(failed, [json!(3), json!(0), json!(3)], "they ran under the newest version");
}
