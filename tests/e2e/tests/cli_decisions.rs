//! The command line's commands for deliveries, dead letters, handlers and breakers: each endpoint has a counterpart.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Cli, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn work(key: &str, id: &str, fail: Option<&str>) -> Value {
    event("mend.work", key, id, &json!({ "n": 1, "fail": fail }))
}

async fn mending(retry: Value) -> Server {
    let server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    (manifest["retry"], manifest["breaker"]) = (retry, json!({}));
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    server
}

async fn stands(server: &Server, event: Value, state: &str) -> String {
    let id = format!("mender@{}", server.client.accept(event).await);
    eventually(&format!("{id} to be {state}"), PATIENCE, async || {
        let answer = server.client.get(&format!("/v1/deliveries/{id}")).await;
        if answer.json["state"] == state { Ok(()) } else { Err(answer.text) }
    })
    .await;
    id
}

fn write(dir: &Path, name: &str, json: &Value) -> String {
    let file = dir.join(name);
    fs::write(&file, json.to_string()).expect("written");
    file.to_str().expect("a path").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_are_listed_shown_and_commanded() {
    let server = mending(json!([])).await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    let first = stands(&server, work("order/1", "1", Some("correctable")), "awaiting-correction").await;
    let second = stands(&server, work("order/1", "2", None), "blocked").await;
    let listed = cli.prints(&["deliveries", "list", "--state", "awaiting-correction"]);
    assert!(listed.starts_with("ID") && listed.contains(&first) && !listed.contains(&second), "{listed}");
    let rest = cli.json(&["deliveries", "list", "--after", &first, "--limit", "5"]);
    assert_eq!((rest["deliveries"].as_array().map(Vec::len), &rest["deliveries"][0]["id"]), (Some(1), &json!(second)));
    let shown = cli.prints(&["deliveries", "show", &first]);
    for part in ["awaiting-correction", "EVENT", "FAILURES", "`fail` should be null", "mend.work"] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    let failures = shown.split("FAILURES").nth(1).expect("failures");
    assert!(failures.contains(" ago)\"") && !failures.contains("at_ms") && !failures.contains("Z\""), "{shown}");
    assert_eq!(cli.json(&["deliveries", "blocked", "--handler", "mender"])["blocked"][0]["behind"], 1);
    let corrected = cli.json(&["deliveries", "correct", &first, "--patch", r#"{"fail":null}"#, "--reason", "a test"]);
    assert_eq!(corrected["decided"][0]["diff"][0]["op"], "remove");
    server.client.drained(PATIENCE).await;
    let skipped = stands(&server, work("order/2", "3", Some("correctable")), "awaiting-correction").await;
    assert!(cli.prints(&["deliveries", "retry", &skipped]).contains(&skipped));
    eventually("it to be skipped", PATIENCE, async || {
        let output = cli.run(&["deliveries", "skip", &skipped, "--actor", "ada"]);
        if output.status.success() { Ok(()) } else { Err(output) }
    })
    .await;
    let given_up = stands(&server, work("order/3", "4", Some("correctable")), "awaiting-correction").await;
    cli.prints(&["deliveries", "dead-letter", &given_up, "--reason", "hopeless"]);
    assert!(cli.prints(&["dead-letters", "show", &given_up]).contains("given up by tester: hopeless"));
    cli.prints(&["deliveries", "discard", &given_up]);
    let resolved = stands(&server, work("order/4", "5", Some("correctable")), "awaiting-correction").await;
    let instead = write(dir.path(), "instead.json", &work("order/5", "5b", None));
    cli.prints(&["deliveries", "resolve", &resolved, "--events", &instead]);
    server.client.reaches("order/5", "mender", "done").await;
    let gone = cli.fails(&["deliveries", "skip", &resolved]);
    assert!(gone[0].contains("(not-open)") && gone[1].starts_with("hint: "), "{gone:?}");
    assert!(cli.fails(&["deliveries", "correct", &resolved, "--patch", "{"])[0].contains("--patch is not JSON"));
    assert!(cli.fails(&["deliveries", "correct", &resolved])[0].contains("(bad-command)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_found_corrected_and_commanded_in_bulk() {
    let server = mending(json!([])).await;
    let cli = Cli::of(&server);
    let failing = |n: usize| work(&format!("order/{n}"), &n.to_string(), Some(["permanent", "transient"][n % 2]));
    let events: Vec<_> = (0..8).map(failing).collect();
    server.client.publish(&events).await.ok();
    server.client.drained(PATIENCE).await;
    let listed = cli.json(&["dead-letters", "list", "--class", "permanent", "--limit", "2", "--text", "never"]);
    assert_eq!(listed["dead_letters"].as_array().map(Vec::len), Some(2));
    let next = listed["next"].as_str().expect("the next page");
    let rest = cli.json(&["dead-letters", "list", "--class", "permanent", "--after", next]);
    assert_eq!(rest["dead_letters"].as_array().map(Vec::len), Some(2));
    let filters = ["--handler", "mender", "--type", "mend.work", "--key", "order/0", "--from", "2020-01-01T00:00:00Z"];
    let one = cli.json(&[["dead-letters", "list"].as_slice(), &filters].concat());
    let id = one["dead_letters"][0]["id"].as_str().expect("an id");
    let resubmitted = cli.json(&["dead-letters", "resubmit", id, "--data", r#"{"n":9}"#]);
    assert_eq!(resubmitted["decided"][0]["id"], id);
    assert_eq!(server.client.reaches("order/0", "mender", "done").await["data"], 9);
    let apply =
        ["dead-letters", "apply", "--command", "correct", "--class", "transient", "--patch", r#"{"fail":null}"#];
    let done = cli.prints(&[apply.as_slice(), &["--per-second", "1000", "--reason", "fixed", "--yes"]].concat());
    assert!(done.starts_with("ID") && done.contains("correct  done   4"), "{done}");
    assert!(done.contains("tester") && done.contains("fixed"), "{done}");
    server.client.reaches("order/1", "mender", "done").await;
    let unsaid = cli.fails(&["dead-letters", "apply", "--command", "discard"]);
    assert!(unsaid[0].contains("--all"), "{unsaid:?}");
    let discarded = cli.json(&["dead-letters", "apply", "--command", "discard", "--all", "--yes"]);
    assert_eq!(
        (&discarded["bulk_jobs"][0]["done"], &discarded["bulk_jobs"][0]["actor"]),
        (&json!(3), &json!("tester"))
    );
    assert_eq!(cli.json(&["dead-letters", "list"])["dead_letters"], json!([]));
    assert_eq!(cli.json(&["bulk-jobs", "list"])["bulk_jobs"].as_array().map(Vec::len), Some(2));
    assert!(cli.prints(&["bulk-jobs", "show", "1"]).contains("correct"));
    assert!(cli.prints(&["bulk-jobs", "cancel", "1"]).contains("done"), "what has ended stays so");
    assert!(cli.fails(&["bulk-jobs", "show", "9"])[0].contains("(unknown-bulk-job)"));
    assert!(cli.fails(&["dead-letters", "list", "--class", "sad"])[0].contains("invalid value 'sad'"));
    assert!(cli.fails(&["dead-letters", "discard", id])[0].contains("(not-a-dead-letter)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_and_breakers_are_changed_and_events_posted() {
    let server = mending(json!([])).await;
    let (cli, dir) = (Cli::of(&server), tempfile::tempdir().expect("a directory"));
    assert!(cli.prints(&["handlers", "drain", "mender", "--reason", "a deployment"]).contains("drained"));
    assert!(cli.prints(&["handlers", "resume", "mender"]).contains("running"));
    let events = server.client.events().await;
    let draining =
        events.iter().find(|stored| stored["event"]["type"] == "weirgate.handler.draining").expect("a notice");
    assert_eq!(draining["event"]["data"], json!({ "handler": "mender", "actor": "tester", "reason": "a deployment" }));
    let one = write(dir.path(), "one.json", &work("order/1", "1", None));
    assert_eq!(cli.json(&["handlers", "post", "mender", &one])["events"][0]["key"], "order/1");
    server.client.reaches("order/1", "mender", "done").await;
    assert!(cli.fails(&["handlers", "post", "absent", &one])[0].contains("(unknown-handler)"));
    assert!(cli.prints(&["breakers", "list"]).contains("handler  mender  closed"));
    assert!(cli.prints(&["breakers", "trip", "host/api.example.com", "--reason", "maintenance"]).contains("open"));
    assert_eq!(cli.json(&["breakers", "reset", "host/api.example.com"])["breakers"][0]["state"], "closed");
    assert!(cli.fails(&["breakers", "trip", "mender"])[0].contains("write for instance handler/payment"));
    let unknown = cli.fails(&["breakers", "trip", "handler/absent"]);
    assert!(unknown[0].contains("(unknown-breaker)") && unknown[1].contains("breakers list"), "{unknown:?}");
}
