//! Dead letters: lists by filter, commands for one, and bulk jobs.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Gateway, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);

fn work(n: usize, fail: &str) -> Value {
    event("mend.work", &format!("order/{n}"), &n.to_string(), &json!({ "n": n, "fail": fail }))
}

/// A server whose handlers make a dead letter of each event: `mender` of this many, of two kinds in turn.
async fn with_letters(count: usize) -> Server {
    let server = Setup::new().start().await;
    let mut manifest = manifest("mender", &["mend.work"]);
    manifest["retry"] = json!([]);
    server.client.deploy(&manifest, weirgate_guests::build("mender")).await;
    let events: Vec<_> = (0..count).map(|n| work(n, ["permanent", "transient"][n % 2])).collect();
    server.client.publish(&events).await.ok();
    server.client.drained(PATIENCE).await;
    assert_eq!(found(&server.client, "").await.len(), count);
    server
}

/// The ids of those that match, page by page.
async fn found(client: &Client, query: &str) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/dead-letters?limit=3&{query}{after}")).await.ok();
        let dead_letters = page["dead_letters"].as_array().expect("dead letters").clone();
        assert!(dead_letters.len() <= 3);
        ids.extend(dead_letters.iter().map(|dead_letter| dead_letter["id"].as_str().expect("an id").to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return ids,
        }
    }
}

