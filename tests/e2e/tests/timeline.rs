//! The story of a key, on the real binary: an order that failed, was corrected and completed; pages; what happened to its handlers
//! meanwhile; and the files that it is found through.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use weirgate_tests::{Cli, Client, Server, Setup, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_mins(1);

/// A server with a handler that fails as its events request.
async fn mending() -> Server {
    let server = Setup::new().start().await;
    server.client.deploy(&manifest("mender", &["mend.work", "mend.wait"]), weirgate_guests::build("mender")).await;
    server
}

fn work(key: &str, id: &str, fail: Option<&str>) -> Value {
    event("mend.work", key, id, &json!({ "n": 1, "fail": fail }))
}

async fn is(client: &Client, id: &str, state: &str) {
    eventually(&format!("{id} to be {state}"), PATIENCE, async || {
        let answer = client.get(&format!("/v1/deliveries/{id}")).await;
        if answer.json["state"] == state { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

/// All entries, page by page.
async fn story(client: &Client, key: &str, limit: usize) -> Vec<Value> {
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let page = client.get(&format!("/v1/keys/{key}/timeline?limit={limit}&after={after}")).await.ok();
        entries.extend(page["entries"].as_array().expect("entries").iter().cloned());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => return entries,
        }
    }
}

fn kinds(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["kind"].as_str().expect("a kind")).collect()
}

/// The files of the history with this suffix.
fn tables(server: &Server, suffix: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(server.dir.join("history")).expect("a folder");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == suffix));
    paths.sort();
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_failed_and_was_corrected_is_told_in_order() {
    let server = mending().await;
    let client = &server.client;
    client.accept(work("other", "0", None)).await;
    let id = format!("mender@{}", client.accept(work("order/1", "1", Some("correctable"))).await);
    is(client, &id, "awaiting-correction").await;
    client.post("/v1/handlers/mender/pause").await.ok();
    let correction = json!({ "data": { "n": 7 }, "actor": "ada", "reason": "a typo" });
    client.ask(&format!("/v1/deliveries/{id}/correct"), &correction).await.ok();
    client.post("/v1/handlers/mender/resume").await.ok();
    client.drained(PATIENCE).await;
    client.accept(event("mend.wait", "order/1", "2", &json!({ "ms": 30 }))).await;
    client.reaches("order/1", "mender", "overdue").await;
    client.drained(PATIENCE).await;

    let entries = story(client, "order%2F1", 100).await;
    let positions: Vec<_> = entries.iter().map(|entry| entry["position"].as_u64().expect("a position")).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    let expected = [
        "event",
        "attempt-began",
        "attempt-ended",
        "mode-changed",
        "decision",
        "mode-changed",
        "attempt-began",
        "attempt-ended",
        "event",
        "event",
        "attempt-began",
        "attempt-ended",
        "timer-fired",
        "attempt-began",
        "attempt-ended",
        "event",
    ];
    assert_eq!(kinds(&entries), expected, "{entries:#?}");
    let [placed, failed, paused, decided, done] = [0, 2, 3, 4, 7].map(|at| &entries[at]);
    assert_eq!(
        (&placed["id"], &placed["type"], &placed["data"]["is_cut"]),
        (&json!("1"), &json!("mend.work"), &json!(false))
    );
    assert_eq!(
        (&failed["outcome"], &failed["failure"]["class"]),
        (&json!("awaiting-correction"), &json!("correctable"))
    );
    assert_eq!((&paused["handler"], &paused["mode"]), (&json!("mender"), &json!("paused")));
    assert_eq!(
        (&decided["command"], &decided["actor"], &decided["reason"]),
        (&json!("correct"), &json!("ada"), &json!("a typo"))
    );
    assert_eq!((&done["delivery"], &done["outcome"]), (&json!(id), &json!("completed")));
    let emitted = &done["emitted"][0];
    assert_eq!((&emitted["type"], &emitted["key"]), (&json!("mend.done"), &json!("order/1")));
    assert_eq!((&entries[8]["position"], &entries[8]["emitted_by"]), (&emitted["position"], &json!(id)));
    assert_eq!((&entries[11]["timers"][0]["name"], &entries[12]["name"]), (&json!("overdue"), &json!("overdue")));
    // The same, in pages of any size.
    for limit in [1, 2, 7] {
        assert_eq!(story(client, "order%2F1", limit).await, entries, "pages of {limit}");
    }
    assert_eq!(client.get("/v1/timeline?key=order/1").await.ok()["entries"], json!(entries));
    told_on_a_terminal(&server);
}

