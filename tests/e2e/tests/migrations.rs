//! State of several versions on the real binary: each key is migrated once, before its first delivery under the new version.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use weirgate_sdk::testing::Recorded;
use weirgate_tests::{Cli, Client, Server, Setup, binary, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(60);

/// A version of the counter whose state has the version `state`.
fn counter(state: u32, config: &Value) -> Value {
    let mut manifest = manifest("counter", &["counter.add"]);
    manifest["state_version"] = json!(state);
    manifest["config"] = config.clone();
    manifest["config"]["state"] = json!(state.to_string());
    manifest["retry"] = json!([{ "attempts": 100, "first_delay_ms": 100, "delay_ms_max": 100, "jitter": "none" }]);
    manifest
}

fn add(key: &str, id: &str) -> Value {
    event("counter.add", key, id, &json!({ "count": 1 }))
}

/// What the counter of a key counted and was migrated from, as its status says.
async fn counted(client: &Client, key: &str) -> Value {
    client.status(key).await["parts"]["counter"]["data"].clone()
}

fn rebuild_views(server: &Server) {
    std::fs::remove_dir_all(server.dir.join("views")).expect("the views are there");
}

async fn take(client: &Client, key: &str, id: &str) -> Value {
    client.accept(add(key, id)).await;
    client.drained(PATIENCE).await;
    counted(client, key).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_is_migrated_once_from_the_version_that_it_has() {
    let mut server = Setup::new().start().await;
    let none = json!({});
    let digest = server.client.deploy(&counter(1, &none), weirgate_guests::build("counter")).await["digest"].clone();
    for key in ["a", "b", "c"] {
        assert_eq!(take(&server.client, key, &format!("{key}-1")).await, json!({ "count": 1, "migrated": [] }));
    }
    server.client.redeploy(&counter(2, &none), &digest).await.ok();
    assert_eq!(take(&server.client, "a", "a-2").await, json!({ "count": 2, "migrated": [1] }));
    assert_eq!(take(&server.client, "a", "a-3").await, json!({ "count": 3, "migrated": [1] }));
    assert_eq!(take(&server.client, "new", "new-1").await, json!({ "count": 1, "migrated": [] }), "nothing to migrate");
    // Also the version of each key's state is a view of the log.
    server.kill9();
    rebuild_views(&server);
    server.start().await;
    assert_eq!(take(&server.client, "a", "a-4").await["migrated"], json!([1]));
    server.client.redeploy(&counter(3, &none), &digest).await.ok();
    assert_eq!(take(&server.client, "a", "a-5").await, json!({ "count": 5, "migrated": [1, 2] }));
    assert_eq!(
        take(&server.client, "b", "b-2").await,
        json!({ "count": 2, "migrated": [1] }),
        "it was never at version 2"
    );
    assert_eq!(take(&server.client, "new", "new-2").await, json!({ "count": 2, "migrated": [2] }));
    let attempts = server.client.get("/v1/attempts?key=a").await.ok();
    let from: Vec<_> =
        attempts["attempts"].as_array().expect("attempts").iter().map(|one| &one["migrated_from"]).collect();
    assert_eq!(from, [&Value::Null, &json!(1), &Value::Null, &Value::Null, &json!(2)]);
    let story = Cli::of(&server).prints(&["timeline", "a"]);
    assert!(story.contains("migrates the state of version 2"), "{story}");
    let versions = Cli::of(&server).prints(&["handlers", "versions", "counter"]);
    assert!(versions.contains("state_version: 2 -> 3"), "{versions}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_cannot_read_the_state_is_refused() {
    let server = Setup::new().start().await;
    let (client, none) = (&server.client, json!({}));
    let other = client.upload(weirgate_guests::build("prices")).await.ok()["digest"].clone();
    // A new handler has no state.
    let first = client.deploy(&counter(2, &none), weirgate_guests::build("counter")).await;
    let digest = &first["digest"];
    let refused = client.redeploy(&counter(3, &none), &other).await;
    refused.is_problem(409, "no-migration");
    // Keys may still be at an earlier version, so its successors need the migration too.
    client.redeploy(&counter(2, &json!({ "version": "b" })), &other).await.is_problem(409, "no-migration");
    client.redeploy(&counter(3, &none), digest).await.ok();
    let refused = client.redeploy(&counter(2, &none), digest).await;
    refused.is_problem(409, "needs-rebuild");
    let detail = refused.json["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("version 3") && detail.contains("state_version = 2") && detail.contains("rebuild"),
        "{detail}"
    );
    for body in [json!({}), json!({ "plan": true }), json!({ "to": 1 })] {
        client.ask("/v1/handlers/counter/rollback", &body).await.is_problem(409, "needs-rebuild");
    }
    // With its state, a handler's version of it goes.
    let without_version = manifest("counter", &["counter.add"]);
    assert_eq!(client.handler("counter").await["manifest"]["state_version"], 3);
    client.send(reqwest::Method::DELETE, "/v1/handlers/counter", "application/json", "").await.ok();
    eventually("the name to be free", PATIENCE, async || {
        let answer = client.redeploy(&without_version, &other).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    assert_eq!(client.handler("counter").await["manifest"]["state_version"], 1);
    // At the first version no state is of an earlier one, whether the module in force could migrate it or not.
    client.redeploy(&without_version, digest).await.ok();
    client.redeploy(&without_version, &other).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_migration_leaves_the_state_for_the_next_version() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let mut first = counter(1, &json!({ "timer_ms": "1500" }));
    first["ordering"] = json!("key");
    let digest = client.deploy(&first, weirgate_guests::build("counter")).await["digest"].clone();
    take(client, "a", "a-1").await;
    client.redeploy(&counter(2, &json!({ "migration": "fails" })), &digest).await.ok();
    let position = client.accept(add("a", "a-2")).await;
    let failed = eventually("a failed attempt", PATIENCE, async || {
        let found = client.get(&format!("/v1/deliveries/counter@{position}")).await.ok();
        if found["failures"].as_array().is_some_and(|failures| failures.len() > 1) { Ok(found) } else { Err(found) }
    })
    .await;
    let failure = &failed["failures"][0];
    assert_eq!((&failure["kind"], &failure["class"]), (&json!("migration"), &json!("transient")), "{failed}");
    assert!(failure["message"].as_str().is_some_and(|text| text.contains("version 1 is not migrated")), "{failed}");
    assert_eq!(counted(client, "a").await["count"], 1, "nothing of it was kept");
    // A failure of the handler drops what was migrated before it.
    client.redeploy(&counter(2, &json!({ "handling": "fails" })), &digest).await.ok();
    eventually("the handler to fail", PATIENCE, async || {
        let found = client.get(&format!("/v1/deliveries/counter@{position}")).await.ok();
        let last = found["failures"].as_array().and_then(|failures| failures.last()).cloned().unwrap_or_default();
        if last["kind"] == "handler" { Ok(()) } else { Err(last) }
    })
    .await;
    client.redeploy(&counter(2, &json!({})), &digest).await.ok();
    client.drained(PATIENCE).await;
    // The timer of the first version is delivered to the second, behind the event.
    eventually("the timer", PATIENCE, async || {
        let seen = counted(client, "a").await;
        if seen == json!({ "count": 1_002, "migrated": [1] }) { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// A correction by the hook reads migrated state too, and the corrected delivery migrates it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_delivery_migrates_the_state() {
    let server = Setup::new().start().await;
    let (client, none) = (&server.client, json!({}));
    let digest = client.deploy(&counter(1, &none), weirgate_guests::build("counter")).await["digest"].clone();
    take(client, "a", "a-1").await;
    client.redeploy(&counter(2, &none), &digest).await.ok();
    client.accept(event("counter.add", "a", "a-2", &json!({ "count": 0 }))).await;
    client.drained(PATIENCE).await;
    assert_eq!(counted(client, "a").await, json!({ "count": 2, "migrated": [1] }));
}

/// Deliveries of a key overlap: several migrate at once, and the first commit counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_deliveries_migrate_a_key_once() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let unordered = |state| {
        let mut manifest = counter(state, &json!({}));
        (manifest["ordering"], manifest["concurrency"]) = (json!("none"), json!(8));
        manifest
    };
    let digest = client.deploy(&unordered(1), weirgate_guests::build("counter")).await["digest"].clone();
    let keys: Vec<_> = (0..20).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        client.accept(add(key, &format!("{key}-1"))).await;
    }
    client.drained(PATIENCE).await;
    client.redeploy(&unordered(2), &digest).await.ok();
    let events: Vec<_> = keys.iter().flat_map(|key| (2..12).map(move |n| add(key, &format!("{key}-{n}")))).collect();
    client.publish(&events).await.ok();
    client.drained(PATIENCE).await;
    for key in &keys {
        assert_eq!(counted(client, key).await["migrated"], json!([1]), "{key}");
    }
    let completed = |version: &Value| version["completed"].as_u64();
    let versions = client.get("/v1/handlers/counter/versions").await.ok();
    assert_eq!(
        versions["versions"].as_array().map(|all| all.iter().map(completed).collect::<Vec<_>>()),
        Some(vec![Some(200), Some(20)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_migrates_its_keys() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let batched = |state: u32| {
        let mut manifest = counter(state, &json!({}));
        (manifest["batch"], manifest["concurrency"]) = (json!({ "events_max": 16 }), json!(1));
        manifest
    };
    let digest = client.deploy(&batched(1), weirgate_guests::build("counter-batch")).await["digest"].clone();
    for n in 0..8 {
        client.accept(event("counter.add", &format!("k{n}"), &format!("first-{n}"), &json!({ "count": 1 }))).await;
    }
    // One that cannot be migrated holds up its own key only.
    client.accept(event("counter.add", "bad", "bad-1", &json!({ "count": -1 }))).await;
    client.drained(PATIENCE).await;
    let pause = json!({ "actor": "ada", "reason": "so that they share a call" });
    client.ask("/v1/handlers/counter/pause", &pause).await.ok();
    client.redeploy(&batched(2), &digest).await.ok();
    client.accept(event("counter.add", "bad", "bad-2", &json!({ "count": 1 }))).await;
    let events: Vec<_> = (0..16)
        .map(|n| event("counter.add", &format!("k{}", n % 8), &format!("second-{n}"), &json!({ "count": 1 })))
        .collect();
    client.publish(&events).await.ok();
    client.ask("/v1/handlers/counter/resume", &pause).await.ok();
    for n in 0..8 {
        let key = format!("k{n}");
        eventually("both events to be counted", PATIENCE, async || {
            let text = client.status(&key).await["parts"]["counter"]["text"].clone();
            if text == "1003" { Ok(()) } else { Err(text) }
        })
        .await;
    }
    let open = client.get("/v1/deliveries").await.ok();
    assert_eq!((open["deliveries"].as_array().map(Vec::len), &open["deliveries"][0]["key"]), (Some(1), &json!("bad")));
}

/// The server is killed while it migrates: no key is migrated twice, and no event counts twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_migrates_no_key_twice() {
    let mut server = Setup::new().start().await;
    let digest =
        server.client.deploy(&counter(1, &json!({})), weirgate_guests::build("counter")).await["digest"].clone();
    let keys: Vec<_> = (0..150).map(|n| format!("key-{n}")).collect();
    let events: Vec<_> = keys.iter().map(|key| add(key, &format!("{key}-1"))).collect();
    server.client.publish(&events).await.ok();
    server.client.drained(PATIENCE).await;
    server.client.redeploy(&counter(2, &json!({})), &digest).await.ok();
    for round in 2..5 {
        let events: Vec<_> = keys.iter().map(|key| add(key, &format!("{key}-{round}"))).collect();
        server.client.publish(&events).await.ok();
        server.kill9();
        server.start().await;
    }
    server.client.drained(PATIENCE).await;
    for key in &keys {
        assert_eq!(counted(&server.client, key).await, json!({ "count": 4, "migrated": [1] }), "{key}");
    }
}

fn replays(args: &[&str]) -> Value {
    let output = Command::new(binary()).args(["--output", "json", "replays"]).args(args).output().expect("it runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migrated_delivery_is_executed_again_out_of_a_bundle_and_as_a_test() {
    let mut server = Setup::new().start().await;
    let client = &server.client;
    let digest = client.deploy(&counter(1, &json!({})), weirgate_guests::build("counter")).await["digest"].clone();
    take(client, "a", "a-1").await;
    let mut failing = counter(2, &json!({ "migration": "fails" }));
    failing["retry"] = json!([]);
    client.redeploy(&failing, &digest).await.ok();
    let failed = client.accept(add("a", "a-2")).await;
    client.drained(PATIENCE).await;
    client.redeploy(&counter(2, &json!({})), &digest).await.ok();
    let migrated = client.accept(add("a", "a-3")).await;
    client.drained(PATIENCE).await;
    assert_eq!(counted(client, "a").await, json!({ "count": 2, "migrated": [1] }));
    assert!(server.terminate().await.success());
    let data = text(&server.dir);
    let verified = replays(&["verify", "--data", data]);
    assert_eq!((&verified["executed"], &verified["different"]), (&json!(3), &json!(0)), "{verified}");
    let dir = tempfile::tempdir().expect("a directory");
    let (file, recorded) = (dir.path().join("a.bundle"), dir.path().join("recorded"));
    let deliveries = [failed, migrated].map(|position| format!("counter@{position}"));
    let [failed, migrated] = deliveries.each_ref().map(String::as_str);
    replays(&["bundle", failed, migrated, "--data", data, "--file", text(&file)]);
    let ran = replays(&["run", text(&file)]);
    assert_eq!((ran["attempts"].as_array().map(Vec::len), &ran["different"]), (Some(2), &json!(0)), "{ran}");
    let exported = replays(&["export", failed, migrated, "--data", data, "--as-tests", text(&recorded)]);
    assert_eq!(exported["fixtures"], 2, "{exported}");
    for recorded in Recorded::all(&recorded) {
        recorded.clone().migrating(counter::migrate).check(counter::handle);
        let without = std::panic::catch_unwind(|| recorded.check(counter::handle)).expect_err("it needs the migration");
        let says = without.downcast_ref::<String>().expect("a message");
        assert!(says.contains("began with a migration"), "{says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_before_a_deployment_names_keys_that_are_not_migrated() {
    let server = Setup::new().start().await;
    let (client, none) = (&server.client, json!({}));
    let digest = client.deploy(&counter(1, &none), weirgate_guests::build("counter")).await["digest"].clone();
    for key in ["a", "b"] {
        for number in 1..=2 {
            take(client, key, &format!("{key}-{number}")).await;
        }
    }
    let check = async |config: &Value| {
        let plan = client.put_version(&counter(2, config), &digest, "?plan=true").await.ok();
        plan["check"].clone()
    };
    let good = check(&none).await;
    // The first event of a key met no state.
    assert_eq!(
        (&good["executed"], &good["migrated"], &good["migrations_failed"]),
        (&json!(4), &json!(2), &none),
        "{good:#}"
    );
    assert_eq!(good["by_part"]["outcome"], Value::Null, "{good:#}");
    let bad = check(&json!({ "migration": "fails" })).await;
    let failed = bad["migrations_failed"].as_object().expect("keys");
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["a", "b"], "{bad:#}");
    assert!(failed["a"].as_str().is_some_and(|text| text.contains("no such counter")), "{bad:#}");
    assert_eq!(client.handler("counter").await["version"], 1, "a plan does nothing");
}
