//! The contents of a manifest, as the server answers a deployment: schedules and their next times, patterns, and the maximum
//! number of handlers.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{fs, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Cli, Server, Setup, event, eventually, manifest};

const MINUTE_MS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a module, and the module's digest.
async fn started() -> (Server, Value) {
    let server = Setup::new().start().await;
    let digest = server.client.upload(weirgate_guests::build("mender")).await.ok()["digest"].clone();
    (server, digest)
}

fn scheduled(cron: &str) -> Value {
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["schedules"] = json!([{ "name": "a", "cron": cron, "type": "mend.work", "key": "k", "data": { "n": 1 } }]);
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_not_in_crontab_5_or_is_never_due_is_refused() {
    let (server, digest) = started().await;
    for (cron, says) in [
        ("0 * * * * *", "6 fields"),
        ("0 0 0 1 1 * 2030", "7 fields"),
        ("*/61 * * * *", "larger than the range"),
        ("* */24 * * *", "larger than the range"),
        ("0 0 30 2 *", "never due"),
        ("0 0 31 4,6 *", "never due"),
        ("@daily", "a name for five fields"),
        ("0 0 L * *", "cannot be read as day of month"),
        ("0 0 * * 5#2", "cannot be read as day of week"),
        ("0 0 15W * *", "cannot be read as day of month"),
        ("60 * * * *", "cannot be read as minute"),
        ("5/10 * * * *", "follow * or a range"),
    ] {
        let answer = server.client.redeploy(&scheduled(cron), &digest).await;
        answer.is_problem(422, "bad-manifest");
        let detail = answer.json["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(says) && detail.contains("\"a\""), "{cron}: {detail}");
    }
    assert_eq!(server.client.get("/v1/handlers").await.ok()["handlers"], json!([]));
}

