//! `/v1/events`, with every error that a producer can make: each has its own answer, nothing is lost, and the server
//! continues.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weirgate_tests::{Client, Server, Setup, event, eventually};

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn good(id: &str) -> Value {
    event("test.happened", "thing/1", id, &json!({ "n": 1 }))
}

fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut event = good("changed");
    change(&mut event);
    event.to_string()
}

fn without(name: &str) -> String {
    with(|event| drop(event.as_object_mut().expect("an object").remove(name)))
}

async fn head(client: &Client) -> u64 {
    client.get("/v1/events").await.ok()["head"].as_u64().expect("the head")
}

/// Content type, body, and answer.
fn bad_input() -> Vec<(&'static str, String, u16, &'static str)> {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let deep = |levels| with(|event| event["data"] = "DEEP".into()).replace("\"DEEP\"", &nested(levels));
    let mebibyte = with(|event| event["data"] = "x".repeat(1 << 20).into());
    let too_many = format!("[{}]", vec![good("1").to_string(); 1_001].join(","));
    vec![
        (ONE, "{".into(), 400, "not-a-cloudevent"),
        (ONE, "[]".into(), 400, "not-a-cloudevent"),
        (ONE, String::new(), 400, "not-a-cloudevent"),
        (ONE, "\u{0}\u{1}".into(), 400, "not-a-cloudevent"),
        (ONE, "{}".into(), 422, "not-a-cloudevent"),
        (ONE, without("id"), 422, "not-a-cloudevent"),
        (ONE, without("source"), 422, "not-a-cloudevent"),
        (ONE, without("type"), 422, "not-a-cloudevent"),
        (ONE, with(|event| event["id"] = "".into()), 422, "not-a-cloudevent"),
        (ONE, with(|event| event["id"] = 7.into()), 400, "not-a-cloudevent"),
        (ONE, with(|event| event["data_base64"] = "AA==".into()), 400, "not-a-cloudevent"),
        (ONE, with(|event| event["specversion"] = "0.3".into()), 422, "unsupported-specversion"),
        (ONE, without("subject"), 422, "no-key"),
        (ONE, with(|event| event["source"] = "/handlers/ledger".into()), 422, "reserved-source"),
        (ONE, with(|event| event["source"] = "/weirgate".into()), 422, "reserved-source"),
        (ONE, with(|event| event["type"] = "weirgate.breaker.opened".into()), 422, "reserved-type"),
        (ONE, with(|event| event["Upper"] = "x".into()), 422, "bad-attribute"),
        (ONE, with(|event| event["nested"] = json!({ "a": 1 })), 422, "bad-attribute"),
        (ONE, with(|event| event["subject"] = "s".repeat(2_000).into()), 422, "bad-attribute"),
        (ONE, with(|event| event["subject"] = "line\nfeed".into()), 422, "bad-attribute"),
        (ONE, mebibyte, 413, "event-too-large"),
        (ONE, deep(65), 422, "data-too-deep"),
        (ONE, deep(100_000), 422, "data-too-deep"),
        (ONE, "x".repeat(5 << 20), 413, "request-too-large"),
        ("text/plain", good("1").to_string(), 415, "unsupported-content-type"),
        ("application/json", good("1").to_string(), 415, "unsupported-content-type"),
        ("application/cloudevents+avro", good("1").to_string(), 415, "unsupported-content-type"),
        (BATCH, good("1").to_string(), 400, "not-a-cloudevent"),
        (BATCH, format!("[{},{}]", good("1"), without("subject")), 422, "no-key"),
        (BATCH, too_many, 413, "batch-too-large"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_its_code_and_changes_nothing() {
    let server = Setup::new().start().await;
    let before = server.client.accept(good("before")).await;
    for (content_type, body, status, code) in bad_input() {
        let shown: String = body.chars().take(100).collect();
        let answer = server.client.send(Method::POST, "/v1/events", content_type, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{content_type} {shown}: {}", answer.text);
        answer.is_problem(status, code);
        assert_eq!(head(&server.client).await, before, "{shown} left something in the log");
    }
    let none = server.client.request(Method::POST, "/v1/events").body(good("1").to_string());
    server.client.attempt(none).await.expect("an answer").is_problem(415, "unsupported-content-type");
    assert_eq!(server.client.accept(good("after")).await, before + 1, "positions are dense");
    let metrics = server.client.get("/metrics").await.text;
    for code in ["no-key", "event-too-large", "data-too-deep", "unsupported-content-type", "not-a-cloudevent"] {
        assert!(
            metrics.contains(&format!("weirgate_events_refused_total{{reason=\"{code}\"}}")),
            "{code} is not counted"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_mode_keeps_attributes_and_data() {
    let server = Setup::new().start().await;
    let send = |content_type: &'static str, key: &'static str, body: &'static str| {
        let request = server.client.request(Method::POST, "/v1/events").header("content-type", content_type).body(body);
        let attributes =
            [("ce-specversion", "1.0"), ("ce-id", "b-1"), ("ce-source", "/binary"), ("ce-type", "test.happened")];
        let request = attributes.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        server.client.attempt(request.header(key, "%E2%82%AC%2F1"))
    };
    send("application/json", "ce-subject", "{not json").await.expect("an answer").is_problem(422, "data-not-json");
    send("application/json", "ce-other", "{}").await.expect("an answer").is_problem(422, "no-key");
    let accepted = send("text/plain", "ce-subject", "hello").await.expect("an answer").ok();
    let position = accepted["events"][0]["position"].as_u64().expect("a position");
    let stored = server.client.get(&format!("/v1/events/{position}")).await.ok();
    assert_eq!((&stored["event"]["subject"], &stored["event"]["data"]), (&json!("€/1"), &json!("hello")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_with_the_first_position_also_after_a_crash() {
    let mut server = Setup::new().start().await;
    let first = server.client.publish(&[good("1")]).await.ok()["events"][0].clone();
    assert_eq!((&first["duplicate"], &first["status_url"]), (&json!(false), &json!("/v1/status/thing/1")));
    let mut other_source = good("1");
    other_source["source"] = "/others".into();
    let batch = server.client.publish(&[good("1"), good("2"), good("2"), other_source]).await.ok();
    let found: Vec<_> =
        batch["events"].as_array().expect("events").iter().map(|event| event["duplicate"] == true).collect();
    assert_eq!(found, [true, false, true, false]);
    assert_eq!(batch["events"][0]["position"], first["position"]);
    assert_eq!(batch["events"][2]["position"], batch["events"][1]["position"]);
    server.restart().await;
    let again = server.client.publish(&[good("1")]).await.ok()["events"][0].clone();
    assert_eq!((&again["duplicate"], &again["position"]), (&json!(true), &first["position"]));
    assert_eq!(server.client.events().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_copies_sent_at_once_one_is_accepted() {
    let server = Setup::new().start().await;
    let mut senders = JoinSet::new();
    for _ in 0..24 {
        let client = server.client.clone();
        senders.spawn(async move { client.publish(&[good("same")]).await.ok()["events"][0].clone() });
    }
    let answers = senders.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer["duplicate"] == false).count(), 1);
    assert!(answers.iter().all(|answer| answer["position"] == answers[0]["position"]));
    assert_eq!(server.client.events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_events_in_flight_are_refused_with_retry_after() {
    let server = Setup::new().env("WEIRGATE__ENGINE__EVENTS_IN_FLIGHT_MAX", "4").start().await;
    let batch: Vec<_> = (0..5).map(|n| good(&n.to_string())).collect();
    let busy = server.client.publish(&batch).await;
    busy.is_problem(429, "too-many-in-flight");
    assert_eq!((busy.header("retry-after"), &busy.json["retryable"]), ("1", &json!(true)));
    // The server's own events about the pressure are not counted.
    let taken = async || {
        let events = server.client.events().await;
        events.iter().filter(|stored| stored["event"]["source"] == "/tests").count()
    };
    assert_eq!(taken().await, 0, "none of a refused batch is taken");
    server.client.publish(&batch[..4]).await.ok();
    assert_eq!(taken().await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_can_be_read_in_pages_and_by_key_and_type() {
    let server = Setup::new().start().await;
    let client = &server.client;
    for n in 0..25 {
        client
            .accept(event(["a.one", "a.two"][n % 2], ["k/1", "k/2"][n / 13], &n.to_string(), &json!({ "n": n })))
            .await;
    }
    let numbers = async |query: &str| {
        let page = client.get(&format!("/v1/events?{query}")).await.ok();
        let numbers =
            page["events"].as_array().expect("events").iter().map(|stored| stored["event"]["data"]["n"].as_u64());
        (numbers.map(|n| n.expect("a number")).collect::<Vec<_>>(), page["next_after"].as_u64().expect("the next page"))
    };
    let (first, next) = numbers("limit=10").await;
    assert_eq!(first, (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&format!("limit=10&after={next}")).await.0, (10..20).collect::<Vec<_>>());
    assert_eq!(numbers("key=k/2&type=a.one").await.0, (13..25).filter(|n| n % 2 == 0).collect::<Vec<_>>());
    client.get("/v1/events/9999").await.is_problem(404, "not-found");
    client.get("/v1/events/x").await.is_problem(400, "bad-path");
    client.get("/v1/events?limit=x").await.is_problem(400, "bad-query");
    client.get("/v1/nowhere").await.is_problem(404, "not-found");
    client.send(Method::DELETE, "/v1/events", ONE, "").await.is_problem(405, "method-not-allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_producer_does_not_delay_others() {
    use tokio::io::AsyncWriteExt;
    let server = Setup::new().start().await;
    let address = server.url("").replace("http://", "");
    let mut stalled = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let half =
        format!("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ONE}\r\ncontent-length: 500\r\n\r\n{{");
    stalled.write_all(half.as_bytes()).await.expect("written");
    let soon = weirgate_tests::within("an answer", Duration::from_secs(20), server.client.accept(good("1")));
    assert!(soon.await > 0);
}

/// More than fit into one generation of the index of identities.
const MANY: usize = 61_000;
const AT_ONCE: usize = 500;

/// Publishes a batch of numbered events, and returns how many of them were duplicates.
async fn duplicates(server: &Server, first: usize) -> usize {
    let events: Vec<_> = (first..first + AT_ONCE).map(|n| good(&format!("many-{n}"))).collect();
    let answer = server.client.publish(&events).await.ok();
    answer["events"].as_array().expect("events").iter().filter(|event| event["duplicate"] == true).count()
}

fn run_of(server: &Server) -> Option<PathBuf> {
    let entries = std::fs::read_dir(server.dir.join("identities")).expect("the index");
    entries.map(|entry| entry.expect("an entry").path()).find(|path| path.extension().is_some_and(|end| end == "ids"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identities_are_known_whatever_is_left_of_their_index() {
    let mut server = Setup::new().expect_line("a run of the index of identities is made again").start().await;
    for first in (0..MANY).step_by(AT_ONCE) {
        assert_eq!(duplicates(&server, first).await, 0);
    }
    let written = async || run_of(&server).ok_or("no run is written");
    eventually("a run of identities", Duration::from_secs(30), written).await;
    for removed in [&[][..], &["identities"], &["identities", "views"]] {
        server.kill9();
        for folder in removed {
            std::fs::remove_dir_all(server.dir.join(folder)).expect("removed");
        }
        server.spawn();
        let mut is_starting_seen = false;
        while !server.client.is_ready().await {
            if let Some(answer) =
                server.client.try_get("/v1/status/thing/1").await.filter(|answer| answer.status == 503)
            {
                answer.is_problem(503, "starting");
                is_starting_seen = true;
            }
        }
        assert!(is_starting_seen || removed.len() < 2, "nothing was answered while the log was read");
        for first in [0, MANY / 2, MANY - AT_ONCE] {
            assert_eq!(duplicates(&server, first).await, AT_ONCE, "{removed:?}: from {first}");
        }
    }
    server.kill9();
    let run = run_of(&server).expect("a run");
    let mut bytes = std::fs::read(&run).expect("its bytes");
    let footer = bytes.len() - 100;
    bytes[footer] ^= 1;
    std::fs::write(&run, bytes).expect("written");
    server.start().await;
    assert_eq!(duplicates(&server, 0).await, AT_ONCE, "a damaged run is made again");
    assert_eq!(duplicates(&server, MANY).await, 0);
}

/// Damages the rows of a run in the file that the server has open. Its end, which the server has in memory, is left as it was.
fn damage(run: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(run)?;
    let rows = file.metadata()?.len() / 2;
    for page in (0..rows).step_by(4_096) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, page + 100)?;
        file.write_all_at(&[byte[0] ^ 1], page + 100)?;
    }
    Ok(())
}

/// Damages the run of a server until it notices: a run that is merged with another just then is not read any more.
async fn damage_run_of(server: &Server) {
    let events = [1, 2, 3].map(|n| good(&format!("many-{n}")));
    let noticed = eventually("damage that is noticed", Duration::from_secs(30), async || {
        let run = run_of(server).ok_or("no run is written")?;
        damage(&run).map_err(|_| "the run is gone")?;
        let answer = server.client.publish(&events).await;
        if answer.status == 202 {
            return Err("nothing noticed the damage");
        }
        answer.is_problem(503, "history-not-ready");
        Ok(())
    });
    noticed.await;
}

/// Publishes a batch that was accepted before until it is answered: that its events are duplicates, and before that only that it
/// cannot be known yet.
async fn refusals_until_known(server: &Server, first: usize) {
    let events: Vec<_> = (first..first + AT_ONCE).map(|n| good(&format!("many-{n}"))).collect();
    let answer = eventually("an answer", Duration::from_secs(30), async || {
        let answer = server.client.publish(&events).await;
        if answer.status == 202 {
            return Ok(answer.json);
        }
        answer.is_problem(503, "history-not-ready");
        assert_eq!(answer.header("retry-after"), "5");
        Err(answer.text)
    });
    let answer = answer.await;
    let accepted = answer["events"].as_array().expect("events");
    assert!(accepted.iter().all(|event| event["duplicate"] == true), "an event was accepted twice: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_run_of_identities_is_made_again_while_the_server_runs() {
    let mut server = Setup::new().expect_line("a run of identities is damaged").start().await;
    for first in (0..MANY).step_by(AT_ONCE) {
        assert_eq!(duplicates(&server, first).await, 0);
    }
    damage_run_of(&server).await;
    refusals_until_known(&server, 0).await;
    for first in (0..MANY).step_by(AT_ONCE) {
        assert_eq!(duplicates(&server, first).await, AT_ONCE, "from {first}");
    }
    // By the position of an identity, which is read from the same rows.
    damage(&run_of(&server).expect("the new run")).expect("a run");
    let by_identity = eventually("the event", Duration::from_secs(30), async || {
        let answer = server.client.get("/v1/events?source=/tests&id=many-7").await;
        if answer.status == 200 { Ok(answer.json) } else { Err(answer.code().to_owned()) }
    });
    assert_eq!(by_identity.await["events"][0]["event"]["id"], "many-7");
    // A kill before it has been made again, or in the middle.
    for _ in 0..3 {
        damage_run_of(&server).await;
        server.kill9();
        server.start().await;
        refusals_until_known(&server, 0).await;
        eventually("a sound run", Duration::from_secs(30), async || run_of(&server).ok_or("no run")).await;
    }
    assert_eq!(duplicates(&server, MANY).await, 0, "new events are accepted");
}
