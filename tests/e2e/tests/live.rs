//! The live endpoint: WebSocket, server-sent events and the long poll, with well-behaved clients and others.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};
use weirgate_tests::{Client, Document, Live, Server, Setup, event, eventually, manifest, within};

const PATIENCE: Duration = Duration::from_secs(30);

async fn start(setup: Setup) -> Server {
    let server = setup.start().await;
    server.client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    server
}

async fn add(client: &Client, account: &str, n: u64) {
    client.accept(event("ledger.add", account, &format!("{account}-{n}"), &json!({ "n": n }))).await;
}

/// Receives frames of one subject until its ledger has `count` entries.
async fn follow(live: &mut Live, document: &mut Document, count: u64) {
    while document.parts.get("ledger").is_none_or(|part| part["data"]["count"] != count) {
        document.take(&live.receive().await);
    }
}

async fn resume(live: &mut Live, subject: &str, epoch: &Value, version: u64) -> Value {
    let wanted = json!({ "subject": subject, "epoch": epoch, "version": version });
    live.send(&json!({ "type": "subscribe", "subjects": [wanted] })).await;
    live.receive().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_then_deltas_then_resumption_across_a_crash() {
    let mut server = start(Setup::new()).await;
    let mut live = Live::connect(&server.url("")).await;
    assert_eq!((&live.hello["subjects_max"], &live.hello["heartbeat_ms"]), (&json!(128), &json!(25_000)));
    live.subscribe(&["account/1"]).await;
    let first = live.receive().await;
    assert_eq!((&first["type"], &first["version"], &first["parts"]), (&json!("snapshot"), &json!(0), &json!({})));
    let mut document = Document::default();
    document.take(&first);
    for n in 1..=5 {
        add(&server.client, "account/1", n).await;
        follow(&mut live, &mut document, n).await;
    }
    document.is(&server.client.status("account/1").await);
    let (epoch, seen) = (live.hello["epoch"].clone(), document.version);
    server.kill9();
    assert_eq!(live.close_code().await.1, 1006);
    server.start().await;
    add(&server.client, "account/1", 6).await;
    server.client.drained(PATIENCE).await;
    let mut live = Live::connect(&server.url("")).await;
    assert_eq!(live.hello["epoch"], epoch, "the log is the same one");
    let delta = resume(&mut live, "account/1", &epoch, seen).await;
    assert_eq!((&delta["type"], &delta["previous"]), (&json!("delta"), &json!(seen)));
    document.take(&delta);
    document.is(&server.client.status("account/1").await);
    let nothing = resume(&mut live, "account/1", &epoch, document.version).await;
    assert_eq!((&nothing["version"], &nothing["previous"]), (&json!(document.version), &json!(document.version)));
    assert_eq!((&nothing["type"], &nothing["parts"]), (&json!("delta"), &json!({})));
    for (epoch, version) in [(json!("0".repeat(32)), 1), (epoch.clone(), 1 << 50), (json!("odd"), 1)] {
        assert_eq!(resume(&mut live, "account/1", &epoch, version).await["type"], "snapshot");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsubscribed_subjects_are_no_longer_sent() {
    let server = start(Setup::new()).await;
    let mut live = Live::connect(&server.url("")).await;
    live.subscribe(&["account/1", "account/2"]).await;
    for _ in 0..2 {
        live.receive().await;
    }
    live.send(&json!({ "type": "unsubscribe", "subjects": ["account/1", "account/never"] })).await;
    // Answered after the previous one, so by then that is done.
    live.subscribe(&["account/3"]).await;
    assert_eq!(live.receive().await["subject"], "account/3");
    add(&server.client, "account/1", 1).await;
    server.client.reaches("account/1", "ledger", "counted").await;
    add(&server.client, "account/2", 1).await;
    assert_eq!(live.receive().await["subject"], "account/2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_message_closes_the_connection_with_a_reason() {
    let server = start(Setup::new()).await;
    let cases = [
        (Message::Text("{".into()), "not JSON"),
        (Message::Text(r#"{"type":"dance"}"#.into()), "an unknown type"),
        (Message::Text(r#"{"type":"subscribe"}"#.into()), "no subjects"),
        (Message::Text("[]".into()), "no object"),
    ];
    for (message, what) in cases {
        let mut live = Live::connect(&server.url("")).await;
        live.say(message).await;
        let (frames, code) = live.close_code().await;
        assert_eq!(code, 4500, "{what}");
        let error = frames.last().expect("a word before the close");
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("bad-message")), "{what}");
    }
    let mut live = Live::connect(&server.url("")).await;
    let many: Vec<_> = (0..129).map(|n| format!("account/{n}")).collect();
    live.subscribe(&many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (frames, code) = live.close_code().await;
    assert_eq!((code, &frames.last().expect("a word")["code"]), (4501, &json!("too-many-subjects")));
    let gauge = "weirgate_live_connections 0";
    eventually("all connections to be given back", PATIENCE, async || {
        let metrics = server.client.get("/metrics").await.text;
        if metrics.contains(gauge) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

/// The HTTP answer that refused a connection.
fn refused(result: Result<Live, Error>) -> (u16, String) {
    match result.err() {
        Some(Error::Http(answer)) => {
            let body: Value = serde_json::from_slice(answer.body().as_deref().unwrap_or_default()).unwrap_or_default();
            (answer.status().as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
        }
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_pages_of_allowed_origins_connect_and_only_so_many() {
    let setup =
        Setup::new().env("WEIRGATE__LIVE__CONNECTIONS_MAX", "2").env("WEIRGATE__LIVE__ORIGINS", "https://shop.example");
    let server = start(setup).await;
    let url = server.url("");
    for origin in ["https://evil.example", "null", "https://shop.example.evil.example"] {
        assert_eq!(
            refused(Live::try_connect(&url, Some(origin)).await),
            (403, "origin-not-allowed".into()),
            "{origin}"
        );
    }
    let _own = Live::try_connect(&url, Some(&url)).await.expect("the server's own pages may");
    let _allowed = Live::try_connect(&url, Some("https://shop.example")).await.expect("an allowed origin may");
    assert_eq!(refused(Live::try_connect(&url, None).await), (503, "too-many-connections".into()));
    let busy = server.client.get("/v1/live").await;
    assert_eq!(busy.header("retry-after"), "5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_requests_and_other_protocols_are_refused_with_a_hint() {
    let server = start(Setup::new()).await;
    server.client.get("/v1/live").await.is_problem(400, "not-a-websocket");
    let upgrade = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    let request = upgrade
        .iter()
        .fold(server.client.request(Method::GET, "/v1/live"), |request, (name, value)| request.header(*name, *value));
    server.client.attempt(request).await.expect("an answer").is_problem(400, "no-subprotocol");
    let events = server.client.request(Method::GET, "/v1/live").header("accept", "text/event-stream");
    server.client.attempt(events).await.expect("an answer").is_problem(400, "bad-query");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_keep_a_silent_connection() {
    let server = start(Setup::new().env("WEIRGATE__LIVE__HEARTBEAT_MS", "150")).await;
    let mut live = Live::connect(&server.url("")).await;
    assert_eq!(live.hello["heartbeat_ms"], 150);
    for _ in 0..3 {
        let message =
            within("a heartbeat", PATIENCE, live.socket.next()).await.expect("it is open").expect("it is open");
        assert_eq!(message.into_text().expect("text").as_str(), r#"{"type":"heartbeat"}"#);
    }
    let stream = server.client.request(Method::GET, "/v1/live?subject=account/1").header("accept", "text/event-stream");
    let (mut stream, mut text) = (stream.send().await.expect("a stream"), String::new());
    while text.lines().filter(|line| line.starts_with(':')).count() < 3 {
        let chunk = within("a comment", PATIENCE, stream.chunk()).await.expect("it is open").expect("it is open");
        text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_delays_no_other_and_gets_the_latest_status() {
    let server = start(Setup::new()).await;
    let (mut lazy, mut keen) = (Live::connect(&server.url("")).await, Live::connect(&server.url("")).await);
    lazy.subscribe(&["account/1"]).await;
    keen.subscribe(&["account/1"]).await;
    let entries: Vec<_> =
        (1..=2_000).map(|n| event("ledger.add", "account/1", &n.to_string(), &json!({ "n": n }))).collect();
    for batch in entries.chunks(500) {
        server.client.publish(batch).await.ok();
    }
    let mut document = Document::default();
    within("the keen one to see all", PATIENCE, follow(&mut keen, &mut document, 2_000)).await;
    let mut late = Document::default();
    within("the lazy one to catch up", PATIENCE, follow(&mut lazy, &mut late, 2_000)).await;
    late.is(&server.client.status("account/1").await);
    assert!(late.frames <= 2_001, "{} frames for 2,000 changes", late.frames);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_many_watchers_get_every_change_in_order() {
    let server = start(Setup::new()).await;
    let (url, mut watching) = (server.url(""), tokio::task::JoinSet::new());
    for n in 1..=60 {
        add(&server.client, "account/1", n).await;
        let mut live = Live::connect(&url).await;
        live.subscribe(&["account/0", "account/1"]).await;
        watching.spawn(async move {
            let mut document = Document::default();
            while document.parts.get("ledger").is_none_or(|part| part["data"]["count"] != 60) {
                let frame = live.receive().await;
                if frame["subject"] == "account/1" {
                    document.take(&frame);
                }
            }
            document
        });
    }
    let all = within("all to see the last", PATIENCE, watching.join_all()).await;
    let status = server.client.status("account/1").await;
    for document in &all {
        document.is(&status);
    }
    assert_eq!(all.len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_client_is_closed_and_told_to_reconnect() {
    let server = start(Setup::new()).await;
    let subjects: Vec<_> = (0..128).map(|n| format!("account/{n}")).collect();
    for subject in &subjects {
        add(&server.client, subject, 1).await;
    }
    server.client.drained(PATIENCE).await;
    let mut live = Live::connect(&server.url("")).await;
    let wanted: Vec<_> = subjects.iter().map(|subject| json!({ "subject": subject })).collect();
    let subscribe = json!({ "type": "subscribe", "subjects": wanted }).to_string();
    // Requests repeatedly and reads no answer, until the server cannot write any more.
    let stuck = async { while live.try_say(subscribe.clone()).await.is_some() {} };
    assert!(tokio::time::timeout(Duration::from_secs(3), stuck).await.is_err(), "the server takes everything");
    let metrics = async || server.client.get("/metrics").await.text;
    eventually("the connection to be given up", PATIENCE, async || {
        let text = metrics().await;
        if text.contains("weirgate_live_connections 0") { Ok(()) } else { Err(()) }
    })
    .await;
    add(&server.client, "account/1", 2).await;
}

/// An event of a stream: its id and data.
async fn sse_event(response: &mut reqwest::Response, buffer: &mut String) -> (String, Value) {
    loop {
        if let Some(end) = buffer.find("\n\n") {
            let text: String = buffer.drain(..end + 2).collect();
            let field = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_start().to_owned())
            };
            if let Some(data) = field("data:") {
                return (field("id:").unwrap_or_default(), serde_json::from_str(&data).expect("JSON"));
            }
            continue;
        }
        let chunk =
            within("an event", PATIENCE, response.chunk()).await.expect("the stream is open").expect("more bytes");
        buffer.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_are_the_same_and_resume_too() {
    let mut server = start(Setup::new()).await;
    let open = async |server: &Server, last: &str| {
        let request = server.client.request(Method::GET, "/v1/live?subject=account/1&subject=account/2");
        let request = request.header("accept", "text/event-stream").header("last-event-id", last);
        request.send().await.expect("a stream")
    };
    let (mut stream, mut buffer) = (open(&server, "").await, String::new());
    let mut documents = [Document::default(), Document::default()];
    for document in &mut documents {
        document.take(&sse_event(&mut stream, &mut buffer).await.1);
    }
    add(&server.client, "account/2", 1).await;
    let mut last = String::new();
    while documents[1].parts.is_empty() {
        let (id, data) = sse_event(&mut stream, &mut buffer).await;
        assert_eq!(data["subject"], "account/2");
        documents[1].take(&data);
        last = id;
    }
    let (_, versions) = last.split_once(':').expect("an epoch and versions");
    assert_eq!(versions, format!("0,{}", documents[1].version));
    server.restart().await;
    add(&server.client, "account/1", 1).await;
    server.client.drained(PATIENCE).await;
    let (mut stream, mut buffer) = (open(&server, &last).await, String::new());
    for (document, account) in documents.iter_mut().zip(["account/1", "account/2"]) {
        let (_, data) = sse_event(&mut stream, &mut buffer).await;
        assert_eq!(
            (&data["type"], &data["subject"], &data["previous"]),
            (&json!("delta"), &json!(account), &json!(document.version))
        );
        document.take(&data);
        document.is(&server.client.status(account).await);
    }
}

/// The others are looked up after the first is sent: its id says what the client has of each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_that_end_after_the_first_go_on_behind_it() {
    let server = start(Setup::new()).await;
    for account in ["account/1", "account/2"] {
        add(&server.client, account, 1).await;
    }
    server.client.drained(PATIENCE).await;
    let open = async |last: &str| {
        let request = server.client.request(Method::GET, "/v1/live?subject=account/1&subject=account/2");
        request.header("accept", "text/event-stream").header("last-event-id", last).send().await.expect("a stream")
    };
    let (mut stream, mut buffer) = (open("").await, String::new());
    let (id, first) = sse_event(&mut stream, &mut buffer).await;
    assert_eq!((&first["type"], &first["subject"]), (&json!("snapshot"), &json!("account/1")));
    assert_eq!(id.split_once(':').expect("an epoch and versions").1, format!("{},", first["version"]));
    let (mut stream, mut buffer) = (open(&id).await, String::new());
    for (subject, kind) in [("account/1", "delta"), ("account/2", "snapshot")] {
        let (_, message) = sse_event(&mut stream, &mut buffer).await;
        assert_eq!((&message["type"], &message["subject"]), (&json!(kind), &json!(subject)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_long_poll_answers_when_the_status_changes() {
    let server = start(Setup::new()).await;
    let client = &server.client;
    client.get("/v1/status/account/1").await.is_problem(404, "not-found");
    client.get("/v1/status/account/1?after=0&wait=50ms").await.is_problem(404, "not-found");
    client.get("/v1/status/account/1?wait=soon").await.is_problem(400, "bad-query");
    let (news, ()) = tokio::join!(client.get("/v1/status/account/1?after=0&wait=30s"), add(client, "account/1", 1));
    let document = news.ok();
    let (version, epoch) = (document["version"].as_u64().expect("a version"), document["epoch"].clone());
    let epoch = epoch.as_str().expect("an epoch");
    for query in ["", "&wait=100ms", &format!("&epoch={epoch}"), &format!("&epoch={epoch}&wait=100ms")] {
        let same = client.get(&format!("/v1/status/account/1?after={version}{query}")).await;
        assert_eq!(same.status, 304, "{query}");
        assert_eq!(same.header("etag"), format!("\"{epoch}-{version}\""), "{query}");
        assert_eq!((same.header("cache-control"), same.text.as_str()), ("no-cache", ""), "{query}");
    }
    let waiting = format!("/v1/status/account/1?after={version}&epoch={epoch}&wait=30s");
    let (news, ()) = tokio::join!(client.get(&waiting), add(client, "account/1", 2));
    assert_eq!(news.ok()["parts"]["ledger"]["data"]["count"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_is_not_stuck_when_the_log_was_replaced() {
    let mut server = start(Setup::new()).await;
    for n in 1..=30 {
        add(&server.client, "account/1", n).await;
    }
    server.client.drained(PATIENCE).await;
    let before = server.client.status("account/1").await;
    let query = format!("after={}&epoch={}&wait=30s", before["version"], before["epoch"].as_str().expect("an epoch"));
    server.terminate().await;
    std::fs::remove_dir_all(&server.dir).expect("the data directory");
    server.start().await;
    let client = &server.client;
    // Within a fraction of the wait: nothing is known yet, and then the new log's smaller version.
    let at_once = async |path: &str| within("an answer at once", Duration::from_secs(15), client.get(path)).await;
    at_once(&format!("/v1/status/account/1?{query}")).await.is_problem(404, "not-found");
    client.deploy(&manifest("ledger", &["ledger.add"]), weirgate_guests::build("ledger")).await;
    add(client, "account/1", 1).await;
    client.drained(PATIENCE).await;
    let now = at_once(&format!("/v1/status/account/1?{query}")).await.ok();
    assert!(now["epoch"] != before["epoch"] && now["version"].as_u64() < before["version"].as_u64(), "{now}");
    let (epoch, version) = (now["epoch"].as_str().expect("an epoch"), now["version"].as_u64().expect("a version"));
    // So is a version that this log has not reached.
    let beyond = at_once(&format!("/v1/status/account/1?after={}&epoch={epoch}&wait=30s", version + 1)).await;
    assert_eq!(beyond.ok()["version"], version);
    for odd in ["x", "", "0", &epoch[1..], &format!("{epoch}0"), "+0000000000000000000000000000000", "é"] {
        client.get(&format!("/v1/status/account/1?after=1&epoch={odd}")).await.is_problem(400, "bad-query");
    }
    let upper = client.get(&format!("/v1/status/account/1?after={version}&epoch={}", epoch.to_uppercase())).await;
    assert_eq!(upper.status, 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditional_requests_follow_rfc_9110() {
    let server = start(Setup::new()).await;
    let client = &server.client;
    let asked = async |method: Method, path: &str, fields: &[(&'static str, &str)]| {
        let request =
            fields.iter().fold(client.request(method, path), |request, (name, value)| request.header(*name, *value));
        client.attempt(request).await.expect("an answer")
    };
    let path = "/v1/status/account/1";
    // Of nothing there is no version, so no condition applies.
    asked(Method::GET, path, &[("if-none-match", "*")]).await.is_problem(404, "not-found");
    asked(Method::GET, path, &[("if-match", "\"x\"")]).await.is_problem(404, "not-found");
    add(client, "account/1", 1).await;
    client.drained(PATIENCE).await;
    let tag = client.get(path).await.header("etag").to_owned();
    let weak = format!("W/{tag}");
    let listed = format!("\"a,b\", {weak} , \"c\"");
    for method in [Method::GET, Method::HEAD] {
        for known in [&tag, &weak, &listed, "*"] {
            let answer = asked(method.clone(), path, &[("if-none-match", known)]).await;
            assert_eq!(
                (answer.status, answer.header("etag"), answer.header("cache-control")),
                (304, &*tag, "no-cache")
            );
        }
        let lines = [("if-none-match", "\"other\""), ("if-none-match", &tag)];
        assert_eq!(asked(method.clone(), path, &lines).await.status, 304);
        for unknown in ["\"other\"", "x", "", tag.trim_matches('"'), "*, \"x\"", &format!("{tag} \"x\"")] {
            let answer = asked(method.clone(), path, &[("if-none-match", unknown)]).await;
            assert_eq!((answer.status, answer.header("etag")), (200, &*tag), "{unknown}");
        }
        for (wanted, status) in [(&*tag, 200), ("*", 200), (&*weak, 412), ("\"other\"", 412)] {
            assert_eq!(asked(method.clone(), path, &[("if-match", wanted)]).await.status, status, "{wanted}");
        }
    }
    asked(Method::GET, path, &[("if-match", "\"other\"")]).await.is_problem(412, "version-differs");
    let by_query = asked(Method::GET, "/v1/status?subject=account/1", &[("if-none-match", &weak)]).await;
    assert_eq!((by_query.status, by_query.header("etag")), (304, &*tag));
}