/// What a schedule sends has the attributes and the key of an event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_events_could_not_hold_are_refused() {
    let (server, digest) = started().await;
    for text in ["t\0", "t\u{9f}", "\u{202e}t", "t\u{fdd0}"] {
        for name in ["name", "type", "key"] {
            let mut manifest = scheduled("* * * * *");
            manifest["schedules"][0][name] = json!(text);
            server.client.redeploy(&manifest, &digest).await.is_problem(422, "bad-manifest");
        }
        server.client.redeploy(&manifest("mender", &[text]), &digest).await.is_problem(422, "bad-manifest");
        let mut manifest = manifest("mender", &["mend.work"]);
        manifest["config"][text] = json!("value");
        server.client.redeploy(&manifest, &digest).await.is_problem(422, "bad-manifest");
    }
    server.client.redeploy(&scheduled("* * * * *"), &digest).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_names_the_next_three_times_of_each_schedule() {
    let (server, digest) = started().await;
    let deployed = server.client.redeploy(&scheduled("* * * * *"), &digest).await.ok();
    let schedule = &deployed["schedules"][0];
    assert_eq!((&schedule["name"], &schedule["time_zone"]), (&json!("a"), &json!("UTC")));
    let times = |schedule: &Value| -> Vec<u64> {
        schedule["next_due_ms"].as_array().expect("times").iter().filter_map(Value::as_u64).collect()
    };
    let minutes = times(schedule);
    assert_eq!(minutes.len(), 3, "{schedule}");
    assert!(
        minutes[0] % MINUTE_MS == 0 && minutes[1] == minutes[0] + MINUTE_MS && minutes[2] == minutes[1] + MINUTE_MS
    );
    assert!(minutes[0] > deployed["deployed_at_ms"].as_u64().expect("a time"));
    let rare = server.client.redeploy(&scheduled("0 0 29 feb *"), &digest).await.ok()["schedules"][0].clone();
    let texts: Vec<_> = rare["next_due"].as_array().expect("times").iter().filter_map(Value::as_str).collect();
    assert!(texts.len() == 3 && texts.iter().all(|text| text.ends_with("-02-29T00:00:00Z")), "{texts:?}");
    assert_eq!(server.client.handler("mender").await["schedules"][0]["next_due"], rare["next_due"]);
    // The command line prints them.
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("handler.toml").to_string_lossy().into_owned();
    let toml = "name = \"mender\"\nmodule = \"mender.wasm\"\nsubscriptions = []\n[[schedules]]\nname = \"nightly\"\n\
                cron = \"0 0 29 feb *\"\ntype = \"mend.work\"\nkey = \"k\"\n";
    fs::write(&file, toml).expect("written");
    fs::write(dir.path().join("mender.wasm"), weirgate_guests::build("mender")).expect("written");
    let deployed = Cli::of(&server).run(&["handlers", "deploy", &file, "--yes"]);
    let printed = String::from_utf8_lossy(&deployed.stdout).into_owned();
    let line =
        printed.lines().find(|line| line.starts_with("schedule nightly of mender (0 0 29 feb *, UTC) is next due at "));
    let line = line.expect(&printed);
    // By the local clock, and relative.
    assert!(line.matches(" (in ").count() == 3 && !line.contains("T00:00:00Z"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_have_limits_that_are_named() {
    let (server, digest) = started().await;
    let with = |types: Vec<String>| {
        let mut manifest = manifest("mender", &[]);
        manifest["subscriptions"] = json!([{ "types": types }]);
        manifest
    };
    let types = |count: usize| (0..count).map(|n| format!("type.{n}")).collect::<Vec<_>>();
    let starred = |count: usize| (0..count).map(|n| format!("*.{n}")).collect::<Vec<_>>();
    let mut subscriptions = with(types(1));
    subscriptions["subscriptions"] = vec![json!({ "types": ["a"] }); 65].into();
    let mut large = with(types(1));
    large["config"] = json!({ "a": "x".repeat(300_000) });
    for (manifest, says) in [
        (with(types(1_025)), "the number of patterns in types and corrections is 1025; allowed are 0 to 1024"),
        (with(starred(17)), "the number of patterns with a * before the end is 17; allowed are 0 to 16"),
        (with(vec!["x".repeat(257)]), "is 257; allowed are 1 to 256"),
        (with(vec!["*a".repeat(9)]), "the number of * in a pattern is 9; allowed are 0 to 8"),
        (subscriptions, "the number of subscriptions is 65; allowed are 0 to 64"),
        (large, "the size of the manifest as JSON, in bytes is 300"),
    ] {
        let answer = server.client.redeploy(&manifest, &digest).await;
        answer.is_problem(422, "bad-manifest");
        assert!(answer.json["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{says}: {}", answer.text);
    }
    for manifest in [with(types(1_024)), with(starred(16)), with(vec!["x".repeat(256)])] {
        server.client.redeploy(&manifest, &digest).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_handlers_are_deployed_than_a_server_takes() {
    let (server, digest) = started().await;
    let named = |n: usize| manifest(&format!("handler-{n}"), &["nothing"]);
    for n in 0..256 {
        server.client.redeploy(&named(n), &digest).await.ok();
    }
    server.client.redeploy(&named(256), &digest).await.is_problem(422, "too-many-handlers");
    // Another version of an existing handler is not another handler.
    server.client.redeploy(&named(7), &digest).await.ok();
    let listed = server.client.get("/v1/handlers").await.ok();
    assert_eq!(listed["handlers"].as_array().map(Vec::len), Some(256));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscription_changes_are_limited_while_their_handler_lags() {
    let (server, digest) = started().await;
    let client = &server.client;
    let version = |n: usize| manifest("mender", &[&format!("type.{n}")]);
    client.redeploy(&version(0), &digest).await.ok();
    client.ask("/v1/handlers/mender/drain", &json!({})).await.ok();
    client.accept(event("type.0", "order/1", "1", &json!({}))).await;
    for n in 1..64 {
        client.redeploy(&version(n), &digest).await.ok();
    }
    client.redeploy(&version(64), &digest).await.is_problem(409, "too-far-behind");
    client.redeploy(&version(63), &digest).await.ok();
    client.ask("/v1/handlers/mender/resume", &json!({})).await.ok();
    eventually("it to catch up", PATIENCE, async || {
        let answer = client.redeploy(&version(64), &digest).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}