async fn ended(client: &Client, operation: &Value) -> Value {
    let path = format!("/v1/bulk-jobs/{}", operation["id"]);
    eventually("the bulk job to end", PATIENCE, async || {
        let operation = client.get(&path).await.ok();
        if operation["state"] == "running" { Err(operation) } else { Ok(operation) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_found_by_each_filter() {
    let server = with_letters(10).await;
    let client = &server.client;
    let digest = client.handler("mender").await["digest"].as_str().expect("a digest").to_owned();
    let other = "sha256:".to_owned() + &"0".repeat(64);
    for (query, count) in [
        ("handler=mender".to_owned(), 10),
        (format!("digest={digest}"), 10),
        (format!("digest={other}"), 0),
        ("class=permanent".to_owned(), 5),
        ("class=correctable".to_owned(), 0),
        ("text=NEVER%20work".to_owned(), 5),
        ("text=not%20now&class=permanent".to_owned(), 0),
        ("type=mend.work".to_owned(), 10),
        ("type=mend.wait".to_owned(), 0),
        ("key=order/3".to_owned(), 1),
        ("from=2020-01-01T00:00:00Z".to_owned(), 10),
        ("from=2100-01-01T00:00:00%2B02:00".to_owned(), 0),
        ("until=1000000000000".to_owned(), 0),
        ("until=2100-01-01T00:00:00Z".to_owned(), 10),
    ] {
        assert_eq!(found(client, &query).await.len(), count, "{query}");
    }
    for (query, status, code) in [
        ("class=sad", 400, "bad-query"),
        ("digest=sha256:12", 400, "bad-id"),
        ("from=yesterday", 400, "bad-query"),
        ("until=-1", 400, "bad-query"),
        // Seconds, which would be taken for a time in January 1970.
        ("from=1790000000", 400, "bad-query"),
        ("after=mender", 400, "bad-id"),
        ("after=mender@%2B1", 400, "bad-id"),
        ("limit=many", 400, "bad-query"),
        ("handler=absent", 404, "unknown-handler"),
        ("handler=A", 400, "bad-id"),
    ] {
        client.get(&format!("/v1/dead-letters?{query}")).await.is_problem(status, code);
    }
    client.get("/v1/dead-letters/mender@999").await.is_problem(404, "not-a-dead-letter");
    client.get("/v1/dead-letters/mender").await.is_problem(400, "bad-id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_shows_its_event_its_failures_and_the_state() {
    let server = with_letters(1).await;
    let client = &server.client;
    client.accept(event("mend.work", "order/a", "a", &json!({ "n": 3 }))).await;
    client.reaches("order/a", "mender", "done").await;
    let position = client.accept(event("mend.work", "order/a", "b", &json!({ "n": 4, "fail": "permanent" }))).await;
    client.drained(PATIENCE).await;
    let dead_letter = client.get(&format!("/v1/dead-letters/mender@{position}")).await.ok();
    assert_eq!(dead_letter["event"]["data"], json!({ "n": 4, "fail": "permanent" }));
    assert_eq!(dead_letter["failures"][0]["message"], "it will never work");
    assert_eq!(dead_letter["state"], json!([{ "name": "done", "value": 1 }]));
    assert_eq!(
        (&dead_letter["held"], &dead_letter["corrected"], &dead_letter["steps"]),
        (&json!(false), &json!(false), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_edited_and_resubmitted_and_the_original_is_kept() {
    let server = with_letters(2).await;
    let client = &server.client;
    let ids = found(client, "").await;
    let door = format!("/v1/dead-letters/{}/resubmit", ids[0]);
    client.ask(&door, &json!({ "data": 1, "patch": 2 })).await.is_problem(422, "bad-command");
    // Corrected, but still invalid: it becomes a dead letter again, and says that it was corrected.
    let edited =
        client.ask(&door, &json!({ "patch": { "fail": "transient" }, "actor": "ada", "reason": "a guess" })).await.ok();
    assert_eq!(edited["diff"], json!([{ "op": "replace", "path": "/fail", "value": "transient" }]));
    let dead_letter = eventually("it to die again", PATIENCE, async || {
        let dead_letter = client.get(&format!("/v1/dead-letters/{}", ids[0])).await;
        if dead_letter.json["class"] == "transient" { Ok(dead_letter.json) } else { Err(dead_letter.text) }
    });
    let dead_letter = dead_letter.await;
    assert_eq!((&dead_letter["corrected"], &dead_letter["event"]["data"]["fail"]), (&json!(true), &json!("permanent")));
    assert_eq!(dead_letter["failures"].as_array().map(Vec::len), Some(2), "{dead_letter}");
    client.ask(&door, &json!({ "data": { "n": 9 } })).await.ok();
    assert_eq!(client.reaches("order/0", "mender", "done").await["data"], 9);
    client.ask(&door, &json!({})).await.is_problem(404, "not-a-dead-letter");
    client.post(&format!("/v1/dead-letters/{}/discard", ids[1])).await.ok();
    assert_eq!(found(client, "").await, [""; 0]);
    client.post(&format!("/v1/dead-letters/{}/discard", ids[1])).await.is_problem(404, "not-a-dead-letter");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_job_handles_all_matching_dead_letters() {
    let server = with_letters(20).await;
    let client = &server.client;
    let correct = json!({
        "filter": { "handler": "mender", "class": "transient" }, "command": "correct",
        "patch": { "fail": null }, "actor": "ada", "reason": "the bug is fixed", "per_second": 1_000,
    });
    let begun = client.ask("/v1/dead-letters/bulk-jobs", &correct).await;
    assert_eq!((begun.status, &begun.json["command"], &begun.json["actor"]), (202, &json!("correct"), &json!("ada")));
    let operation = ended(client, &begun.json).await;
    assert_eq!(
        (&operation["state"], &operation["done"], &operation["refused"]),
        (&json!("done"), &json!(10), &json!(0))
    );
    for n in (1..20).step_by(2) {
        client.reaches(&format!("order/{n}"), "mender", "done").await;
    }
    // The remaining ones can never succeed: one at a time, so that the job can be stopped.
    let retry = json!({ "filter": {}, "command": "retry", "per_second": 2 });
    let slow = client.ask("/v1/dead-letters/bulk-jobs", &retry).await.ok();
    let cancelled = client.post(&format!("/v1/bulk-jobs/{}/cancel", slow["id"])).await.ok();
    assert_eq!(cancelled["state"], "cancelled");
    let discard = json!({ "filter": { "text": "never" }, "command": "discard", "per_second": 10_000 });
    let begun = client.ask("/v1/dead-letters/bulk-jobs", &discard).await.ok();
    ended(client, &begun).await;
    client.drained(PATIENCE).await;
    let again = client.ask("/v1/dead-letters/bulk-jobs", &discard).await.ok();
    ended(client, &again).await;
    assert_eq!(found(client, "").await, [""; 0]);
    let listed = client.get("/v1/bulk-jobs").await.ok();
    let states: Vec<_> = listed["bulk_jobs"].as_array().expect("bulk_jobs").iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["done", "cancelled", "done", "done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_bulk_job_does_not_begin() {
    let server = with_letters(1).await;
    let client = &server.client;
    for (body, status, code) in [
        (json!({}), 422, "bad-json"),
        (json!({ "command": "retry" }), 422, "bad-json"),
        (json!({ "filter": {}, "command": "dance" }), 422, "bad-json"),
        (json!({ "filter": { "colour": "red" }, "command": "retry" }), 422, "bad-json"),
        (json!({ "filter": { "from": "yesterday" }, "command": "retry" }), 422, "bad-json"),
        (json!({ "filter": { "from": 1_790_000_000 }, "command": "retry" }), 422, "bad-json"),
        (json!({ "filter": { "handler": "absent" }, "command": "retry" }), 404, "unknown-handler"),
        (json!({ "filter": { "digest": "12" }, "command": "retry" }), 400, "bad-id"),
        (json!({ "filter": {}, "command": "correct" }), 422, "bad-command"),
        (json!({ "filter": {}, "command": "retry", "data": 1 }), 422, "bad-command"),
        (json!({ "filter": {}, "command": "retry", "per_second": 0 }), 422, "bad-command"),
        (json!({ "filter": {}, "command": "retry", "per_second": 10_001 }), 422, "bad-command"),
        (json!({ "filter": {}, "command": "retry", "actor": "b".repeat(200) }), 422, "bad-command"),
    ] {
        client.ask("/v1/dead-letters/bulk-jobs", &body).await.is_problem(status, code);
    }
    client.post("/v1/dead-letters/bulk-jobs").await.is_problem(415, "bad-json");
    client.get("/v1/bulk-jobs/7").await.is_problem(404, "unknown-bulk-job");
    client.get("/v1/bulk-jobs/x").await.is_problem(400, "bad-path");
    client.post("/v1/bulk-jobs/7/cancel").await.is_problem(404, "unknown-bulk-job");
    assert_eq!(client.get("/v1/bulk-jobs").await.ok()["bulk_jobs"], json!([]));
    assert_eq!(found(client, "").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_of_the_version_that_made_it() {
    let gateway = Gateway::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weirgate.toml");
    std::fs::write(&file, format!("[outbound]\nallow_private = [\"{}\"]\n", gateway.host())).expect("a configuration");
    let mut server = Setup::new().arg("--config").arg(file.to_string_lossy()).start().await;
    let mut manifest = manifest("hostile", &["hostile.*"]);
    manifest["retry"] = json!([]);
    manifest["capabilities"] = json!({ "hosts": [gateway.url()] });
    manifest["limits"] = json!({ "wall_ms": 30_000 });
    let first = server.client.deploy(&manifest, weirgate_guests::build("hostile")).await["digest"].clone();
    gateway.hold(Some("/slow"));
    let url = format!("{}/slow/1", gateway.url());
    let fetches = json!({ "fetches": [{ "step": "charge", "url": url, "timeout_ms": 20_000 }] });
    server.client.accept(event("hostile.fetches", "order/1", "1", &fetches)).await;
    eventually("the call to be under way", PATIENCE, async || {
        let handler = server.client.handler("hostile").await;
        if handler["running"] == 1 { Ok(()) } else { Err(handler) }
    })
    .await;
    let second = server.client.deploy(&manifest, weirgate_guests::build("mender")).await["digest"].clone();
    assert_ne!(first, second);
    assert_eq!(server.client.handler("hostile").await["running"], 0, "the attempt of the first version is discarded");
    server.restart().await;
    assert_eq!(server.client.handler("hostile").await["digest"], second);
    server.client.drained(PATIENCE).await;
    let dead = server.client.get("/v1/dead-letters").await.ok()["dead_letters"].clone();
    assert_eq!(dead.as_array().map(Vec::len), Some(1), "{dead}");
    assert_eq!(dead[0]["digest"], second, "it has run under the second version only: {dead}");
}