fn told_on_a_terminal(server: &Server) {
    let cli = Cli::of(server);
    let told = cli.prints(&["timeline", "order/1"]);
    for line in [
        "* mend.work #",
        ", waits for a correction",
        "is corrected, by ada: a typo",
        "mender is paused, by",
        "emits mend.done #",
    ] {
        assert!(told.contains(line), "{line}:\n{told}");
    }
    let page = cli.prints(&["timeline", "order/1", "--limit", "2"]);
    let next = page.lines().last().and_then(|line| line.strip_prefix("there are more: --after ")).expect("a next page");
    assert!(cli.prints(&["timeline", "order/1", "--after", next]).contains("is corrected"));
    assert_eq!(cli.json(&["timeline", "order/1"])["key"], "order/1");
    assert!(cli.fails(&["timeline", "order/none"])[0].contains("nothing is known of the key"), "not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_told_with_its_values_before() {
    let server = Setup::new().start().await;
    let client = &server.client;
    client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    for n in 1..=3 {
        let data = json!({ "n": n, "failures": 0 });
        client.accept(event("ledger.add", "account/1", &format!("account/1-{n}"), &data)).await;
    }
    client.drained(PATIENCE).await;
    let entries = story(client, "account%2F1", 100).await;
    let changes: Vec<_> = entries.iter().filter_map(|entry| entry["state"].as_array()).flatten().collect();
    assert!(changes.len() >= 3, "{entries:#?}");
    // Each value is the one that the next change of its name replaces, also where a page begins between them.
    for after in [0, changes.len() / 2] {
        let mut newest = std::collections::BTreeMap::new();
        for (index, change) in changes.iter().enumerate() {
            let name = change["name"].as_str().expect("a name");
            let before = newest.insert(name, &change["after"]);
            assert!(index < after || before.is_none_or(|before| *before == change["before"]), "{changes:#?}");
        }
    }
    for limit in [1, 2] {
        assert_eq!(story(client, "account%2F1", limit).await, entries, "pages of {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unknown_or_wrong_is_refused() {
    let server = Setup::new().start().await;
    let client = &server.client;
    client.get("/v1/keys/order%2F1/timeline").await.is_problem(404, "not-found");
    client.get("/v1/timeline?key=order/1").await.is_problem(404, "not-found");
    client.get("/v1/timeline").await.is_problem(400, "bad-query");
    client.get("/v1/timeline?key=").await.is_problem(400, "bad-query");
    client.get(&format!("/v1/timeline?key={}", "x".repeat(1_025))).await.is_problem(400, "bad-query");
    client.get("/v1/timeline?key=a&limit=1001").await.is_problem(400, "bad-query");
    client.get("/v1/keys/a/timeline?before=1").await.is_problem(400, "bad-query");
    assert_eq!(client.get("/v1/timeline?key=a&after=5").await.ok()["entries"], json!([]));
}

/// Events that fill more than a segment.
async fn fill_segments(client: &Client, first: usize) {
    let padding = "x".repeat(200_000);
    for batch in 0..35 {
        let events: Vec<_> = (0..10)
            .map(|n| {
                event(
                    "padding",
                    &format!("padding/{n}"),
                    &format!("{first}-{batch}-{n}"),
                    &json!({ "padding": padding }),
                )
            })
            .collect();
        client.publish(&events).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_across_segments_survives_the_loss_of_its_tables() {
    let mut server = mending().await;
    server.client.accept(work("order/1", "1", None)).await;
    fill_segments(&server.client, 0).await;
    server.client.accept(work("order/1", "2", None)).await;
    server.client.drained(PATIENCE).await;
    eventually("an index and a snapshot", PATIENCE, async || {
        let made = (tables(&server, "idx").len(), tables(&server, "state").len());
        if made == (1, 1) { Ok(()) } else { Err(made) }
    })
    .await;
    let entries = story(&server.client, "order%2F1", 100).await;
    assert_eq!(kinds(&entries).iter().filter(|kind| **kind == "attempt-ended").count(), 2, "{entries:#?}");
    // Damaged in the middle, cut, of nothing, gone: the answer is the same, and the table is made again.
    let table = tables(&server, "idx").pop().expect("an index");
    let sound = fs::read(&table).expect("the index");
    let mut damaged = sound.clone();
    for byte in &mut damaged {
        *byte ^= 0x55;
    }
    for bytes in [Some(damaged), Some(sound[..sound.len() / 2].to_vec()), Some(Vec::new()), None] {
        server.kill9();
        match &bytes {
            Some(bytes) => fs::write(&table, bytes).expect("written"),
            None => fs::remove_dir_all(server.dir.join("history")).expect("removed"),
        }
        server.start().await;
        assert_eq!(story(&server.client, "order%2F1", 100).await, entries);
        eventually("the table to be made again", PATIENCE, async || {
            if fs::read(&table).is_ok_and(|bytes| bytes == sound) { Ok(()) } else { Err(tables(&server, "idx")) }
        })
        .await;
        assert_eq!(story(&server.client, "order%2F1", 2).await, entries);
    }
}

/// It only answers questions about the past, so the server starts without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_cannot_be_opened_stops_no_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    fs::create_dir(&data).expect("created");
    fs::write(data.join("history"), "no directory").expect("written");
    let server = Setup::new().dir(&data).expect_line("the history cannot be opened").start().await;
    server.client.deploy(&manifest("mender", &["mend.work"]), weirgate_guests::build("mender")).await;
    server.client.accept(work("order/1", "1", None)).await;
    server.client.drained(PATIENCE).await;
    assert!(kinds(&story(&server.client, "order%2F1", 100).await).contains(&"attempt-ended"));
}
